//! Text convolutions of one width with the maximum over time.
//!
//! The windows of a row overlap in memory, so they are the left side of a product as they are
//! (`Strided::rows` with the stride of one token), and nothing is copied. Backward, only the windows
//! that won matter.

// A negated comparison is how a NaN is let through.
#![allow(clippy::neg_cmp_op_on_partial_ord)]

use rayon::prelude::*;

use super::dispatch::simd;
use super::{Packed, Start, Strided};

/// Rows of a batch that one thread works on at a time.
const SHARD: usize = 16;
/// Filters whose gradient one thread sums at a time.
const FILTERS: usize = 8;
/// Stands for a winner whose value the ReLU cut off.
const CUT: u32 = u32::MAX;

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Convolution {
    pub(crate) time: usize,
    pub(crate) embed: usize,
    pub(crate) width: usize,
    pub(crate) filters: usize,
}

impl Convolution {
    /// How many windows a row of this length has.
    fn windows(self, length: usize) -> usize {
        (length + 1).saturating_sub(self.width).max(1)
    }

    /// Numbers in a window. A row shorter than the filter has one, whose missing tokens are zeros
    /// and so are left out.
    fn window(self, length: usize) -> usize {
        length.min(self.width) * self.embed
    }

    /// Writes `out: [batch, filters]`, `max(0, max over windows)`, and where each maximum was, of
    /// `x: [batch, time, embed]` and `weight: [filters, width * embed]`.
    pub(crate) fn forward(
        self,
        x: &[f32],
        weight: &[f32],
        bias: &[f32],
        lengths: &[usize],
        out: &mut [f32],
        winners: &mut [u32],
    ) {
        let weight = Packed::new(
            Strided::transposed(weight, self.width * self.embed),
            self.width * self.embed,
            self.filters,
        );
        let shards = x
            .par_chunks(SHARD * self.time * self.embed)
            .zip(lengths.par_chunks(SHARD))
            .zip(out.par_chunks_mut(SHARD * self.filters))
            .zip(winners.par_chunks_mut(SHARD * self.filters));
        shards.for_each(|(((x, lengths), out), winners)| {
            let mut scores = vec![0.0; self.time.max(1) * self.filters];
            let rows = x
                .chunks_exact(self.time * self.embed)
                .zip(lengths)
                .zip(out.chunks_exact_mut(self.filters))
                .zip(winners.chunks_exact_mut(self.filters));
            for (((x, &length), out), winners) in rows {
                let windows = self.windows(length);
                let scores = &mut scores[..windows * self.filters];
                weight.multiply_first(
                    self.window(length),
                    windows,
                    Strided::rows(x, self.embed),
                    Start::Bias(bias),
                    scores,
                    self.filters,
                );
                maxima(scores, out, winners);
            }
        });
    }

    /// The gradient of `x`; `d_x` is overwritten.
    pub(crate) fn backward_input(
        self,
        weight: &[f32],
        lengths: &[usize],
        winners: &[u32],
        d_out: &[f32],
        d_x: &mut [f32],
    ) {
        let shards = d_x
            .par_chunks_mut(self.time * self.embed)
            .zip(lengths)
            .zip(winners.par_chunks(self.filters))
            .zip(d_out.par_chunks(self.filters));
        shards.for_each(|(((d_x, &length), winners), d_out)| {
            d_x.fill(0.0);
            let window = self.window(length);
            let filters = weight.chunks_exact(self.width * self.embed).zip(winners).zip(d_out);
            for ((weight, &winner), &d_out) in filters {
                if winner != CUT && d_out != 0.0 {
                    let first = winner as usize * self.embed;
                    add_scaled(&mut d_x[first..][..window], d_out, &weight[..window]);
                }
            }
        });
    }

    /// The gradients of weight and bias, summed over the batch in its order; both are overwritten.
    pub(crate) fn backward_weight(
        self,
        x: &[f32],
        lengths: &[usize],
        winners: &[u32],
        d_out: &[f32],
        d_weight: &mut [f32],
        d_bias: &mut [f32],
    ) {
        let size = self.width * self.embed;
        let tiles =
            d_weight.par_chunks_mut(FILTERS * size).zip(d_bias.par_chunks_mut(FILTERS)).enumerate();
        tiles.for_each(|(tile, (d_weight, d_bias))| {
            d_weight.fill(0.0);
            d_bias.fill(0.0);
            let filters = d_weight.chunks_exact_mut(size).zip(d_bias);
            for (filter, (d_weight, d_bias)) in (tile * FILTERS..).zip(filters) {
                for (row, &length) in lengths.iter().enumerate() {
                    let place = row * self.filters + filter;
                    let (winner, d_out) = (winners[place], d_out[place]);
                    if winner != CUT && d_out != 0.0 {
                        let window = self.window(length);
                        let first = (row * self.time + winner as usize) * self.embed;
                        add_scaled(&mut d_weight[..window], d_out, &x[first..][..window]);
                        *d_bias += d_out;
                    }
                }
            }
        });
    }
}

simd! {
    /// The largest score of each filter over all windows, `scores: [windows, filters]`, cut at
    /// zero, and the first window that has it.
    fn maxima(scores: &[f32], out: &mut [f32], winners: &mut [u32]) {
        let filters = out.len();
        out.fill(f32::NEG_INFINITY);
        winners.fill(0);
        for (window, scores) in scores.chunks_exact(filters).enumerate() {
            for ((out, winner), &score) in out.iter_mut().zip(winners.iter_mut()).zip(scores) {
                // `!(score <= out)` lets a NaN through, to be seen in the loss.
                let wins = !(score <= *out);
                *out = if wins { score } else { *out };
                *winner = if wins { window as u32 } else { *winner };
            }
        }
        for (out, winner) in out.iter_mut().zip(winners.iter_mut()) {
            let cut = *out <= 0.0;
            *out = if cut { 0.0 } else { *out };
            *winner = if cut { CUT } else { *winner };
        }
    }
}

simd! {
    fn add_scaled(sums: &mut [f32], factor: f32, values: &[f32]) {
        for (sum, &value) in sums.iter_mut().zip(values) {
            *sum += factor * value;
        }
    }
}
