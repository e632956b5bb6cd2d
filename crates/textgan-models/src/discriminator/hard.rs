//! The features that convolutions and a highway layer find in hard tokens, without a graph.

use candle_core::Tensor;
use rayon::prelude::*;
use textgan_nn::kernels::{self, HardTexts, Packed, Start, Strided, TextFeatures, TextFilters};
use textgan_nn::layers::TextConv;

use crate::Result;
use crate::sampler::{pack, values};

/// Texts whose features go through the highway layer together.
const TILE: usize = 96;

/// A snapshot of the weights.
pub(super) struct HardReader {
    /// `[vocab, embed]`.
    table: Vec<f32>,
    /// Width of one of the `parts` of an embedding, each of which is read by itself.
    embed: usize,
    parts: usize,
    banks: Vec<Bank>,
    highway: Option<HighwayWeights>,
}

struct Bank {
    width: usize,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// Transform and gate, side by side; one alone where they are shared.
struct HighwayWeights {
    weight: Packed,
    bias: Vec<f32>,
}

impl HardReader {
    /// `highway` has weights and biases of transform and gate, or of one for both, or nothing.
    pub fn new(
        table: &Tensor,
        parts: usize,
        convolution: &TextConv,
        highway: &[(&Tensor, &Tensor)],
    ) -> Result<Self> {
        let banks = convolution.banks().iter().map(|(weight, bias)| {
            Ok(Bank { width: weight.dim(2)?, weight: values(weight)?, bias: values(bias)? })
        });
        let highway = match highway {
            [] => None,
            layers => {
                let (weights, biases): (Vec<_>, Vec<_>) = layers.iter().copied().unzip();
                let biases: Vec<_> = biases.into_iter().map(values).collect::<Result<_>>()?;
                Some(HighwayWeights { weight: pack(&weights)?, bias: biases.concat() })
            }
        };
        let embed = table.dim(1)? / parts;
        Ok(Self {
            table: values(table)?,
            embed,
            parts,
            banks: banks.collect::<Result<_>>()?,
            highway,
        })
    }

    /// The features of `tokens: [batch, time]`, all within the vocabulary: `[batch * parts,
    /// features]`, the parts of a text beside each other.
    pub fn features(&self, tokens: &[u32], lengths: &[usize]) -> Vec<f32> {
        let (embeddings, tokens, lengths) = self.distinct(tokens, lengths);
        let banks: Vec<TextFilters<'_>> = self
            .banks
            .iter()
            .map(|bank| TextFilters { width: bank.width, weight: &bank.weight, bias: &bank.bias })
            .collect();
        let texts = HardTexts { tokens: &tokens, lengths: &lengths };
        let found = TextFeatures::new(&banks, &embeddings, self.embed, texts);
        let width = found.width();
        let mut features = vec![0.0; lengths.len() * width];
        let tiles = features.par_chunks_mut(TILE * width).enumerate();
        tiles.for_each_init(Vec::new, |products, (tile, features)| {
            found.write(tile * TILE, features);
            let Some(highway) = &self.highway else { return };
            let (rows, columns) = (features.len() / width, highway.weight.columns());
            products.resize(TILE * columns, 0.0);
            let (x, start) = (Strided::rows(features, width), Start::Bias(&highway.bias));
            highway.weight.multiply(rows, x, start, products, columns);
            kernels::highway(&products[..rows * columns], width, features);
        });
        features
    }

    /// Embeddings of the parts of the tokens that occur; the parts of each text as texts of their
    /// own, over the rows of those embeddings; and their lengths.
    fn distinct(&self, tokens: &[u32], lengths: &[usize]) -> (Vec<f32>, Vec<u32>, Vec<usize>) {
        let width = self.embed * self.parts;
        let mut rows = vec![None; self.table.len() / width];
        let mut embeddings = Vec::new();
        let mut row = |token: u32| {
            *rows[token as usize].get_or_insert_with(|| {
                let row = embeddings.len() / self.embed;
                embeddings.extend_from_slice(&self.table[token as usize * width..][..width]);
                row as u32
            })
        };
        let time = tokens.len() / lengths.len();
        let mut texts = Vec::with_capacity(tokens.len() * self.parts);
        for (text, &length) in tokens.chunks_exact(time).zip(lengths) {
            let begin = texts.len();
            texts.extend(text[..length].iter().map(|&token| row(token)));
            texts.resize(begin + time, 0);
            for part in 1..self.parts as u32 {
                texts.extend_from_within(begin..begin + time);
                let own = texts.len() - time..;
                texts[own].iter_mut().for_each(|row| *row += part);
            }
        }
        let lengths = lengths.iter().flat_map(|&length| std::iter::repeat_n(length, self.parts));
        (embeddings, texts, lengths.collect())
    }
}
