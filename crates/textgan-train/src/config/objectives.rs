use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DiscriminatorLearning, Judged, OptimizerConfig};
use crate::losses::Divergence;

/// `kind = "maximum-likelihood"`: next-word prediction, with noise that matters if `latent` is
/// given.
///
/// With `latent`, a sentence is read together with a noise vector drawn from an encoder's
/// posterior `q(z | x)`, and the loss is the evidence bound with free bits. Without it the noise
/// is drawn from its prior, and a generator soon learns to ignore it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MaximumLikelihood {
    /// Full learning rate.
    pub learning_rate: f64,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// Makes noise matter. Absent: noise is drawn from its prior.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latent: Option<LatentConfig>,
}

impl Default for MaximumLikelihood {
    fn default() -> Self {
        Self { learning_rate: 1e-3, optimizer: OptimizerConfig::default(), latent: None }
    }
}

/// The latent objective: an encoder `q(z | x)` whose information is bounded by a rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LatentConfig {
    /// Nats a sentence that the noise may carry at no charge, in equal parts over its dimensions:
    /// the loss counts `sum_j max(KL_j, rate / dimensions)` ("free bits", Kingma et al., 2016).
    /// More makes noise matter more and costs likelihood under noise from the prior. Equal parts
    /// keep the noise from spending it all on one choice: many words lean a little with it.
    pub rate: f32,
    /// Share of the sentences of a batch that are read with noise from the prior instead, as the
    /// generator will write. It learns what a sentence is whatever its noise says of it, so noise
    /// that no sentence has led to, between those that sentences lead to, still gives a sentence.
    pub prior_share: f32,
    /// Whether the encoder learns. Off keeps what an earlier phase has taught it: then noise means what
    /// it means, and the generator converges as it does without noise. An encoder that learns finds
    /// ever better use for its rate, and both take many times as long.
    pub learn: bool,
    /// The encoder's network; all phases of a run must agree on it.
    pub encoder: textgan_models::NoiseEncoderConfig,
}

impl Default for LatentConfig {
    fn default() -> Self {
        Self { rate: 2.0, prior_share: 0.0, learn: true, encoder: Default::default() }
    }
}

/// `kind = "discriminator"`: the discriminator alone, against fresh samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DiscriminatorOnly {
    /// Full learning rate.
    pub learning_rate: f64,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// What the discriminator minimises.
    pub divergence: Divergence,
    /// Whether the whole sentence is judged or each of its prefixes.
    pub judged: Judged,
    /// Begins the phase with the generator's layers as they are then, and its own logit: what the
    /// generator knows of the language, the discriminator need not learn. It must be made of the same
    /// layers (`[discriminator]` with `kind = "rnn"` and the generator's sizes, or `"transformer"`).
    pub begin_as_generator: bool,
    /// What it is shown, and what keeps it smooth.
    pub discriminator: DiscriminatorLearning,
}

impl Default for DiscriminatorOnly {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            optimizer: OptimizerConfig::default(),
            divergence: Divergence::default(),
            judged: Judged::default(),
            begin_as_generator: false,
            discriminator: DiscriminatorLearning::default(),
        }
    }
}
