//! A run under way: the networks, where it is, and the files it grows.

mod begin;
mod measure;
mod phase;
mod resume;
#[cfg(test)]
mod tests;

pub use resume::extend;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use textgan_artifact::{Progress, Team};
use textgan_nn::Optimizer;
use textgan_random::Key;

use crate::algorithm::{Algorithm, Learner};
use crate::average::Average;
use crate::batches::Batches;
use crate::checkpoint::Checkpoints;
use crate::config::ScheduleConfig;
use crate::evaluation::HeldOut;
use crate::meter::Meter;
use crate::networks::Networks;
use crate::objective::{Plan, PlannedPhase};
use crate::record::{Line, Record};
use crate::replicas::{Crew, Meeting};
use crate::state::{Facts, Replica, State};
use crate::step::{Moment, Step};
use crate::{Error, Result};

/// A run under way.
pub(crate) struct Run<'a> {
    pub plan: &'a Plan<'a>,
    pub networks: Networks<'a>,
    pub state: State,
    team: &'a Team,
    crew: Crew,
    out: &'a Path,
    key: Key,
    progress: &'a dyn Progress,
    held_out: HeldOut,
    checkpoints: Checkpoints,
    /// Name of the newest checkpoint.
    latest: String,
    /// Of who leads the team.
    record: Option<Record>,
}

/// A phase under way.
pub(crate) struct Current<'a> {
    pub planned: PlannedPhase<'a>,
    algorithm: Box<dyn Algorithm>,
    pub course: Course,
    pub meter: Meter,
}

/// What moves in a phase, and for how long.
pub(crate) struct Course {
    /// The `kind` of the phase.
    pub kind: &'static str,
    /// Its length in steps, all rounds together.
    pub steps: u64,
    /// The length of its first round, which is all where it has no other.
    pub round: u64,
    /// How the learning rates move.
    pub schedule: ScheduleConfig,
    /// The learners.
    pub sides: Vec<Side>,
}

/// A learner's own part of a phase.
pub(crate) struct Side {
    pub learner: Learner,
    pub batches: Batches,
    pub optimizer: Optimizer,
    /// Absent where the weights themselves are what is wanted.
    pub average: Option<Average>,
}

impl<'a> Run<'a> {
    /// The phase at hand, or `None` when all are done.
    pub fn planned(&self) -> Option<PlannedPhase<'a>> {
        self.plan.phases.get(self.state.phase).copied()
    }

    /// One step of the phase.
    pub fn step(&mut self, phase: &mut Current<'a>) -> Result<()> {
        let course = &mut phase.course;
        let (step, phase_step) = (self.state.step, self.state.phase_step);
        let rounds = phase.planned.settings.converge.is_some();
        let follows_length = rounds || course.schedule.follows_length();
        let moment = Moment {
            key: self.phase_key(),
            phase: self.state.phase,
            kind: course.kind,
            step,
            phase_step,
            steps: course.steps,
            follows_length: AtomicBool::new(follows_length),
            scale: course.fraction(phase_step) * self.state.learning_rate_scale,
            gate_open: self.state.gate_open,
            checkpoint: &self.latest_checkpoint(),
        };
        let all = self.state.replicas.len();
        let ours = self.team.part(self.team.rank(), all);
        let sides = std::mem::take(&mut course.sides);
        let meeting = Meeting::new(self.team, (all, ours.len()), &self.crew, sides);
        let (networks, algorithm) = (&self.networks, phase.algorithm.as_ref());
        let (updates, meter) = (&self.state.updates, Mutex::new(Some(&mut phase.meter)));
        let replicas = &mut self.state.replicas[ours.clone()];
        let made = meeting.run(&self.crew, replicas, |place, replica| {
            let mut meter = meter.lock().unwrap_or_else(PoisonError::into_inner);
            let mut step = Step {
                networks,
                moment: &moment,
                meeting: &meeting,
                place,
                replica_number: ours.start + place,
                replica,
                updates: updates.clone(),
                meter: meter.take_if(|_| place == 0),
            };
            drop(meter);
            algorithm.step(&mut step)?;
            Ok(step.updates)
        });
        phase.course.sides = meeting.into_sides();
        self.state.updates = made?.swap_remove(0);
        self.state.follows_length |= moment.follows_length.into_inner();
        self.state.step += 1;
        self.state.phase_step += 1;
        if self.state.phase_step.is_multiple_of(self.plan.train.log_every) {
            let means = self.take_means()?;
            self.log("train", None, &means)?;
        }
        Ok(())
    }

    /// Whether a checkpoint is due after this step.
    pub fn checkpoint_is_due(&self, phase: &Current<'_>) -> bool {
        self.state.phase_step.is_multiple_of(self.plan.train.checkpoint_every)
            || self.state.phase_step == phase.course.steps
    }

    /// Whether the phase has made all its steps.
    pub fn is_at_limit(&self, phase: &Current<'_>) -> bool {
        self.state.phase_step >= phase.course.steps
    }

    /// Steps until the phase's limit.
    pub fn steps_left(&self, phase: &Current<'_>) -> u64 {
        phase.course.steps.saturating_sub(self.state.phase_step)
    }

    /// The folder of the newest checkpoint.
    pub fn latest_checkpoint(&self) -> PathBuf {
        self.checkpoints.path(&self.latest)
    }

    /// Writes a checkpoint of this step and lets the older ones go. `scheduled` ones count among
    /// those that are kept; others stay only until the next.
    pub fn checkpoint(&mut self, phase: &Current<'_>, scheduled: bool) -> Result<()> {
        let name = format!("step-{:06}", self.state.step);
        // Those of controls let none of what they control go.
        if scheduled && phase.planned.control.is_none() {
            let keep = self.plan.train.keep_checkpoints.max(1);
            self.state.checkpoints.push(name.clone());
            let surplus = self.state.checkpoints.len().saturating_sub(keep);
            self.state.checkpoints.drain(..surplus);
        }
        self.write_latest(name, |run, folder| {
            run.save_networks(folder)?;
            run.save_companions(folder, &phase.course)
        })
    }

    /// Saves where the run is and says so.
    pub fn interrupt(&mut self, phase: &Current<'_>) -> Error {
        let name = format!("step-{:06}", self.state.step);
        let begun = self.state.phase_step == 0 || self.latest == name;
        if !begun && let Err(error) = self.checkpoint(phase, false) {
            return error;
        }
        Error::Interrupted { step: self.state.step, checkpoint: self.latest_checkpoint() }
    }

    fn write_latest(
        &mut self,
        name: String,
        save: impl FnOnce(&Self, &Path) -> Result<()>,
    ) -> Result<()> {
        self.gather_replicas()?;
        if let Some(record) = &mut self.record {
            self.state.written = record.sync()?;
        }
        self.check_alike()?;
        if self.team.leads() {
            let contents = |folder: &Path| save(self, folder);
            self.checkpoints.write(&name, Some(&self.state), contents)?;
            self.checkpoints.set_latest(&name, &self.state)?;
        }
        // Whoever reads it reads it whole.
        self.team.wait(&format!("checkpoint {name}"))?;
        self.latest = name;
        Ok(())
    }

    /// Makes the replicas of other processes what they are there.
    fn gather_replicas(&mut self) -> Result<()> {
        if self.team.size() > 1 {
            let ours = self.team.part(self.team.rank(), self.state.replicas.len());
            let ours: Vec<Replica> = self.state.replicas[ours].to_vec();
            let all = self.team.share("replicas", ours)?;
            self.state.replicas = all.into_iter().flatten().collect();
        }
        Ok(())
    }

    /// The means of what all replicas took note of since the last line of the log.
    fn take_means(&mut self) -> Result<BTreeMap<String, f64>> {
        self.gather_notes()?;
        Ok(self.state.take_means())
    }

    /// Makes what the replicas of other processes took note of what it is there.
    fn gather_notes(&mut self) -> Result<()> {
        if self.team.size() > 1 {
            let ours = self.team.part(self.team.rank(), self.state.replicas.len());
            let note = |replica: &Replica| (replica.interval.clone(), replica.accuracy);
            let ours: Vec<(Facts, Option<f64>)> =
                self.state.replicas[ours].iter().map(note).collect();
            let all = self.team.share("notes", ours)?;
            for (replica, (interval, accuracy)) in
                self.state.replicas.iter_mut().zip(all.into_iter().flatten())
            {
                (replica.interval, replica.accuracy) = (interval, accuracy);
            }
        }
        Ok(())
    }

    /// Refuses to go on where the processes of a team have come to different weights: all made the same updates of the
    /// same sums, so one of them computes otherwise.
    fn check_alike(&self) -> Result<()> {
        if self.team.size() == 1 {
            return Ok(());
        }
        let mut hasher = blake3::Hasher::new();
        let networks = self.networks.lasting().into_iter().chain(self.networks.passing());
        for (_, parameters) in networks {
            for (_, weights) in parameters.iter() {
                for value in weights.flatten_all()?.to_vec1::<f32>()? {
                    hasher.update(&value.to_le_bytes());
                }
            }
        }
        let all = self.team.share("weights", hasher.finalize().to_hex().to_string())?;
        match all.iter().position(|other| *other != all[0]) {
            None => Ok(()),
            Some(rank) => Err(Error::Train {
                problem: format!(
                    "process {rank} has come to other weights than process 0 at step {}: their memory or processors are not \
                     to be relied on",
                    self.state.step
                ),
            }),
        }
    }

    /// Weights of all networks.
    fn save_networks(&self, folder: &Path) -> Result<()> {
        for (name, parameters) in self.networks.lasting() {
            parameters.save(&folder.join(format!("{name}.safetensors")))?;
        }
        Ok(())
    }

    /// Networks of this phase alone, averages of weights, and moments of the optimizers that have
    /// moved.
    fn save_companions(&self, folder: &Path, course: &Course) -> Result<()> {
        for (name, parameters) in self.networks.passing() {
            parameters.save(&folder.join(format!("{name}.safetensors")))?;
        }
        for side in &course.sides {
            let name = side.learner.name;
            if side.optimizer.steps() > 0 {
                side.optimizer.save(&folder.join(format!("{name}-optimizer.safetensors")))?;
            }
            if let Some(average) = &side.average {
                average.mean.save(&folder.join(format!("{name}-average.safetensors")))?;
            }
        }
        Ok(())
    }

    /// Puts back what [`save_networks`](Self::save_networks) wrote to checkpoint `name`. A network that
    /// the run had not yet, before it was given more phases, begins with the weights of its name.
    fn load_networks(&mut self, name: &str) -> Result<()> {
        self.checkpoints.verify(name)?;
        let folder = self.checkpoints.path(name);
        for (name, parameters) in self.networks.lasting() {
            let path = folder.join(format!("{name}.safetensors"));
            if path.exists() {
                parameters.load(&path)?;
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
        let kind = self.planned().map_or("", |phase| phase.objective.kind());
        let state = &mut self.state;
        let new = |name: &&str| !state.explained.contains(*name);
        let kind_of = |name| Some((name, *state.metrics.get(name)?));
        let kinds: BTreeMap<&str, _> =
            values.keys().map(String::as_str).filter(new).filter_map(kind_of).collect();
        state.explained.extend(kinds.keys().map(|&name| name.to_owned()));
        match &mut self.record {
            Some(record) => {
                record.line(&Line { event, phase, kind, step, phase_step, note, values, kinds })
            }
            None => Ok(()),
        }
    }

    fn phase_key(&self) -> Key {
        self.key.child("phase").index(self.state.phase as u64)
    }
}

impl Course {
    /// The fraction of the full learning rates at a step: each round has the schedule anew.
    pub fn fraction(&self, step: u64) -> f64 {
        let (first, length) = self.round_of(step);
        self.schedule.fraction(step - first, length)
    }

    /// The first step of the round that `step` is in, and the round's length: rounds end at `round`,
    /// and at twice, four times, .. as much.
    fn round_of(&self, step: u64) -> (u64, u64) {
        let mut end = self.round;
        if step < end || end == 0 {
            return (0, self.round);
        }
        while step >= end * 2 && end * 2 < self.steps {
            end *= 2;
        }
        (end, end)
    }

    /// Whether a round after the first, or the first, is over after `steps`.
    pub fn ends_round(&self, steps: u64) -> bool {
        let mut end = self.round;
        while end < steps {
            end *= 2;
        }
        steps > 0 && steps == end
    }

    /// Calls `f` while the networks have their averaged weights, those of them that have such.
    pub fn with_averages<R>(&self, f: impl FnOnce() -> Result<R>) -> Result<R> {
        self.swap_averages()?;
        let result = f();
        self.swap_averages()?;
        result
    }

    /// Exchanges the weights with their averages.
    pub fn swap_averages(&self) -> Result<()> {
        for side in &self.sides {
            if let Some(average) = &side.average {
                average.learning.swap(&average.mean)?;
            }
        }
        Ok(())
    }
}
