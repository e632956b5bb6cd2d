use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_nn::kernels::{Precision, Rotary};
use textgan_nn::{Builder, Init, Mode, ops};

use super::built::{Frame, Made, Network};
use super::conditioning::{self, Conditioning};
use super::{Sizes, at_least_one, check_dropout, positive};
use crate::sampler::{TiledSampler, TransformerWeights};
use crate::{Context, Error, NoiseConfig, Result, Sampler, Sequences};

/// A decoder-only transformer in the layout of Llama (Touvron et al., 2023): RMSNorm before each
/// block, rotary positions (Su et al., 2021), SwiGLU (Shazeer, 2020), no biases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TransformerConfig {
    /// Width of the residual stream; a multiple of twice `heads`.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the SwiGLU layer; when absent, 8/3 of `width` rounded up to a multiple of 16.
    pub feed_forward: Option<usize>,
    /// Whether the head shares the embedding's weights.
    pub tied: bool,
    /// Dropout of what attention and SwiGLU add to the residual stream.
    pub dropout: f32,
    /// Dropout of the embeddings, noise and label included.
    pub embedding_dropout: f32,
    /// Dropout of the final state, before the head.
    pub head_dropout: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// Added to the mean square in RMSNorm.
    pub norm_epsilon: f32,
    /// Standard deviation of the initial embeddings.
    pub embedding_std: f32,
}

impl Default for TransformerConfig {
    fn default() -> Self {
        Self {
            width: 64,
            layers: 2,
            heads: 4,
            feed_forward: None,
            tied: true,
            dropout: 0.0,
            embedding_dropout: 0.0,
            head_dropout: 0.0,
            rope_theta: 10_000.0,
            norm_epsilon: 1e-5,
            embedding_std: 0.02,
        }
    }
}

impl TransformerConfig {
    /// The width of the SwiGLU layer.
    pub fn feed_forward_width(&self) -> usize {
        let default = || self.width.saturating_mul(8).div_ceil(3).div_ceil(16).saturating_mul(16);
        self.feed_forward.unwrap_or_else(default)
    }

    pub(super) fn validate(&self) -> Result<()> {
        at_least_one(&[
            ("width", self.width),
            ("layers", self.layers),
            ("heads", self.heads),
            ("feed_forward", self.feed_forward_width()),
        ])?;
        if !self.width.is_multiple_of(2 * self.heads) {
            let message = format!(
                "{} is not a multiple of {}: rotary positions turn pairs in each of the {} heads",
                self.width,
                2 * self.heads,
                self.heads
            );
            return Err(Error::config("generator.width", message));
        }
        positive(&[
            ("rope_theta", self.rope_theta),
            ("norm_epsilon", self.norm_epsilon),
            ("embedding_std", self.embedding_std),
        ])?;
        check_dropout(&[
            ("dropout", self.dropout),
            ("embedding_dropout", self.embedding_dropout),
            ("head_dropout", self.head_dropout),
        ])
    }
}

/// The layers of its own; weights are named as Hugging Face names Llama's.
pub(crate) struct TransformerNetwork {
    pub(crate) layout: TransformerConfig,
    pub(crate) blocks: Vec<Block>,
    pub(crate) norm: Tensor,
    pub(crate) rotary: Rotary,
}

/// The weights of one block; products are `[out, in]`.
pub(crate) struct Block {
    pub(crate) attention_norm: Tensor,
    pub(crate) query: Tensor,
    pub(crate) key: Tensor,
    pub(crate) value: Tensor,
    pub(crate) output: Tensor,
    pub(crate) feed_forward_norm: Tensor,
    pub(crate) gate: Tensor,
    pub(crate) up: Tensor,
    pub(crate) down: Tensor,
}

/// What all blocks of a body share.
#[derive(Clone, Copy)]
pub(crate) struct Body<'a> {
    pub(crate) layout: &'a TransformerConfig,
    pub(crate) rotary: &'a Rotary,
    pub(crate) precision: Precision,
}

impl Block {
    pub(crate) fn new(builder: &mut Builder<'_>, config: &TransformerConfig) -> Result<Self> {
        let (width, inner) = (config.width, config.feed_forward_width());
        let inward = |fan_in: usize| Init::Normal { std: (1.0 / (3.0 * fan_in as f32)).sqrt() };
        // What 2 `layers` sums add to the residual stream keeps one scale (Radford et al., 2019).
        let outward = |fan_in: usize| Init::Normal {
            std: (1.0 / (6.0 * fan_in as f32 * config.layers as f32)).sqrt(),
        };
        let mut get =
            |name: &str, shape: &[usize], init| builder.child(name).get("weight", shape, init);
        Ok(Self {
            attention_norm: get("input_layernorm", &[width], Init::Ones)?,
            query: get("self_attn.q_proj", &[width, width], inward(width))?,
            key: get("self_attn.k_proj", &[width, width], inward(width))?,
            value: get("self_attn.v_proj", &[width, width], inward(width))?,
            output: get("self_attn.o_proj", &[width, width], outward(width))?,
            feed_forward_norm: get("post_attention_layernorm", &[width], Init::Ones)?,
            gate: get("mlp.gate_proj", &[inner, width], inward(width))?,
            up: get("mlp.up_proj", &[inner, width], inward(width))?,
            down: get("mlp.down_proj", &[width, inner], outward(inner))?,
        })
    }

    /// The stream after block `index` of a body of this `layout`; texts of `lengths` lie one after the
    /// other.
    pub(crate) fn forward(
        &self,
        stream: &Tensor,
        lengths: &[usize],
        body: Body<'_>,
        index: usize,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        let weights = ops::BlockWeights {
            attention_norm: &self.attention_norm,
            query: &self.query,
            key: &self.key,
            value: &self.value,
            output: &self.output,
            feed_forward_norm: &self.feed_forward_norm,
            gate: &self.gate,
            up: &self.up,
            down: &self.down,
        };
        let options = ops::BlockOptions {
            heads: body.layout.heads,
            rotary: body.rotary,
            epsilon: body.layout.norm_epsilon,
            dropout: body.layout.dropout,
            precision: body.precision,
            name: &format!("layers.{index}"),
        };
        Ok(ops::transformer_block(stream, weights, lengths, options, mode)?)
    }
}

impl Network for TransformerNetwork {
    type Layout = TransformerConfig;

    fn make(
        layout: &TransformerConfig,
        noise: &NoiseConfig,
        sizes: &Sizes,
        builder: &mut Builder<'_>,
    ) -> Result<Made<Self>> {
        layout.validate()?;
        let (shape, std) = ((sizes.vocab, layout.width), layout.embedding_std);
        let embedding =
            builder.child("model.embed_tokens").get("weight", shape, Init::Normal { std })?;
        let blocks = (0..layout.layers)
            .map(|index| Block::new(&mut builder.child(&format!("model.layers.{index}")), layout))
            .collect::<Result<_>>()?;
        let norm = builder.child("model.norm").get("weight", layout.width, Init::Ones)?;
        let head = if layout.tied {
            embedding.clone()
        } else {
            let std = (1.0 / (3.0 * layout.width as f32)).sqrt();
            builder.child("lm_head").get("weight", shape, Init::Normal { std })?
        };
        let std = layout.embedding_std;
        let conditioning = Conditioning::new(builder, layout.width, noise, sizes.labels, std)?;
        let head_width = layout.width / layout.heads;
        let rotary = Rotary::new(head_width, sizes.max_length + 1, layout.rope_theta);
        let network = Self { layout: layout.clone(), blocks, norm, rotary };
        Ok(Made { embedding, conditioning, head, network })
    }

    fn hidden(
        &self,
        frame: &Frame,
        context: &Context<'_>,
        sequences: &Sequences,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        // Without padding: tokens of one text after those of another.
        let lengths = sequences.lengths();
        let tokens = sequences.tokens();
        let mut stream = ops::embedding(&frame.embedding, &sequences.packed_inputs(), tokens)?;
        if let Some(vector) = frame.conditioning.vector(context, sequences.batch())? {
            stream = conditioning::add(&stream, &vector, lengths, frame.noise.placement)?;
        }
        stream = ops::dropout(&stream, self.layout.embedding_dropout, mode, "embedding")?;
        let body = Body { layout: &self.layout, rotary: &self.rotary, precision: frame.precision };
        for (index, block) in self.blocks.iter().enumerate() {
            stream = block.forward(&stream, lengths, body, index, mode)?;
        }
        let hidden = ops::rms_norm(&stream, &self.norm, self.layout.norm_epsilon)?;
        sequences.pad(&ops::dropout(&hidden, self.layout.head_dropout, mode, "head")?)
    }

    fn sampler(&self, frame: &Frame) -> Result<Box<dyn Sampler>> {
        Ok(Box::new(TiledSampler::new(TransformerWeights::new(frame, self)?)))
    }
}
