//! Texts that go on from one beginning, a tile of them at a time.

use std::ops::Range;

use super::pick::{self, Room};
use super::row::{Row, State};
use super::tiled::{StepModel, TILE, Tile, TiledSampler};
use super::{Completion, SamplingOptions, Start};
use crate::{Error, Result};

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
            scratch: model.scratch(TILE),
            conditions: vec![0.0; TILE * model.condition_size()],
            states: vec![0.0; TILE * model.state_size()],
            logits: vec![0.0; TILE * model.vocab_size()],
            room: Room::new(model.vocab_size()),
        }
    }

    /// The completions `numbers` of a start, at most [`TILE`]. What the start is followed by is
    /// computed once for all of them.
    pub fn run(
        &mut self,
        sampler: &TiledSampler<M>,
        start: &Start,
        numbers: Range<u64>,
        options: &SamplingOptions,
        max_length: usize,
    ) -> Result<Vec<Completion>> {
        let model = &sampler.model;
        let Self { scratch, conditions, states, logits, room } = self;
        let (vocab, state_size) = (model.vocab_size(), model.state_size());
        let condition = sampler.condition(start.prefix.row);
        if !condition.is_empty() {
            let copies = conditions.chunks_exact_mut(condition.len());
            copies.for_each(|copy| copy.copy_from_slice(condition));
        }
        states[..state_size].copy_from_slice(sampler.state(start.prefix.row));
        // Of the beginning, `BOS` is not content and `token` is.
        let left = max_length - start.prefix.tokens;
        let mut rows: Vec<Row> =
            numbers.map(|number| Row::new(start.key.index(number).stream(), left)).collect();
        let mut open: Vec<usize> = (0..rows.len()).collect();
        let mut tokens = vec![start.token];

        for position in start.prefix.tokens.. {
            let tile = tokens.len();
            model.step(
                Tile {
                    tokens: &tokens,
                    positions: &[position; TILE][..tile],
                    conditions: &conditions[..tile * condition.len()],
                    states: &mut states[..tile * state_size],
                    logits: &mut logits[..tile * vocab],
                },
                scratch,
            );
            for (place, &row) in open.iter().enumerate() {
                // The first step has one row for all.
                let logits = &logits[place.min(tile - 1) * vocab..][..vocab];
                let row = &mut rows[row];
                let choice = pick::choose(logits, options, &mut row.stream, room);
                row.take(choice.map(|choice| choice.token));
                if row.state == State::Failed {
                    let message = format!("{:?}, token {position}: not finite", start.prefix);
                    return Err(Error::argument("logits", message));
                }
            }
            if position == start.prefix.tokens {
                for copy in 1..open.len() {
                    states.copy_within(..state_size, copy * state_size);
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
                let last = open.len() * state_size;
                states.copy_within(last..last + state_size, place * state_size);
            }
            if open.is_empty() {
                break;
            }
            tokens.clear();
            tokens.extend(open.iter().map(|&row| rows[row].next));
        }
        let completion =
            |row: Row| Completion { tokens: row.tokens, ended: row.state == State::Ended };
        Ok(rows.into_iter().map(completion).collect())
    }
}
