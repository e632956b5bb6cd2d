use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::argument::{fused, same};
use super::bundle::Bundle;
use super::composed;
use super::storage::{cpu_slice, gradient, with_slices};
use crate::kernels::memory::{
    MemoryLayout, PackedMemory, SavedMemory, TransposedMemory, backward, forward,
};
use crate::{Error, Result};

/// Rows of a batch that one thread works on at a time.
const SHARD: usize = 16;
/// Weights whose gradients one thread adds up at a time.
const PART: usize = 1 << 14;

const NAME: &str = "relational_memory";

/// The parameters of a relational memory, whose slots are `width` wide. All matrices are `[outputs, inputs]`.
#[derive(Clone, Copy, Debug)]
pub struct MemoryWeights<'a> {
    /// `[width, width]` and `[width]`.
    pub query: (&'a Tensor, &'a Tensor),
    /// `[width, width]` and `[width]`.
    pub key: (&'a Tensor, &'a Tensor),
    /// `[width, width]` and `[width]`.
    pub value: (&'a Tensor, &'a Tensor),
    /// Of RMSNorm over queries, `[width]`.
    pub query_norm: &'a Tensor,
    /// Of RMSNorm over keys, `[width]`.
    pub key_norm: &'a Tensor,
    /// Of RMSNorm over a slot and what it attended to, `[width]`.
    pub attended_norm: &'a Tensor,
    /// Of RMSNorm over that and what was read in it, `[width]`.
    pub read_norm: &'a Tensor,
    /// `[2 width, width]`, without a bias.
    pub word_gates: &'a Tensor,
    /// `[2 width, width]` and `[2 width]`.
    pub memory_gates: (&'a Tensor, &'a Tensor),
    /// The layers that read what was attended to, `[layers, width, width]` and `[layers, width]`.
    pub read: (&'a Tensor, &'a Tensor),
}

/// The numbers of a relational memory that are no parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryOptions {
    /// Slots of the memory.
    pub slots: usize,
    /// Attention heads; they divide the width of a slot.
    pub heads: usize,
    /// Added to the mean square in RMSNorm.
    pub epsilon: f32,
    /// Added to the gate of what is kept.
    pub forget_bias: f32,
}

/// A relational memory over whole sequences (Santoro et al., 2018; in RelGAN, Nie et al., 2019), with
/// back-propagation through time. At each word `x`, with `n` for RMSNorm:
///
/// ```text
/// a = n(M + attention(queries n(M W_q), keys n([M; x] W_k), values [M; x] W_v))
/// p = tanh(n(a + read(a)))     read: linear layers, with a rectifier between them
/// i, f = sigmoid(tanh(M) U + x W + (0, forget_bias))     M' = i p + f M
/// ```
///
/// # Shapes
/// `words: [batch, time, width]`, `initial: [batch, slots * width]`, to the memories after each word
/// `[batch, time, slots * width]`.
///
/// # Errors
/// If the shapes do not fit.
pub fn relational_memory(
    words: &Tensor,
    initial: &Tensor,
    weights: MemoryWeights<'_>,
    options: MemoryOptions,
) -> Result<Tensor> {
    let (layout, [batch, time]) = layout(words, initial, weights, options)?;
    let MemoryWeights { query, key, value, memory_gates, read, .. } = weights;
    let all = [
        query.0,
        query.1,
        key.0,
        key.1,
        value.0,
        value.1,
        weights.query_norm,
        weights.key_norm,
        weights.attended_norm,
        weights.read_norm,
        weights.word_gates,
        memory_gates.0,
        memory_gates.1,
        read.0,
        read.1,
    ];
    if !(fused(&[words, initial]) && fused(&all)) {
        return composed::relational_memory(words, initial, weights, options);
    }
    let weights = Bundle::new(all)?;
    let token = weights.token().clone();
    let memory = Memory { layout, batch, time, weights, saved: OnceLock::new() };
    Ok(words.contiguous()?.apply_op3(&token, &initial.contiguous()?, memory)?)
}

/// The sizes, once all shapes fit them.
fn layout(
    words: &Tensor,
    initial: &Tensor,
    weights: MemoryWeights<'_>,
    options: MemoryOptions,
) -> Result<(MemoryLayout, [usize; 2])> {
    let [batch, time, width] = *words.dims() else {
        let problem = format!("words have shape {:?}, expected [batch, time, width]", words.dims());
        return Err(Error::argument(NAME, problem));
    };
    let MemoryOptions { slots, heads, epsilon, forget_bias } = options;
    if [batch, time, width, slots, heads].contains(&0) {
        let problem = format!(
            "words have shape {:?}, {slots} slots, {heads} heads: none may be 0",
            words.dims()
        );
        return Err(Error::argument(NAME, problem));
    }
    same(NAME, "width and heads of a whole width", width, width / heads * heads)?;
    let layers = match *weights.read.0.dims() {
        [layers, ..] if layers > 0 => layers,
        ref dims => {
            let problem =
                format!("the layers that read have shape {dims:?}, expected at least one");
            return Err(Error::argument(NAME, problem));
        }
    };
    let expect = |name: &str, tensor: &Tensor, dims: &[usize]| match tensor.dims() == dims {
        true => Ok(()),
        false => {
            let problem = format!("{name} has shape {:?}, expected {dims:?}", tensor.dims());
            Err(Error::argument(NAME, problem))
        }
    };
    expect("the initial memory", initial, &[batch, slots * width])?;
    for (name, (weight, bias), rows) in [
        ("query", weights.query, width),
        ("key", weights.key, width),
        ("value", weights.value, width),
        ("the memory's gates", weights.memory_gates, 2 * width),
    ] {
        expect(name, weight, &[rows, width])?;
        expect(name, bias, &[rows])?;
    }
    for (name, norm) in [
        ("the norm of queries", weights.query_norm),
        ("the norm of keys", weights.key_norm),
        ("the norm of what was attended to", weights.attended_norm),
        ("the norm of what was read", weights.read_norm),
    ] {
        expect(name, norm, &[width])?;
    }
    expect("the word's gates", weights.word_gates, &[2 * width, width])?;
    expect("the layers that read", weights.read.0, &[layers, width, width])?;
    expect("their biases", weights.read.1, &[layers, width])?;
    Ok((MemoryLayout { slots, heads, width, layers, epsilon, forget_bias }, [batch, time]))
}

/// Words, weights, the initial memory.
struct Memory {
    layout: MemoryLayout,
    batch: usize,
    time: usize,
    weights: Bundle<15>,
    /// One a shard.
    saved: OnceLock<Vec<SavedMemory>>,
}

impl CustomOp3 for Memory {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        _token: &CpuStorage,
        _token_layout: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (words, initial) = (cpu_slice(s1, l1)?, cpu_slice(s3, l3)?);
        let (size, time) = (self.layout.size(), self.time);
        let mut memories = vec![0.0; self.batch * time * size];
        let saved = self.weights.with_slices(|weights| {
            let weights = PackedMemory::new(self.layout, weights);
            Ok(words
                .par_chunks(SHARD * time * self.layout.width)
                .zip(initial.par_chunks(SHARD * size))
                .zip(memories.par_chunks_mut(SHARD * time * size))
                .map(|((words, initial), memories)| forward(&weights, words, initial, memories))
                .collect())
        })?;
        if self.saved.set(saved).is_err() {
            candle_core::bail!("{NAME}: the forward pass of one operation ran twice");
        }
        Ok((CpuStorage::F32(memories), (self.batch, time, size).into()))
    }

    fn bwd(
        &self,
        words: &Tensor,
        _token: &Tensor,
        initial: &Tensor,
        _memories: &Tensor,
        d_memories: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(saved) = self.saved.get() else {
            candle_core::bail!("{NAME}: backward without forward");
        };
        let (size, width, time) = (self.layout.size(), self.layout.width, self.time);
        let mut d_words = vec![0.0; self.batch * time * width];
        let mut d_initial = vec![0.0; self.batch * size];
        let shards: Vec<Vec<f32>> = with_slices([d_memories], |[d_memories]| {
            self.weights.with_slices(|weights| {
                let weights = TransposedMemory::new(self.layout, weights);
                Ok(d_memories
                    .par_chunks(SHARD * time * size)
                    .zip(d_words.par_chunks_mut(SHARD * time * width))
                    .zip(d_initial.par_chunks_mut(SHARD * size))
                    .zip(saved)
                    .map(|(((d_memories, d_words), d_initial), saved)| {
                        backward(&weights, saved, d_memories, d_words, d_initial)
                    })
                    .collect())
            })
        })?;
        let d_weights = match self.weights.wanted() {
            true => Some(self.weights.hand_out(sum(shards))?),
            false => None,
        };
        let d_words = gradient(words, || d_words)?;
        Ok((d_words, d_weights, gradient(initial, || d_initial)?))
    }
}

/// The sum over shards, in their order: threads share out weights, never parts of a sum.
fn sum(shards: Vec<Vec<f32>>) -> Vec<f32> {
    let mut shards = shards.into_iter();
    let mut total = shards.next().unwrap_or_default();
    for shard in shards {
        total.par_chunks_mut(PART).zip(shard.par_chunks(PART)).for_each(|(total, shard)| {
            total.iter_mut().zip(shard).for_each(|(total, x)| *total += x);
        });
    }
    total
}
