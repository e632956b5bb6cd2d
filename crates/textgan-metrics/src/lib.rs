//! Text-generation metrics over token ids: exact, fast, pure functions.
//!
//! - [`bleu`] and [`References`]: NLTK's sentence BLEU against a whole reference set, with any of its
//!   [`Smoothing`] methods;
//! - [`self_bleu`]: every sample against *all* others, in linear time;
//! - [`corpus_bleu`], as sacrebleu computes it;
//! - [`ms_jaccard`], [`embedding_similarity`], [`length_distance`]: quality and variety at once;
//! - [`distinct_n`], [`unique_ngrams`], [`ngram_entropy`], [`zipf_coefficient`],
//!   [`distinct_sentences`], [`lengths`]: variety;
//! - [`exact_copy_rate`], [`longest_runs`], [`Nearest`]: what was memorised of the training set;
//! - [`interval`], [`difference`], [`over_batches`]: how far a number can be trusted;
//! - [`Texts::signature`]: what it was measured with.
//!
//! Sentences are anything that is a slice of `u32` ids (`Vec<u32>`, `&[u32]`, ..), without
//! padding or begin and end marks. Results do not depend on the number of threads, and what has
//! no value is an [`Error`], never a NaN.
//!
//! ```
//! use textgan_metrics::{bleu, self_bleu};
//!
//! // `the cat sat on the mat`, as ids.
//! let references = [vec![4, 5, 6, 7, 4, 8], vec![4, 9, 6, 7, 4, 8]];
//! let samples = [vec![4, 5, 6, 7, 4, 8], vec![4, 5, 10, 4, 8], vec![4, 9, 6, 4, 5]];
//!
//! let scores = bleu(&samples, &references, 4)?;
//! assert_eq!(scores.len(), 4);
//! println!("BLEU-2 {:.3}, BLEU-4 {:.3}", scores[1], scores[3]);
//!
//! let diversity = self_bleu(&samples, 4)?;
//! assert!(diversity[1] < scores[1]);
//! # Ok::<(), textgan_metrics::Error>(())
//! ```

mod automaton;
mod bleu;
mod corpus;
mod diversity;
mod error;
mod grams;
mod interval;
mod jaccard;
mod nearest;
mod runs;
mod signature;
mod similarity;
mod smoothing;
mod spread;
mod student;

pub use bleu::{References, Scores, bleu, self_bleu, self_bleu_scores, self_bleu_smoothed};
pub use corpus::{CorpusBleu, CorpusSmoothing, corpus_bleu};
pub use diversity::{
    Lengths, distinct_n, distinct_sentences, exact_copy_rate, lengths, ngram_entropy,
    unique_ngrams, zipf_coefficient,
};
pub use error::{Error, refuse_empty};
pub use interval::{
    CONFIDENCE, Interval, batches, difference, difference_at, difference_p_value, holm, interval,
    interval_at, over_batches, p_value,
};
pub use jaccard::ms_jaccard;
pub use nearest::{Nearest, Neighbour};
pub use runs::{Run, longest_runs};
pub use signature::{Metric, Texts};
pub use similarity::{EmbSim, embedding_similarity};
pub use smoothing::Smoothing;
pub use spread::{Spread, earth_movers_distance, length_distance, spread};

/// The blocks of the README, which are tested with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
