//! Vocabulary training and parallel encoding, Parquet to Parquet.
//!
//! A vocabulary is trained by a [`Trainer`], which is fed texts in any portions, or adopted from
//! any Hugging Face `tokenizer.json`. Either way the result is a [`Tokenizer`] whose file has the
//! Hugging Face format and whose ids `0..4` are always the [`special`] tokens, so a model never has
//! to ask. [`tokenize`] does it for a folder of documents: it learns from the train split, encodes
//! every split in parallel and in order, and counts what happened.
//!
//! Training the same texts gives the same bytes, in every process and with any number of threads.
//!
//! ```
//! use textgan_tokenizer::{TokenizerConfig, Trainer, special};
//!
//! # fn main() -> Result<(), textgan_tokenizer::Error> {
//! let mut trainer = Trainer::new(&TokenizerConfig::default())?;
//! trainer.feed(&["a man rides a bike .", "a dog sleeps ."])?;
//! let (tokenizer, vocabulary) = trainer.finish()?;
//!
//! assert_eq!(vocabulary.size, 4 + 7);
//! let tokens = tokenizer.encode("a man rides a zebra .")?;
//! assert_eq!(tokens[4], special::UNKNOWN);
//! assert_eq!(tokenizer.decode(&tokens)?, "a man rides a <unk> .");
//! # Ok(())
//! # }
//! ```

mod adopt;
mod bounds;
mod config;
mod counts;
mod error;
mod layout;
mod pattern;
mod pieces;
pub mod special;
mod stage;
mod statistics;
mod tokenizer;
mod trainer;

// What signatures here speak of, in the versions that they mean.
pub use textgan_artifact;

pub use config::{Kind, Overlong, TokenizerConfig};
pub use error::{Error, Result};
pub use stage::tokenize;
pub use statistics::{LengthHistogram, SplitStatistics, Statistics, Vocabulary};
pub use tokenizer::Tokenizer;
pub use trainer::Trainer;

/// The blocks of the README, which are tested with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
