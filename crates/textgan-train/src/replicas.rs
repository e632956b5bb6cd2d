//! Replicas of a step: parts of a batch that are worked on beside each other, and meet where weights move.
//!
//! How many there are is part of the config (`train.replicas`) and so of the bits; how many processes share them out is
//! not. A process runs those that are its own in threads of their own, as many as there are for each. Each makes the whole step, on its part of the real
//! texts and with samples, noise and memory of its own; where one descends a loss it waits for the others, whose
//! gradients are added in the order of the replicas, whoever worked them out, and every process makes the same update.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use candle_core::{Device, Storage, Tensor};
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
    /// How many of them may work at once.
    at_once: usize,
    inside: Mutex<Inside>,
    moved: Condvar,
}

struct Inside {
    sides: Vec<Side>,
    /// What has been brought so far, by replica of this process.
    brought: Vec<Option<Brought>>,
    /// Replicas that work, and do not wait.
    working: usize,
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
pub(crate) struct Crew {
    pools: Vec<ThreadPool>,
    /// How many of them may work at once: where there are more replicas than threads, some wait.
    at_once: usize,
}

impl Crew {
    /// Shares the threads out over `replicas`.
    pub fn new(replicas: usize) -> Result<Self> {
        let all = rayon::current_num_threads();
        let each = (all / replicas.max(1)).max(1);
        let pool = |_| rayon::ThreadPoolBuilder::new().num_threads(each).stack_size(STACK).build();
        let count = if replicas > 1 { replicas } else { 0 };
        let pools = (0..count).map(pool).collect::<std::result::Result<_, _>>();
        let pools = pools.map_err(|error| Error::Train {
            problem: format!("{replicas} replicas cannot have {each} threads each: {error}"),
        })?;
        Ok(Self { pools, at_once: all.min(replicas).max(1) })
    }
}

impl<'m> Meeting<'m> {
    /// A place for so many replicas, of which these are this process's, and its crew's.
    pub fn new(team: &'m Team, (all, here): (usize, usize), crew: &Crew, sides: Vec<Side>) -> Self {
        let inside = Inside {
            sides,
            brought: (0..here).map(|_| None).collect(),
            working: 0,
            left: 0,
            over: 0,
            outcome: Outcome::Met,
            broken: false,
        };
        let (inside, at_once) = (Mutex::new(inside), crew.at_once);
        Self { team, all, here, at_once, inside, moved: Condvar::new() }
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
        let works = crew.pools.iter().zip(replicas).zip(&mut made).enumerate();
        let works = works.map(|(place, ((pool, replica), made))| {
            let step = &step;
            let work = move || {
                let _present = Present::of(self);
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

    /// Waits until all replicas of this process have come, and has `work` done once before any of them goes on.
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
        inside.working -= 1;
        self.moved.notify_all();
        while inside.over == meeting && !inside.broken {
            inside = self.wait(inside);
        }
        let met = inside.over > meeting;
        self.work(inside);
        if met { Ok(self.inside().outcome.clone()) } else { Err(Error::Apart) }
    }

    /// Waits until there is a thread for one more.
    fn work(&self, mut inside: MutexGuard<'_, Inside>) {
        while inside.working == self.at_once {
            inside = self.wait(inside);
        }
        inside.working += 1;
    }

    /// Acts for all who have come, at each meeting, until all have left.
    fn preside(&self) -> Result<()> {
        // Should this panic, those who wait are let go; the lock is given back before.
        let _guard = LetGo(self);
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

/// Lets the replicas go where whoever acts for them panics.
struct LetGo<'p, 'm>(&'p Meeting<'m>);

impl Drop for LetGo<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.inside().broken = true;
            self.0.moved.notify_all();
        }
    }
}

/// A replica that comes to meetings, until it has made its step, or failed, or panicked.
struct Present<'p, 'm>(&'p Meeting<'m>);

impl<'p, 'm> Present<'p, 'm> {
    fn of(meeting: &'p Meeting<'m>) -> Self {
        meeting.work(meeting.inside());
        Self(meeting)
    }
}

impl Drop for Present<'_, '_> {
    fn drop(&mut self) {
        let mut inside = self.0.inside();
        inside.working -= 1;
        inside.left += 1;
        drop(inside);
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
    let Some(first) = ours.first() else { return Ok(Vec::new()) };
    let sums: Vec<Vec<f32>> = match team.size() {
        1 => {
            let sum_of = |weights: usize| {
                let parts = ours.iter().map(|gradients| &gradients[weights]);
                slices(parts, |parts| sum(parts, replicas))
            };
            (0..first.len()).into_par_iter().map(sum_of).collect::<Result<_>>()?
        }
        _ => {
            let sums = sum_in_team(team, meeting, replicas, ours)?;
            let mut rest = &sums[..];
            let part = |weights: &Tensor| {
                let (part, after) = rest.split_at(weights.elem_count());
                rest = after;
                part.to_vec()
            };
            first.iter().map(part).collect()
        }
    };
    let shaped = first.iter().zip(sums);
    shaped.map(|(like, sum)| Ok(Tensor::from_vec(sum, like.shape(), &Device::Cpu)?)).collect()
}

/// The mean of all weights behind each other.
fn sum_in_team(
    team: &Team,
    meeting: &str,
    replicas: usize,
    ours: &[Vec<Tensor>],
) -> Result<Vec<f32>> {
    let mut flat = Vec::with_capacity(ours.len());
    for gradients in ours {
        flat.push(slices(gradients.iter(), |slices| slices.concat())?);
    }
    let weights = flat.first().map_or(0, Vec::len);
    let to = |rank: usize| -> Vec<u8> {
        let part = team.part(rank, weights);
        let parts = flat.iter().map(|values| bytemuck::cast_slice(&values[part.clone()]));
        parts.collect::<Vec<&[u8]>>().concat()
    };
    let found = team.exchange(meeting, (0..team.size()).map(to).collect())?;
    let numbers = |bytes: &Vec<u8>| bytemuck::pod_collect_to_vec::<u8, f32>(bytes);
    let found: Vec<Vec<f32>> = found.iter().map(numbers).collect();
    let part = team.part(team.rank(), weights).len();
    let short =
        |(rank, found): &(usize, &Vec<f32>)| found.len() != team.part(*rank, replicas).len() * part;
    if let Some((rank, _)) = found.iter().enumerate().find(short) {
        let problem = "it has come with other gradients".to_owned();
        return Err(textgan_artifact::Error::Teammate { rank, problem }.into());
    }
    // Of each process its replicas', whose number its part of all replicas says.
    let each = found.iter().enumerate().flat_map(|(rank, found)| {
        let theirs = team.part(rank, replicas).len();
        (0..theirs).map(move |at| &found[at * part..][..part])
    });
    let sums = sum(&each.collect::<Vec<_>>(), replicas);
    let all = team.gather(meeting, bytemuck::cast_slice(&sums))?;
    Ok(all.iter().flat_map(numbers).collect())
}

/// Calls `with` with the numbers of tensors that lie in one piece on the CPU.
fn slices<'t, R>(
    tensors: impl Iterator<Item = &'t Tensor>,
    with: impl FnOnce(&[&[f32]]) -> R,
) -> Result<R> {
    let stored: Vec<_> = tensors.map(Tensor::storage_and_layout).collect();
    let mut found = Vec::with_capacity(stored.len());
    for (storage, layout) in &stored {
        match (&**storage, layout.contiguous_offsets()) {
            (Storage::Cpu(values), Some((from, to))) => {
                found.push(&values.as_slice::<f32>()?[from..to]);
            }
            _ => {
                let problem = "a gradient does not lie in one piece on the CPU".to_owned();
                return Err(candle_core::Error::Msg(problem).into());
            }
        }
    }
    Ok(with(&found))
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
