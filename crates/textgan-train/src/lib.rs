//! Training text GANs: phases of maximum likelihood and of adversarial training, in one loop.
//!
//! A run is a list of [`Phase`]s, read from top to bottom: [`MaximumLikelihood`] pretraining,
//! [`DiscriminatorOnly`] pretraining, [`Adversarial`] training in alternation. What a phase
//! minimises is decided by its config: the [`Divergence`], the [`Estimator`] that carries the
//! discriminator's opinion over discrete words (Gumbel relaxation, REINFORCE or its Taylor expansion), an anchor of
//! likelihood, a latent objective that makes noise matter. [`train`] runs them and leaves in its
//! output folder:
//!
//! | path | what |
//! |---|---|
//! | `model/`, `discriminator/` | the trained networks, as Hugging Face folders |
//! | `language-model/` | the language model that judges, where there is one |
//! | `snapshots/` | the generator's weights after 50, 100, 200, .. steps of each of its phases |
//! | `controls/` | generators that other means made of the baseline |
//! | `baseline/` | the generator as the first adversarial phase found it |
//! | `checkpoints/` | everything needed to go on: the best, the last ones, and `latest`, which names one |
//! | `metrics.jsonl` | one line an event: `begin`, `train`, `evaluation`, `alarm`, `end` |
//! | `samples.jsonl` | texts of fixed noise vectors, by step |
//! | `summary.json` | a [`Summary`] |
//!
//! Every random draw is named by the seed, the phase and the number of the update, and the growing
//! files are cut back to the last checkpoint on resuming. So a run that was killed ends with the
//! same bytes as one that was not, on any number of threads. No clock reaches a file but those for TensorBoard,
//! which lie in a folder of their own ([`Outputs::events`]).
//!
//! ```
//! use textgan_artifact::Quiet;
//! use textgan_artifact::table::TokenRow;
//! use textgan_models::{GeneratorConfig, ModelCard, NoiseConfig};
//! use textgan_random::Key;
//! use textgan_train::{BuiltIn, MaximumLikelihood, Phase, Recipe, TrainConfig, TrainData, train};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A language of two sentences, over a vocabulary of four special tokens and three words.
//! let row = |id: u64| TokenRow { id, label: None, tokens: if id % 2 == 0 { vec![4, 5] } else { vec![6, 5, 4] }, cut: false };
//! let rows: Vec<TokenRow> = (0..64).map(row).collect();
//! let data = TrainData {
//!     train: &rows[..48],
//!     valid: &rows[48..],
//!     labels: &[],
//!     vocab_size: 7,
//!     max_length: 4,
//!     decode: &|tokens| format!("{tokens:?}"),
//!     words: None,
//!     tokenizer: None,
//!     id: None,
//!     well_formed: None,
//!     card: &ModelCard::default(),
//! };
//! let objective = MaximumLikelihood { learning_rate: 1e-2, ..MaximumLikelihood::default() };
//! let recipe = Recipe {
//!     train: &TrainConfig { batch_size: 16, ..TrainConfig::default() },
//!     phases: &[Phase::<BuiltIn>::of_steps(60, objective)],
//!     noise: &NoiseConfig { dimension: 2, ..NoiseConfig::default() },
//!     generator: &GeneratorConfig::default(),
//!     discriminator: None,
//! };
//! # let folder = tempfile::tempdir()?;
//! # let out = folder.path();
//! let summary = train(&recipe, &data, &Key::root(1), out, &Quiet)?;
//!
//! // Two sentences, as likely as each other, of 3.5 tokens on average: ln 2 / 3.5 = 0.198 nats.
//! let loss = summary.phases[0].evaluation["validation_loss"];
//! assert!(loss < 0.22, "{loss}");
//! assert!(out.join("model/model.safetensors").exists());
//! # Ok(())
//! # }
//! ```

mod alarms;
mod algorithm;
mod algorithms;
mod average;
mod batches;
mod blind;
mod checkpoint;
mod config;
mod controls;
mod convergence;
mod data;
mod error;
mod evaluation;
mod events;
mod footprint;
mod gate;
mod generated;
mod losses;
mod memory;
mod meter;
mod metric;
mod networks;
mod objective;
mod record;
mod replicas;
mod run;
mod schedule;
mod state;
mod step;
mod summary;
#[cfg(test)]
mod testing;
mod train;
pub mod trial;

// What signatures here speak of, in the versions that they mean.
pub use candle_core;
pub use textgan_artifact;
pub use textgan_models;
pub use textgan_nn;
pub use textgan_random;

pub use algorithm::{Accuracy, Algorithm, Bounds, Critic, Learner, Loss, Measured, Update};
pub use algorithms::{
    BuiltIn, Cot, Ddo, Dense, Distillation, Extended, LanguageModel, Later, LikelihoodRatio,
    Maligan, PgBleu, Rankgan, Selfgan, Spin, Tailr, Textgail, Textgan, Unlikelihood,
};
pub use checkpoint::{SavedStep, saved_steps};
pub use config::{
    Adversarial, AlarmAction, Alarms, Baseline, BlindAlarm, CollapseAlarm, Control, ConvergeConfig,
    Damage, Decay, DiscriminatorLearning, DiscriminatorOnly, Estimator, EvaluationConfig,
    GateConfig, Judged, Keep, LatentConfig, MaximumLikelihood, MonteCarlo, OptimizerConfig, Phase,
    PhaseSettings, Proximal, Reward, RewardScore, ScheduleConfig, Temperature, TrainConfig,
    WonAlarm,
};
pub use data::{Rows, TrainData, WellFormed, WordId};
pub use error::{Error, Result};
pub use generated::{Generated, Texts};
pub use losses::Divergence;
pub use memory::{Memory, StoredText};
pub use metric::{Group, Metric, MetricKind, Unit};
pub use networks::{Judges, Network, Networks};
pub use objective::{Declared, Objective, OneOf, Opponent, Pace, Plan, PlannedPhase, Role};
pub use run::extend;
pub use step::Step;
pub use summary::{End, PhaseSummary, Summary};
pub use train::{Outputs, Recipe, train};

/// The blocks of the README, which are tested with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
