//! Ingests text files into a folder of Parquet: `cargo run --example ingest -- OUT FILE...`.
//! Without arguments, a thousand captions of the built-in grammar into a temporary folder.

use textgan_artifact::{Progress, table};
use textgan_corpus::{CorpusConfig, Files, Source, Step, Synthetic, ingest};
use textgan_random::Key;

/// Prints facts, shows no bar.
struct Printed;

impl Progress for Printed {
    fn begin(&self, _label: &str, _total: Option<u64>) {}
    fn advance(&self, _n: u64) {}
    fn message(&self, line: &str) {
        println!("{line}");
    }
    fn status(&self, _text: &str) {}
    fn finish(&self) {}
    fn stop_requested(&self) -> bool {
        false
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let scratch = tempfile::tempdir()?;
    let out = arguments.next().map_or_else(|| scratch.path().join("ingest"), Into::into);
    let files: Vec<Source> = arguments.map(|path| Source::Files(Files::new(path))).collect();

    let sources = match files.is_empty() {
        true => vec![Source::Synthetic(Synthetic { documents: 1000, grammar: None })],
        false => files,
    };
    let mut config = CorpusConfig { sources, ..CorpusConfig::default() };
    config.steps.push(Step::ExactDuplicates {});
    ingest(&config, &Key::root(1), &out, &Printed)?;

    println!("\nthe first rows of the training split:");
    for row in table::read_split::<table::Document>(&out, "train")?.iter().take(5) {
        println!("{:>4}  {:<9} {}", row.id, row.label.as_deref().unwrap_or("-"), row.text);
    }
    Ok(())
}
