//! Causal attention of one sequence, and of one query over a cache.
//!
//! Each head works on its own columns of a sequence in place. The weights of a head are stored
//! `[time, padded(time)]`, rows padded with zeros to whole vectors.

use super::dispatch::simd;
use super::math::{LANES, dot, exp, max, sum};
use super::{Packed, Start, Strided};

/// Sizes of one sequence.
#[derive(Clone, Copy)]
pub(crate) struct Heads {
    pub(crate) time: usize,
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
    /// From one row of queries, keys, values or outputs to the next.
    pub(crate) stride: usize,
}

/// Queries and keys, turned to their positions, and values of one sequence: rows of
/// `heads * head_dim` numbers that begin [`Heads::stride`] apart.
#[derive(Clone, Copy)]
pub(crate) struct Sequence<'a> {
    pub(crate) query: &'a [f32],
    pub(crate) key: &'a [f32],
    pub(crate) value: &'a [f32],
}

impl<'a> Sequence<'a> {
    /// Queries, keys and values beside each other in rows of `3 * width`.
    pub(crate) fn stacked(qkv: &'a [f32], width: usize) -> Self {
        let from = |first: usize| qkv.get(first..).unwrap_or_default();
        Self { query: qkv, key: from(width), value: from(2 * width) }
    }
}

impl Heads {
    /// Numbers in the attention weights of all heads.
    pub(crate) fn weights_len(self) -> usize {
        self.heads * self.time * self.padded()
    }

    pub(crate) fn width(self) -> usize {
        self.heads * self.head_dim
    }

    fn padded(self) -> usize {
        self.time.next_multiple_of(LANES)
    }

    fn scale(self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }
}

/// Writes the output of one sequence, `[time, heads * head_dim]`, and the attention weights, which
/// the backward pass needs.
pub(crate) fn attention(
    heads: Heads,
    x: Sequence<'_>,
    weights: &mut [f32],
    out: &mut [f32],
    packed: &mut Packed,
) {
    let Heads { time, head_dim, stride, .. } = heads;
    let padded = heads.padded();
    for (head, scores) in weights.chunks_exact_mut((time * padded).max(1)).enumerate() {
        let first = head * head_dim;
        packed.pack(Strided::transposed(&x.key[first..], stride), head_dim, time);
        let query = Strided::rows(&x.query[first..], stride);
        packed.multiply(time, query, Start::Zero, scores, padded);
        causal_softmax(scores, padded, heads.scale());
        packed.pack(Strided::rows(&x.value[first..], stride), time, head_dim);
        let weights = Strided::rows(scores, padded);
        packed.multiply(time, weights, Start::Zero, &mut out[first..], heads.width());
    }
}

/// Gradients of one sequence. `dout` is `[time, heads * head_dim]`, `weights` are those of the
/// forward pass; the gradients of turned queries and keys and of values are written to `dx`, stacked.
pub(crate) fn attention_backward(
    heads: Heads,
    dout: &[f32],
    x: Sequence<'_>,
    weights: &[f32],
    dx: &mut [f32],
    packed: &mut Packed,
) {
    let Heads { time, head_dim, stride, .. } = heads;
    let (padded, width) = (heads.padded(), heads.width());
    let mut dscores = vec![0.0; time * padded];
    for (head, weights) in weights.chunks_exact((time * padded).max(1)).enumerate() {
        let first = head * head_dim;
        let dout = Strided::rows(&dout[first..], width);
        packed.pack(dout, time, head_dim);
        let transposed = Strided::transposed(weights, padded);
        packed.multiply(time, transposed, Start::Zero, &mut dx[2 * width + first..], stride);
        packed.pack(Strided::transposed(&x.value[first..], stride), head_dim, time);
        packed.multiply(time, dout, Start::Zero, &mut dscores, padded);
        causal_softmax_backward(weights, &mut dscores, padded, heads.scale());
        packed.pack(Strided::rows(&x.key[first..], stride), time, head_dim);
        let rows = Strided::rows(&dscores, padded);
        packed.multiply(time, rows, Start::Zero, &mut dx[first..], stride);
        packed.pack(Strided::rows(&x.query[first..], stride), time, head_dim);
        let columns = Strided::transposed(&dscores, padded);
        packed.multiply(time, columns, Start::Zero, &mut dx[width + first..], stride);
    }
}

simd! {
    /// Row `i` of `scores` becomes `softmax(scale * scores[i, 0..=i])` and zeros after it.
    fn causal_softmax(scores: &mut [f32], padded: usize, scale: f32) {
        for (i, row) in scores.chunks_exact_mut(padded).enumerate() {
            row[i + 1..].fill(f32::NEG_INFINITY);
            let highest = max(row) * scale;
            for x in row.iter_mut() {
                *x = exp(x.mul_add(scale, -highest));
            }
            row[i + 1..].fill(0.0);
            let inverse = 1.0 / sum(row);
            for x in row.iter_mut() {
                *x *= inverse;
            }
        }
    }

    /// `d` holds the gradients of the weights `p`, and gets those of the scores:
    /// `scale p (d - sum p d)`, zeros after the diagonal.
    fn causal_softmax_backward(p: &[f32], d: &mut [f32], padded: usize, scale: f32) {
        for (p, d) in p.chunks_exact(padded).zip(d.chunks_exact_mut(padded)) {
            let mean = dot(p, d);
            for (d, p) in d.iter_mut().zip(p) {
                *d = p * (*d - mean) * scale;
            }
        }
    }

    /// One query over a cache: `out = softmax(query keys^T / sqrt(head_dim)) values`.
    ///
    /// `query` and `out` are one head, `[head_dim]`. Key (and value) number `i` begins at
    /// `i * stride`; there are `scores.len()` of them, and `scores` is left with their weights.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn attend(
        query: &[f32],
        keys: &[f32],
        values: &[f32],
        stride: usize,
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        let head_dim = query.len();
        let out = &mut out[..head_dim];
        let scale = 1.0 / (head_dim as f32).sqrt();
        for (i, score) in scores.iter_mut().enumerate() {
            *score = dot(query, &keys[i * stride..][..head_dim]) * scale;
        }
        let highest = max(scores);
        for score in scores.iter_mut() {
            *score = exp(*score - highest);
        }
        let inverse = 1.0 / sum(scores);
        out.fill(0.0);
        for (i, score) in scores.iter_mut().enumerate() {
            *score *= inverse;
            for (out, value) in out.iter_mut().zip(&values[i * stride..][..head_dim]) {
                *out = value.mul_add(*score, *out);
            }
        }
    }
}
