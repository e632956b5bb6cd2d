//! A corpus that is larger than the memory it may take.

use anyhow::{Context, Result, bail};
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use textgan_random::Key;
use textgan_synthetic::Grammar;

use super::Row;
use super::artifact::Scratch;

const BYTES: u64 = 2_000_000_000;

pub const STREAMING: Row = Row {
    name: "bar/streaming",
    unit: "MB",
    bar: Some(400.0),
    what: "most resident memory beyond the set of distinct rows: ingest and tokenize 2 GB of .jsonl.gz",
    slow: true,
    measure: || {
        let folder = Scratch::new("streaming")?;
        let corpus = folder.0.join("corpus.jsonl.gz");
        write(&corpus).context("cannot write the corpus")?;
        let config = folder.0.join("streaming.toml");
        std::fs::write(
            &config,
            "[corpus]\nsources = \"corpus.jsonl.gz\"\n\
             steps = [\"nfc\", \"control\", \"whitespace\", \"exact-duplicates\", \"cross-split\"]\n\
             [tokenizer]\nkind = \"word\"\nmax_length = 100\n\
             [[phase]]\nkind = \"maximum-likelihood\"\nsteps = 1\n",
        )?;
        let mut most: f64 = 0.0;
        for stage in ["ingest", "tokenize"] {
            let peak = peak_of(stage, &config, &folder.0.join("run"))?;
            let set =
                if stage == "ingest" { remembered(&folder.0.join("run/ingest"))? } else { 0.0 };
            eprintln!("{stage}: {peak:.0} MB at its peak, of which {set:.0} MB the set");
            most = most.max(peak - set);
        }
        Ok(most)
    },
};

/// Documents of one to eight captions, one in twenty a copy of the one before.
fn write(path: &Path) -> Result<()> {
    let grammar = Grammar::embedded();
    let file = BufWriter::new(File::create(path)?);
    let mut out = GzEncoder::new(file, flate2::Compression::fast());
    let mut stream = Key::root(1).child("streaming").stream();
    let (mut bytes, mut line) = (0, String::new());
    while bytes < BYTES {
        if line.is_empty() || stream.below(20) > 0 {
            let captions: Vec<String> =
                (0..=stream.below(8)).map(|_| grammar.sample(&mut stream).0).collect();
            line = serde_json::json!({ "text": captions.join(" . ") }).to_string() + "\n";
        }
        out.write_all(line.as_bytes())?;
        bytes += line.len() as u64;
    }
    Ok(out.finish()?.flush()?)
}

/// Runs one stage of this very program; its most resident memory in MB.
fn peak_of(stage: &str, config: &Path, run: &Path) -> Result<f64> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut child = Command::new(program)
        .arg(stage)
        .arg("--config")
        .arg(config)
        .arg("--run")
        .arg(run)
        .spawn()?;
    let mut peak = f64::NAN;
    loop {
        let status = format!("/proc/{}/status", child.id());
        if let Ok(status) = std::fs::read_to_string(status)
            && let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))
            && let Ok(kilobytes) = line.trim().trim_end_matches("kB").trim().parse::<f64>()
        {
            peak = kilobytes * 1024.0 / 1e6;
        }
        if let Some(status) = child.try_wait()? {
            if !status.success() {
                bail!("{stage} failed: {status}");
            }
            return Ok(peak);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What finding duplicates remembered, in MB.
fn remembered(ingest: &Path) -> Result<f64> {
    let stats: serde_json::Value =
        serde_json::from_slice(&std::fs::read(ingest.join("stats.json"))?)?;
    let sets = stats["memory"].as_array().context("stats.json says nothing of memory")?;
    Ok(sets.iter().filter_map(|set| set["bytes"].as_f64()).sum::<f64>() / 1e6)
}
