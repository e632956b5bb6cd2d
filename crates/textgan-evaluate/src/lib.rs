//! Model-based evaluation of text generators: quality, diversity, likelihood, exact scores where
//! the truth is known, and comparisons with intervals.
//!
//! [`evaluate`] measures a trained generator and, beside it, the maximum-likelihood checkpoint of
//! the same run. Every number is stored with its protocol, because a BLEU without its number of
//! references, its smoothing and its temperature compares with nothing:
//!
//! ```
//! use textgan_evaluate::{Better, Measure};
//!
//! let text = r#"{
//!     "name": "bleu-4", "value": 0.365, "better": "higher", "note": null,
//!     "protocol": "bleu|n:4|samples:10000|references:test-10000|smoothing:nltk-1|weights:uniform|tokens:word-4704|temperature:1"
//! }"#;
//! let measure: Measure = serde_json::from_str(text)?;
//! assert_eq!(measure.value, Some(0.365));
//! assert_eq!(measure.better, Better::Higher);
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! - **Quality and diversity**: BLEU and Self-BLEU of 2 to 5 tokens, distinct n-grams, exact copies
//!   of training text.
//! - **Likelihood**: `-ln(1/K sum_k p(x | z_k))` of held-out text over `K` named noise vectors.
//! - **Exactly**, where the truth of the corpus is known ([`Truth`]). A grammar: the share of
//!   grammatical samples, how much of the distribution they cover, and the model's likelihood as a
//!   multiple of the grammar's own. An oracle: `NLL_oracle` and `NLL_test`, and how they trade
//!   against each other over temperatures.
//! - **Whether the noise matters**: how many of the most probable texts of many noise vectors are
//!   distinct.
//!
//! [`embedding`] compares sets of sentence embeddings: Fréchet distance, precision, recall, density
//! and coverage, MAUVE.
//!
//! With `sweep` temperatures, the measures of samples are taken at each of them ([`Sweep`]): two of
//! them make a curve, such as BLEU-4 against Self-BLEU-4. [`verdict`] compares two such curves.
//!
//! Temperatures are chosen on the validation split by a stated rule, never on the test split.
//! Changes come with a 95 % interval (Student's t over disjoint batches), whichever their sign.

mod bench;
mod beside;
mod binomial;
mod change;
mod config;
mod controls;
mod draws;
mod embedded;
mod embedder;
pub mod embedding;
mod error;
mod evaluate;
mod evaluation;
mod exact;
mod fit;
mod greedy;
mod judged;
mod language_model;
mod likelihood;
mod memorisation;
#[cfg(test)]
mod null;
mod quality;
mod rivals;
mod series;
mod summary;
mod sweep;
mod temperature;
mod texts;
mod two_sample;
pub mod verdict;
mod writer;

// What signatures here speak of, in the versions that they mean.
pub use textgan_artifact;
pub use textgan_metrics;
pub use textgan_random;

pub use config::{Decoding, EvaluateConfig};
pub use error::{Error, Result};
pub use evaluate::{Inputs, evaluate, evaluate_in, samples_key};
pub use evaluation::{
    Better, Candidate, Change, Choice, Evaluation, Measure, Point, PublishedCurve, Scores,
    ShownText, Sweep, Swept,
};
pub use exact::Truth;
pub use fit::FitConfig;
pub use language_model::{LanguageModel, LanguageModelConfig};
pub use likelihood::Likelihood;
pub use memorisation::{Audit, CopiedRun, Memorisation};
pub use two_sample::{TwoSample, TwoSampleConfig, two_sample};

/// The blocks of the README, which are tested with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
