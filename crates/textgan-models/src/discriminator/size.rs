//! How large a discriminator is, before it is built.

use super::{
    CnnDiscriminatorConfig, DiscriminatorConfig, EmbeddingConfig, RnnDiscriminatorConfig,
    TransformerDiscriminatorConfig,
};
use crate::{Error, Result, Sizes};

impl DiscriminatorConfig {
    /// The embeddings.
    pub fn embedding(&self) -> &EmbeddingConfig {
        match self {
            Self::Rnn(config) => &config.embedding,
            Self::Cnn(config) => &config.embedding,
            Self::Transformer(config) => &config.embedding,
        }
    }

    /// The embeddings, to be changed.
    pub fn embedding_mut(&mut self) -> &mut EmbeddingConfig {
        match self {
            Self::Rnn(config) => &mut config.embedding,
            Self::Cnn(config) => &mut config.embedding,
            Self::Transformer(config) => &mut config.embedding,
        }
    }

    /// The number of weights that [`build_discriminator`](crate::build_discriminator) would make.
    ///
    /// # Errors
    /// When the configuration describes no model, or one beyond any machine.
    pub fn parameter_count(&self, sizes: &Sizes) -> Result<u64> {
        let embedding = match self.embedding() {
            // Not trained, but there.
            EmbeddingConfig::OneHot {} => [sizes.vocab, sizes.vocab],
            other => [sizes.vocab, other.width(sizes)],
        };
        let (mut products, key) = match self {
            Self::Rnn(config) => {
                config.validate()?;
                (rnn_parts(config, sizes), "discriminator.hidden")
            }
            Self::Cnn(config) => {
                config.validate()?;
                (cnn_parts(config, sizes)?, "discriminator.filters")
            }
            Self::Transformer(config) => {
                config.validate(sizes)?;
                (transformer_parts(config, sizes), "discriminator.layers")
            }
        };
        products.push(embedding);
        products.push([self.features(sizes), sizes.labels.saturating_add(1)]);
        products.push([1, 1]);
        let sum = products
            .iter()
            .try_fold(0u64, |sum, &[a, b]| sum.checked_add((a as u64).checked_mul(b as u64)?));
        sum.ok_or_else(|| {
            Error::config(key, "with these sizes there are more weights than can be counted")
        })
    }

    /// Width of the [features](super::Discriminator::features).
    pub fn features(&self, sizes: &Sizes) -> usize {
        match self {
            Self::Rnn(config) => {
                config.hidden.saturating_mul(if config.bidirectional { 2 } else { 1 })
            }
            Self::Cnn(config) if config.features > 0 => config.features,
            Self::Cnn(config) => cnn_width(config),
            Self::Transformer(config) => config.embedding.width(sizes),
        }
    }

    /// See [`Discriminator::footprint`](super::Discriminator::footprint).
    pub(super) fn footprint(&self, sizes: &Sizes, time: usize) -> usize {
        let embedded = time.saturating_mul(self.embedding().width(sizes));
        (self.activation_estimate(1, time) as usize).saturating_add(embedded)
    }

    /// About how many numbers a training step keeps for the backward pass over `batch` rows of
    /// `time` tokens. An estimate, to compare with the memory there is.
    pub fn activation_estimate(&self, batch: usize, time: usize) -> u64 {
        let (batch, time) = (batch as u64, time as u64);
        let per_row = match self {
            Self::Rnn(config) => {
                let directions = if config.bidirectional { 2 } else { 1 };
                time.saturating_mul(config.hidden as u64)
                    .saturating_mul(12 * directions)
                    .saturating_mul(config.layers as u64)
            }
            Self::Cnn(config) => (cnn_width(config) as u64)
                .saturating_mul(10)
                .saturating_mul(config.representations as u64)
                .saturating_add(time.saturating_mul(1_000)),
            // A block keeps what it was given; the rest is made again on the way back.
            Self::Transformer(config) => match &config.embedding {
                EmbeddingConfig::Learned { width, .. }
                | EmbeddingConfig::WordVectors { width, .. } => {
                    time.saturating_mul(*width as u64).saturating_mul(4 + 4 * config.layers as u64)
                }
                EmbeddingConfig::OneHot {} => time.saturating_mul(1_000),
            },
        };
        per_row.saturating_mul(batch)
    }
}

/// Weights of the recurrent layers, as products to be summed.
fn rnn_parts(config: &RnnDiscriminatorConfig, sizes: &Sizes) -> Vec<[usize; 2]> {
    let directions = if config.bidirectional { 2 } else { 1 };
    let rows = config.hidden.saturating_mul(config.cell.gates() * directions);
    let mut products = Vec::new();
    for layer in 0..config.layers {
        let inputs = match layer {
            0 => config.embedding.width(sizes),
            _ => config.hidden.saturating_mul(directions),
        };
        products.push([rows, inputs.saturating_add(config.hidden).saturating_add(2)]);
    }
    products
}

/// Weights of the blocks and the last norm, as products to be summed.
fn transformer_parts(config: &TransformerDiscriminatorConfig, sizes: &Sizes) -> Vec<[usize; 2]> {
    let body = config.body(sizes);
    let (width, inner) = (body.width, body.feed_forward_width());
    let mut products = vec![[1, width]];
    for _ in 0..config.layers {
        products.extend([[width, width]; 4]);
        products.extend([[inner, width]; 3]);
        products.push([2, width]);
    }
    products
}

/// Weights of convolutions, highway and feature layer, as products to be summed.
fn cnn_parts(config: &CnnDiscriminatorConfig, sizes: &Sizes) -> Result<Vec<[usize; 2]>> {
    let part = config.part(sizes)?;
    let mut products: Vec<[usize; 2]> = config
        .filters
        .iter()
        .map(|&(width, count)| [count, width.saturating_mul(part).saturating_add(1)])
        .collect();
    let width = cnn_width(config);
    if config.highway {
        let layers = if config.shared_highway { 1 } else { 2 };
        products.extend(vec![[width, width.saturating_add(1)]; layers]);
    }
    if config.features > 0 {
        products.push([config.features, width.saturating_add(1)]);
    }
    Ok(products)
}

fn cnn_width(config: &CnnDiscriminatorConfig) -> usize {
    config.filters.iter().fold(0, |sum: usize, &(_, count)| sum.saturating_add(count))
}
