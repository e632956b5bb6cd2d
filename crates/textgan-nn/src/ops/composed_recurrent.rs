//! Recurrent sequences as one candle operation after the other.

use candle_core::Tensor;

use super::RecurrentWeights;
use super::composed::linear;
use crate::Result;
use crate::kernels::{CellKind, Direction};

/// See [`super::recurrent_sequence`].
///
/// # Errors
/// If candle refuses.
pub fn recurrent_sequence(
    kind: CellKind,
    x: &Tensor,
    weights: RecurrentWeights<'_>,
    lengths: &[usize],
    direction: Direction,
    initial: Option<&Tensor>,
) -> Result<Tensor> {
    let (batch, time, _) = x.dims3()?;
    let hidden = weights.hidden.dim(1)?;
    let input = linear(x, weights.input, Some(weights.input_bias))?;
    let mut state = match initial {
        Some(initial) => initial.clone(),
        None => Tensor::zeros((batch, kind.state_width(hidden)), x.dtype(), x.device())?,
    };
    let mut states = Vec::with_capacity(time);
    for step in 0..time {
        let t = match direction {
            Direction::Forward => step,
            Direction::Reverse => time - 1 - step,
        };
        let input = input.narrow(1, t, 1)?.squeeze(1)?;
        let next = match kind {
            CellKind::Gru => gru_step(&input, &state, weights, hidden)?,
            CellKind::Lstm => lstm_step(&input, &state, weights, hidden)?,
        };
        let active: Vec<f32> =
            lengths.iter().map(|&length| if t < length { 1.0 } else { 0.0 }).collect();
        let active = Tensor::from_vec(active, (batch, 1), x.device())?.to_dtype(x.dtype())?;
        state = (&state + (next - &state)?.broadcast_mul(&active)?)?;
        states.push(state.narrow(1, 0, hidden)?);
    }
    if direction == Direction::Reverse {
        states.reverse();
    }
    Ok(Tensor::stack(&states, 1)?)
}

fn gru_step(
    input: &Tensor,
    state: &Tensor,
    weights: RecurrentWeights<'_>,
    hidden: usize,
) -> Result<Tensor> {
    let recurrent = linear(state, weights.hidden, Some(weights.hidden_bias))?;
    let part = |x: &Tensor, gate: usize| x.narrow(1, gate * hidden, hidden);
    let r = sigmoid(&(part(input, 0)? + part(&recurrent, 0)?)?)?;
    let z = sigmoid(&(part(input, 1)? + part(&recurrent, 1)?)?)?;
    let n = (part(input, 2)? + (r * part(&recurrent, 2)?)?)?.tanh()?;
    Ok((&n + (z * (state - &n)?)?)?)
}

fn lstm_step(
    input: &Tensor,
    state: &Tensor,
    weights: RecurrentWeights<'_>,
    hidden: usize,
) -> Result<Tensor> {
    let previous = state.narrow(1, 0, hidden)?.contiguous()?;
    let recurrent = linear(&previous, weights.hidden, Some(weights.hidden_bias))?;
    let gates = (input + recurrent)?;
    let part = |gate: usize| gates.narrow(1, gate * hidden, hidden);
    let (i, f, o) = (sigmoid(&part(0)?)?, sigmoid(&part(1)?)?, sigmoid(&part(3)?)?);
    let cell = ((f * state.narrow(1, hidden, hidden)?)? + (i * part(2)?.tanh()?)?)?;
    let output = (o * cell.tanh()?)?;
    Ok(Tensor::cat(&[&output, &cell], 1)?)
}

fn sigmoid(x: &Tensor) -> Result<Tensor> {
    Ok((x.neg()?.exp()? + 1.0)?.recip()?)
}
