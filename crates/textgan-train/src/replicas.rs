//! Replicas of a step: parts of a batch that are worked on beside each other, and meet where weights move.
//!
//! How many there are is part of the config (`train.replicas`) and so of the bits; how many processes share them out is
//! not. A process runs those that are its own in threads of their own, as many as there are for each. Each makes the whole step, on its part of the real
//! texts and with samples, noise and memory of its own; where one descends a loss it waits for the others, whose
//! gradients are added in the order of the replicas, whoever worked them out, and every process makes the same update.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use candle_core::{Device, Tensor};
use rayon::ThreadPool;
use rayon::prelude::*;
use textgan_artifact::Team;
use textgan_nn::{STACK, StepStats};
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
enum Brought {
    /// Gradients of a loss, in the order of the parameters, or nothing of one that is no number.
    Loss { update: Move, gradients: Option<Vec<Tensor>> },
    /// Nothing: it waits for the others.
    Nothing,
}

/// An update of a learner.
#[derive(Clone, Copy, PartialEq)]
struct Move {
    side: usize,
    rate: f64,
    /// How many there were before.
    number: u64,
}

/// What came of a meeting.
#[derive(Clone)]
pub(crate) enum Outcome {
    /// An update was made.
    Moved(StepStats),
    /// A replica's loss, or a gradient, was no number, and nothing was done.
    NoNumber(String),
    /// All have come.
    Met,
}

/// The threads of each replica of this process: none where it is one alone, which has those of who calls.
pub(crate) struct Crew(Vec<ThreadPool>);

impl Crew {
    /// Shares the threads out over `replicas`.
    pub fn new(replicas: usize) -> Result<Self> {
        let threads = rayon::current_num_threads().div_ceil(replicas.max(1));
        let pool =
            |_| rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK).build();
        let replicas = if replicas > 1 { replicas } else { 0 };
        let pools = (0..replicas).map(pool).collect::<std::result::Result<_, _>>();
        pools.map(Self).map_err(|error| Error::Train {
            problem: format!("{replicas} replicas cannot have {threads} threads each: {error}"),
        })
    }
}

impl<'m> Meeting<'m> {
    /// A place for so many replicas, of which these are this process's.
    pub fn new(team: &'m Team, all: usize, here: usize, sides: Vec<Side>) -> Self {
        let inside = Inside {
            sides,
            brought: (0..here).map(|_| None).collect(),
            left: 0,
            over: 0,
            outcome: Outcome::Met,
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

    /// Calls `step` for each replica of this process, beside each other. Whoever calls this makes the updates that they
    /// come for.
    ///
    /// # Errors
    /// The first replica's that could not make its step.
    pub fn run<R: Send>(
        &self,
        crew: &Crew,
        replicas: &mut [Replica],
        step: impl Fn(usize, &mut Replica) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        if let [only] = replicas {
            return Ok(vec![step(0, only)?]);
        }
        let mut made: Vec<Option<Result<R>>> = replicas.iter().map(|_| None).collect();
        let works = crew.0.iter().zip(replicas).zip(&mut made).enumerate();
        let works = works.map(|(place, ((pool, replica), made))| {
            let step = &step;
            let work = move || {
                let _present = Present(self);
                *made = Some(step(place, replica));
            };
            (pool, work)
        });
        let failed = beside_each_other(works.collect(), || self.preside());
        // Who waited in vain knows less than who made them wait.
        let waited = |error: &Error| matches!(error, Error::Apart);
        let mut errors = Vec::from_iter(failed.err());
        let mut found = Vec::with_capacity(made.len());
        for made in made.into_iter().flatten() {
            match made {
                Ok(made) => found.push(made),
                Err(error) => errors.push(error),
            }
        }
        let first = errors.iter().position(|error| !waited(error)).unwrap_or(0);
        match errors.is_empty() {
            true => Ok(found),
            false => Err(errors.swap_remove(first)),
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
    /// their mean, at `scale` times its full learning rate, which is returned too. It is the update of this `number`.
    ///
    /// # Errors
    /// When the replicas have not all come with the same, or one of them cannot come.
    pub fn descend(
        &self,
        place: usize,
        loss: &Tensor,
        side: usize,
        scale: f64,
        number: u64,
    ) -> Result<(f64, Outcome)> {
        let rate = self.inside().sides[side].learner.learning_rate * scale;
        let gradients = match loss.to_scalar::<f32>()?.is_finite() {
            false => None,
            true => {
                let gradients = loss.backward()?;
                Some(self.inside().sides[side].optimizer.gradients(&gradients)?)
            }
        };
        let update = Move { side, rate, number };
        Ok((rate, self.meet(place, Brought::Loss { update, gradients })?))
    }

    /// Waits until all replicas have come, and has `work` done once in each process before any of them goes on.
    ///
    /// # Errors
    /// What `work` says, or when the replicas have not all come for it.
    pub fn once(&self, place: usize, work: impl FnOnce() -> Result<()>) -> Result<()> {
        self.meet(place, Brought::Nothing)?;
        if place == 0 {
            work()?;
        }
        self.meet(place, Brought::Nothing).map(|_| ())
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'i>(&self, inside: MutexGuard<'i, Inside>) -> MutexGuard<'i, Inside> {
        self.moved.wait(inside).unwrap_or_else(PoisonError::into_inner)
    }

    /// Comes to a meeting, and stays until it is over.
    fn meet(&self, place: usize, brought: Brought) -> Result<Outcome> {
        let mut inside = self.inside();
        if self.here == 1 {
            return self.act(&mut inside, vec![brought]);
        }
        let meeting = inside.over;
        inside.brought[place] = Some(brought);
        self.moved.notify_all();
        while inside.over == meeting {
            if inside.broken {
                return Err(Error::Apart);
            }
            inside = self.wait(inside);
        }
        Ok(inside.outcome.clone())
    }

    /// Acts for all who have come, at each meeting, until all have left.
    fn preside(&self) -> Result<()> {
        let mut inside = self.inside();
        while inside.left < self.here {
            let come = inside.brought.iter().flatten().count();
            if come == 0 || come + inside.left < self.here || inside.broken {
                inside = self.wait(inside);
                continue;
            }
            let brought: Vec<Brought> =
                inside.brought.iter_mut().filter_map(Option::take).collect();
            // Nobody comes any more to those who wait for one that has left.
            let outcome = match come == self.here && alike(&brought) {
                true => self.act(&mut inside, brought),
                false => Err(Error::Apart),
            };
            match outcome {
                Ok(outcome) => {
                    inside.outcome = outcome;
                    inside.over += 1;
                    self.moved.notify_all();
                }
                Err(error) => {
                    inside.broken = true;
                    self.moved.notify_all();
                    while inside.left < self.here {
                        inside = self.wait(inside);
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn act(&self, inside: &mut Inside, brought: Vec<Brought>) -> Result<Outcome> {
        let mut update = None;
        let mut gradients = Vec::with_capacity(brought.len());
        for brought in brought {
            if let Brought::Loss { update: wanted, gradients: found } = brought {
                update = Some(wanted);
                gradients.extend(found);
            }
        }
        let Some(Move { side, rate, number }) = update else { return Ok(Outcome::Met) };
        let side = &mut inside.sides[side];
        let meeting = format!("update {number} of {}", side.learner.name);
        if self.team.any(&meeting, gradients.len() < self.here)? {
            return Ok(Outcome::NoNumber("loss".to_owned()));
        }
        let mean = match gradients.pop() {
            Some(only) if self.all == 1 => only,
            last => {
                gradients.extend(last);
                mean(self.team, &meeting, self.all, &gradients)?
            }
        };
        let stats = match side.optimizer.descend(&mean, rate as f32) {
            Err(textgan_nn::Error::NonFinite { name, .. }) => {
                return Ok(Outcome::NoNumber(format!("gradient (of {name})")));
            }
            stats => stats?,
        };
        if side.learner.bounds != Bounds::default() {
            keep_within(side.learner.bounds, &side.learner.parameters)?;
        }
        if let Some(average) = &side.average {
            average.update(number)?;
        }
        Ok(Outcome::Moved(stats))
    }
}

/// Does each work in its pool, and `meanwhile` here.
fn beside_each_other<W: FnOnce() + Send, R>(
    mut works: Vec<(&ThreadPool, W)>,
    meanwhile: impl FnOnce() -> R,
) -> R {
    match works.pop() {
        None => meanwhile(),
        Some((pool, work)) => pool.in_place_scope(|scope| {
            scope.spawn(|_| work());
            beside_each_other(works, meanwhile)
        }),
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

/// Whether all have come for the same.
fn alike(brought: &[Brought]) -> bool {
    let update = |brought: &Brought| match brought {
        Brought::Loss { update, .. } => Some(*update),
        Brought::Nothing => None,
    };
    brought.windows(2).all(|pair| update(&pair[0]) == update(&pair[1]))
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
