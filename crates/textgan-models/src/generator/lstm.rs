use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_nn::kernels::CellKind;
use textgan_nn::layers::{Recurrent, RecurrentConfig};
use textgan_nn::{Builder, Init, Mode, ops};

use super::built::{Frame, Made, Network};
use super::conditioning::{self, Conditioning};
use super::{Sizes, at_least_one, check_dropout, positive};
use crate::sampler::{LstmWeights, TiledSampler};
use crate::{Context, Error, NoiseConfig, Placement, Result, Sampler, Sequences};

/// A stack of LSTMs (Hochreiter and Schmidhuber, 1997) between an embedding and a head: the
/// generator of SeqGAN (Yu et al., 2017) and most of its successors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LstmConfig {
    /// Width of the embeddings.
    pub embedding: usize,
    /// Width of the hidden state of each layer.
    pub hidden: usize,
    /// Number of layers.
    pub layers: usize,
    /// Whether the head shares the embedding's weights; `embedding` must equal `hidden` then.
    pub tied: bool,
    /// Dropout of what one layer gives the next.
    pub dropout: f32,
    /// Dropout of the embeddings.
    pub embedding_dropout: f32,
    /// Dropout of the last layer's state, before the head.
    pub head_dropout: f32,
    /// Standard deviation of the initial embeddings.
    pub embedding_std: f32,
}

impl Default for LstmConfig {
    fn default() -> Self {
        Self {
            embedding: 64,
            hidden: 128,
            layers: 1,
            tied: false,
            dropout: 0.0,
            embedding_dropout: 0.0,
            head_dropout: 0.0,
            embedding_std: 0.1,
        }
    }
}

impl LstmConfig {
    pub(super) fn validate(&self) -> Result<()> {
        at_least_one(&[
            ("embedding", self.embedding),
            ("hidden", self.hidden),
            ("layers", self.layers),
        ])?;
        if self.tied && self.embedding != self.hidden {
            let message = format!(
                "a tied head needs an embedding as wide as the state, not {} and {}",
                self.embedding, self.hidden
            );
            return Err(Error::config("generator.tied", message));
        }
        positive(&[("embedding_std", self.embedding_std)])?;
        check_dropout(&[
            ("dropout", self.dropout),
            ("embedding_dropout", self.embedding_dropout),
            ("head_dropout", self.head_dropout),
        ])
    }

    /// Width of the vector that noise and label make: the initial state of all layers, or what is
    /// added to an embedding.
    pub(crate) fn condition_width(&self, placement: Placement) -> usize {
        match placement {
            Placement::Begin => self.layers.saturating_mul(self.hidden),
            Placement::Every => self.embedding,
        }
    }
}

/// The layers of its own; weights are named as PyTorch names those of its `LSTM`.
pub(crate) struct LstmNetwork {
    pub(crate) layout: LstmConfig,
    pub(crate) recurrent: Recurrent,
}

impl LstmNetwork {
    /// The initial state of every layer, `[layers, batch, 2 hidden]`: `h` from noise and label, `c`
    /// zero.
    fn initial(&self, vector: &Tensor) -> Result<Tensor> {
        let (batch, _) = vector.dims2()?;
        let shape = (batch, self.layout.layers, self.layout.hidden);
        let hidden = vector.reshape(shape)?.transpose(0, 1)?;
        Ok(Tensor::cat(&[&hidden, &hidden.zeros_like()?], 2)?)
    }
}

impl Network for LstmNetwork {
    type Layout = LstmConfig;

    fn make(
        layout: &LstmConfig,
        noise: &NoiseConfig,
        sizes: &Sizes,
        builder: &mut Builder<'_>,
    ) -> Result<Made<Self>> {
        layout.validate()?;
        let init = Init::Normal { std: layout.embedding_std };
        let embedding =
            builder.child("embedding").get("weight", (sizes.vocab, layout.embedding), init)?;
        let recurrent = RecurrentConfig {
            layers: layout.layers,
            dropout: layout.dropout,
            ..RecurrentConfig::new(CellKind::Lstm, layout.embedding, layout.hidden)
        };
        let recurrent = Recurrent::new(&mut builder.child("lstm"), &recurrent)?;
        let head = if layout.tied {
            embedding.clone()
        } else {
            builder.child("head").get("weight", (sizes.vocab, layout.hidden), Init::FanIn)?
        };
        let std = conditioning::state_std(noise.placement, layout.embedding_std);
        let width = layout.condition_width(noise.placement);
        let conditioning = Conditioning::new(builder, width, noise, sizes.labels, std)?;
        let network = Self { layout: layout.clone(), recurrent };
        Ok(Made { embedding, conditioning, head, network })
    }

    fn hidden(
        &self,
        frame: &Frame,
        context: &Context<'_>,
        sequences: &Sequences,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        let (x, vector) =
            frame.embedded(context, sequences, self.layout.embedding_dropout, mode)?;
        let initial = vector.map(|vector| self.initial(&vector)).transpose()?;
        let hidden = self.recurrent.forward(&x, sequences.lengths(), initial.as_ref(), mode)?;
        Ok(ops::dropout(&hidden, self.layout.head_dropout, mode, "head")?)
    }

    fn sampler(&self, frame: &Frame) -> Result<Box<dyn Sampler>> {
        Ok(Box::new(TiledSampler::new(LstmWeights::new(frame, self)?)))
    }
}
