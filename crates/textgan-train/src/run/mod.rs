//! A run under way: the networks, where it is, and the files it grows.

mod begin;
mod duration;
mod measure;
mod phase;
mod resume;
#[cfg(test)]
mod tests;

pub use resume::extend;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use textgan_artifact::Progress;
use textgan_models::{DiscriminatorConfig, GeneratorConfig, NoiseConfig};
use textgan_nn::{Optimizer, Parameters};
use textgan_random::Key;

use crate::average::Average;
use crate::batches::Batches;
use crate::checkpoint::Checkpoints;
use crate::config::{Phase, TrainConfig};
use crate::data::TrainData;
use crate::evaluation::HeldOut;
use crate::game::{Game, Loss, Player, Turn};
use crate::record::{Line, Record};
use crate::state::State;
use crate::{Error, Result};

/// The file of the rollout policy in a checkpoint.
const ROLLOUT_POLICY: &str = "rollout-policy.safetensors";

/// Everything that decides what a run trains and how, besides the data and the seed.
#[derive(Clone, Copy, Debug)]
pub struct Recipe<'a> {
    /// What all phases share.
    pub train: &'a TrainConfig,
    /// The phases, in order.
    pub phases: &'a [Phase],
    /// The noise that becomes text.
    pub noise: &'a NoiseConfig,
    /// The generator's network.
    pub generator: &'a GeneratorConfig,
    /// The discriminator's network; `None` for runs that only maximise likelihood.
    pub discriminator: Option<&'a DiscriminatorConfig>,
}

/// A run under way.
pub(crate) struct Run<'a> {
    pub recipe: Recipe<'a>,
    pub game: Game<'a>,
    pub state: State,
    out: &'a Path,
    key: Key,
    progress: &'a dyn Progress,
    held_out: HeldOut,
    checkpoints: Checkpoints,
    /// Name of the newest checkpoint.
    latest: String,
    record: Record,
    /// What belongs to the phase at hand.
    course: Option<Course>,
}

/// What a phase needs while it lasts.
struct Course {
    /// Its length in steps.
    steps: u64,
    generator: Side,
    discriminator: Side,
}

/// A player's own part of a phase.
struct Side {
    batches: Batches,
    /// Absent while the player rests.
    optimizer: Option<Optimizer>,
    /// Absent where the weights themselves are what is wanted.
    average: Option<Average>,
}

impl<'a> Run<'a> {
    /// The phase at hand, or `None` when all are done.
    pub fn phase(&self) -> Option<&'a Phase> {
        self.recipe.phases.get(self.state.phase)
    }

    /// The next update of `player`: what it reads and the name of what it draws.
    pub fn turn(&mut self, player: Player) -> Result<Turn> {
        let key = self.phase_key();
        match &mut self.course {
            Some(course) => course.turn(player, &self.state, &key, self.game.data),
            None => unreachable!("a phase is under way"),
        }
    }

    /// Descends `loss`: one step of the optimizer of `player`, and of no other. The graph ends here.
    pub fn apply(&mut self, player: Player, loss: Loss) -> Result<()> {
        let value = f64::from(loss.value.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(self.non_finite(format!("the {player:?} loss").to_lowercase()));
        }
        let gradients = loss.value.backward()?;
        let Some(phase) = self.phase() else { return Ok(()) };
        let objective = phase.objective();
        let (_, full_rate) = objective.optimizer(player);
        let fraction = objective.schedule().fraction(self.state.phase_step, self.course().steps);
        let rate = full_rate * fraction * self.state.learning_rate_scale;
        let clip = objective.weight_clip();
        let Some(optimizer) = &mut self.course().side(player).optimizer else { return Ok(()) };
        let stats = match optimizer.step(&gradients, rate as f32) {
            Err(textgan_nn::Error::NonFinite { name, .. }) => {
                return Err(
                    self.non_finite(format!("the {player:?} gradient (of {name})").to_lowercase())
                );
            }
            stats => stats?,
        };
        let norm = f64::from(stats.grad_norm);
        let updates = match player {
            Player::Generator => self.state.generator_updates,
            Player::Discriminator => self.state.discriminator_updates,
        };
        match player {
            Player::Generator => {
                self.state.generator_updates += 1;
                self.state.moving_average = loss.moving_average;
                if let Some(lag) = phase.rollout_lag() {
                    self.game.follow(lag)?;
                }
                self.state.interval.add("generator_gradient_norm", norm);
                self.state.interval.add("learning_rate", rate);
            }
            Player::Discriminator => {
                self.state.discriminator_updates += 1;
                self.state.interval.add("discriminator_gradient_norm", norm);
                if let Some(clip) = clip {
                    clip_weights(self.game.judges().learning.parameters(), clip)?;
                }
            }
        }
        if let Some(average) = &self.course().side(player).average {
            average.update(updates)?;
        }
        self.state.note(&loss.facts);
        Ok(())
    }

    /// Counts a finished step, and logs the steps since the last line when it is time; what the
    /// phase leaves over is logged at its end.
    pub fn finish_step(&mut self) -> Result<()> {
        self.state.step += 1;
        self.state.phase_step += 1;
        if self.state.phase_step.is_multiple_of(self.recipe.train.log_every) {
            let means = std::mem::take(&mut self.state.interval).means();
            self.log("train", None, &means)?;
        }
        Ok(())
    }

    /// Whether a checkpoint is due after this step.
    pub fn checkpoint_is_due(&mut self) -> bool {
        self.state.phase_step.is_multiple_of(self.recipe.train.checkpoint_every)
            || self.state.phase_step == self.course().steps
    }

    /// Whether the phase has made all its steps.
    pub fn is_at_limit(&mut self) -> bool {
        self.state.phase_step >= self.course().steps
    }

    /// Steps until the phase's limit.
    pub fn steps_left(&mut self) -> u64 {
        self.course().steps.saturating_sub(self.state.phase_step)
    }

    /// The folder of the newest checkpoint.
    pub fn latest_checkpoint(&self) -> PathBuf {
        self.checkpoints.path(&self.latest)
    }

    /// Writes a checkpoint of this step and lets the older ones go. `scheduled` ones count among
    /// those that are kept; others stay only until the next.
    pub fn checkpoint(&mut self, scheduled: bool) -> Result<()> {
        let name = format!("step-{:06}", self.state.step);
        if scheduled {
            let keep = self.recipe.train.keep_checkpoints.max(1);
            self.state.checkpoints.push(name.clone());
            let surplus = self.state.checkpoints.len().saturating_sub(keep);
            self.state.checkpoints.drain(..surplus);
        }
        self.write_latest(name)
    }

    /// Saves where the run is and says so.
    pub fn interrupt(&mut self) -> Error {
        let name = format!("step-{:06}", self.state.step);
        let begun = self.state.phase_step == 0 || self.latest == name;
        if !begun && let Err(error) = self.checkpoint(false) {
            return error;
        }
        Error::Interrupted { step: self.state.step, checkpoint: self.latest_checkpoint() }
    }

    fn write_latest(&mut self, name: String) -> Result<()> {
        self.state.written = self.record.sync()?;
        let contents = |folder: &Path| self.save_all(folder);
        self.checkpoints.write(&name, Some(&self.state), contents)?;
        self.checkpoints.set_latest(&name, &self.state)?;
        self.latest = name;
        Ok(())
    }

    /// Everything that a run goes on from.
    fn save_all(&self, folder: &Path) -> Result<()> {
        self.save_networks(folder)?;
        self.save_companions(folder)
    }

    /// Weights of all networks.
    fn save_networks(&self, folder: &Path) -> Result<()> {
        for (name, parameters) in self.game.networks() {
            parameters.save(&folder.join(format!("{name}.safetensors")))?;
        }
        Ok(())
    }

    /// The rollout policy, averages of weights, and moments of the optimizers that have moved.
    fn save_companions(&self, folder: &Path) -> Result<()> {
        if let Some(policy) = &self.game.rollout_policy {
            policy.parameters().save(&folder.join(ROLLOUT_POLICY))?;
        }
        for (name, side) in self.course.iter().flat_map(Course::sides) {
            if let Some(optimizer) = &side.optimizer
                && optimizer.steps() > 0
            {
                optimizer.save(&folder.join(format!("{name}-optimizer.safetensors")))?;
            }
            if let Some(average) = &side.average {
                average.mean.save(&folder.join(format!("{name}-average.safetensors")))?;
            }
        }
        Ok(())
    }

    /// Puts back what [`save_networks`](Self::save_networks) wrote to checkpoint `name`.
    fn load_networks(&mut self, name: &str) -> Result<()> {
        let folder = self.checkpoints.path(name);
        for (name, parameters) in self.game.networks() {
            parameters.load(&folder.join(format!("{name}.safetensors")))?;
        }
        Ok(())
    }

    /// Calls `f` while the networks have their averaged weights, those of them that have such.
    fn with_averages<R>(&mut self, f: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        self.swap_averages()?;
        let result = f(self);
        self.swap_averages()?;
        result
    }

    /// Exchanges the weights with their averages.
    fn swap_averages(&self) -> Result<()> {
        for (_, side) in self.course.iter().flat_map(Course::sides) {
            if let Some(average) = &side.average {
                average.learning.swap(&average.mean)?;
            }
        }
        Ok(())
    }

    fn log(
        &mut self,
        event: &str,
        note: Option<&str>,
        values: &BTreeMap<String, f64>,
    ) -> Result<()> {
        let (phase, step, phase_step) = (self.state.phase, self.state.step, self.state.phase_step);
        let kind = self.phase().map_or("", Phase::kind);
        self.record.line(&Line { event, phase, kind, step, phase_step, note, values })
    }

    fn non_finite(&self, what: String) -> Error {
        Error::NonFinite {
            what,
            step: self.state.step,
            phase: self.state.phase + 1,
            kind: self.phase().map_or("", Phase::kind),
            checkpoint: self.latest_checkpoint(),
        }
    }

    fn phase_key(&self) -> Key {
        self.key.child("phase").index(self.state.phase as u64)
    }

    /// What belongs to the phase at hand.
    ///
    /// # Panics
    /// If there is no such phase: the loop asks only inside one.
    fn course(&mut self) -> &mut Course {
        match &mut self.course {
            Some(course) => course,
            None => unreachable!("a phase is under way"),
        }
    }
}

impl Course {
    /// The next update of `player`, where `state` says how many there have been; `key` is the
    /// phase's.
    fn turn(
        &mut self,
        player: Player,
        state: &State,
        key: &Key,
        data: &TrainData<'_>,
    ) -> Result<Turn> {
        let (number, name) = match player {
            Player::Generator => (state.generator_updates, "generator"),
            Player::Discriminator => (state.discriminator_updates, "discriminator"),
        };
        let rows = self.side(player).batches.batch(number);
        Ok(Turn {
            key: key.child(name).index(number),
            step: state.phase_step,
            steps: self.steps,
            real: data.sequences(rows.iter().map(|&row| &data.train[row]))?,
            moving_average: state.moving_average,
            player,
        })
    }

    fn side(&mut self, player: Player) -> &mut Side {
        match player {
            Player::Generator => &mut self.generator,
            Player::Discriminator => &mut self.discriminator,
        }
    }

    fn sides(&self) -> impl Iterator<Item = (&'static str, &Side)> {
        [("generator", &self.generator), ("discriminator", &self.discriminator)].into_iter()
    }
}

/// Keeps every weight within `bound` of 0.
fn clip_weights(parameters: &Parameters, bound: f64) -> Result<()> {
    for (_, variable) in parameters.iter() {
        variable.set(&variable.as_detached_tensor().clamp(-bound, bound)?)?;
    }
    Ok(())
}
