//! The stages of a run, in order. Each binds a function of a library crate to the run's config.

mod drawing;
mod evaluate;
mod generate;
mod ingest;
mod report;
mod tokenize;
mod train;
mod truth;

pub(crate) use drawing::{Drawing, evaluation};
pub(crate) use evaluate::converged;
pub(crate) use ingest::{INGEST_SHARD, IngestShard};
pub(crate) use truth::source;

use anyhow::Result;
use std::path::{Path, PathBuf};
use textgan_artifact::{ALONE, Team};
use textgan_generate::Model;
use textgan_random::Key;

use crate::config::{Loaded, PhaseKind, RootConfig};
use crate::stage::Stage;

/// The names of the stages, in order.
pub const NAMES: [&str; 6] = [INGEST, TOKENIZE, TRAIN, EVALUATE, GENERATE, REPORT];

pub(crate) const INGEST: &str = "ingest";
pub(crate) const TOKENIZE: &str = "tokenize";
pub(crate) const TRAIN: &str = "train";
pub(crate) const GENERATE: &str = "generate";
pub(crate) const EVALUATE: &str = "evaluate";
pub(crate) const REPORT: &str = "report";

/// The stages of an experiment, in the order in which they run, made by `team`.
pub fn all<'a, O: PhaseKind>(
    experiment: &'a Loaded<O>,
    team: &'a Team,
) -> Vec<Box<dyn Stage + 'a>> {
    let config = &experiment.config;
    vec![
        Box::new(ingest::Ingest { config, shards: None }),
        Box::new(tokenize::Tokenize { config }),
        Box::new(train::Train { config, team }),
        Box::new(evaluate::Evaluate { config, team }),
        Box::new(generate::Generate { config }),
        Box::new(report::Report { title: &experiment.name }),
    ]
}

/// The same, with a corpus that is merged of the shards in these folders.
pub(crate) fn merged<O: PhaseKind>(
    experiment: &Loaded<O>,
    shards: Vec<PathBuf>,
) -> Vec<Box<dyn Stage + '_>> {
    let mut stages = all(experiment, &ALONE);
    stages[0] = Box::new(ingest::Ingest { config: &experiment.config, shards: Some(shards) });
    stages
}

/// The root of a stage's random streams.
fn key<O>(config: &RootConfig<O>, stage: &str) -> Key {
    Key::root(config.seed).child(stage)
}

/// The trained generator in the folder of the train stage.
pub(crate) fn model(train: &Path) -> PathBuf {
    train.join("model")
}

/// The model with whoever judged it in training: the discriminator, or the language model in its place.
pub(crate) fn judged(train: &Path, model: Model) -> Result<Model> {
    Ok(match (optional(train, "discriminator"), optional(train, "language-model")) {
        (Some(folder), _) => model.with_discriminator(folder)?,
        (None, Some(folder)) => model.with_language_model(folder)?,
        (None, None) => model,
    })
}

/// A folder of the train stage, if this training made it.
fn optional(train: &Path, name: &str) -> Option<PathBuf> {
    Some(train.join(name)).filter(|folder| folder.is_dir())
}
