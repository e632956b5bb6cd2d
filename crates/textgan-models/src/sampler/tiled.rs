//! A batch of rows cut into tiles, each one job.

use rayon::prelude::*;

use super::complete::{Completer, ROWS};
use super::{Completion, Conditions, Prefix, Reader, Sampler, SamplingOptions, Start};
use crate::{Error, Result};

/// Least rows of a tile: enough to use a weight often once it is near.
pub(super) const TILE: usize = 16;
/// Most rows of a tile, whose logits are read while they are near.
const LARGEST: usize = 128;

/// Rows of a tile when `rows` are cut into as many tiles for every thread. What a row is given does
/// not depend on it: nothing in a step looks beyond its row.
fn tile(rows: usize) -> usize {
    let threads = rayon::current_num_threads();
    let tiles = rows.div_ceil(LARGEST).next_multiple_of(threads);
    rows.div_ceil(tiles).max(TILE)
}

/// What a generator's inference face has to tell: how a tile of rows takes one step. A
/// [`TiledSampler`] does the rest.
///
/// What a row is given must not depend on the rows beside it.
pub trait StepModel: Send + Sync {
    /// Buffers for one tile, reused from step to step.
    type Scratch: Send + Sync;

    /// Entries of the vocabulary.
    fn vocab_size(&self) -> usize;

    /// Numbers in a noise vector.
    fn noise_dimension(&self) -> usize;

    /// The number of labels; 0 for a generator without.
    fn label_count(&self) -> usize;

    /// The most content tokens of a text.
    fn max_length(&self) -> usize;

    /// Buffers for a tile of `rows` rows.
    fn scratch(&self, rows: usize) -> Self::Scratch;

    /// Numbers that a row's condition (noise and label, projected) takes; at least 1.
    fn condition_size(&self) -> usize;

    /// Numbers that a row remembers of the tokens it was fed; at least 1. A row is fed `BOS` and as many
    /// tokens as a text has at most.
    fn state_size(&self) -> usize;

    /// Projects noise and label into `condition`, which is zero.
    fn condition(&self, noise: &[f32], label: Option<u32>, condition: &mut [f32]);

    /// Prepares the zeroed state of a row that was fed nothing.
    fn start(&self, condition: &[f32], state: &mut [f32]);

    /// Makes `to` remember the first `tokens` tokens of what `from` does; both have the size of a
    /// state, and the rest of `to` may be anything.
    fn copy_state(&self, from: &[f32], to: &mut [f32], tokens: usize);

    /// Feeds one token a row: what it makes of states, and the logits of what comes next.
    fn step(&self, tile: Tile<'_>, scratch: &mut Self::Scratch);
}

/// Some rows. Slices of several numbers a row hold row after row.
pub struct Tile<'a> {
    /// The token that is fed, one a row.
    pub tokens: &'a [u32],
    /// Tokens fed before, a row.
    pub positions: &'a [usize],
    /// [`StepModel::condition_size`] numbers a row.
    pub conditions: &'a [f32],
    /// [`StepModel::state_size`] numbers a row.
    pub states: &'a mut [f32],
    /// `[rows, vocab]`, to be written.
    pub logits: &'a mut [f32],
}

/// The sampler of any [`StepModel`].
pub struct TiledSampler<M: StepModel> {
    pub(super) model: M,
    positions: Vec<usize>,
    conditions: Vec<f32>,
    states: Vec<f32>,
    /// Of the last step.
    logits: Vec<f32>,
    /// For tiles of so many rows.
    scratch: (usize, Vec<M::Scratch>),
}

impl<M: StepModel> TiledSampler<M> {
    /// A sampler of `model`.
    pub fn new(model: M) -> Self {
        Self {
            model,
            positions: Vec::new(),
            conditions: Vec::new(),
            states: Vec::new(),
            logits: Vec::new(),
            scratch: (0, Vec::new()),
        }
    }

    /// Makes buffers for as many tiles as there are, if those that there are do not do.
    fn make_scratch(&mut self) {
        let rows = self.positions.len();
        let tile = tile(rows);
        let (largest, scratch) = &mut self.scratch;
        if *largest < tile {
            (*largest, *scratch) = (tile, Vec::new());
        }
        let tiles = rows.div_ceil(tile);
        scratch.resize_with(scratch.len().max(tiles), || self.model.scratch(*largest));
    }

    fn check_conditions(&self, conditions: &Conditions<'_>) -> Result<()> {
        let Conditions { rows, noise, labels } = *conditions;
        if rows == 0 {
            return Err(Error::argument("rows", "a batch needs at least one row"));
        }
        let dimension = self.model.noise_dimension();
        if noise.len() != rows * dimension {
            let message =
                format!("{} numbers for {rows} rows of dimension {dimension}", noise.len());
            return Err(Error::argument("noise", message));
        }
        check_labels(labels, rows, self.model.label_count())
    }

    fn check_prefix(&self, Prefix { row, tokens }: Prefix) -> Result<()> {
        match self.positions.get(row) {
            None => {
                let message = format!("no row {row} among {}", self.positions.len());
                Err(Error::argument("prefixes", message))
            }
            Some(&fed) if tokens > fed => {
                let message = format!("row {row} was fed {fed} tokens, not {tokens}");
                Err(Error::argument("prefixes", message))
            }
            Some(_) => Ok(()),
        }
    }

    /// What row `row` remembers.
    pub(super) fn state(&self, row: usize) -> &[f32] {
        &self.states[row * self.model.state_size()..][..self.model.state_size()]
    }

    /// The condition of row `row`.
    pub(super) fn condition(&self, row: usize) -> &[f32] {
        &self.conditions[row * self.model.condition_size()..][..self.model.condition_size()]
    }

    fn check_start(&self, start: &Start, max_length: usize) -> Result<()> {
        self.check_prefix(start.prefix)?;
        let (vocab, tokens) = (self.model.vocab_size(), start.prefix.tokens);
        if start.token as usize >= vocab {
            let message = format!("{} is outside a vocabulary of {vocab}", start.token);
            return Err(Error::argument("starts", message));
        }
        if tokens > max_length {
            let message = format!("{tokens} tokens, and a text has at most {max_length}");
            return Err(Error::argument("starts", message));
        }
        Ok(())
    }
}

/// One known label a row, or none at all.
pub(crate) fn check_labels(labels: Option<&[u32]>, rows: usize, count: usize) -> Result<()> {
    let Some(labels) = labels else { return Ok(()) };
    if labels.len() != rows {
        return Err(Error::argument("labels", format!("{} for {rows} rows", labels.len())));
    }
    match labels.iter().find(|&&label| label as usize >= count) {
        Some(label) => {
            let message = format!("{label} is unknown to a generator of {count} labels");
            Err(Error::argument("labels", message))
        }
        None => Ok(()),
    }
}

impl<M: StepModel> Sampler for TiledSampler<M> {
    fn vocab_size(&self) -> usize {
        self.model.vocab_size()
    }

    fn noise_dimension(&self) -> usize {
        self.model.noise_dimension()
    }

    fn max_length(&self) -> usize {
        self.model.max_length()
    }

    fn rows(&self) -> usize {
        self.positions.len()
    }

    fn begin(&mut self, conditions: &Conditions<'_>) -> Result<()> {
        self.check_conditions(conditions)?;
        let model = &self.model;
        let Conditions { rows, noise, labels } = *conditions;
        let (condition_size, state_size) = (model.condition_size(), model.state_size());
        refill(&mut self.positions, rows, 0);
        refill(&mut self.conditions, rows * condition_size, 0.0);
        refill(&mut self.states, rows * state_size, 0.0);
        self.conditions
            .par_chunks_exact_mut(condition_size)
            .zip(self.states.par_chunks_exact_mut(state_size))
            .enumerate()
            .for_each(|(row, (condition, state))| {
                let dimension = model.noise_dimension();
                let noise = &noise[row * dimension..][..dimension];
                model.condition(noise, labels.map(|labels| labels[row]), condition);
                model.start(condition, state);
            });
        self.make_scratch();
        Ok(())
    }

    fn step_each(&mut self, tokens: &[u32], readers: &mut [Reader<'_>]) -> Result<()> {
        let (rows, vocab) = (self.rows(), self.vocab_size());
        if rows == 0 {
            return Err(Error::argument("rows", "there are none: call `begin` before a step"));
        }
        if tokens.len() != rows {
            return Err(Error::argument("tokens", format!("{} for {rows} rows", tokens.len())));
        }
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocab) {
            let message = format!("{token} is outside a vocabulary of {vocab}");
            return Err(Error::argument("tokens", message));
        }
        if readers.len() != rows {
            return Err(Error::argument("readers", format!("{} for {rows} rows", readers.len())));
        }
        let max_length = self.max_length();
        if let Some(row) = self.positions.iter().position(|&fed| fed > max_length) {
            let message = format!("row {row} is full: it has {max_length} tokens");
            return Err(Error::argument("tokens", message));
        }
        let model = &self.model;
        let tile = tile(rows);
        self.logits.resize(rows * vocab, 0.0);
        tokens
            .par_chunks(tile)
            .zip(self.positions.par_chunks(tile))
            .zip(self.conditions.par_chunks(tile * model.condition_size()))
            .zip(self.states.par_chunks_mut(tile * model.state_size()))
            .zip(self.logits.par_chunks_mut(tile * vocab))
            .zip(self.scratch.1.par_iter_mut())
            .zip(readers.par_chunks_mut(tile))
            .for_each(
                |((((((tokens, positions), conditions), states), logits), scratch), readers)| {
                    model.step(Tile { tokens, positions, conditions, states, logits }, scratch);
                    for (read, logits) in readers.iter_mut().zip(logits.chunks_exact(vocab)) {
                        read(logits);
                    }
                },
            );
        self.positions.iter_mut().for_each(|fed| *fed += 1);
        Ok(())
    }

    fn fork(&mut self, prefixes: &[Prefix]) -> Result<()> {
        prefixes.iter().try_for_each(|&prefix| self.check_prefix(prefix))?;
        let (condition_size, state_size) = (self.model.condition_size(), self.model.state_size());
        let model = &self.model;
        gather(&mut self.conditions, condition_size, prefixes, |from, to, _| {
            to.copy_from_slice(from);
        });
        gather(&mut self.states, state_size, prefixes, |from, to, tokens| {
            model.copy_state(from, to, tokens);
        });
        self.positions = prefixes.iter().map(|prefix| prefix.tokens).collect();
        self.make_scratch();
        Ok(())
    }

    fn complete(
        &self,
        starts: &[Start],
        count: usize,
        options: &SamplingOptions,
    ) -> Result<Vec<Completion>> {
        options.validate()?;
        let max_length = options.max_length.unwrap_or(usize::MAX).min(self.max_length());
        starts.iter().try_for_each(|start| self.check_start(start, max_length))?;
        let all = starts.len() * count;
        let completed: Vec<Vec<Completion>> = (0..all.div_ceil(ROWS))
            .into_par_iter()
            .map_init(
                || Completer::new(&self.model),
                |completer, tile| {
                    let numbers = tile * ROWS..all.min((tile + 1) * ROWS);
                    completer.run(self, starts, count, numbers, options, max_length)
                },
            )
            .collect::<Result<_>>()?;
        Ok(completed.into_iter().flatten().collect())
    }
}

fn refill<T: Clone>(buffer: &mut Vec<T>, length: usize, value: T) {
    buffer.clear();
    buffer.resize(length, value);
}

/// Row `i` becomes row `prefixes[i].row`, of which `copy` takes what its tokens left. In place when
/// rows only move from beyond the last into the places of others.
fn gather(
    buffer: &mut Vec<f32>,
    size: usize,
    prefixes: &[Prefix],
    copy: impl Fn(&[f32], &mut [f32], usize) + Sync,
) {
    let rows = prefixes.len();
    let moved = |(to, prefix): (usize, &Prefix)| prefix.row == to || prefix.row >= rows;
    if prefixes.iter().enumerate().all(moved) {
        let (kept, dropped) = buffer.split_at_mut(rows * size);
        for (to, prefix) in prefixes.iter().enumerate().filter(|(to, prefix)| prefix.row != *to) {
            let from = &dropped[(prefix.row - rows) * size..][..size];
            copy(from, &mut kept[to * size..][..size], prefix.tokens);
        }
        buffer.truncate(rows * size);
    } else {
        let mut gathered = vec![0.0; rows * size];
        gathered.par_chunks_exact_mut(size).zip(prefixes).for_each(|(to, prefix)| {
            copy(&buffer[prefix.row * size..][..size], to, prefix.tokens);
        });
        *buffer = gathered;
    }
}
