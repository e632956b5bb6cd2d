//! The inference face of a generator: no graph, one token a step for a whole batch.

mod complete;
mod leak;
mod lstm;
mod options;
mod pick;
mod relational;
mod rollout;
mod row;
mod sample;
mod tiled;
mod transformer;
mod weights;

pub(crate) use leak::LeakWeights;
pub(crate) use lstm::LstmWeights;
pub use options::SamplingOptions;
pub(crate) use relational::RelationalWeights;
pub use rollout::{Rollouts, rollouts};
pub use sample::{Samples, infill, sample};
pub(crate) use tiled::check_labels;
pub use tiled::{StepModel, Tile, TiledSampler};
pub(crate) use transformer::TransformerWeights;
pub(crate) use weights::{pack, values};

use textgan_random::Key;

use crate::{Error, Result};

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

/// Where [`Sampler::complete`] begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// What a row was fed before.
    pub prefix: Prefix,
    /// The token that follows it.
    pub token: u32,
    /// Completion `i` draws from `key.index(i)`.
    pub key: Key,
}

/// How a text went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The content tokens after the beginning, `EOS` not.
    pub tokens: Vec<u32>,
    /// Whether the text ended by itself; otherwise it was cut at the maximum length.
    pub ended: bool,
}

/// Reads the logits of one row.
pub type Reader<'a> = Box<dyn FnMut(&[f32]) + Send + 'a>;

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

    /// Feeds `tokens`, one a row (`BOS` comes first), and shows the reader of each row the logits of
    /// what follows, `[vocab]`, where they are near.
    ///
    /// # Errors
    /// When the sizes do not fit, a token is outside the vocabulary, or a row is full: it can be
    /// fed `BOS` and [`max_length`](Self::max_length) tokens. Nobody has read anything then.
    fn step_each(&mut self, tokens: &[u32], readers: &mut [Reader<'_>]) -> Result<()>;

    /// [`step_each`](Self::step_each) that writes the logits, `[rows, vocab]`.
    ///
    /// # Errors
    /// As [`step_each`](Self::step_each).
    fn step(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let (rows, vocab) = (self.rows(), self.vocab_size());
        if logits.len() != rows * vocab {
            let message = format!("room for {}, not {rows} rows of {vocab}", logits.len());
            return Err(Error::argument("logits", message));
        }
        let mut readers: Vec<Reader<'_>> = Vec::with_capacity(rows);
        for to in logits.chunks_exact_mut(vocab) {
            readers.push(Box::new(|row| to.copy_from_slice(row)));
        }
        self.step_each(tokens, &mut readers)
    }

    /// Goes on with the given beginnings as the new rows, in their order. A prefix that is named
    /// twice is continued twice; a row that is not named is dropped. Nothing is computed again.
    ///
    /// # Errors
    /// When there is no such row, or it was not fed so many tokens.
    fn fork(&mut self, prefixes: &[Prefix]) -> Result<()>;

    /// Goes on to the end of a text, `count` times from each of the starts: the completions of the
    /// first start, then those of the second, and so on.
    ///
    /// Each has the bits that [`sample`] would give it, had it the same beginning and the same
    /// stream. The rows of this sampler stay as they are. Only what follows the starts is computed,
    /// a constant number of completions at a time on each thread: beside the result, memory depends
    /// neither on `count` nor on how many starts there are.
    ///
    /// # Errors
    /// When options or a start do not fit, or when the logits are not finite.
    fn complete(
        &self,
        starts: &[Start],
        count: usize,
        options: &SamplingOptions,
    ) -> Result<Vec<Completion>>;
}
