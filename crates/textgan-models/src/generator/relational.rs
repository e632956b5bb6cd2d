use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_nn::layers::{Linear, LinearConfig};
use textgan_nn::ops::{MemoryOptions, MemoryWeights};
use textgan_nn::{Builder, Init, Mode, ops};

use super::built::{Frame, Made, Network};
use super::conditioning::{self, Conditioning};
use super::{Sizes, at_least_one, check_dropout, positive};
use crate::sampler::{RelationalWeights, TiledSampler};
use crate::{Context, Error, NoiseConfig, Placement, Result, Sampler, Sequences};

/// A relational memory (Santoro et al., 2018), the generator of RelGAN (Nie et al., 2019): slots that at
/// every word attend to each other and to the word, under the gates of an LSTM.
///
/// Other than there, RMSNorm stands for layer norm and normalises queries and keys each by themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RelationalConfig {
    /// Width of the embeddings.
    pub embedding: usize,
    /// Slots of the memory.
    pub slots: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of a head; a slot is as wide as all heads together.
    pub head_width: usize,
    /// Layers of the network that reads what was attended to.
    pub layers: usize,
    /// Dropout of the embeddings.
    pub embedding_dropout: f32,
    /// Dropout of the memory, before the head.
    pub head_dropout: f32,
    /// Standard deviation of the initial embeddings.
    pub embedding_std: f32,
}

impl Default for RelationalConfig {
    fn default() -> Self {
        Self {
            embedding: 32,
            slots: 1,
            heads: 2,
            head_width: 64,
            layers: 2,
            embedding_dropout: 0.0,
            head_dropout: 0.0,
            embedding_std: 0.1,
        }
    }
}

/// Added to the mean square in RMSNorm.
pub(crate) const NORM_EPSILON: f32 = 1e-5;

impl RelationalConfig {
    pub(super) fn validate(&self) -> Result<()> {
        at_least_one(&[
            ("embedding", self.embedding),
            ("slots", self.slots),
            ("heads", self.heads),
            ("head_width", self.head_width),
            ("layers", self.layers),
        ])?;
        positive(&[("embedding_std", self.embedding_std)])?;
        check_dropout(&[
            ("embedding_dropout", self.embedding_dropout),
            ("head_dropout", self.head_dropout),
        ])
    }

    /// Width of a slot.
    pub(crate) fn width(&self) -> usize {
        self.heads.saturating_mul(self.head_width)
    }

    /// Numbers in the memory.
    pub(crate) fn memory(&self) -> usize {
        self.slots.saturating_mul(self.width())
    }

    /// Width of the vector that noise and label make: the initial memory, or what is added to an
    /// embedding.
    pub(crate) fn condition_width(&self, placement: Placement) -> usize {
        match placement {
            Placement::Begin => self.memory(),
            Placement::Every => self.embedding,
        }
    }

    /// The memory that has read nothing: every slot has a direction of its own, as far as there are.
    pub(crate) fn blank(&self) -> Vec<f32> {
        let width = self.width();
        let mut memory = vec![0.0; self.memory()];
        memory.chunks_exact_mut(width).enumerate().for_each(|(slot, row)| row[slot % width] = 1.0);
        memory
    }
}

/// The layers of its own.
pub(crate) struct RelationalNetwork {
    pub(crate) layout: RelationalConfig,
    pub(crate) core: Core,
}

/// What takes the memory through a word.
pub(crate) struct Core {
    /// From an embedding to the width of a slot.
    pub input: Linear,
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
    pub query_norm: Tensor,
    pub key_norm: Tensor,
    pub attended_norm: Tensor,
    /// Reads what was attended to; a rectifier between layers.
    pub mlp: Vec<Linear>,
    pub mlp_norm: Tensor,
    /// Gates of what comes in and of what is kept, by the word.
    pub word_gates: Linear,
    /// The same by the memory.
    pub memory_gates: Linear,
}

impl Core {
    fn new(builder: &mut Builder<'_>, layout: &RelationalConfig) -> Result<Self> {
        let width = layout.width();
        let square = LinearConfig::new(width, width);
        let gates = LinearConfig::new(width, 2 * width);
        let mut linear = |name: &str, config: &LinearConfig| {
            Linear::new(&mut builder.child("memory").child(name), config)
        };
        let input = linear("input", &LinearConfig::new(layout.embedding, width))?;
        let [query, key, value] =
            [linear("query", &square)?, linear("key", &square)?, linear("value", &square)?];
        let mlp = (0..layout.layers).map(|layer| linear(&format!("mlp.{layer}"), &square));
        let mlp = mlp.collect::<std::result::Result<Vec<_>, _>>()?;
        let word_gates = linear("word_gates", &LinearConfig { bias: false, ..gates.clone() })?;
        let memory_gates = linear("memory_gates", &gates)?;
        let mut norm =
            |name: &str| builder.child("memory").child(name).get("weight", width, Init::Ones);
        Ok(Self {
            input,
            query,
            key,
            value,
            query_norm: norm("query_norm")?,
            key_norm: norm("key_norm")?,
            attended_norm: norm("attended_norm")?,
            mlp,
            mlp_norm: norm("mlp_norm")?,
            word_gates,
            memory_gates,
        })
    }

    /// From `words: [batch, time, width]` and `memory: [batch, slots * width]` to the memories after each word,
    /// `[batch, time, slots * width]`.
    fn forward(
        &self,
        words: &Tensor,
        memory: &Tensor,
        layout: &RelationalConfig,
    ) -> Result<Tensor> {
        let stack = |of: fn(&Linear) -> Option<&Tensor>| -> Result<Tensor> {
            Ok(Tensor::stack(&self.mlp.iter().filter_map(of).collect::<Vec<_>>(), 0)?)
        };
        let (read, read_bias) = (stack(|layer| Some(layer.weight()))?, stack(Linear::bias)?);
        let weights = MemoryWeights {
            query: biased(&self.query)?,
            key: biased(&self.key)?,
            value: biased(&self.value)?,
            query_norm: &self.query_norm,
            key_norm: &self.key_norm,
            attended_norm: &self.attended_norm,
            read_norm: &self.mlp_norm,
            word_gates: self.word_gates.weight(),
            memory_gates: biased(&self.memory_gates)?,
            read: (&read, &read_bias),
        };
        let options = MemoryOptions {
            slots: layout.slots,
            heads: layout.heads,
            epsilon: NORM_EPSILON,
            forget_bias: FORGET_BIAS,
        };
        Ok(ops::relational_memory(words, memory, weights, options)?)
    }
}

/// Weight and bias of a layer that has one.
fn biased(layer: &Linear) -> Result<(&Tensor, &Tensor)> {
    let bias = layer.bias().ok_or_else(|| Error::argument("memory", "a layer without a bias"))?;
    Ok((layer.weight(), bias))
}

/// Added to the gate of what is kept, so that a memory begins by keeping.
pub(crate) const FORGET_BIAS: f32 = 1.0;

impl Network for RelationalNetwork {
    type Layout = RelationalConfig;

    fn make(
        layout: &RelationalConfig,
        noise: &NoiseConfig,
        sizes: &Sizes,
        builder: &mut Builder<'_>,
    ) -> Result<Made<Self>> {
        layout.validate()?;
        let init = Init::Normal { std: layout.embedding_std };
        let embedding =
            builder.child("embedding").get("weight", (sizes.vocab, layout.embedding), init)?;
        let core = Core::new(builder, layout)?;
        let head =
            builder.child("head").get("weight", (sizes.vocab, layout.memory()), Init::FanIn)?;
        let std = conditioning::state_std(noise.placement, layout.embedding_std);
        let width = layout.condition_width(noise.placement);
        let conditioning = Conditioning::new(builder, width, noise, sizes.labels, std)?;
        let network = Self { layout: layout.clone(), core };
        Ok(Made { embedding, conditioning, head, network })
    }

    fn hidden(
        &self,
        frame: &Frame,
        context: &Context<'_>,
        sequences: &Sequences,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        let (size, device) = (self.layout.memory(), frame.embedding.device());
        let blank = Tensor::from_vec(self.layout.blank(), (1, size), device)?;
        let mut memory = blank.broadcast_as((sequences.batch(), size))?.contiguous()?;
        let (embedded, vector) =
            frame.embedded(context, sequences, self.layout.embedding_dropout, mode)?;
        if let Some(vector) = vector {
            memory = (memory + vector)?;
        }
        let words = self.core.input.forward(&embedded)?;
        let hidden = self.core.forward(&words, &memory, &self.layout)?;
        Ok(ops::dropout(&hidden, self.layout.head_dropout, mode, "head")?)
    }

    fn sampler(&self, frame: &Frame) -> Result<Box<dyn Sampler>> {
        Ok(Box::new(TiledSampler::new(RelationalWeights::new(frame, self)?)))
    }
}
