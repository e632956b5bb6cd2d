//! One step of worker and manager, with the features that a discriminator leaks.

use textgan_nn::kernels::{Packed, Start, Stepper, Strided};

use super::tiled::{StepModel, Tile};
use super::weights::{ConditionWeights, pack, values};
use crate::discriminator::{PrefixReader, PrefixScratch};
use crate::generator::{CODE_EPSILON, Frame, LeakConfig, LeakNetwork, Sizes};
use crate::{Placement, Result};

/// A snapshot of the weights.
///
/// A row remembers a moment after every token, so that any of its prefixes can be continued: the worker's
/// state, the manager's, what the goal set there told the worker, the filters' maxima, and the embedding of the token
/// as filters read it.
pub(crate) struct LeakWeights {
    config: LeakConfig,
    sizes: Sizes,
    condition: ConditionWeights,
    embedding: Vec<f32>,
    reader: PrefixReader,
    worker: Stepper,
    manager: Stepper,
    goal: Packed,
    goal_bias: Vec<f32>,
    told: Packed,
    head: Packed,
    moment: Moment,
}

/// Where the parts of a moment begin, and its size.
struct Moment {
    manager: usize,
    told: usize,
    best: usize,
    token: usize,
    size: usize,
}

/// Buffers of a tile.
#[derive(Default)]
pub(crate) struct Scratch {
    input: Vec<f32>,
    worker: Vec<f32>,
    manager: Vec<f32>,
    best: Vec<f32>,
    features: Vec<f32>,
    goals: Vec<f32>,
    told: Vec<f32>,
    read: Vec<f32>,
    gates: Vec<f32>,
    counts: Vec<usize>,
    prefixes: PrefixScratch,
}

impl LeakWeights {
    pub fn new(frame: &Frame, network: &LeakNetwork) -> Result<Self> {
        let config = network.layout.clone();
        let reader = network.prefix_reader()?;
        let manager = 2 * config.hidden;
        let told = manager + 2 * config.manager;
        let best = told + config.goal;
        let token = best + reader.features();
        let moment = Moment { manager, told, best, token, size: token + reader.embed() };
        let single = |recurrent: &textgan_nn::layers::Recurrent| -> Result<Stepper> {
            Ok(recurrent.steppers()?.remove(0))
        };
        Ok(Self {
            condition: ConditionWeights::new(&frame.conditioning, frame.noise.placement)?,
            embedding: values(&frame.embedding)?,
            reader,
            worker: single(&network.worker)?,
            manager: single(&network.manager)?,
            goal: pack(&[network.goal.weight()])?,
            goal_bias: network.goal.bias().map_or(Ok(Vec::new()), values)?,
            told: pack(&[network.told.weight()])?,
            head: pack(&[&frame.head])?,
            sizes: frame.sizes,
            config,
            moment,
        })
    }

    /// The part of a row's state after `tokens` tokens that begins at `first`.
    fn part<'a>(&self, state: &'a [f32], tokens: usize, first: usize, size: usize) -> &'a [f32] {
        &state[tokens * self.moment.size + first..][..size]
    }
}

/// Makes a goal a unit vector.
fn normalize(goal: &mut [f32]) {
    let square: f32 = goal.iter().map(|x| x * x).sum();
    let length = (square + CODE_EPSILON * goal.len() as f32).sqrt();
    goal.iter_mut().for_each(|x| *x /= length);
}

impl StepModel for LeakWeights {
    type Scratch = Scratch;

    fn vocab_size(&self) -> usize {
        self.sizes.vocab
    }

    fn noise_dimension(&self) -> usize {
        self.condition.noise_dimension()
    }

    fn label_count(&self) -> usize {
        self.sizes.labels
    }

    fn max_length(&self) -> usize {
        self.sizes.max_length
    }

    fn scratch(&self, _rows: usize) -> Scratch {
        Scratch::default()
    }

    fn condition_size(&self) -> usize {
        self.config.condition_width(self.condition.placement())
    }

    fn state_size(&self) -> usize {
        // Before the first token, and after each: `BOS` and the longest content.
        (self.sizes.max_length + 2) * self.moment.size
    }

    fn condition(&self, noise: &[f32], label: Option<u32>, condition: &mut [f32]) {
        self.condition.project(noise, label, condition);
    }

    fn start(&self, condition: &[f32], state: &mut [f32]) {
        if self.condition.placement() == Placement::Begin {
            state[..self.config.hidden].copy_from_slice(condition);
        }
    }

    fn copy_state(&self, from: &[f32], to: &mut [f32], tokens: usize) {
        let used = (tokens + 1) * self.moment.size;
        to[..used].copy_from_slice(&from[..used]);
    }

    fn step(&self, tile: Tile<'_>, scratch: &mut Scratch) {
        let LeakConfig { embedding, hidden, goal, horizon, .. } = self.config;
        let (rows, state_size, moment) = (tile.tokens.len(), self.state_size(), &self.moment);
        let (features, embed) = (self.reader.features(), self.reader.embed());
        let s = scratch;

        s.input.clear();
        for &token in tile.tokens {
            s.input.extend_from_slice(&self.embedding[token as usize * embedding..][..embedding]);
        }
        if self.condition.placement() == Placement::Every {
            s.input.iter_mut().zip(tile.conditions).for_each(|(x, c)| *x += c);
        }
        [&mut s.worker, &mut s.manager, &mut s.best].into_iter().for_each(Vec::clear);
        let states = tile.states.chunks_exact_mut(state_size).zip(tile.positions);
        for ((state, &position), &token) in states.zip(tile.tokens) {
            s.worker.extend_from_slice(self.part(state, position, 0, 2 * hidden));
            let manager = self.part(state, position, moment.manager, 2 * self.config.manager);
            s.manager.extend_from_slice(manager);
            s.best.extend_from_slice(self.part(state, position, moment.best, features));
            state[(position + 1) * moment.size + moment.token..][..embed]
                .copy_from_slice(self.reader.embedding(token));
        }

        // The filters do not read `BOS`, which is fed first: content begins with the moment after the next.
        let states = &*tile.states;
        let token = |row: usize, place: usize| {
            self.part(&states[row * state_size..][..state_size], place + 2, moment.token, embed)
        };
        s.counts.clear();
        s.counts.extend_from_slice(tile.positions);
        self.reader.advance(&s.counts, token, &mut s.best, &mut s.features, &mut s.prefixes);

        let x = Strided::rows(&s.features, features);
        self.manager.step(rows, x, &mut s.manager, &mut s.gates);
        s.goals.resize(rows * features, 0.0);
        let x = Strided::rows(&s.manager, self.manager.state_width());
        self.goal.multiply(rows, x, Start::Bias(&self.goal_bias), &mut s.goals, features);
        s.goals.chunks_exact_mut(features).for_each(normalize);
        s.told.resize(rows * goal, 0.0);
        let x = Strided::rows(&s.goals, features);
        self.told.multiply(rows, x, Start::Zero, &mut s.told, goal);
        self.worker.step(rows, Strided::rows(&s.input, embedding), &mut s.worker, &mut s.gates);

        let (width, manager_width) = (self.worker.state_width(), self.manager.state_width());
        let states = tile.states.chunks_exact_mut(state_size).zip(tile.positions);
        for (row, (state, &position)) in states.enumerate() {
            let now = &mut state[(position + 1) * moment.size..][..moment.size];
            now[..width].copy_from_slice(&s.worker[row * width..][..width]);
            now[moment.manager..][..manager_width]
                .copy_from_slice(&s.manager[row * manager_width..][..manager_width]);
            now[moment.told..][..goal].copy_from_slice(&s.told[row * goal..][..goal]);
            now[moment.best..][..features].copy_from_slice(&s.best[row * features..][..features]);
        }

        s.read.clear();
        let states = tile.states.chunks_exact(state_size).zip(tile.positions);
        for ((state, &position), worker) in states.zip(s.worker.chunks_exact(width)) {
            // The first goal is set where `BOS` was read.
            let last = position + 1;
            let goals = last.saturating_sub(horizon - 1).max(1)..=last;
            for number in 0..goal {
                let told = |at| self.part(state, at, moment.told + number, 1)[0];
                let sum: f32 = goals.clone().map(told).sum();
                s.read.extend(worker[..hidden].iter().map(|h| sum * h));
            }
        }
        let x = Strided::rows(&s.read, self.config.read());
        self.head.multiply(rows, x, Start::Zero, tile.logits, self.sizes.vocab);
    }
}
