//! Causal attention of one sequence, and of one query over a cache.
//!
//! A sequence is `[time, heads * head_dim]`; each head works on its own columns in place. The
//! weights of a head are stored `[time, padded(time)]`, rows padded with zeros to whole vectors.

use super::Rotary;
use super::dispatch::simd;
use super::gemm::{Matrix, product};
use super::math::{LANES, dot, exp, max, sum};

/// Sizes of one sequence.
#[derive(Clone, Copy)]
pub(crate) struct Heads {
    pub(crate) time: usize,
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
}

/// Queries, keys and values of one sequence, each `[time, heads * head_dim]`.
#[derive(Clone, Copy)]
pub(crate) struct Sequence<'a> {
    pub(crate) query: &'a [f32],
    pub(crate) key: &'a [f32],
    pub(crate) value: &'a [f32],
}

impl Heads {
    /// Numbers in `[time, heads * head_dim]`.
    pub(crate) fn len(self) -> usize {
        self.time * self.width()
    }

    /// Numbers in the attention weights of all heads.
    pub(crate) fn weights_len(self) -> usize {
        self.heads * self.time * self.padded()
    }

    fn width(self) -> usize {
        self.heads * self.head_dim
    }

    fn padded(self) -> usize {
        self.time.next_multiple_of(LANES)
    }

    fn scale(self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }

    /// The columns of one head in `[time, heads * head_dim]`.
    fn head(self, x: &[f32], head: usize) -> Matrix<'_> {
        Matrix::strided(&x[head * self.head_dim..], self.time, self.head_dim, self.width())
    }

    fn weights<'a>(self, weights: &'a [f32], head: usize) -> Matrix<'a> {
        let size = self.time * self.padded();
        Matrix::strided(&weights[head * size..][..size], self.time, self.time, self.padded())
    }
}

/// Copies of queries and keys, turned to their positions.
fn turned(heads: Heads, x: &[f32], rotary: &Rotary) -> Vec<f32> {
    let mut x = x.to_vec();
    for (position, row) in x.chunks_exact_mut(heads.width()).enumerate() {
        rotary.turn(row, position);
    }
    x
}

/// Writes the output of one sequence, and the attention weights, which the backward pass needs.
pub(crate) fn attention(
    heads: Heads,
    x: Sequence<'_>,
    rotary: &Rotary,
    weights: &mut [f32],
    out: &mut [f32],
) {
    let (query, key) = (turned(heads, x.query, rotary), turned(heads, x.key, rotary));
    let padded = heads.padded();
    for head in 0..heads.heads {
        let scores = &mut weights[head * heads.time * padded..][..heads.time * padded];
        product(
            heads.head(&query, head),
            heads.head(&key, head).transposed(),
            scores,
            padded,
            false,
        );
        causal_softmax(scores, padded, heads.scale());
        let columns = &mut out[head * heads.head_dim..];
        let weights = Matrix::strided(scores, heads.time, heads.time, padded);
        product(weights, heads.head(x.value, head), columns, heads.width(), false);
    }
}

/// Gradients of one sequence. `weights` are those of the forward pass; `dquery`, `dkey` and
/// `dvalue` are written.
pub(crate) fn attention_backward(
    heads: Heads,
    dout: &[f32],
    x: Sequence<'_>,
    rotary: &Rotary,
    weights: &[f32],
    dquery: &mut [f32],
    dkey: &mut [f32],
    dvalue: &mut [f32],
) {
    let (query, key) = (turned(heads, x.query, rotary), turned(heads, x.key, rotary));
    let (padded, width) = (heads.padded(), heads.width());
    let mut dscores = vec![0.0; heads.time * padded];
    for head in 0..heads.heads {
        let first = head * heads.head_dim;
        let dout = heads.head(dout, head);
        let matrix = heads.weights(weights, head);
        product(matrix.transposed(), dout, &mut dvalue[first..], width, false);
        product(dout, heads.head(x.value, head).transposed(), &mut dscores, padded, false);
        let weights = &weights[head * heads.time * padded..];
        causal_softmax_backward(weights, &mut dscores, padded, heads.scale());
        let dscores = Matrix::strided(&dscores, heads.time, heads.time, padded);
        product(dscores, heads.head(&key, head), &mut dquery[first..], width, false);
        product(dscores.transposed(), heads.head(&query, head), &mut dkey[first..], width, false);
    }
    for (position, row) in dquery.chunks_exact_mut(width).enumerate() {
        rotary.turn_back(row, position);
    }
    for (position, row) in dkey.chunks_exact_mut(width).enumerate() {
        rotary.turn_back(row, position);
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
