//! The oracle reading or writing a few rows, a token at a time.

use super::Oracle;
use super::exp::{exp, sigmoid, tanh};
use super::head::LANES;
use textgan_random::Stream;

/// Panels whose probabilities are summed before they are added to the rest: a draw looks for its
/// stretch first and for its token in there.
const STRETCH: usize = 32;

/// The states of `ROWS` rows and the distributions of their next tokens.
pub(super) struct Walk<'a, const ROWS: usize> {
    oracle: &'a Oracle,
    /// `[hidden]`.
    state: Vec<[f32; ROWS]>,
    /// `[hidden]`.
    cell: Vec<[f32; ROWS]>,
    /// `[4 hidden]`, the gates side by side.
    gates: Vec<[f32; ROWS]>,
    next: [Next; ROWS],
    logits: [Vec<[f32; LANES]>; ROWS],
}

/// The distribution of a row's next token.
#[derive(Default)]
struct Next {
    greatest: f32,
    /// `exp(logit - greatest)`, by panel.
    weights: Vec<[f32; LANES]>,
    /// Sums of those, by stretch.
    stretches: Vec<f64>,
    total: f64,
}

impl<'a, const ROWS: usize> Walk<'a, ROWS> {
    /// Rows that have read nothing yet.
    pub fn new(oracle: &'a Oracle) -> Self {
        let hidden = oracle.sizes.hidden;
        Self {
            oracle,
            state: vec![[0.0; ROWS]; hidden],
            cell: vec![[0.0; ROWS]; hidden],
            gates: vec![[0.0; ROWS]; 4 * hidden],
            next: std::array::from_fn(|_| Next::default()),
            logits: std::array::from_fn(|_| vec![[0.0; LANES]; oracle.head.panels()]),
        }
    }

    /// Reads a token in every row.
    pub fn advance(&mut self, tokens: [u32; ROWS]) {
        let width = self.gates.len();
        let hidden = self.state.len();
        let inputs = tokens.map(|token| &self.oracle.input[token as usize * width..][..width]);
        for (unit, gates) in self.gates.iter_mut().enumerate() {
            *gates = inputs.map(|input| input[unit]);
        }
        for (state, weights) in self.state.iter().zip(self.oracle.recurrent.chunks_exact(width)) {
            for (gates, weight) in self.gates.iter_mut().zip(weights) {
                gates.iter_mut().zip(state).for_each(|(gate, state)| *gate += state * weight);
            }
        }
        let (squashed, candidates) = self.gates.split_at_mut(3 * hidden);
        squashed.iter_mut().flatten().for_each(|gate| *gate = sigmoid(*gate));
        candidates.iter_mut().flatten().for_each(|gate| *gate = tanh(*gate));
        let (input, rest) = squashed.split_at(hidden);
        let (forget, output) = rest.split_at(hidden);
        let units = self.cell.iter_mut().zip(&mut self.state);
        for (unit, (cell, state)) in units.enumerate() {
            for row in 0..ROWS {
                let kept = forget[unit][row] * cell[row];
                cell[row] = kept + input[unit][row] * candidates[unit][row];
                state[row] = output[unit][row] * tanh(cell[row]);
            }
        }
        self.oracle.head.logits(&self.state, &mut self.logits);
        for (next, logits) in self.next.iter_mut().zip(&self.logits) {
            next.take(logits);
        }
    }

    /// Draws the next token of a row.
    pub fn draw(&self, row: usize, stream: &mut Stream) -> u32 {
        self.next[row].at(stream.uniform_f64())
    }

    /// The log-probability of a token as the next one of a row.
    pub fn log_prob(&self, row: usize, token: u32) -> f64 {
        let (panel, lane) = (token as usize / LANES, token as usize % LANES);
        let next = &self.next[row];
        f64::from(self.logits[row][panel][lane] - next.greatest) - next.total.ln()
    }
}

impl Next {
    fn take(&mut self, logits: &[[f32; LANES]]) {
        let mut greatest = [f32::NEG_INFINITY; LANES];
        for panel in logits {
            for (greatest, logit) in greatest.iter_mut().zip(panel) {
                *greatest = if *logit > *greatest { *logit } else { *greatest };
            }
        }
        let greatest = greatest.into_iter().fold(f32::NEG_INFINITY, f32::max);
        self.greatest = greatest;
        self.weights.resize(logits.len(), [0.0; LANES]);
        for (weights, logits) in self.weights.iter_mut().zip(logits) {
            for (weight, logit) in weights.iter_mut().zip(logits) {
                *weight = exp(logit - greatest);
            }
        }
        self.stretches.clear();
        self.stretches.extend(self.weights.chunks(STRETCH).map(|panels| {
            let mut sums = [0.0_f32; LANES];
            for panel in panels {
                sums.iter_mut().zip(panel).for_each(|(sum, weight)| *sum += weight);
            }
            sums.into_iter().map(f64::from).sum::<f64>()
        }));
        self.total = self.stretches.iter().sum();
    }

    /// The token at the quantile `uniform` of `[0, 1)`.
    fn at(&self, uniform: f64) -> u32 {
        let mut left = uniform * self.total;
        let mut stretch = 0;
        while stretch + 1 < self.stretches.len() && left >= self.stretches[stretch] {
            left -= self.stretches[stretch];
            stretch += 1;
        }
        let first = stretch * STRETCH;
        let mut last = first * LANES;
        let weights = self.weights.iter().skip(first).take(STRETCH).flatten();
        for (token, &weight) in (first * LANES..).zip(weights) {
            // A token of no probability is never drawn, even where rounding has left a rest.
            if weight > 0.0 {
                last = token;
                left -= f64::from(weight);
                if left < 0.0 {
                    break;
                }
            }
        }
        last as u32
    }
}
