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

    /// One query over a cache, every head on its own columns:
    /// `out = softmax(query keys^T / sqrt(head_dim)) values`.
    ///
    /// `query` and `out` are `[heads * head_dim]`; `scores` is room for a number a position, and grows
    /// as need be.
    ///
    /// # Panics
    /// If there is no position or no head, if the heads do not share the width evenly, or if a slice is
    /// too short.
    pub fn attend(
        heads: usize,
        query: &[f32],
        cache: Cache<'_>,
        scores: &mut Vec<f32>,
        out: &mut [f32],
    ) {
        let Cache { keys, values, stride, positions } = cache;
        let width = query.len();
        assert!(heads > 0 && width.is_multiple_of(heads), "{heads} heads over {width} numbers");
        assert!(positions > 0, "a query attends to nothing");
        assert!(keys.len() >= keys_len(positions, width), "too few keys");
        assert!(values.len() >= (positions - 1) * stride + width, "too few values");
        let head_dim = width / heads;
        let scale = 1.0 / (head_dim as f32).sqrt();
        scores.resize(positions.next_multiple_of(LANES), 0.0);
        for (head, out) in out[..width].chunks_exact_mut(head_dim).enumerate() {
            let first = head * head_dim;
            let query = &query[first..][..head_dim];
            let panels = keys.chunks_exact(LANES * width);
            for (scores, panel) in scores.chunks_exact_mut(LANES).zip(panels) {
                let mut sums = [0.0; LANES];
                let panel = panel[first * LANES..].chunks_exact(LANES);
                for (query, keys) in query.iter().zip(panel) {
                    for i in 0..LANES {
                        sums[i] = keys[i].mul_add(*query, sums[i]);
                    }
                }
                for i in 0..LANES {
                    scores[i] = sums[i] * scale;
                }
            }
            scores[positions..].fill(f32::NEG_INFINITY);
            let highest = max(scores);
            for score in scores.iter_mut() {
                *score = exp(*score - highest);
            }
            scores[positions..].fill(0.0);
            let inverse = 1.0 / sum(scores);
            let scores = &scores[..positions];
            let mut columns = out.chunks_exact_mut(LANES);
            let mut first = first;
            for out in &mut columns {
                let mut sums = [0.0; LANES];
                for (score, values) in scores.iter().zip(values[first..].chunks(stride)) {
                    let values = &values[..LANES];
                    for i in 0..LANES {
                        sums[i] = values[i].mul_add(*score, sums[i]);
                    }
                }
                for i in 0..LANES {
                    out[i] = sums[i] * inverse;
                }
                first += LANES;
            }
            for (out, first) in columns.into_remainder().iter_mut().zip(first..) {
                let values = values[first..].iter().step_by(stride);
                let sum = |sum, (score, value): (&f32, &f32)| value.mul_add(*score, sum);
                *out = scores.iter().zip(values).fold(0.0, sum) * inverse;
            }
        }
    }
}

/// Keys and values of the positions that a query attends to.
#[derive(Clone, Copy)]
pub struct Cache<'a> {
    /// As [`store_key`] lays them out.
    pub keys: &'a [f32],
    /// Values of one position after the other.
    pub values: &'a [f32],
    /// From the values of one position to the next.
    pub stride: usize,
    /// How many there are; what is stored beyond is not read.
    pub positions: usize,
}

/// Numbers in the keys of `positions` positions of `width` numbers each.
pub fn keys_len(positions: usize, width: usize) -> usize {
    positions.next_multiple_of(LANES) * width
}

/// Puts the key of a position into its place: keys are in panels of 16 positions, each `[width, 16]`,
/// so that one vector has the same number of 16 keys and a dot product needs no sum across it.
///
/// # Panics
/// If `keys` has no panel for it.
pub fn store_key(key: &[f32], position: usize, keys: &mut [f32]) {
    let panel = &mut keys[position / LANES * LANES * key.len()..][..LANES * key.len()];
    for (key, column) in key.iter().zip(panel.chunks_exact_mut(LANES)) {
        column[position % LANES] = *key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside the definition in double precision, of every number of positions up to three panels,
    /// with rubbish behind them, and of heads that are and are not whole vectors.
    #[test]
    fn attends_as_by_hand() {
        let number = |i: usize| ((i * 7919 % 1013) as f32 / 1013.0 - 0.5) * 3.0;
        for (heads, head_dim) in [(2, 32), (3, 5), (1, 24)] {
            let width = heads * head_dim;
            let stride = width + 3;
            for positions in 1..40 {
                let query: Vec<f32> = (0..width).map(number).collect();
                let key =
                    |t: usize| -> Vec<f32> { (0..width).map(|i| number(i + 90 * t)).collect() };
                let mut values: Vec<f32> =
                    (0..stride * positions).map(|i| number(5 * i + 1)).collect();
                values.resize(stride * (positions + 2), f32::NAN);
                let mut keys = vec![f32::NAN; keys_len(positions, width)];
                (0..positions).for_each(|t| store_key(&key(t), t, &mut keys));
                let cache = Cache { keys: &keys, values: &values, stride, positions };
                let mut out = vec![0.0; width];
                attend(heads, &query, cache, &mut Vec::new(), &mut out);
                for (head, out) in out.chunks_exact(head_dim).enumerate() {
                    let first = head * head_dim;
                    let weight = |t: usize| -> f64 {
                        let key = key(t);
                        let dot: f64 = (first..first + head_dim)
                            .map(|i| f64::from(query[i]) * f64::from(key[i]))
                            .sum();
                        (dot / (head_dim as f64).sqrt()).exp()
                    };
                    let total: f64 = (0..positions).map(weight).sum();
                    for (i, out) in out.iter().enumerate() {
                        let value = |t: usize| f64::from(values[t * stride + first + i]);
                        let exact =
                            (0..positions).map(|t| weight(t) * value(t)).sum::<f64>() / total;
                        assert!((f64::from(*out) - exact).abs() < 1e-5, "{out} {exact}");
                    }
                }
            }
        }
    }
}
