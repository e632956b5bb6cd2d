//! How fast a large corpus is ingested, and in how much memory:
//! `cargo run --example throughput -- [MEGABYTES] [FOLDER]`.
//!
//! Writes a `.jsonl.gz` of that many unpacked megabytes (default 2000) of captions, one document in
//! twenty a copy, then ingests it with exact deduplication and prints MB/s, the peak of resident
//! memory (Linux), and what part of it is the set of distinct rows.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;
use textgan_artifact::Quiet;
use textgan_corpus::{CorpusConfig, CrossSplit, Files, Source, Step, ingest};
use textgan_random::Key;
use textgan_synthetic::Grammar;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let megabytes: u64 = arguments.next().map_or(Ok(2000), |n| n.parse())?;
    let scratch = match arguments.next() {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let path = scratch.path().join("corpus.jsonl.gz");
    let began = Instant::now();
    let bytes = generate(&path, megabytes * 1_000_000)?;
    let packed = path.metadata()?.len();
    println!(
        "{} MB of JSON lines, {} MB packed, written in {:.0} s",
        bytes / 1_000_000,
        packed / 1_000_000,
        began.elapsed().as_secs_f64()
    );

    let config = CorpusConfig {
        sources: vec![Source::Files(Files::new(path.to_string_lossy()))],
        steps: [
            CorpusConfig::default().steps[..3].to_vec(),
            vec![Step::ExactDuplicates {}, Step::CrossSplit(CrossSplit::default())],
        ]
        .concat(),
        ..CorpusConfig::default()
    };
    reset_peak();
    let before = resident("VmRSS").unwrap_or(0);
    let began = Instant::now();
    let stats = ingest(&config, &Key::root(1), &scratch.path().join("ingest"), &Quiet)?;
    let seconds = began.elapsed().as_secs_f64();
    for line in stats.lines() {
        println!("{line}");
    }
    println!("{:.1} MB/s of JSON lines ({seconds:.0} s)", bytes as f64 / 1e6 / seconds);
    let set: u64 = stats.memory.iter().map(|memory| memory.bytes).sum();
    if let Some(peak) = resident("VmHWM") {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        println!(
            "peak {:.0} MB resident, of which {:.0} MB the set of distinct rows and {:.0} MB there before: {:.0} MB beyond the set",
            mb(peak),
            mb(set),
            mb(before),
            mb(peak.saturating_sub(set)),
        );
    }
    Ok(())
}

/// Documents of one to eight captions; says how many bytes before packing.
fn generate(path: &Path, wanted: u64) -> Result<u64, Box<dyn std::error::Error>> {
    let grammar = Grammar::embedded();
    let file = BufWriter::new(std::fs::File::create(path)?);
    let mut out = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    let mut stream = Key::root(1).child("throughput").stream();
    let (mut bytes, mut line) = (0, String::new());
    while bytes < wanted {
        if line.is_empty() || stream.below(20) > 0 {
            let captions: Vec<String> =
                (0..=stream.below(8)).map(|_| grammar.sample(&mut stream).0).collect();
            line = serde_json::json!({ "text": captions.join(" . ") }).to_string() + "\n";
        }
        out.write_all(line.as_bytes())?;
        bytes += line.len() as u64;
    }
    out.finish()?.flush()?;
    Ok(bytes)
}

/// Starts the kernel's record of peak memory anew (Linux).
fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// A figure of `/proc/self/status`, in bytes.
fn resident(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
