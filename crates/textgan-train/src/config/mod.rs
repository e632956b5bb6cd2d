//! What a training run is told: `[train]` for the whole of it, then a list of `[[phase]]`.

mod adversarial;
mod alarms;
mod check;
mod discriminator;
mod gate;
mod objectives;
mod phase;

pub use adversarial::{
    Adversarial, Baseline, Estimator, Judged, MonteCarlo, Proximal, Reward, RewardScore,
    Temperature,
};
pub use alarms::{AlarmAction, Alarms, BlindAlarm, CollapseAlarm, WonAlarm};
pub(crate) use check::{Problem, at_least_one, positive, require};
pub use discriminator::DiscriminatorLearning;
pub use gate::{Damage, GateConfig};
pub use objectives::{DiscriminatorOnly, LatentConfig, MaximumLikelihood};
pub use phase::{ConvergeConfig, EvaluationConfig, Keep, Phase, PhaseSettings};

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_nn::AdamConfig;
use textgan_nn::kernels::Precision;

/// The `[train]` table: what all phases share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Sentences in a batch; the batches of an epoch differ in size by at most one.
    pub batch_size: usize,
    /// Replicas that share out a batch: each makes a step on its part, and they move along the mean of their gradients.
    /// They work beside each other, on the processors of one machine and in as many processes as there are (`mpirun`), which
    /// does not change a bit; how many there are does: what an algorithm counts over a batch, such as the mean of its
    /// rewards, it counts over a replica's part, and so are shares of a batch, such as `replay`, rounded. No more processes
    /// can work than there are replicas.
    #[serde(skip_serializing_if = "is_one")]
    pub replicas: usize,
    /// Batches whose sentences are sorted by length before they are cut, so that a batch holds
    /// sentences of like length and little padding. 1 does not sort.
    pub length_window: usize,
    /// What the products of the generator's training multiply: `f32`, or `bf16`, which is faster
    /// on processors with AMX and on AMD's with AVX-512 bf16, and slower on others. Weights, sums,
    /// samples and everything else are `f32` in both.
    pub precision: Precision,
    /// Steps between two lines of `metrics.jsonl`; a line holds the mean since the one before.
    pub log_every: u64,
    /// Steps between two checkpoints. One is also written where a phase begins, and on Ctrl-C.
    pub checkpoint_every: u64,
    /// How many of those checkpoints stay; the best one and the phase's first stay besides.
    pub keep_checkpoints: usize,
    /// The generator's weights are kept after so many steps of each of its own phases, and after twice, four times,
    /// eight times as many, to write and play with later; 0 keeps none.
    #[serde(skip_serializing_if = "is_usual")]
    pub first_snapshot: u64,
    /// Steps between two rounds of samples from the fixed noise vectors; 0 writes none.
    pub sample_every: u64,
    /// How many fixed noise vectors are sampled in each round.
    pub fixed_samples: usize,
    /// How many of those samples are shown while training.
    pub samples_shown: usize,
    /// Noise vectors K of the validation loss `-log(1/K sum_k p(x | z_k))`.
    pub validation_noise: usize,
    /// Validation sentences read for the validation loss; the first ones of the split.
    pub validation_sentences: usize,
    /// What is trained besides from the baseline's weights, to show what the game must beat: `likelihood`,
    /// `long-likelihood`, `distillation`, `blind`.
    pub controls: Vec<Control>,
    /// How many times the game's updates the control `long-likelihood` makes: about as many as would
    /// have taken the game's time.
    pub long_likelihood: u64,
    /// Model folder of another run whose generator weights this run begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_from: Option<PathBuf>,
    /// Discriminator folder of another run whose weights this run begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_discriminator_from: Option<PathBuf>,
}

/// The step of a phase's first snapshot, where nothing else is asked for.
const FIRST_SNAPSHOT: u64 = 50;

fn is_one(replicas: &usize) -> bool {
    *replicas == 1
}

/// So that runs of before there were any stay what they are.
fn is_usual(step: &u64) -> bool {
    *step == FIRST_SNAPSHOT
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            batch_size: 64,
            replicas: 1,
            length_window: 8,
            precision: Precision::F32,
            log_every: 10,
            checkpoint_every: 200,
            keep_checkpoints: 1,
            first_snapshot: FIRST_SNAPSHOT,
            sample_every: 200,
            fixed_samples: 10,
            samples_shown: 3,
            validation_noise: 8,
            validation_sentences: 1000,
            controls: Vec::new(),
            long_likelihood: 4,
            init_from: None,
            init_discriminator_from: None,
        }
    }
}

/// A control: a generator trained from the baseline by something other than the game.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Control {
    /// As many more likelihood updates as the game makes of its generator, at the game's rate.
    Likelihood,
    /// `long_likelihood` times as many.
    LongLikelihood,
    /// As many likelihood updates on texts that the discriminator's language model writes: off-policy
    /// distillation.
    Distillation,
    /// The same game against a discriminator with fresh weights that never learns: what the game gives without
    /// one. Of games that have a discriminator, of the plan or of their own.
    Blind,
}

/// Adam with decoupled weight decay and a bound on the gradient's norm; the learning rate is
/// given beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay (AdamW); 0 is plain Adam.
    pub weight_decay: f32,
    /// Largest norm of the whole gradient, in its own units; 0 does not clip.
    pub clip_norm: f32,
    /// Share that a moving average of the weights keeps of itself at each update, such as 0.998; 0
    /// keeps none. The averaged weights are those that are evaluated and handed on (Polyak and
    /// Juditsky, 1992; for a generator Yazici et al., 2019): a learning rate that stays high then
    /// costs no precision at the end. Early updates count alike: the share is at most
    /// `(1 + t) / (10 + t)` at update `t`.
    pub average: f32,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            clip_norm: 1.0,
            average: 0.0,
        }
    }
}

impl OptimizerConfig {
    /// The optimizer's own form of this, with the learning rate that it belongs to.
    pub fn adam(&self, learning_rate: f64) -> AdamConfig {
        AdamConfig {
            learning_rate: learning_rate as f32,
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            weight_decay: self.weight_decay,
            clip_norm: (self.clip_norm > 0.0).then_some(self.clip_norm),
        }
    }
}

/// How the learning rate moves over a phase: up in a line, then down to a fraction of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Steps over which the rate rises from near 0 to its full value.
    pub warmup_steps: u64,
    /// The same as a share of the phase, or of its round; the longer of both holds.
    pub warmup_share: f64,
    /// The shape of the way down.
    pub decay: Decay,
    /// What is left of the rate at the last step, as a fraction of the full one.
    pub final_fraction: f64,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self { warmup_steps: 0, warmup_share: 0.0, decay: Decay::Constant, final_fraction: 0.1 }
    }
}

/// The shape of a learning rate's way down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Decay {
    /// No way down.
    #[default]
    Constant,
    /// Half a cosine wave.
    Cosine,
    /// A straight line.
    Linear,
}
