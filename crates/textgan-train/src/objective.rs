//! What a phase is told to do, before there are networks: a config that can become an algorithm.

use textgan_models::{DiscriminatorConfig, GeneratorConfig, NoiseConfig, Sizes};

use crate::Result;
use crate::algorithm::Algorithm;
use crate::config::{PhaseSettings, TrainConfig};
use crate::networks::Networks;

/// The part of a `[[phase]]` table that says which algorithm trains, and with which numbers.
///
/// Those of this crate are in [`BuiltIn`](crate::BuiltIn). Another crate implements this trait for
/// its own configs and puts them beside those in an enum of its own: see the example
/// `outside_objective`.
pub trait Objective {
    /// The name that config files give it.
    fn kind(&self) -> &'static str;

    /// What its phase is for.
    fn role(&self) -> Role;

    /// Refuses settings that cannot work, before anything is read or built.
    ///
    /// # Errors
    /// What is wrong and how to put it right.
    fn check(&self, plan: &Plan<'_>) -> std::result::Result<(), String>;

    /// Networks besides generator and discriminator that it asks for, with their configs: phases
    /// that name the same network must agree on it.
    fn declares(&self) -> Vec<Declared> {
        Vec::new()
    }

    /// The number of weights of those networks, for the estimate of memory.
    ///
    /// # Errors
    /// When a config describes no network.
    fn declared_parameters(&self, _plan: &Plan<'_>, _sizes: &Sizes) -> Result<u64> {
        Ok(0)
    }

    /// The algorithm, with handles to its networks, which are made here unless an earlier phase has.
    ///
    /// # Errors
    /// When a network cannot be built.
    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>>;
}

/// What a phase is for: it decides what is measured, and which weights are the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The generator learns by itself. Its validation loss is measured, and is the score.
    Generator,
    /// A discriminator learns while the generator rests.
    Discriminator,
    /// The generator learns from a discriminator: all is measured, alarms are watched for, and the
    /// generator that the first such phase finds is the run's baseline.
    Game,
}

/// A network by name, and what it is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// The name of its file in checkpoints.
    pub name: &'static str,
    /// Its config.
    pub config: serde_json::Value,
}

/// Everything that a run was told, as far as an objective may want to look at it.
pub struct Plan<'a> {
    /// What all phases share.
    pub train: &'a TrainConfig,
    /// The phases, in order.
    pub phases: Vec<PlannedPhase<'a>>,
    /// The noise that becomes text.
    pub noise: &'a NoiseConfig,
    /// The generator's network.
    pub generator: &'a GeneratorConfig,
    /// The discriminator's network; `None` for runs that only maximise likelihood.
    pub discriminator: Option<&'a DiscriminatorConfig>,
}

/// A phase of any kind.
#[derive(Clone, Copy)]
pub struct PlannedPhase<'a> {
    /// What phases of all kinds are told.
    pub settings: &'a PhaseSettings,
    /// What this one does.
    pub objective: &'a dyn Objective,
}
