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
pub trait Objective: Send + Sync {
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

    /// How a game updates its generator: what a control by likelihood repeats.
    fn pace(&self) -> Option<Pace> {
        None
    }

    /// Who tells the generator of a game what is real.
    fn opponent(&self) -> Opponent {
        Opponent::None
    }

    /// The same objective at another rate, where the generator learns by itself: the control that
    /// shows what as many more of its own updates would have given.
    fn at_rate(&self, _learning_rate: f64) -> Option<Box<dyn Objective>> {
        None
    }

    /// The algorithm, with handles to its networks, which are made here unless an earlier phase has.
    ///
    /// # Errors
    /// When a network cannot be built.
    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>>;

    /// What becomes of the networks where its phase begins, once they have the weights that it begins with; where
    /// it goes on, nothing more does.
    ///
    /// # Errors
    /// When a network cannot be built.
    fn settle(&self, _networks: &Networks<'_>) -> Result<()> {
        Ok(())
    }
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

/// Who tells the generator of a game what is real: whether the game can be played blind, against one that has learned
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opponent {
    /// Nobody, or who is of no use but by what was learned before, as a language model is: it is not played blind.
    None,
    /// The discriminator of the plan, which must have one.
    Discriminator,
    /// A network of its own. What an earlier phase has taught that network, [`Objective::settle`] of the game has to
    /// make it forget where [`Networks::is_blind`].
    Own,
}

/// A choice among objectives: the enum that a config's `kind` picks from. It is an objective too, the
/// one that it holds.
pub trait OneOf: Send + Sync {
    /// What it holds.
    fn chosen(&self) -> &dyn Objective;
}

impl<T: OneOf> Objective for T {
    fn kind(&self) -> &'static str {
        self.chosen().kind()
    }

    fn role(&self) -> Role {
        self.chosen().role()
    }

    fn check(&self, plan: &Plan<'_>) -> std::result::Result<(), String> {
        self.chosen().check(plan)
    }

    fn declares(&self) -> Vec<Declared> {
        self.chosen().declares()
    }

    fn declared_parameters(&self, plan: &Plan<'_>, sizes: &Sizes) -> Result<u64> {
        self.chosen().declared_parameters(plan, sizes)
    }

    fn pace(&self) -> Option<Pace> {
        self.chosen().pace()
    }

    fn opponent(&self) -> Opponent {
        self.chosen().opponent()
    }

    fn at_rate(&self, learning_rate: f64) -> Option<Box<dyn Objective>> {
        self.chosen().at_rate(learning_rate)
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        self.chosen().begin(networks)
    }

    fn settle(&self, networks: &Networks<'_>) -> Result<()> {
        self.chosen().settle(networks)
    }
}

/// How fast a game's generator is updated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Its full learning rate.
    pub learning_rate: f64,
    /// Its updates a step.
    pub updates: u64,
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
    /// Of a control: its name. It begins from the baseline's weights, and its generator is published
    /// beside the model, which it does not change.
    pub control: Option<&'a str>,
}
