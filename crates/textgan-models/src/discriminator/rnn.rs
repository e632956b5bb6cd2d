use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_nn::kernels::CellKind;
use textgan_nn::layers::{Recurrent, RecurrentConfig};
use textgan_nn::{Builder, Mode, Parameters, ops};

use super::embedding::TokenEmbedding;
use super::score::Score;
use super::{
    Discriminator, DiscriminatorConfig, EmbeddingConfig, Tokens, at_least_one, check_dropout,
};
use crate::{Result, Sizes};

/// A recurrent network and a logit of its state.
///
/// In one direction it reads prefixes: the state after `t` tokens scores those tokens. In two
/// directions the final states of both score the whole text only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RnnDiscriminatorConfig {
    /// The embeddings of the tokens.
    pub embedding: EmbeddingConfig,
    /// The recurrent cell, `gru` or `lstm`.
    pub cell: CellKind,
    /// Width of the state of each layer and direction.
    pub hidden: usize,
    /// Layers on top of each other.
    pub layers: usize,
    /// Whether it also reads from the end; it then scores whole texts only.
    pub bidirectional: bool,
    /// Dropout between layers and before the logit.
    pub dropout: f32,
}

impl Default for RnnDiscriminatorConfig {
    fn default() -> Self {
        Self {
            embedding: EmbeddingConfig::default(),
            cell: CellKind::Gru,
            hidden: 128,
            layers: 1,
            bidirectional: false,
            dropout: 0.2,
        }
    }
}

impl RnnDiscriminatorConfig {
    pub(super) fn validate(&self) -> Result<()> {
        self.embedding.validate()?;
        at_least_one(&[("hidden", self.hidden), ("layers", self.layers)])?;
        check_dropout(self.dropout)
    }
}

pub(super) struct RnnDiscriminator {
    config: DiscriminatorConfig,
    sizes: Sizes,
    pub(super) parameters: Parameters,
    embedding: TokenEmbedding,
    network: Recurrent,
    score: Score,
    dropout: f32,
}

impl RnnDiscriminator {
    /// Its parameters are with the builder; `parameters` is empty.
    pub fn new(
        config: &RnnDiscriminatorConfig,
        sizes: &Sizes,
        builder: &mut Builder<'_>,
    ) -> Result<Self> {
        config.validate()?;
        let embedding = TokenEmbedding::new(builder, &config.embedding, sizes)?;
        let layers = RecurrentConfig {
            layers: config.layers,
            bidirectional: config.bidirectional,
            dropout: config.dropout,
            ..RecurrentConfig::new(config.cell, config.embedding.width(sizes), config.hidden)
        };
        let network = Recurrent::new(&mut builder.child("rnn"), &layers)?;
        let score = Score::new(builder, network.output(), sizes)?;
        Ok(Self {
            config: DiscriminatorConfig::Rnn(config.clone()),
            sizes: *sizes,
            parameters: Parameters::new(),
            embedding,
            network,
            score,
            dropout: config.dropout,
        })
    }
}

impl Discriminator for RnnDiscriminator {
    fn architecture(&self) -> serde_json::Value {
        serde_json::json!(self.config)
    }

    fn footprint(&self, time: usize) -> usize {
        self.config.footprint(&self.sizes, time)
    }

    fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn embedding(&self) -> &Tensor {
        self.embedding.table()
    }

    fn reads_prefixes(&self) -> bool {
        !self.network.config().bidirectional
    }

    fn features(&self, tokens: &Tokens<'_>, lengths: &[usize], mode: Mode<'_>) -> Result<Tensor> {
        let x = self.embedding.forward(tokens, lengths)?;
        let states = self.network.forward(&x, lengths, None, mode)?;
        let features = match self.reads_prefixes() {
            true => states,
            false => self.network.last(&states)?.unsqueeze(1)?,
        };
        Ok(ops::dropout(&features, self.dropout, mode, "score")?)
    }

    fn realness(
        &self,
        tokens: &Tokens<'_>,
        lengths: &[usize],
        labels: Option<&[u32]>,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        let features = self.features(tokens, lengths, mode)?;
        let shape = (lengths.len(), tokens.time(lengths.len())?);
        Ok(self.score.forward(&features, labels)?.broadcast_as(shape)?)
    }

    fn frozen(&self) -> Result<Box<dyn Discriminator>> {
        super::frozen(&self.config, self)
    }
}
