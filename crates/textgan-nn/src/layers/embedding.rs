use candle_core::{Shape, Tensor};

use crate::{Builder, Init, Result, ops};

/// How to make an [`Embedding`].
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingConfig {
    /// How many rows there are.
    pub vocab: usize,
    /// Width of a row.
    pub width: usize,
    /// How the table begins. Default: normal with standard deviation 0.02.
    pub init: Init,
}

impl EmbeddingConfig {
    /// A table with small normal values.
    pub fn new(vocab: usize, width: usize) -> Self {
        Self { vocab, width, init: Init::Normal { std: 0.02 } }
    }
}

/// A table of rows looked up by id, parameter `weight: [vocab, width]`.
#[derive(Clone, Debug)]
pub struct Embedding {
    weight: Tensor,
}

impl Embedding {
    /// Creates the table.
    ///
    /// # Errors
    /// If the name is taken, or given values do not fill the table.
    pub fn new(builder: &mut Builder<'_>, config: &EmbeddingConfig) -> Result<Self> {
        let weight = builder.get("weight", (config.vocab, config.width), config.init.clone())?;
        Ok(Self { weight })
    }

    /// # Shapes
    /// `ids` in the given `shape`, to `[shape.., width]`.
    ///
    /// # Errors
    /// If an id is not in the table, or the ids do not fill the shape.
    pub fn forward(&self, ids: &[u32], shape: impl Into<Shape>) -> Result<Tensor> {
        ops::embedding(&self.weight, ids, shape)
    }

    /// Weighted sums of rows.
    ///
    /// # Shapes
    /// `ids` and `weights` `[bags, places]`, to `[bags, width]`.
    ///
    /// # Errors
    /// If an id is not in the table, or ids and weights do not fill `bags` rows.
    pub fn bag(&self, ids: &[u32], weights: &[f32], bags: usize) -> Result<Tensor> {
        ops::embedding_bag(&self.weight, ids, weights, bags)
    }

    /// `[vocab, width]`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }
}
