//! From files of many formats to clean, deduplicated documents in Parquet.
//!
//! [`ingest`] reads the sources of a [`CorpusConfig`] as a stream, applies its cleaning steps in
//! their order, splits the result into training, validation and test rows, and writes tables that
//! pandas, polars and Hugging Face `datasets` open. Every row that is dropped is kept elsewhere, with
//! the step that dropped it and the reason. The same config, key and files give the same bytes, on
//! any number of threads.
//!
//! ```
//! use textgan_artifact::{Quiet, table};
//! use textgan_corpus::{CorpusConfig, Files, Source, Split, Step, ingest};
//! use textgan_random::Key;
//!
//! let folder = std::env::temp_dir().join(format!("textgan-corpus-doc-{}", std::process::id()));
//! std::fs::create_dir_all(&folder)?;
//! let lines: String = (0..100).map(|i| format!("a  caption number {}\n", i / 2)).collect();
//! std::fs::write(folder.join("captions.txt"), lines)?;
//!
//! let mut config = CorpusConfig::default();
//! config.sources = vec![Source::Files(Files::new(folder.join("captions.txt").to_string_lossy()))];
//! config.steps.push(Step::ExactDuplicates {});
//! let out = folder.join("ingest");
//! let stats = ingest(&config, &Key::root(1), &out, &Quiet)?;
//! assert_eq!(stats.read.documents, 100);
//! assert_eq!(stats.splits[&Split::Train].rows + stats.splits[&Split::Valid].rows + stats.splits[&Split::Test].rows, 50);
//!
//! let train: Vec<table::Document> = table::read_split(&out, "train")?;
//! assert_eq!(train[0].text, "a caption number 0");
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`ingest_shard`] and [`merge_shards`] are [`ingest`] in several processes, on one machine or many, with the same bytes.
//!
//! [`read_documents`] hands over what the sources hold, one document after the other, and writes nothing;
//! [`Cleaner`] applies the steps that look at one row to single texts, without files.

mod clean;
mod config;
mod error;
mod ingest;
mod read;
mod split;
mod stats;
mod write;

// What signatures here speak of, in the versions that they mean.
pub use textgan_artifact;
pub use textgan_random;

pub use clean::{Cleaner, Rejected};
pub use config::{
    Clean, Compression, CorpusConfig, CrossSplit, Encoding, Files, Format, Fractions, Label,
    Language, Length, Limits, NearDuplicates, OracleSource, Oversized, OwnSplit, Sentences,
    SharedAction, Shingle, Source, SplitBy, Step, StopWords, Synthetic, UnicodeForm, Unit,
    Whitespace,
};
pub use error::{Error, Place};
pub use ingest::{Shard, ShardInputs, ingest, ingest_shard, merge_shards, read_documents};
pub use read::public_address;
pub use split::Split;
pub use stats::{MemoryStats, ReadStats, SharedStats, SplitStats, Stats, StepStats};

/// The blocks of the README, which are tested with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
