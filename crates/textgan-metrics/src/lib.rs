//! Text-generation metrics over token ids: exact, fast, pure functions.
//!
//! - [`bleu`] and [`References`]: NLTK's smoothed sentence BLEU against a whole reference set;
//! - [`self_bleu`]: every sample against *all* others, in linear time;
//! - [`distinct_n`], [`ngram_entropy`], [`distinct_sentences`], [`lengths`]: variety;
//! - [`exact_copy_rate`]: memorised training sentences;
//! - [`interval`], [`difference`], [`over_batches`]: how far a number can be trusted.
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

mod bleu;
mod diversity;
mod error;
mod grams;
mod interval;
mod student;

pub use bleu::{References, Scores, bleu, self_bleu, self_bleu_scores};
pub use diversity::{
    Lengths, distinct_n, distinct_sentences, exact_copy_rate, lengths, ngram_entropy,
};
pub use error::{Error, refuse_empty};
pub use interval::{CONFIDENCE, Interval, batches, difference, interval, over_batches};
