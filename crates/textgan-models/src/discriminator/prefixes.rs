//! The features that convolutions and a highway layer find in every prefix of a text, a token at a time and without
//! a graph: what a discriminator leaks to a generator while it writes.

use candle_core::Tensor;
use rayon::prelude::*;
use textgan_nn::kernels::{self, Packed, Start, Strided};
use textgan_nn::layers::TextConv;

use crate::sampler::{pack, values};
use crate::{Result, Sequences};

/// Rows that read together.
const TILE: usize = 16;

/// A snapshot of the weights. A filter's answer to a prefix is the maximum over its windows, so one token more asks
/// for one window more: a text of `n` tokens takes `n` of them for all its prefixes.
pub(crate) struct PrefixReader {
    /// `[vocab, embed]`.
    table: Vec<f32>,
    embed: usize,
    banks: Vec<Bank>,
    highway: Option<(Packed, Vec<f32>)>,
    features: usize,
}

struct Bank {
    width: usize,
    weight: Packed,
    bias: Vec<f32>,
}

/// Buffers of [`PrefixReader::advance`].
#[derive(Default)]
pub(crate) struct PrefixScratch {
    windows: Vec<f32>,
    found: Vec<f32>,
    products: Vec<f32>,
}

impl PrefixReader {
    /// `highway` has weights and biases of transform and gate, or of one for both, or nothing.
    pub fn new(
        table: &Tensor,
        convolution: &TextConv,
        highway: &[(&Tensor, &Tensor)],
    ) -> Result<Self> {
        let banks = convolution.banks().iter().map(|(weight, bias)| {
            let width = weight.dim(2)?;
            Ok(Bank { width, weight: pack(&[&weight.flatten_from(1)?])?, bias: values(bias)? })
        });
        let highway = match highway {
            [] => None,
            layers => {
                let (weights, biases): (Vec<_>, Vec<_>) = layers.iter().copied().unzip();
                let biases: Vec<_> = biases.into_iter().map(values).collect::<Result<_>>()?;
                Some((pack(&weights)?, biases.concat()))
            }
        };
        Ok(Self {
            table: values(table)?,
            embed: table.dim(1)?,
            banks: banks.collect::<Result<_>>()?,
            highway,
            features: convolution.output(),
        })
    }

    /// Features of a prefix.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Width of the embedding of a token.
    pub fn embed(&self) -> usize {
        self.embed
    }

    /// The embedding of a token.
    pub fn embedding(&self, token: u32) -> &[f32] {
        &self.table[token as usize * self.embed..][..self.embed]
    }

    /// Takes each row a token further, to `counts[row]` tokens, of which `token(row, i)` is the embedding of the
    /// `i`th. `best: [rows, features]`, the maxima over the windows so far, is brought up to date; `features` is
    /// what the network makes of them.
    pub fn advance<'a>(
        &self,
        counts: &[usize],
        token: impl Fn(usize, usize) -> &'a [f32],
        best: &mut [f32],
        features: &mut Vec<f32>,
        scratch: &mut PrefixScratch,
    ) {
        let rows = counts.len();
        let PrefixScratch { windows, found, products } = scratch;
        let mut first = 0;
        for bank in &self.banks {
            let (columns, depth) = (bank.weight.columns(), bank.width * self.embed);
            windows.clear();
            windows.resize(rows * depth, 0.0);
            for ((row, &count), window) in
                counts.iter().enumerate().zip(windows.chunks_exact_mut(depth))
            {
                // A text shorter than the filter has one window, whose missing tokens are zeros.
                let begin = count.saturating_sub(bank.width);
                for (place, x) in (begin..count).zip(window.chunks_exact_mut(self.embed)) {
                    x.copy_from_slice(token(row, place));
                }
            }
            found.resize(rows * columns, 0.0);
            let start = Start::Bias(&bank.bias);
            bank.weight.multiply(rows, Strided::rows(windows, depth), start, found, columns);
            let rows = best.chunks_exact_mut(self.features).zip(found.chunks_exact(columns));
            for ((best, found), &count) in rows.zip(counts) {
                let short = count <= bank.width;
                for (best, &found) in best[first..][..columns].iter_mut().zip(found) {
                    let least = if short { 0.0 } else { *best };
                    // A NaN wins, to be seen in the result.
                    *best = if found <= least { least } else { found };
                }
            }
            first += columns;
        }
        features.clear();
        features.extend_from_slice(best);
        if let Some((weight, bias)) = &self.highway {
            let columns = weight.columns();
            products.resize(rows * columns, 0.0);
            let x = Strided::rows(features, self.features);
            weight.multiply(rows, x, Start::Bias(bias), products, columns);
            kernels::highway(products, self.features, features);
        }
    }

    /// The features of every prefix of some texts, from the empty one on: `[batch, time + 1, features]`. Beyond the
    /// end of a text those of all of it are repeated.
    pub fn all(&self, texts: &Sequences) -> Vec<f32> {
        let (batch, time, width) = (texts.batch(), texts.time(), self.features);
        let mut all = vec![0.0; batch * (time + 1) * width];
        let tiles = all.par_chunks_mut(TILE * (time + 1) * width).enumerate();
        tiles.for_each(|(tile, all)| {
            let rows = all.len() / ((time + 1) * width);
            let row = |row: usize| tile * TILE + row;
            let token =
                |r: usize, place: usize| self.embedding(texts.targets()[row(r) * time + place]);
            let mut best = vec![0.0; rows * width];
            let (mut features, mut scratch) = (Vec::new(), PrefixScratch::default());
            for count in 0..=time {
                let counts: Vec<usize> =
                    (0..rows).map(|r| count.min(texts.lengths()[row(r)])).collect();
                self.advance(&counts, token, &mut best, &mut features, &mut scratch);
                let places = all.chunks_exact_mut((time + 1) * width);
                for (all, features) in places.zip(features.chunks_exact(width)) {
                    all[count * width..][..width].copy_from_slice(features);
                }
            }
        });
        all
    }
}
