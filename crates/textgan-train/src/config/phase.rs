use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Adversarial, Estimator, OptimizerConfig, ScheduleConfig};
use crate::divergence::Divergence;

/// One `[[phase]]` table. Phases run from top to bottom; each begins with fresh optimizers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Phase {
    /// The generator learns to predict real text.
    MaximumLikelihood(MaximumLikelihood),
    /// The discriminator learns to tell real text from samples of a resting generator.
    Discriminator(DiscriminatorOnly),
    /// Both learn, in alternation.
    Adversarial(Adversarial),
}

impl Phase {
    /// The name that the config gives this kind of phase.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::MaximumLikelihood(_) => "maximum-likelihood",
            Self::Discriminator(_) => "discriminator",
            Self::Adversarial(_) => "adversarial",
        }
    }

    /// Whether the discriminator takes part.
    pub fn needs_discriminator(&self) -> bool {
        !matches!(self, Self::MaximumLikelihood(_))
    }

    /// The latent objective of the phase, where it has one.
    pub fn latent(&self) -> Option<&LatentConfig> {
        match self {
            Self::MaximumLikelihood(phase) => phase.latent.as_ref(),
            Self::Discriminator(_) => None,
            Self::Adversarial(phase) => phase.latent.as_ref(),
        }
    }

    /// How slowly the phase's rollout policy follows the generator, where it is not the generator
    /// itself.
    pub(crate) fn rollout_lag(&self) -> Option<f32> {
        let Self::Adversarial(phase) = self else { return None };
        let Estimator::Reinforce { reward, .. } = &phase.estimator else { return None };
        reward.monte_carlo.map(|search| search.lag).filter(|&lag| lag > 0.0)
    }

    /// Whether the two networks read disjoint halves of the training text in this phase.
    pub fn cross_fit(&self) -> bool {
        match self {
            Self::MaximumLikelihood(phase) => phase.cross_fit,
            Self::Discriminator(phase) => phase.cross_fit,
            Self::Adversarial(phase) => phase.cross_fit,
        }
    }
}

/// Which weights a phase hands on when it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Those of its best evaluation (its beginning does not compete).
    #[default]
    Best,
    /// Those of its last step.
    Last,
}

/// `kind = "maximum-likelihood"`: next-word prediction, with noise that matters if `latent` is
/// given.
///
/// With `latent`, a sentence is read together with a noise vector drawn from an encoder's
/// posterior `q(z | x)`, and the loss is the evidence bound with free bits. Without it the noise
/// is drawn from its prior, and a generator soon learns to ignore it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MaximumLikelihood {
    /// Length of the phase in passes over the training split; give this or `steps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Length of the phase in updates; give this or `epochs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Full learning rate.
    pub learning_rate: f64,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// How the learning rate moves.
    pub schedule: ScheduleConfig,
    /// Steps between two validations; 0 validates only at the end.
    pub validate_every: u64,
    /// Validations without improvement after which the phase ends early; 0 never does.
    pub patience: u32,
    /// By how much a validation loss must fall to count as an improvement, in nats per token.
    pub min_improvement: f64,
    /// Which weights the phase hands on.
    pub keep: Keep,
    /// Makes noise matter. Absent: noise is drawn from its prior.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latent: Option<LatentConfig>,
    /// Reads only the half of the training split that the discriminator never reads in
    /// cross-fitted phases.
    pub cross_fit: bool,
}

impl Default for MaximumLikelihood {
    fn default() -> Self {
        Self {
            epochs: None,
            steps: None,
            learning_rate: 1e-3,
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            validate_every: 200,
            patience: 0,
            min_improvement: 0.0,
            keep: Keep::Best,
            latent: None,
            cross_fit: false,
        }
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
    /// The encoder's network; all phases of a run must agree on it.
    pub encoder: textgan_models::NoiseEncoderConfig,
}

impl Default for LatentConfig {
    fn default() -> Self {
        Self { rate: 2.0, prior_share: 0.0, encoder: Default::default() }
    }
}

/// `kind = "discriminator"`: the discriminator alone, against fresh samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DiscriminatorOnly {
    /// Length of the phase in updates.
    pub steps: u64,
    /// Full learning rate.
    pub learning_rate: f64,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// How the learning rate moves.
    pub schedule: ScheduleConfig,
    /// What the discriminator minimises.
    pub divergence: Divergence,
    /// Whether the whole sentence is judged or each of its prefixes.
    pub judged: super::Judged,
    /// Keeps every weight of the discriminator within this distance of 0 (Arjovsky et al., 2017);
    /// 0 does not. The Wasserstein divergence needs it.
    pub weight_clip: f32,
    /// Steps between two measurements on held-out text; 0 measures only at the end.
    pub evaluate_every: u64,
    /// Reads only the half of the training split that the generator never reads in cross-fitted
    /// phases.
    pub cross_fit: bool,
}

impl Default for DiscriminatorOnly {
    fn default() -> Self {
        Self {
            steps: 100,
            learning_rate: 1e-3,
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            divergence: Divergence::default(),
            judged: super::Judged::default(),
            weight_clip: 0.0,
            evaluate_every: 0,
            cross_fit: false,
        }
    }
}
