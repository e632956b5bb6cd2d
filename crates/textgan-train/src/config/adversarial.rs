use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_nn::ops::Relaxation;

use super::{DiscriminatorLearning, LatentConfig, OptimizerConfig};
use crate::losses::Divergence;

/// `kind = "adversarial"`: in each step the discriminator is updated `discriminator_steps` times,
/// then the generator `generator_steps` times, each time on fresh samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Adversarial {
    /// Updates of the discriminator a step.
    pub discriminator_steps: u64,
    /// Updates of the generator a step.
    pub generator_steps: u64,
    /// Full learning rate of the generator.
    pub learning_rate: f64,
    /// The generator's optimizer.
    pub optimizer: OptimizerConfig,
    /// Full learning rate of the discriminator.
    pub discriminator_learning_rate: f64,
    /// The discriminator's optimizer.
    pub discriminator_optimizer: OptimizerConfig,
    /// How the discriminator's opinion becomes a gradient of the generator.
    pub estimator: Estimator,
    /// The two losses. REINFORCE and Taylor use it for the discriminator only.
    pub divergence: Divergence,
    /// Whether whole sentences are judged or each of their prefixes.
    pub judged: Judged,
    /// What the discriminator is shown, and what keeps it smooth.
    pub discriminator: DiscriminatorLearning,
    /// Weight of the divergence `KL(G || G0)` from the generator `G0` that the phase began with, in
    /// nats summed over the words of a text, at the prefixes that the generator writes (Jaques et
    /// al., 2017; Ziegler et al., 2019). It holds the generator to what it knew without pulling it
    /// towards the text, as `anchor` does. 0 leaves it out.
    pub reference: f32,
    /// Weight of the likelihood of real text (nats per token) in the generator's loss; it keeps
    /// the generator from drifting away from language. 0 leaves it out.
    pub anchor: f32,
    /// The latent objective of that likelihood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latent: Option<LatentConfig>,
}

impl Default for Adversarial {
    fn default() -> Self {
        Self {
            discriminator_steps: 1,
            generator_steps: 1,
            learning_rate: 1e-4,
            optimizer: OptimizerConfig::default(),
            discriminator_learning_rate: 1e-4,
            discriminator_optimizer: OptimizerConfig::default(),
            estimator: Estimator::default(),
            divergence: Divergence::default(),
            judged: Judged::default(),
            discriminator: DiscriminatorLearning::default(),
            reference: 0.0,
            anchor: 0.0,
            latent: None,
        }
    }
}

/// Words are discrete, so the discriminator's gradient does not reach the generator by itself;
/// these are ways round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Estimator {
    /// The sampled words are relaxed with Gumbel noise (Jang et al., 2017; Nie et al., 2019), drawn
    /// on the condition that they were sampled. The lengths stay those of the sample: the gradient says
    /// nothing of when a text should end. So this is not the default: measured, its gradient of the
    /// length has cosine -0.02 with the true one, the policy gradient 0.56.
    Gumbel {
        /// What the discriminator reads: `straight-through` reads the words and pretends that they
        /// were soft when the gradient comes back; `soft` reads mixtures of words.
        #[serde(default = "straight_through")]
        relaxation: Relaxation,
        /// Temperature of the relaxation over the phase.
        #[serde(default)]
        temperature: Temperature,
    },
    /// Policy gradient (Williams, 1992): words that the discriminator liked become likelier.
    Reinforce {
        /// What the discriminator's opinion is worth.
        #[serde(default)]
        reward: Reward,
        /// What is subtracted from a reward to calm the gradient.
        #[serde(default)]
        baseline: Baseline,
        /// Weight of the generator's own entropy, summed over the words of a sentence (nats), which
        /// is maximised along with the reward.
        #[serde(default)]
        entropy: f32,
        /// Several updates on the same samples.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proximal: Option<Proximal>,
    },
    /// Policy gradient of the discriminator's logit in which a sampled word speaks for those near to it, whose
    /// rewards are told from its gradient (TaylorGAN; Lin et al., 2020). Whole texts are judged. A table of all pairs of
    /// words is made, so it is for vocabularies of some thousands.
    Taylor {
        /// How far a word speaks: the deviation of the kernel, over the root of the mean square distance of two rows of
        /// the discriminator's embedding. In a wide one that is random all words are as far from each other: from 0.5 on a
        /// sample then speaks for all.
        #[serde(default = "bandwidth")]
        bandwidth: f32,
        /// What is subtracted from a reward to calm the gradient.
        #[serde(default)]
        baseline: Baseline,
    },
}

fn bandwidth() -> f32 {
    0.5
}

/// Proximal policy optimisation (PPO; Schulman et al., 2017): so many updates on the same samples with
/// the same advantages `A`, each word counting `min(r A, clip(r, 1 - clip, 1 + clip) A)`, where `r` is
/// its probability over that under the generator that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Proximal {
    /// Updates on the same samples.
    pub epochs: u64,
    /// How far a word's probability moves, as a share of itself, until it counts no more.
    pub clip: f32,
}

impl Default for Proximal {
    fn default() -> Self {
        Self { epochs: 4, clip: 0.2 }
    }
}

fn straight_through() -> Relaxation {
    Relaxation::StraightThrough
}

impl Default for Estimator {
    fn default() -> Self {
        Self::Reinforce {
            reward: Reward::default(),
            baseline: Baseline::default(),
            entropy: 0.0,
            proximal: None,
        }
    }
}

/// Temperature of the Gumbel relaxation: from `start` to `end`, geometrically over the phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Temperature {
    /// At the first step.
    pub start: f32,
    /// At the last step.
    pub end: f32,
}

impl Default for Temperature {
    fn default() -> Self {
        Self { start: 1.0, end: 1.0 }
    }
}

/// What a sampled sentence earns for its words.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reward {
    /// What a realness logit is worth.
    pub score: RewardScore,
    /// How much of a later word's reward an earlier word gets per word between them. Only where
    /// prefixes are judged: a whole sentence's reward goes to all of its words alike.
    pub discount: f32,
    /// Scales the advantages of a batch to mean 0 and standard deviation 1, so that the size of the
    /// generator's steps does not follow that of the discriminator's opinions.
    pub whiten: bool,
    /// Gives every word a reward of its own where whole sentences are judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monte_carlo: Option<MonteCarlo>,
}

impl Default for Reward {
    fn default() -> Self {
        Self { score: RewardScore::default(), discount: 1.0, whiten: false, monte_carlo: None }
    }
}

/// Monte Carlo search (SeqGAN; Yu et al., 2017): a word earns the mean score of sentences that
/// begin as its own does, up to the word itself, and that a rollout policy completed. The last
/// word earns the score of its sentence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MonteCarlo {
    /// Completions of each beginning.
    pub rollouts: usize,
    /// How slowly the rollout policy follows the generator: with each update of the generator, a
    /// weight of the policy becomes `lag` of what it was and `1 - lag` of the generator's. The
    /// policy begins each phase as the generator does. With 0 it is the generator.
    pub lag: f32,
}

impl Default for MonteCarlo {
    fn default() -> Self {
        Self { rollouts: 16, lag: 0.8 }
    }
}

/// What a realness logit `r` is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RewardScore {
    /// `2 sigmoid(r) - 1`, in (-1, 1) (d'Autume et al., 2019).
    #[default]
    Probability,
    /// `sigmoid(r)`, in (0, 1) (SeqGAN; Yu et al., 2017). All that is sampled earns something, so without a
    /// baseline what is sampled often becomes likelier still.
    Sigmoid,
    /// `ln sigmoid(r)`: the non-saturating loss as a reward.
    LogSigmoid,
    /// `r` itself: the log ratio of densities under an ideal discriminator.
    Logit,
}

/// What is subtracted from a return before it weighs a gradient. None of them biases it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Baseline {
    /// The mean return of the batch's other sentences at the same word.
    #[default]
    LeaveOneOut,
    /// A slow average of past returns.
    MovingAverage,
    /// Nothing.
    None,
}

/// What the discriminator judges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Judged {
    /// Whole sentences.
    #[default]
    Whole,
    /// Every prefix of every sentence, each alike (d'Autume et al., 2019).
    Prefixes,
}
