//! Training text GANs: phases of maximum likelihood and of adversarial training, in one loop.
//!
//! A run is a list of [`Phase`]s, read from top to bottom: [`MaximumLikelihood`] pretraining,
//! [`DiscriminatorOnly`] pretraining, [`Adversarial`] training in alternation. What a phase
//! minimises is decided by its config: the [`Divergence`], the [`Estimator`] that carries the
//! discriminator's opinion over discrete words (Gumbel relaxation or REINFORCE), an anchor of
//! likelihood, a latent objective that makes noise matter. [`train`] runs them and leaves in its
//! output folder:
//!
//! | path | what |
//! |---|---|
//! | `model/`, `discriminator/` | the trained networks, as Hugging Face folders |
//! | `baseline/` | the generator as the first adversarial phase found it |
//! | `checkpoints/` | everything needed to go on: the best, the last ones, and `latest`, which names one |
//! | `metrics.jsonl` | one line an event: `begin`, `train`, `evaluation`, `alarm`, `end` |
//! | `samples.jsonl` | texts of fixed noise vectors, by step |
//! | `events.out.tfevents.*` | the same numbers for TensorBoard |
//! | `summary.json` | a [`Summary`] |
//!
//! Every random draw is named by the seed, the phase and the number of the update, and the growing
//! files are cut back to the last checkpoint on resuming. So a run that was killed ends with the
//! same bytes as one that was not, on any number of threads. No clock reaches a file.
//!
//! ```
//! use textgan_artifact::Quiet;
//! use textgan_artifact::table::TokenRow;
//! use textgan_models::{GeneratorConfig, ModelCard, NoiseConfig};
//! use textgan_random::Key;
//! use textgan_train::{MaximumLikelihood, Phase, Recipe, TrainConfig, TrainData, train};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A language of two sentences, over a vocabulary of four special tokens and three words.
//! let row = |id: u64| TokenRow { id, label: None, tokens: if id % 2 == 0 { vec![4, 5] } else { vec![6, 5, 4] } };
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
//!     card: &ModelCard::default(),
//! };
//! let phase = MaximumLikelihood { steps: Some(60), learning_rate: 1e-2, ..MaximumLikelihood::default() };
//! let recipe = Recipe {
//!     train: &TrainConfig { batch_size: 16, ..TrainConfig::default() },
//!     phases: &[Phase::MaximumLikelihood(phase)],
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
mod average;
mod batches;
mod checkpoint;
mod config;
mod convergence;
mod data;
mod divergence;
mod error;
mod evaluation;
mod events;
mod game;
mod likelihood;
mod memory;
mod meter;
mod objective;
mod record;
mod rewards;
mod run;
mod schedule;
mod state;
mod summary;
#[cfg(test)]
mod testing;
mod train;

pub use config::{
    Adversarial, AlarmAction, Alarms, Baseline, CollapseAlarm, ConvergenceConfig, Decay,
    DiscriminatorOnly, Estimator, Judged, Keep, LatentConfig, MaximumLikelihood, MonteCarlo,
    OptimizerConfig, Phase, Reward, RewardScore, ScheduleConfig, Temperature, TrainConfig,
    WonAlarm,
};
pub use data::TrainData;
pub use divergence::Divergence;
pub use error::{Error, Result};
pub use run::{Recipe, extend};
pub use summary::{End, PhaseSummary, Summary};
pub use train::train;
