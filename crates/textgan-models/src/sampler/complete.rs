//! Texts that go on from one beginning, a tile of them at a time.

use std::ops::Range;

use super::pick::{self, Room};
use super::row::{Row, State};
use super::tiled::{StepModel, Tile, TiledSampler};
use super::{Completion, SamplingOptions, Start};
use crate::{Error, Result};

/// Completions that are computed together: enough to use a weight often once it is near.
pub(super) const ROWS: usize = 48;

/// Room for one tile, used from beginning to end by one thread: the logits of a step are read where
/// they were just written.
pub(super) struct Completer<M: StepModel> {
    scratch: M::Scratch,
    conditions: Vec<f32>,
    states: Vec<f32>,
    logits: Vec<f32>,
    room: Room,
}

impl<M: StepModel> Completer<M> {
    pub fn new(model: &M) -> Self {
        Self {
            scratch: model.scratch(ROWS),
            conditions: vec![0.0; ROWS * model.condition_size()],
            states: vec![0.0; ROWS * model.state_size()],
            logits: vec![0.0; ROWS * model.vocab_size()],
            room: Room::new(model.vocab_size()),
        }
    }

    /// The completions of these numbers, at most [`ROWS`], where each of `starts` has `count` after another. What a
    /// start is followed by is computed once for all of its own.
    pub fn run(
        &mut self,
        sampler: &TiledSampler<M>,
        starts: &[Start],
        count: usize,
        numbers: Range<usize>,
        options: &SamplingOptions,
        max_length: usize,
    ) -> Result<Vec<Completion>> {
        let model = &sampler.model;
        let Self { scratch, conditions, states, logits, room } = self;
        let (vocab, state_size) = (model.vocab_size(), model.state_size());
        let condition_size = model.condition_size();
        let first = numbers.start / count;
        let starts = &starts[first..numbers.end.div_ceil(count)];
        // The start of a row, by its place among these.
        let origin = |row: usize| (numbers.start + row) / count - first;
        for (place, start) in starts.iter().enumerate() {
            let condition = sampler.condition(start.prefix.row);
            conditions[place * condition_size..][..condition.len()].copy_from_slice(condition);
            states[place * state_size..][..state_size]
                .copy_from_slice(sampler.state(start.prefix.row));
        }
        let mut rows: Vec<Row> = numbers
            .clone()
            .enumerate()
            .map(|(row, number)| {
                let start = &starts[origin(row)];
                // Of the beginning, `BOS` is not content and `token` is.
                let left = max_length - start.prefix.tokens;
                Row::new(start.key.index((number % count) as u64).stream(), left)
            })
            .collect();
        let mut open: Vec<usize> = (0..rows.len()).collect();
        let mut tokens: Vec<u32> = starts.iter().map(|start| start.token).collect();
        let mut positions: Vec<usize> = starts.iter().map(|start| start.prefix.tokens).collect();
        let mut spread = false;
        while !open.is_empty() {
            let tile = tokens.len();
            model.step(
                Tile {
                    tokens: &tokens,
                    positions: &positions,
                    conditions: &conditions[..tile * condition_size],
                    states: &mut states[..tile * state_size],
                    logits: &mut logits[..tile * vocab],
                },
                scratch,
            );
            for (place, &row) in open.iter().enumerate() {
                // The first step has one row for all of a start.
                let start = &starts[origin(row)];
                let place = if spread { place } else { origin(row) };
                let logits = &logits[place * vocab..][..vocab];
                let row = &mut rows[row];
                let choice = pick::choose(logits, options, &mut row.stream, room);
                row.take(choice.map(|choice| choice.token));
                if row.state == State::Failed {
                    let (position, prefix) = (positions[place], start.prefix);
                    let message = format!("{prefix:?}, token {position}: not finite");
                    return Err(Error::argument("logits", message));
                }
            }
            if !spread {
                spread = true;
                // From the last on: a row is never before its start.
                positions = open.iter().map(|&row| positions[origin(row)]).collect();
                for row in (0..open.len()).rev() {
                    let from = origin(row) * state_size;
                    states.copy_within(from..from + state_size, row * state_size);
                    let from = origin(row) * condition_size;
                    conditions.copy_within(from..from + condition_size, row * condition_size);
                }
            }
            // The last open row takes the place of one that is done.
            let mut place = 0;
            while place < open.len() {
                if rows[open[place]].is_open() {
                    place += 1;
                    continue;
                }
                open.swap_remove(place);
                positions.swap_remove(place);
                let last = open.len() * state_size;
                states.copy_within(last..last + state_size, place * state_size);
                let last = open.len() * condition_size;
                conditions.copy_within(last..last + condition_size, place * condition_size);
            }
            positions.iter_mut().for_each(|position| *position += 1);
            tokens.clear();
            tokens.extend(open.iter().map(|&row| rows[row].next));
        }
        let completion =
            |row: Row| Completion { tokens: row.tokens, ended: row.state == State::Ended };
        Ok(rows.into_iter().map(completion).collect())
    }
}
