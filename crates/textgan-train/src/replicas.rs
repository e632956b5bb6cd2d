//! Replicas of a step: parts of a batch that are worked on beside each other, and meet where weights move.
//!
//! How many there are is part of the config (`train.replicas`) and so of the bits; how many processes share them out is
//! not. A process runs those that are its own in threads of their own. Each makes the whole step, on its part of the real
//! texts and with samples, noise and memory of its own; where one descends a loss it waits for the others, whose
//! gradients are added in the order of the replicas, whoever worked them out, and every process makes the same update.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use textgan_artifact::Team;
use textgan_nn::StepStats;
use textgan_random::Key;

use crate::algorithm::Bounds;
use crate::run::Side;
use crate::state::Replica;
use crate::step::keep_within;
use crate::{Error, Result};

/// Where the replicas of a process meet, and through it those of all processes.
pub(crate) struct Meeting<'m> {
    team: &'m Team,
    /// Replicas of all processes, and of this one.
    all: usize,
    here: usize,
    inside: Mutex<Inside>,
    moved: Condvar,
}

struct Inside {
    sides: Vec<Side>,
    /// What has been brought so far, by replica of this process.
    brought: Vec<Option<Brought>>,
    /// Replicas that have made their step.
    left: usize,
    /// Meetings that are over.
    over: u64,
    /// What came of the last.
    outcome: Outcome,
    /// One failed: nobody shall wait.
    broken: bool,
}

/// What a replica comes with.
pub(crate) enum Brought {
    /// Gradients of a learner, in the order of its parameters.
    Gradients { side: usize, gradients: Vec<Tensor> },
    /// A loss of a learner that is no number.
    NoNumber { side: usize },
    /// Nothing: something is to be done once.
    Nothing,
}

/// What came of a meeting.
#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    /// An update was made.
    Moved(StepStats),
    /// A replica's loss was no number, and nothing was done.
    NoNumber,
    /// It was done.
    Done,
}

impl<'m> Meeting<'m> {
    /// A place for so many replicas, of which these are this process's.
    pub fn new(team: &'m Team, all: usize, here: usize, sides: Vec<Side>) -> Self {
        let inside = Inside {
            sides,
            brought: (0..here).map(|_| None).collect(),
            left: 0,
            over: 0,
            outcome: Outcome::Done,
            broken: false,
        };
        Self { team, all, here, inside: Mutex::new(inside), moved: Condvar::new() }
    }

    /// The learners again.
    pub fn into_sides(self) -> Vec<Side> {
        self.inside.into_inner().unwrap_or_else(PoisonError::into_inner).sides
    }

    /// How many replicas there are.
    pub fn replicas(&self) -> usize {
        self.all
    }

    /// Calls `step` for each replica of this process, beside each other.
    ///
    /// # Errors
    /// The first replica's that could not make its step.
    pub fn run<R: Send>(
        &self,
        replicas: &mut [Replica],
        step: impl Fn(usize, &mut Replica) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        let one = |(place, replica): (usize, &mut Replica)| {
            let _present = Present(self);
            step(place, replica)
        };
        let mut replicas = replicas.iter_mut().enumerate();
        let Some(first) = replicas.next() else { return Ok(Vec::new()) };
        let made: Vec<Result<R>> = std::thread::scope(|scope| {
            let others: Vec<_> = replicas.map(|replica| scope.spawn(|| one(replica))).collect();
            let first = one(first);
            let others = others.into_iter().map(|thread| match thread.join() {
                Ok(made) => made,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            std::iter::once(first).chain(others).collect()
        });
        // Who waited in vain knows less than who made them wait.
        let waited = |made: &Result<R>| matches!(made, Err(Error::Apart));
        match made.iter().any(|made| made.is_err() && !waited(made)) {
            true => made.into_iter().filter(|made| !waited(made)).collect(),
            false => made.into_iter().collect(),
        }
    }

    /// What a replica of all reads of a learner's batch `number`: every so many rows one, so that where a batch is sorted
    /// by length all read the like.
    pub fn rows(&self, side: usize, number: u64, replica: usize) -> Vec<usize> {
        let rows = self.inside().sides[side].batches.batch(number);
        rows.into_iter().skip(replica).step_by(self.all).collect()
    }

    /// For each of `lengths` a row of like length: see [`Batches::of_lengths`](crate::batches::Batches::of_lengths).
    pub fn rows_of_lengths(
        &self,
        side: usize,
        lengths: impl Iterator<Item = usize>,
        key: &Key,
    ) -> Vec<usize> {
        self.inside().sides[side].batches.of_lengths(lengths, key)
    }

    /// The name of a learner.
    pub fn name(&self, side: usize) -> &'static str {
        self.inside().sides[side].learner.name
    }

    /// The learner of this name: its place.
    pub fn side(&self, name: &str) -> Option<usize> {
        self.inside().sides.iter().position(|side| side.learner.name == name)
    }

    /// Brings the gradients of a loss, or that it is no number, and waits until all have; then the learner moves along
    /// their mean, at `scale` times its full learning rate, which is returned too. `updates` have been made before.
    ///
    /// # Errors
    /// When the replicas have not all come with the same, or one of them cannot come.
    pub fn descend(
        &self,
        place: usize,
        loss: &Tensor,
        side: usize,
        scale: f64,
        updates: u64,
    ) -> Result<(f64, Outcome)> {
        let rate = self.inside().sides[side].learner.learning_rate * scale;
        let brought = match loss.to_scalar::<f32>()?.is_finite() {
            false => Brought::NoNumber { side },
            true => {
                let gradients = loss.backward()?;
                let gradients = self.inside().sides[side].optimizer.gradients(&gradients)?;
                Brought::Gradients { side, gradients }
            }
        };
        let outcome = self.meet(place, brought, |inside, all| {
            self.update(&mut inside.sides[side], all, rate, updates)
        })?;
        Ok((rate, outcome))
    }

    /// Waits until all replicas have come, and has `work` done once in each process.
    ///
    /// # Errors
    /// What `work` says, or when the replicas have not all come for it.
    pub fn once(&self, place: usize, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let outcome = self.meet(place, Brought::Nothing, |_, _| work().map(|()| Outcome::Done));
        outcome.map(|_| ())
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last who comes acts for all.
    fn meet(
        &self,
        place: usize,
        brought: Brought,
        act: impl FnOnce(&mut Inside, Vec<Brought>) -> Result<Outcome>,
    ) -> Result<Outcome> {
        let mut inside = self.inside();
        let meeting = inside.over;
        inside.brought[place] = Some(brought);
        let here = inside.brought.iter().filter(|brought| brought.is_some()).count();
        if here == self.here {
            let brought: Vec<Brought> =
                inside.brought.iter_mut().filter_map(Option::take).collect();
            let outcome = match alike(&brought) {
                true => act(&mut inside, brought),
                false => Err(Error::Apart),
            };
            match &outcome {
                Ok(outcome) => inside.outcome = *outcome,
                Err(_) => inside.broken = true,
            }
            inside.over += u64::from(outcome.is_ok());
            self.moved.notify_all();
            return outcome;
        }
        while inside.over == meeting {
            if inside.broken || here_or_gone(&inside) == self.here {
                inside.broken = true;
                self.moved.notify_all();
                return Err(Error::Apart);
            }
            inside = self.moved.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(inside.outcome)
    }

    fn update(
        &self,
        side: &mut Side,
        brought: Vec<Brought>,
        rate: f64,
        updates: u64,
    ) -> Result<Outcome> {
        let mut gradients = Vec::with_capacity(brought.len());
        for brought in brought {
            if let Brought::Gradients { gradients: of_one, .. } = brought {
                gradients.push(of_one);
            }
        }
        let meeting = format!("update {updates} of {}", side.learner.name);
        if self.team.any(&meeting, gradients.len() < self.here)? {
            return Ok(Outcome::NoNumber);
        }
        let mean = match gradients.pop() {
            Some(only) if self.all == 1 => only,
            last => {
                gradients.extend(last);
                mean(self.team, &meeting, self.all, &gradients)?
            }
        };
        let stats = side.optimizer.descend(&mean, rate as f32)?;
        if side.learner.bounds != Bounds::default() {
            keep_within(side.learner.bounds, &side.learner.parameters)?;
        }
        if let Some(average) = &side.average {
            average.update(updates)?;
        }
        Ok(Outcome::Moved(stats))
    }
}

/// A replica that comes to meetings, until it has made its step, or failed, or panicked.
struct Present<'p, 'm>(&'p Meeting<'m>);

impl Drop for Present<'_, '_> {
    fn drop(&mut self) {
        self.0.inside().left += 1;
        self.0.moved.notify_all();
    }
}

fn here_or_gone(inside: &Inside) -> usize {
    inside.left + inside.brought.iter().flatten().count()
}

/// Whether all have come for the same.
fn alike(brought: &[Brought]) -> bool {
    let side = |brought: &Brought| match brought {
        Brought::Gradients { side, .. } | Brought::NoNumber { side } => Some(*side),
        Brought::Nothing => None,
    };
    brought.windows(2).all(|pair| side(&pair[0]) == side(&pair[1]))
}

/// The mean over all replicas of gradients, those of this process's given: each process adds a part of all weights, in
/// the order of the replicas, and hands its sums around. So no number depends on who added it.
fn mean(team: &Team, meeting: &str, replicas: usize, ours: &[Vec<Tensor>]) -> Result<Vec<Tensor>> {
    let flat = |gradients: &Vec<Tensor>| -> Result<Vec<f32>> {
        let mut values = Vec::new();
        for gradient in gradients {
            values.extend(gradient.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(values)
    };
    let flat = ours.iter().map(flat).collect::<Result<Vec<_>>>()?;
    let weights = flat.first().map_or(0, Vec::len);
    let parts: Vec<_> = (0..team.size()).map(|rank| team.part(rank, weights)).collect();
    let sums = match team.size() {
        1 => sum(&flat.iter().map(Vec::as_slice).collect::<Vec<_>>(), replicas),
        _ => {
            let to = |part: &std::ops::Range<usize>| -> Vec<u8> {
                flat.iter()
                    .flat_map(|values| bytemuck::cast_slice(&values[part.clone()]))
                    .copied()
                    .collect()
            };
            let found = team.exchange(meeting, parts.iter().map(to).collect())?;
            let part = parts[team.rank()].len();
            let found: Vec<f32> = found
                .iter()
                .flat_map(|bytes| bytemuck::pod_collect_to_vec::<u8, f32>(bytes))
                .collect();
            let each: Vec<&[f32]> = (0..replicas).map(|at| &found[at * part..][..part]).collect();
            let sums = sum(&each, replicas);
            let all = team.gather(meeting, bytemuck::cast_slice(&sums))?;
            all.iter().flat_map(|bytes| bytemuck::pod_collect_to_vec::<u8, f32>(bytes)).collect()
        }
    };
    let mut from = 0;
    let shaped = ours.first().into_iter().flatten().map(|gradient| {
        let values = sums[from..from + gradient.elem_count()].to_vec();
        from += values.len();
        Ok(Tensor::from_vec(values, gradient.shape(), &Device::Cpu)?)
    });
    shaped.collect()
}

/// The mean of `values`, each number of it added in their order.
fn sum(values: &[&[f32]], replicas: usize) -> Vec<f32> {
    /// Numbers that one thread adds at a time.
    const PIECE: usize = 1 << 14;
    let share = 1.0 / replicas as f32;
    let mut sums = vec![0.0; values.first().map_or(0, |values| values.len())];
    sums.par_chunks_mut(PIECE).enumerate().for_each(|(piece, sums)| {
        for values in values {
            let values = &values[piece * PIECE..][..sums.len()];
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        sums.iter_mut().for_each(|sum| *sum *= share);
    });
    sums
}
