use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_nn::{Builder, Init, ops};

use super::{Tokens, at_least_one, check_lengths};
use crate::{Error, Result, Sizes};

/// The name of the table among the parameters.
pub(super) const PARAMETER: &str = "embedding.weight";

/// Where the embeddings of a network that reads text come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum EmbeddingConfig {
    /// Random at first, then trained.
    Learned {
        /// Width of an embedding.
        #[serde(default = "default_width")]
        width: usize,
        /// Standard deviation at first.
        #[serde(default = "default_std")]
        std: f32,
    },
    /// Read from a word-vector text file (word2vec, GloVe or fastText), then trained.
    WordVectors {
        /// The file.
        path: PathBuf,
        /// Numbers in a vector of the file.
        width: usize,
    },
    /// The token itself, as wide as the vocabulary, and not trained. Work and memory grow with the
    /// vocabulary: for small ones.
    OneHot {},
}

fn default_width() -> usize {
    64
}

fn default_std() -> f32 {
    0.5
}

impl Default for EmbeddingConfig {
    fn default() -> Self {
        Self::Learned { width: default_width(), std: default_std() }
    }
}

impl EmbeddingConfig {
    /// Width of an embedding.
    pub fn width(&self, sizes: &Sizes) -> usize {
        match self {
            Self::Learned { width, .. } | Self::WordVectors { width, .. } => *width,
            Self::OneHot {} => sizes.vocab,
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        match self {
            Self::Learned { width, std } => {
                at_least_one(&[("embedding.width", *width)])?;
                if !(std.is_finite() && *std > 0.0) {
                    let message = format!("{std} is not a positive number");
                    return Err(Error::config("discriminator.embedding.std", message));
                }
                Ok(())
            }
            Self::WordVectors { width, .. } => at_least_one(&[("embedding.width", *width)]),
            Self::OneHot {} => Ok(()),
        }
    }

    pub(super) fn check_words(&self, words: Option<&[String]>, sizes: &Sizes) -> Result<()> {
        match (self, words) {
            (Self::WordVectors { .. }, None) => Err(Error::config(
                "discriminator.embedding.kind",
                "word vectors need the words of the vocabulary, which were not given",
            )),
            (Self::WordVectors { .. }, Some(words)) if words.len() != sizes.vocab => {
                let message = format!("{} for a vocabulary of {}", words.len(), sizes.vocab);
                Err(Error::argument("words", message))
            }
            _ => Ok(()),
        }
    }
}

/// The embeddings of a network that reads text, [`PARAMETER`] where they are trained.
#[derive(Debug)]
pub(super) struct TokenEmbedding {
    table: Tensor,
}

impl TokenEmbedding {
    pub fn new(builder: &mut Builder<'_>, config: &EmbeddingConfig, sizes: &Sizes) -> Result<Self> {
        let shape = (sizes.vocab, config.width(sizes));
        let mut drawn = |std| builder.child("embedding").get("weight", shape, Init::Normal { std });
        let table = match config {
            EmbeddingConfig::Learned { std, .. } => drawn(*std)?,
            EmbeddingConfig::WordVectors { .. } => drawn(default_std())?,
            EmbeddingConfig::OneHot {} => identity(sizes.vocab, builder.device())?,
        };
        Ok(Self { table })
    }

    pub fn table(&self) -> &Tensor {
        &self.table
    }

    /// Refuses ids `[batch, time]` that cannot be read; returns `time`.
    pub fn check_hard(&self, ids: &[u32], lengths: &[usize]) -> Result<usize> {
        let (batch, vocab) = (lengths.len(), self.table.dim(0)?);
        let time = ids.len().checked_div(batch).unwrap_or(0);
        if batch == 0 || time * batch != ids.len() {
            let message = format!("{} tokens for {batch} rows", ids.len());
            return Err(Error::argument("tokens", message));
        }
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocab) {
            let message = format!("token {id} is outside a vocabulary of {vocab}");
            return Err(Error::argument("tokens", message));
        }
        check_lengths(lengths, batch, time)?;
        Ok(time)
    }

    /// `[batch, time, embed]`.
    pub fn forward(&self, tokens: &Tokens<'_>, lengths: &[usize]) -> Result<Tensor> {
        let batch = lengths.len();
        let width = self.table.dim(1)?;
        match tokens {
            Tokens::Hard(ids) => {
                let time = self.check_hard(ids, lengths)?;
                Ok(ops::embedding(&self.table, ids, (batch, time))?)
            }
            Tokens::Soft(embedded) => match *embedded.dims() {
                [rows, time, embed] if embed == width => {
                    check_lengths(lengths, rows, time)?;
                    Ok((*embedded).clone())
                }
                ref dims => {
                    let message = format!("shape {dims:?}, expected [{batch}, time, {width}]");
                    Err(Error::argument("tokens", message))
                }
            },
        }
    }
}

fn identity(n: usize, device: &Device) -> Result<Tensor> {
    Ok(Tensor::eye(n, DType::F32, device)?)
}
