//! The inference face of a generator: no graph, one token a step for a whole batch.

mod lstm;
mod options;
mod pick;
mod sample;
mod tiled;
mod transformer;
mod weights;

pub(crate) use lstm::LstmWeights;
pub use options::SamplingOptions;
pub use sample::{Samples, sample};
pub(crate) use tiled::{TiledSampler, check_labels};
pub(crate) use transformer::TransformerWeights;

use crate::Result;

/// What rows are conditioned on, in plain slices: the sampler's form of [`Context`](crate::Context).
#[derive(Clone, Copy, Debug)]
pub struct Conditions<'a> {
    /// The number of rows.
    pub rows: usize,
    /// Noise, `[rows, noise]`, row after row.
    pub noise: &'a [f32],
    /// One label a row; `None` adds no label embedding.
    pub labels: Option<&'a [u32]>,
}

/// A beginning of a row: where [`Sampler::fork`] continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The row.
    pub row: usize,
    /// How many of the tokens that the row was fed are kept, `BOS` included.
    pub tokens: usize,
}

/// A snapshot of a generator that reads a token a row and gives the logits of the next.
///
/// A row's logits are the same bits whatever other rows there are, in whatever order, on however
/// many threads.
pub trait Sampler: Send {
    /// The size of the vocabulary.
    fn vocab_size(&self) -> usize;

    /// The length of a noise vector.
    fn noise_dimension(&self) -> usize;

    /// The most content tokens a row can have.
    fn max_length(&self) -> usize;

    /// The number of rows.
    fn rows(&self) -> usize;

    /// Forgets everything and starts rows that were fed nothing yet.
    ///
    /// # Errors
    /// When the sizes do not fit each other or the model, or a label is unknown.
    fn begin(&mut self, conditions: &Conditions<'_>) -> Result<()>;

    /// Feeds `tokens`, one a row (`BOS` comes first), and writes the logits of what follows,
    /// `[rows, vocab]`.
    ///
    /// # Errors
    /// When the sizes do not fit, a token is outside the vocabulary, or a row is full: it can be
    /// fed `BOS` and [`max_length`](Self::max_length) tokens.
    fn step(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()>;

    /// Goes on with the given beginnings as the new rows, in their order. A prefix that is named
    /// twice is continued twice; a row that is not named is dropped. Nothing is computed again.
    ///
    /// # Errors
    /// When there is no such row, or it was not fed so many tokens.
    fn fork(&mut self, prefixes: &[Prefix]) -> Result<()>;
}
