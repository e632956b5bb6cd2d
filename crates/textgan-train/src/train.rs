use std::path::{Path, PathBuf};

use serde::Serialize;
use textgan_artifact::{ALONE, Progress, Team};
use textgan_models::{DiscriminatorConfig, GeneratorConfig, NoiseConfig};
use textgan_nn::in_threads;
use textgan_random::Key;

use crate::algorithms::BuiltIn;
use crate::config::{Phase, TrainConfig};
use crate::controls::{self, ControlPhase};
use crate::data::TrainData;
use crate::objective::{Objective, Plan, PlannedPhase};
use crate::run::Run;
use crate::summary::{End, Summary};
use crate::{Error, Result};

/// Everything that decides what a run trains and how, besides the data and the seed.
#[derive(Clone, Copy, Debug)]
pub struct Recipe<'a, O = BuiltIn> {
    /// What all phases share.
    pub train: &'a TrainConfig,
    /// The phases, in order.
    pub phases: &'a [Phase<O>],
    /// The noise that becomes text.
    pub noise: &'a NoiseConfig,
    /// The generator's network.
    pub generator: &'a GeneratorConfig,
    /// The discriminator's network; `None` for runs that only maximise likelihood.
    pub discriminator: Option<&'a DiscriminatorConfig>,
}

impl<'a, O: Objective> Recipe<'a, O> {
    /// Refuses settings that cannot work, and phases that cannot follow each other; [`train`] does
    /// so too, but a pipeline may want to know before it reads its corpus.
    ///
    /// # Errors
    /// The first problem, with its key and how to put it right.
    pub fn check(&self) -> Result<()> {
        self.plan().check()
    }

    fn plan(&self) -> Plan<'a> {
        let planned = |phase: &'a Phase<O>| PlannedPhase {
            settings: &phase.settings,
            objective: &phase.objective,
            control: None,
        };
        Plan {
            train: self.train,
            phases: self.phases.iter().map(planned).collect(),
            noise: self.noise,
            generator: self.generator,
            discriminator: self.discriminator,
        }
    }
}

/// Where a run is written.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Outputs<'a> {
    /// The folder of everything that it makes.
    pub out: &'a Path,
    /// A folder for TensorBoard, if that shall be written: numbers, texts of fixed noise, and histograms of weights and of
    /// what the discriminator says, as they come. It has the time of the clock in it, and is nobody's input.
    pub events: Option<&'a Path>,
    /// The processes that train together. One of them writes; the others read its checkpoints, so the folder is one that
    /// all of them reach.
    pub team: &'a Team,
}

impl<'a> Outputs<'a> {
    /// Adds a folder for TensorBoard.
    #[must_use]
    pub fn with_events(self, folder: &'a Path) -> Self {
        Self { events: Some(folder), ..self }
    }

    /// Trains together with other processes, which call [`train`] with the same: see
    /// [`TrainConfig::replicas`](crate::TrainConfig::replicas).
    #[must_use]
    pub fn with_team(self, team: &'a Team) -> Self {
        Self { team, ..self }
    }
}

impl<'a> From<&'a Path> for Outputs<'a> {
    fn from(out: &'a Path) -> Self {
        Self { out, events: None, team: &ALONE }
    }
}

impl<'a> From<&'a PathBuf> for Outputs<'a> {
    fn from(out: &'a PathBuf) -> Self {
        Self::from(out.as_path())
    }
}

/// Trains as `recipe` says and leaves everything in `out`; goes on where an earlier call was
/// stopped or killed, and ends with the same bytes as if it had not been.
///
/// `key` names every random draw; the validation loss has the noise vectors
/// `key.child("validation-noise").index(k)`.
///
/// # Errors
/// [`Error::Interrupted`](crate::Error::Interrupted) when `progress` asks to stop, after a
/// checkpoint; [`Error::NonFinite`](crate::Error::NonFinite) before a step that would ruin the
/// weights; others when the recipe, the data or `out` cannot be used.
pub fn train<'a, O: Objective + Serialize>(
    recipe: &Recipe<'_, O>,
    data: &TrainData<'_>,
    key: &Key,
    out: impl Into<Outputs<'a>>,
    progress: &dyn Progress,
) -> Result<Summary> {
    let outputs = out.into();
    let trained = in_threads(|| train_with(recipe, data, key, outputs, progress));
    // Whom another told to give up has nothing to tell.
    if let Err(error) = &trained
        && !matches!(error, Error::Artifact(textgan_artifact::Error::Teammate { .. }))
    {
        outputs.team.fail(&error.to_string());
    }
    trained
}

fn train_with<O: Objective + Serialize>(
    recipe: &Recipe<'_, O>,
    data: &TrainData<'_>,
    key: &Key,
    outputs: Outputs<'_>,
    progress: &dyn Progress,
) -> Result<Summary> {
    let team = outputs.team;
    let controls =
        controls::of(&recipe.plan()).map_err(|problem| crate::Error::Train { problem })?;
    let mut plan = recipe.plan();
    plan.phases.extend(controls.iter().map(ControlPhase::planned));
    let phases = recipe.phases.iter().map(|phase| serde_json::json!(phase));
    let phases = phases.chain(controls.iter().map(ControlPhase::json)).collect();
    let mut run = Run::begin(&plan, phases, data, key, outputs, progress)?;
    while let Some(mut phase) = run.enter_phase()? {
        let ended = loop {
            if run.evaluation_is_due(&phase)
                && let Some(end) = run.evaluate(&mut phase)?
            {
                break end;
            }
            run.sample_if_due(&phase)?;
            run.snapshot_if_due(&phase)?;
            if run.is_at_limit(&phase) {
                break End::StepLimit;
            }
            run.step(&mut phase)?;
            progress.advance(1);
            progress.status(&phase.meter.line(run.steps_left(&phase)));
            if run.checkpoint_is_due(&phase) {
                run.checkpoint(&phase, true)?;
            }
            if team.any("stop", progress.stop_requested())? {
                return Err(run.interrupt(&phase));
            }
        };
        run.end_phase(phase, ended)?;
    }
    let summary = run.finish()?;
    // Whoever fails until here is heard.
    team.wait("trained")?;
    Ok(summary)
}
