//! Plain addresses, fetched to a file without a name.

use super::Reading;
use crate::Error;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

pub(super) struct Fetched {
    pub(super) file: File,
    pub(super) blake3: String,
}

/// Tries before giving up, for failures that may pass.
const TRIES: u64 = 3;

pub(super) fn fetch(url: &str, reading: &Reading<'_>) -> Result<Fetched, Error> {
    let mut tried = 1;
    loop {
        match try_once(url, reading) {
            Err(Attempt::Again(_)) if tried < TRIES => {
                std::thread::sleep(Duration::from_secs(tried));
                tried += 1;
            }
            Err(Attempt::Again(error) | Attempt::Never(error)) => return Err(error),
            Ok(fetched) => return Ok(fetched),
        }
    }
}

enum Attempt {
    Again(Error),
    Never(Error),
}

fn try_once(url: &str, reading: &Reading<'_>) -> Result<Fetched, Attempt> {
    let failed = |message: String| Error::Fetch { url: url.into(), message };
    let spool = |source| Attempt::Never(Error::Write { path: reading.spool.to_path_buf(), source });
    let limits = &reading.rules.limits;
    let deadline = Instant::now() + Duration::from_secs(limits.max_download_seconds);
    let config = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_per_read(Some(Duration::from_secs(60)))
        .build();
    let response =
        ureq::Agent::new_with_config(config).get(url).call().map_err(|error| match error {
            ureq::Error::StatusCode(code) if code < 500 => {
                Attempt::Never(failed(format!("the server answered {code}; check the address")))
            }
            ureq::Error::StatusCode(code) => {
                Attempt::Again(failed(format!("the server answered {code}")))
            }
            error => Attempt::Again(failed(error.to_string())),
        })?;
    // Whoever asks for the whole and gets a part must not take it for the whole.
    if response.status() != 200 {
        let code = response.status();
        let message =
            format!("the server answered {code} where 200 was expected; check the address");
        return Err(Attempt::Never(failed(message)));
    }
    let mut body = response.into_body().into_reader();
    let mut file = tempfile::tempfile_in(reading.spool).map_err(spool)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 128 << 10];
    let limit = limits.max_download_bytes;
    let mut total = 0;
    loop {
        if reading.watch.stop.load(Relaxed) {
            return Err(Attempt::Never(Error::Interrupted));
        }
        let n = body
            .read(&mut buffer)
            .map_err(|e| Attempt::Again(failed(format!("the transfer broke off: {e}"))))?;
        if n == 0 {
            break;
        }
        if Instant::now() > deadline {
            let message = format!(
                "it took longer than {} seconds; raise corpus.limits.max_download_seconds, or download it by \
                 other means and give the file",
                limits.max_download_seconds
            );
            return Err(Attempt::Never(failed(message)));
        }
        total += n as u64;
        if total > limit {
            return Err(Attempt::Never(Error::TooLarge {
                file: url.into(),
                limit,
                key: "max_download_bytes",
            }));
        }
        hasher.update(&buffer[..n]);
        file.write_all(&buffer[..n]).map_err(spool)?;
    }
    file.rewind().map_err(spool)?;
    Ok(Fetched { file, blake3: hasher.finalize().to_hex().to_string() })
}
