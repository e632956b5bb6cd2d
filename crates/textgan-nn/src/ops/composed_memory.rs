//! The relational memory as one candle operation after the other.

use candle_core::{D, Tensor};

use super::composed::{linear, rms_norm};
use super::{MemoryOptions, MemoryWeights};
use crate::Result;

/// See [`super::relational_memory`].
///
/// # Errors
/// If candle refuses.
pub fn relational_memory(
    words: &Tensor,
    initial: &Tensor,
    weights: MemoryWeights<'_>,
    options: MemoryOptions,
) -> Result<Tensor> {
    let (batch, time, width) = words.dims3()?;
    let mut memory = initial.reshape((batch, options.slots, width))?;
    let mut memories = Vec::with_capacity(time);
    for t in 0..time {
        memory = step(&memory, &words.narrow(1, t, 1)?.squeeze(1)?, weights, options)?;
        memories.push(memory.reshape((batch, 1, options.slots * width))?);
    }
    Ok(Tensor::cat(&memories, 1)?)
}

/// From `memory: [batch, slots, width]` and `word: [batch, width]` to the memory after it.
fn step(
    memory: &Tensor,
    word: &Tensor,
    weights: MemoryWeights<'_>,
    options: MemoryOptions,
) -> Result<Tensor> {
    let (batch, slots, width) = memory.dims3()?;
    let MemoryOptions { heads, epsilon, forget_bias, .. } = options;
    let norm = |x: &Tensor, weight: &Tensor| rms_norm(x, weight, epsilon);
    let layer = |x: &Tensor, (weight, bias): (&Tensor, &Tensor)| linear(x, weight, Some(bias));
    // Slots and word are attended to; the slots alone attend.
    let all = Tensor::cat(&[memory, &word.unsqueeze(1)?], 1)?;
    let each = width / heads;
    let queries = norm(&layer(memory, weights.query)?, weights.query_norm)?;
    let queries = queries.reshape((batch, slots, 1, heads, each))?;
    let keys = norm(&layer(&all, weights.key)?, weights.key_norm)?;
    let keys = keys.reshape((batch, 1, slots + 1, heads, each))?;
    let values = layer(&all, weights.value)?.reshape((batch, 1, slots + 1, heads, each))?;
    let scores = queries.broadcast_mul(&keys)?.sum(D::Minus1)?;
    let scores = (scores * (1.0 / (each as f64).sqrt()))?;
    let largest = scores.max_keepdim(2)?.detach();
    let shares = scores.broadcast_sub(&largest)?.exp()?;
    let shares = shares.broadcast_div(&shares.sum_keepdim(2)?)?.unsqueeze(D::Minus1)?;
    let attended = shares.broadcast_mul(&values)?.sum(2)?.reshape((batch, slots, width))?;

    let attended = norm(&(memory + attended)?, weights.attended_norm)?;
    let mut read = attended.clone();
    for index in 0..weights.read.0.dim(0)? {
        let (weight, bias) = (weights.read.0.get(index)?, weights.read.1.get(index)?);
        let input = if index == 0 { read } else { read.relu()? };
        read = layer(&input, (&weight, &bias))?;
    }
    let proposed = norm(&(attended + read)?, weights.read_norm)?.tanh()?;

    let gates = layer(&memory.tanh()?, weights.memory_gates)?;
    let gates = gates.broadcast_add(&linear(word, weights.word_gates, None)?.unsqueeze(1)?)?;
    let gate = |first: usize, bias: f64| -> Result<Tensor> {
        // The sigmoid by way of tanh, which cannot overflow.
        let gate = gates.narrow(2, first, width)?.affine(0.5, 0.5 * bias)?;
        Ok(gate.tanh()?.affine(0.5, 0.5)?)
    };
    Ok(((gate(0, 0.0)? * proposed)? + (gate(width, forget_bias.into())? * memory)?)?)
}
