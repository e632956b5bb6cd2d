//! A small Llama-like language model over this crate's operations.

use candle_core::Tensor;
use textgan_nn::kernels::{Precision, Rotary};
use textgan_nn::layers::{
    Embedding, EmbeddingConfig, Linear, LinearConfig, RmsNorm, RmsNormConfig,
};
use textgan_nn::{Builder, Mode, Result, ops};

/// Sizes of the model and of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub vocab: usize,
    pub width: usize,
    pub layers: usize,
    pub heads: usize,
    /// Width inside of SwiGLU.
    pub inner: usize,
    pub time: usize,
    pub batch: usize,
    /// Whether the head is the embedding.
    pub tied: bool,
    pub dropout: f32,
    /// Of products.
    pub precision: Precision,
}

struct Block {
    attention_norm: RmsNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    mlp_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Block {
    fn weights(&self) -> ops::BlockWeights<'_> {
        ops::BlockWeights {
            attention_norm: self.attention_norm.weight(),
            query: self.query.weight(),
            key: self.key.weight(),
            value: self.value.weight(),
            output: self.output.weight(),
            feed_forward_norm: self.mlp_norm.weight(),
            gate: self.gate.weight(),
            up: self.up.weight(),
            down: self.down.weight(),
        }
    }
}

pub struct Transformer {
    sizes: Sizes,
    embedding: Embedding,
    blocks: Vec<Block>,
    norm: RmsNorm,
    head: Option<Linear>,
    rotary: Rotary,
}

impl Transformer {
    pub fn new(builder: &mut Builder<'_>, sizes: Sizes) -> Result<Self> {
        let Sizes { vocab, width, layers, heads, inner, time, tied, .. } = sizes;
        let linear = |builder: &mut Builder<'_>, name: &str, input, output| {
            let config = LinearConfig { bias: false, ..LinearConfig::new(input, output) };
            Linear::new(&mut builder.child(name), &config)
        };
        let norm = |builder: &mut Builder<'_>, name: &str| {
            RmsNorm::new(&mut builder.child(name), &RmsNormConfig::new(width))
        };
        let mut blocks = Vec::new();
        for layer in 0..layers {
            let mut builder = builder.child(&format!("layers.{layer}"));
            blocks.push(Block {
                attention_norm: norm(&mut builder, "attention_norm")?,
                query: linear(&mut builder, "query", width, width)?,
                key: linear(&mut builder, "key", width, width)?,
                value: linear(&mut builder, "value", width, width)?,
                output: linear(&mut builder, "output", width, width)?,
                mlp_norm: norm(&mut builder, "mlp_norm")?,
                gate: linear(&mut builder, "gate", width, inner)?,
                up: linear(&mut builder, "up", width, inner)?,
                down: linear(&mut builder, "down", inner, width)?,
            });
        }
        Ok(Self {
            sizes,
            embedding: Embedding::new(
                &mut builder.child("embedding"),
                &EmbeddingConfig::new(vocab, width),
            )?,
            blocks,
            norm: norm(builder, "norm")?,
            head: if tied { None } else { Some(linear(builder, "head", width, vocab)?) },
            rotary: Rotary::new(width / heads, time, 10_000.0),
        })
    }

    /// `[batch * time, width]` of `ids: [batch, time]`.
    pub fn hidden(&self, ids: &[u32], mode: Mode<'_>) -> Result<Tensor> {
        let Sizes { heads, time, dropout, precision, .. } = self.sizes;
        let lengths = vec![time; ids.len() / time];
        let mut x = self.embedding.forward(ids, (ids.len(), 1))?.squeeze(1)?;
        for (layer, block) in self.blocks.iter().enumerate() {
            let name = &format!("layers.{layer}");
            let rotary = &self.rotary;
            let options =
                ops::BlockOptions { heads, rotary, epsilon: 1e-5, dropout, precision, name };
            x = ops::transformer_block(&x, block.weights(), &lengths, options, mode)?;
        }
        self.norm.forward(&x)
    }

    /// Mean negative log-likelihood of `targets` in nats per token.
    pub fn loss(&self, ids: &[u32], targets: &[u32], mode: Mode<'_>) -> Result<Tensor> {
        let hidden = self.hidden(ids, mode)?;
        let weights = vec![1.0 / targets.len() as f32; targets.len()];
        Ok(ops::head_cross_entropy(&hidden, self.head(), targets, &weights, self.sizes.precision)?
            .loss)
    }

    /// `[vocab, width]`.
    pub fn head(&self) -> &Tensor {
        self.head.as_ref().map_or(self.embedding.weight(), Linear::weight)
    }
}
