//! Objects in cloud stores: Amazon S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage.

use super::Reading;
use super::fetch::Fetched;
use super::locate::format_of;
use crate::{Error, Files};
use futures_util::StreamExt;
use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use std::io::{Seek, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Longest wait for an answer, or for more bytes of one.
const PATIENCE: Duration = Duration::from_secs(60);

/// An object that an address names.
pub(crate) struct Object {
    /// `s3://bucket/key`.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// What changes with its bytes, where the store says so.
    pub(crate) version: Option<String>,
}

/// A bucket, and the part of its address before a key: `s3://bucket/`.
struct Bucket {
    address: String,
    store: Box<dyn ObjectStore>,
    runtime: tokio::runtime::Runtime,
}

/// The objects of an address, in the order of their names, and how many others were passed over: a key is an object, or
/// a folder; in folders and patterns only known formats count, and names that begin with a dot do not.
pub(crate) fn list(address: &str, files: &Files) -> Result<(Vec<Object>, u64), Error> {
    let (bucket, key) = Bucket::open(address)?;
    let failed = |error| bucket.failed(address, error);
    let is_pattern = key.contains(['*', '?', '[']);
    if !is_pattern && !key.is_empty() && !key.ends_with('/') {
        match bucket.wait(bucket.store.head(&parsed(address, key)?)) {
            Ok(found) => return Ok((vec![bucket.object(found)], 0)),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    // Listed is what lies below the last folder without a pattern.
    let folder = match key.find(['*', '?', '[']) {
        Some(first) => key[..first].rfind('/').map_or("", |end| &key[..end]),
        None => key.trim_end_matches('/'),
    };
    let pattern = match is_pattern {
        true => Some(glob::Pattern::new(key).map_err(|error| {
            let message = format!("is `{}`, not a pattern: {error}", address);
            Error::config("corpus.sources.path", message)
        })?),
        false => None,
    };
    let prefix = (!folder.is_empty()).then(|| parsed(address, folder)).transpose()?;
    let below = prefix.as_ref().map_or(0, |prefix| prefix.as_ref().len());
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let wanted = |object: &ObjectMeta| {
        let key = object.location.as_ref();
        let hidden = || key[below..].split('/').any(|part| part.starts_with('.'));
        match &pattern {
            Some(pattern) => pattern.matches_with(key, options),
            // Tools leave objects without bytes in the place of folders.
            None => object.size > 0 && !hidden(),
        }
    };
    let mut found = Vec::new();
    let mut listing = bucket.store.list(prefix.as_ref());
    while let Some(object) =
        bucket.wait(async { listing.next().await.transpose() }).map_err(failed)?
    {
        if wanted(&object) {
            found.push(object);
        }
    }
    if found.is_empty() {
        let message =
            "no such object or folder, or no match; check the bucket and the key".to_owned();
        return Err(Error::Fetch { url: address.to_owned(), message });
    }
    let all = found.len();
    found.retain(|object| files.format.is_some() || format_of(object.location.as_ref()).is_some());
    let skipped = (all - found.len()) as u64;
    if found.is_empty() {
        return Err(Error::NoKnownFormat { path: address.into(), skipped });
    }
    // As folders of this machine are read: name by name.
    let names = |object: &ObjectMeta| -> Vec<String> {
        object.location.as_ref().split('/').map(str::to_owned).collect()
    };
    found.sort_by_cached_key(names);
    Ok((found.into_iter().map(|object| bucket.object(object)).collect(), skipped))
}

/// Fetches an object to a file without a name.
pub(super) fn fetch(object: &Object, reading: &Reading<'_>) -> Result<Fetched, Error> {
    let name = object.name.as_str();
    let (bucket, key) = Bucket::open(name)?;
    let key = parsed(name, key)?;
    let failed = |error| bucket.failed(name, error);
    let spool = |source| Error::Write { path: reading.spool.to_path_buf(), source };
    let limits = &reading.rules.limits;
    let deadline = Instant::now() + Duration::from_secs(limits.max_download_seconds);
    let mut file = tempfile::tempfile_in(reading.spool).map_err(spool)?;
    let mut hasher = blake3::Hasher::new();
    let mut total = 0;
    let found = bucket.wait(bucket.store.get(&key)).map_err(failed)?;
    let expected = found.range.end - found.range.start;
    if expected != object.bytes {
        let message =
            format!("it has {expected} bytes, and had {} when it was listed", object.bytes);
        return Err(Error::Fetch { url: name.to_owned(), message });
    }
    let mut stream = found.into_stream();
    while let Some(chunk) =
        bucket.wait(async { stream.next().await.transpose() }).map_err(failed)?
    {
        if reading.watch.stop.load(Relaxed) {
            return Err(Error::Interrupted);
        }
        total += chunk.len() as u64;
        if total > limits.max_download_bytes {
            let (file, limit) = (name.to_owned(), limits.max_download_bytes);
            return Err(Error::TooLarge { file, limit, key: "max_download_bytes" });
        }
        if Instant::now() > deadline {
            let seconds = limits.max_download_seconds;
            let message = format!(
                "it took longer than {seconds} seconds; raise corpus.limits.max_download_seconds, or fetch it by other means"
            );
            return Err(Error::Fetch { url: name.to_owned(), message });
        }
        hasher.update(&chunk);
        file.write_all(&chunk).map_err(spool)?;
    }
    if total != expected {
        let message = format!("{total} of {expected} bytes came");
        return Err(Error::Fetch { url: name.to_owned(), message });
    }
    file.rewind().map_err(spool)?;
    Ok(Fetched { file, blake3: hasher.finalize().to_hex().to_string() })
}

fn parsed(address: &str, key: &str) -> Result<Key, Error> {
    Key::parse(key)
        .map_err(|error| Error::Fetch { url: address.to_owned(), message: error.to_string() })
}

impl Bucket {
    /// The bucket of an address, and the key. Variables of the environment say who asks, and whom: those that
    /// `object_store` knows, which are named as those of the stores' own tools.
    fn open(address: &str) -> Result<(Self, &str), Error> {
        let failed = |message: String| Error::Fetch { url: address.to_owned(), message };
        let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
        let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
        let own = format!("{scheme}://{name}/");
        let url = own.parse::<url::Url>().map_err(|error| failed(error.to_string()))?;
        // Of two that other dependencies bring, one must be chosen; whoever chose before is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Those of the stores' own tools only: the store would take a plain TOKEN for its own.
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.to_str()?.to_ascii_lowercase();
            let known = ["aws_", "google_", "azure_"].iter().any(|of| name.starts_with(of));
            known.then_some((name, value.to_str()?.to_owned()))
        });
        // The time of a whole download is limited elsewhere.
        let timeouts = [("timeout", "100 days"), ("connect_timeout", "30 seconds")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (store, _) = object_store::parse_url_opts(&url, variables.chain(timeouts))
            .map_err(|error| failed(one_line(&error)))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        Ok((Self { address: own, store, runtime }, key))
    }

    /// Waits for an answer.
    fn wait<T>(
        &self,
        answer: impl Future<Output = object_store::Result<T>>,
    ) -> object_store::Result<T> {
        self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|late| {
                Err(object_store::Error::Generic { store: "store", source: Box::new(late) })
            })
        })
    }

    fn object(&self, found: ObjectMeta) -> Object {
        Object {
            name: format!("{}{}", self.address, found.location),
            bytes: found.size,
            version: found.version.or(found.e_tag),
        }
    }

    fn failed(&self, address: &str, error: object_store::Error) -> Error {
        let hint = match error {
            object_store::Error::NotFound { .. } => "; check the bucket and the key",
            object_store::Error::Unauthenticated { .. }
            | object_store::Error::PermissionDenied { .. }
            | object_store::Error::Generic { .. } => {
                "; the store and who asks are named by the variables of its own tools, such as AWS_ACCESS_KEY_ID, \
                 AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT, GOOGLE_SERVICE_ACCOUNT, AZURE_STORAGE_ACCOUNT_NAME"
            }
            _ => "",
        };
        let message = format!("{}{hint}", one_line(&error));
        Error::Fetch { url: address.to_owned(), message }
    }
}

/// A message with its causes, in a line of bounded length: some quote the store's whole answer.
fn one_line(error: &object_store::Error) -> String {
    const LONGEST: usize = 300;
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ..", &text[..end]),
        None => text,
    }
}
