//! Whole sequences of one shard of rows, forward and back through time.
//!
//! Only rows that have a token are worked on: everything between `x` and the states is stored in
//! the order of the [`Walk`], `[active rows of all positions, ..]`, without padding.

use rayon::prelude::*;

use super::weights::{Layout, PackedWeights, TransposedWeights};
use super::{Cell, Walk};
use crate::kernels::buffer::Buffer;
use crate::kernels::{Packed, Start, Strided};

/// Rows of a weight's gradient that are computed together, on one thread.
const TILE: usize = 48;

/// What the backward pass needs of the forward pass of a shard.
#[derive(Debug)]
pub(crate) struct Saved {
    walk: Walk,
    /// `[total, inputs + hidden]`: `x` and the hidden state before the step, side by side.
    operands: Buffer,
    /// `[total, SAVED * hidden]`.
    gates: Buffer,
}

/// Gradients of the gates of a shard before their nonlinearity.
#[derive(Debug)]
pub(crate) struct GateGradients {
    /// `[total, gates]`.
    input: Buffer,
    /// The same; empty where it equals `input`.
    hidden: Buffer,
}

impl GateGradients {
    fn hidden(&self) -> &[f32] {
        if self.hidden.is_empty() { &self.input } else { &self.hidden }
    }
}

/// Runs a shard of rows through a layer.
///
/// `x: [rows, time, inputs]`, `initial: [rows, PARTS * hidden]`, `states: [rows, time, hidden]`. A
/// row without a token at a position keeps the state it has.
pub(crate) fn forward<C: Cell>(
    weights: &PackedWeights,
    walk: Walk,
    x: &[f32],
    initial: &[f32],
    states: &mut [f32],
) -> Saved {
    let Layout { inputs, hidden, gates } = weights.layout;
    let (time, total) = (walk.visits.len(), walk.total());
    let (operand, state_width, saved_width) =
        (inputs + hidden, C::PARTS * hidden, C::SAVED * hidden);

    let mut operands = Buffer::new(total * operand);
    for (place, row, t) in walk.places() {
        operands[place * operand..][..inputs]
            .copy_from_slice(&x[(row * time + t) * inputs..][..inputs]);
    }
    let mut from_input = Buffer::new(total * gates);
    let bias = Start::Bias(&weights.input_bias);
    let left = Strided::rows(&operands, operand);
    weights.input.multiply(total, left, bias, &mut from_input, gates);

    let mut state = gather(&walk.order, initial, state_width);
    let mut from_hidden = Buffer::new(walk.order.len() * gates);
    let mut saved = Buffer::new(total * saved_width);
    for visit in &walk.visits {
        let (first, active) = (visit.first, visit.active);
        let bias = Start::Bias(&weights.hidden_bias);
        let left = Strided::rows(&state, state_width);
        weights.hidden.multiply(active, left, bias, &mut from_hidden, gates);
        let operands = operands[first * operand..].chunks_exact_mut(operand);
        for (operand, state) in operands.zip(state.chunks_exact(state_width)).take(active) {
            operand[inputs..].copy_from_slice(&state[..hidden]);
        }
        C::forward(
            hidden,
            &from_input[first * gates..][..active * gates],
            &from_hidden[..active * gates],
            &mut state[..active * state_width],
            &mut saved[first * saved_width..][..active * saved_width],
        );
        for (&row, state) in walk.order.iter().zip(state.chunks_exact(state_width)) {
            states[(row * time + visit.time) * hidden..][..hidden]
                .copy_from_slice(&state[..hidden]);
        }
    }
    Saved { walk, operands, gates: saved }
}

/// Back through time. `d_states: [rows, time, hidden]`; writes `d_x: [rows, time, inputs]`, zero
/// where there is no token, if that gradient is wanted, and `d_initial: [rows, PARTS * hidden]`.
pub(crate) fn backward<C: Cell>(
    weights: &TransposedWeights,
    saved: &Saved,
    d_states: &[f32],
    d_x: Option<&mut [f32]>,
    d_initial: &mut [f32],
) -> GateGradients {
    let Layout { inputs, hidden, gates } = weights.layout;
    let walk = &saved.walk;
    let (time, total) = (walk.visits.len(), walk.total());
    let (state_width, saved_width) = (C::PARTS * hidden, C::SAVED * hidden);

    let mut d_state = vec![0.0; walk.order.len() * state_width];
    let mut d_gates = GateGradients {
        input: Buffer::new(total * gates),
        hidden: Buffer::new(if C::ADDS { 0 } else { total * gates }),
    };
    for visit in walk.visits.iter().rev() {
        for (&row, d_state) in walk.order.iter().zip(d_state.chunks_exact_mut(state_width)) {
            let d_new = &d_states[(row * time + visit.time) * hidden..][..hidden];
            for (d_state, d_new) in d_state.iter_mut().zip(d_new) {
                *d_state += d_new;
            }
        }
        let (start, length) = (visit.first * gates, visit.active * gates);
        let d_hidden = match C::ADDS {
            true => &mut [][..],
            false => &mut d_gates.hidden[start..][..length],
        };
        C::backward(
            hidden,
            &saved.gates[visit.first * saved_width..][..visit.active * saved_width],
            &mut d_state[..visit.active * state_width],
            &mut d_gates.input[start..][..length],
            d_hidden,
        );
        let left = Strided::rows(&d_gates.hidden()[start..][..length], gates);
        weights.hidden.multiply(visit.active, left, Start::Output, &mut d_state, state_width);
    }
    for (&row, d_state) in walk.order.iter().zip(d_state.chunks_exact(state_width)) {
        d_initial[row * state_width..][..state_width].copy_from_slice(d_state);
    }
    if let Some(d_x) = d_x {
        let mut packed = Buffer::new(total * inputs);
        let left = Strided::rows(&d_gates.input, gates);
        weights.input.multiply(total, left, Start::Zero, &mut packed, inputs);
        d_x.fill(0.0);
        for (place, row, t) in walk.places() {
            d_x[(row * time + t) * inputs..][..inputs]
                .copy_from_slice(&packed[place * inputs..][..inputs]);
        }
    }
    d_gates
}

/// The gradient of all parameters, in their [`Layout`], summed over shards in order.
///
/// Threads share out rows of the result, never parts of a sum.
pub(crate) fn parameter_gradient(layout: Layout, shards: &[(&Saved, GateGradients)]) -> Vec<f32> {
    let Layout { inputs, hidden, gates } = layout;
    let operand = inputs + hidden;
    let packed: Vec<[Packed; 2]> = shards
        .par_iter()
        .map(|(saved, _)| {
            let total = saved.walk.total();
            let previous = saved.operands.get(inputs..).unwrap_or_default();
            [
                Packed::new(Strided::rows(&saved.operands, operand), total, inputs),
                Packed::new(Strided::rows(previous, operand), total, hidden),
            ]
        })
        .collect();
    let mut gradient = vec![0.0; layout.len()];
    let [input, rest] = split(&mut gradient, gates * inputs);
    let [recurrent, biases] = split(rest, gates * hidden);
    let [input_bias, hidden_bias] = split(biases, gates);

    let tile = |which: usize, first: usize, out: &mut [f32], width: usize| {
        for ((_, d_gates), packed) in shards.iter().zip(&packed) {
            let d_gates = if which == 0 { &d_gates.input } else { d_gates.hidden() };
            let left = Strided::transposed(d_gates.get(first..).unwrap_or_default(), gates);
            packed[which].multiply(out.len() / width, left, Start::Output, out, width);
        }
    };
    let inputs_tiles = input.par_chunks_mut(TILE * inputs).enumerate();
    let hidden_tiles = recurrent.par_chunks_mut(TILE * hidden).enumerate();
    inputs_tiles.for_each(|(i, out)| tile(0, i * TILE, out, inputs));
    hidden_tiles.for_each(|(i, out)| tile(1, i * TILE, out, hidden));

    for (_, d_gates) in shards {
        add_columns(&d_gates.input, input_bias);
        add_columns(d_gates.hidden(), hidden_bias);
    }
    gradient
}

fn split(values: &mut [f32], at: usize) -> [&mut [f32]; 2] {
    values.split_at_mut(at).into()
}

fn add_columns(rows: &[f32], sums: &mut [f32]) {
    for row in rows.chunks_exact(sums.len()) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
}

/// The rows of `[rows, width]` in the given order.
fn gather(order: &[usize], rows: &[f32], width: usize) -> Vec<f32> {
    order.iter().flat_map(|&row| &rows[row * width..][..width]).copied().collect()
}
