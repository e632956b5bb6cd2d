//! Text convolutions over hard tokens, without a graph: products are looked up.
//!
//! A filter of width `w` meets every token in `w` places only. The products of all distinct tokens
//! with one place of a filter are a row of a table; a window is then the sum of `w` rows, where it
//! was `w * embed` multiplications. With many texts the tables cost next to nothing.

use rayon::prelude::*;

use super::buffer::Buffer;
use super::dispatch::simd;
use super::{Packed, Start, Strided};

/// Filters whose table is made together.
const PANEL: usize = 16;

/// Filters of one width, followed by ReLU and the maximum over time.
#[derive(Clone, Copy, Debug)]
pub struct TextFilters<'a> {
    /// Tokens that a filter covers.
    pub width: usize,
    /// `[filters, width, embed]`.
    pub weight: &'a [f32],
    /// `[filters]`.
    pub bias: &'a [f32],
}

/// Texts of hard tokens; what lies beyond a length changes nothing.
#[derive(Clone, Copy, Debug)]
pub struct HardTexts<'a> {
    /// Rows of the embeddings, `[texts, time]`.
    pub tokens: &'a [u32],
    /// Tokens of each text.
    pub lengths: &'a [usize],
}

/// The features of texts: `max(0, max_t sum_k weight[f, k] . embedding[x_(t + k)] + bias_f)`, as
/// [`ops::text_convolution`](crate::ops::text_convolution) defines it, for several banks of filters.
///
/// The bits of a text depend neither on the texts beside it nor on the threads.
#[derive(Debug)]
pub struct TextFeatures {
    texts: usize,
    width: usize,
    /// Where each panel's columns begin, and how many it has.
    columns: Vec<(usize, usize)>,
    /// Panel after panel, each `[texts, PANEL]`.
    panels: Buffer,
}

impl TextFeatures {
    /// Reads `texts` with all `banks`; `embeddings: [tokens, embed]`.
    ///
    /// # Panics
    /// If there is no text, a token or a length is out of range, or the sizes do not fit.
    pub fn new(
        banks: &[TextFilters<'_>],
        embeddings: &[f32],
        embed: usize,
        texts: HardTexts<'_>,
    ) -> Self {
        let count = texts.lengths.len();
        let time = texts.tokens.len() / count;
        assert_eq!(texts.tokens.len(), count * time, "texts of the same time");
        assert!(texts.lengths.iter().all(|&length| (1..=time).contains(&length)), "lengths");
        let mut jobs = Vec::new();
        let mut width = 0;
        for bank in banks {
            assert_eq!(bank.weight.len(), bank.bias.len() * bank.width * embed, "a bank's weight");
            for first in (0..bank.bias.len()).step_by(PANEL) {
                jobs.push((bank, first, PANEL.min(bank.bias.len() - first), width + first));
            }
            width += bank.bias.len();
        }
        let mut panels = Buffer::new(jobs.len() * count * PANEL);
        let features = panels.par_chunks_exact_mut(count * PANEL).zip(&jobs);
        features.for_each(|(features, &(bank, first, filters, _))| {
            let table = table(bank, first..first + filters, embeddings, embed);
            let mut bias = [0.0; PANEL];
            bias[..filters].copy_from_slice(&bank.bias[first..][..filters]);
            look_up(&table, bank.width, &bias, texts.tokens, texts.lengths, features);
        });
        let columns = jobs.iter().map(|&(_, _, filters, column)| (column, filters)).collect();
        Self { texts: count, width, columns, panels }
    }

    /// Features of a text.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Writes the features of the texts from `first` on to `out: [texts, width]`.
    ///
    /// # Panics
    /// If there are not so many texts.
    pub fn write(&self, first: usize, out: &mut [f32]) {
        let panels = self.panels.chunks_exact(self.texts * PANEL);
        for (panel, &(column, filters)) in panels.zip(&self.columns) {
            let features = panel[first * PANEL..].chunks_exact(PANEL);
            let rows = out.chunks_exact_mut(self.width);
            assert!(features.len() >= rows.len(), "no text {}", first + rows.len() - 1);
            for (features, row) in features.zip(rows) {
                row[column..][..filters].copy_from_slice(&features[..filters]);
            }
        }
    }
}

/// Products of every token with every place of some filters: `[tokens, width, PANEL]`.
fn table(
    bank: &TextFilters<'_>,
    filters: std::ops::Range<usize>,
    embeddings: &[f32],
    embed: usize,
) -> Buffer {
    let columns = bank.width * PANEL;
    let mut weight = vec![0.0; columns * embed];
    for (lane, filter) in filters.enumerate() {
        let filter = bank.weight[filter * bank.width * embed..].chunks_exact(embed);
        for (place, values) in filter.take(bank.width).enumerate() {
            weight[(place * PANEL + lane) * embed..][..embed].copy_from_slice(values);
        }
    }
    let weight = Packed::new(Strided::transposed(&weight, embed), embed, columns);
    let tokens = embeddings.len() / embed;
    let mut table = Buffer::new(tokens * columns);
    let embeddings = Strided::rows(embeddings, embed);
    weight.multiply(tokens, embeddings, Start::Zero, &mut table, columns);
    table
}

simd! {
    fn look_up(
        table: &[f32],
        width: usize,
        bias: &[f32; PANEL],
        tokens: &[u32],
        lengths: &[usize],
        features: &mut [f32],
    ) {
        let time = tokens.len() / lengths.len();
        let texts = tokens.chunks_exact(time).zip(lengths);
        for ((text, &length), features) in texts.zip(features.chunks_exact_mut(PANEL)) {
            // A text shorter than the filter has one window, whose missing tokens are zeros.
            let places = width.min(length);
            let mut best = [0.0; PANEL];
            for window in text[..length].windows(places) {
                let mut sum = *bias;
                for (place, &token) in window.iter().enumerate() {
                    let row = &table[(token as usize * width + place) * PANEL..][..PANEL];
                    for (sum, value) in sum.iter_mut().zip(row) {
                        *sum += value;
                    }
                }
                for (best, sum) in best.iter_mut().zip(sum) {
                    // A NaN wins, to be seen in the result.
                    *best = if sum <= *best { *best } else { sum };
                }
            }
            features.copy_from_slice(&best);
        }
    }
}

simd! {
    /// A highway layer without its products (Srivastava et al., 2015): every `x` becomes
    /// `g max(0, h) + (1 - g) x` with `g = sigmoid(gate)`, where rows of `products` are `h` and then
    /// `gate`, or `h` alone, which is the gate as well.
    ///
    /// # Shapes
    /// `products: [rows, 2 width]` or `[rows, width]`, `x: [rows, width]`, changed in place.
    pub fn highway(products: &[f32], width: usize, x: &mut [f32]) {
        let columns = products.len() / (x.len() / width);
        for (products, x) in products.chunks_exact(columns).zip(x.chunks_exact_mut(width)) {
            let (transformed, gate) = (&products[..width], &products[columns - width..]);
            for ((x, &h), &gate) in x.iter_mut().zip(transformed).zip(gate) {
                // Not `max`, which would hide a NaN.
                let h = if h <= 0.0 { 0.0 } else { h };
                *x += super::math::sigmoid(gate) * (h - *x);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::ops;

    fn numbers(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + seed * 104_729) % 997) as f32 / 997.0 - 0.5).collect()
    }

    #[test]
    fn features_are_those_of_the_operation() -> crate::Result<()> {
        let (vocab, embed, time) = (11, 5, 6);
        let embeddings = numbers(vocab * embed, 1);
        let lengths = [6, 1, 3, 5];
        let tokens: Vec<u32> = (0..lengths.len() * time).map(|i| (i * 7 % vocab) as u32).collect();
        // One filter, a whole panel, more than one; wider than some texts and than all.
        let sizes = [(1, 1), (2, 16), (3, 37), (5, 4), (8, 3)];
        let weights: Vec<_> =
            sizes.iter().map(|&(width, filters)| numbers(filters * width * embed, width)).collect();
        let biases: Vec<_> = sizes.iter().map(|&(_, filters)| numbers(filters, 9)).collect();
        let banks: Vec<TextFilters<'_>> = sizes
            .iter()
            .zip(weights.iter().zip(&biases))
            .map(|(&(width, _), (weight, bias))| TextFilters { width, weight, bias })
            .collect();
        let texts = HardTexts { tokens: &tokens, lengths: &lengths };
        let features = TextFeatures::new(&banks, &embeddings, embed, texts);
        let mut found = vec![f32::NAN; lengths.len() * features.width()];
        features.write(0, &mut found);

        let device = &Device::Cpu;
        let table = Tensor::from_slice(&embeddings, (vocab, embed), device)?;
        let x = ops::embedding(&table, &tokens, (lengths.len(), time))?;
        let mut expected = Vec::new();
        for (&(width, filters), bank) in sizes.iter().zip(&banks) {
            let weight = Tensor::from_slice(bank.weight, (filters, 1, width, embed), device)?;
            let bias = Tensor::from_slice(bank.bias, filters, device)?;
            expected.push(ops::text_convolution(&x, &weight, &bias, &lengths)?);
        }
        let expected = Tensor::cat(&expected, 1)?.flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
        let mut last = vec![0.0; features.width()];
        features.write(3, &mut last);
        assert_eq!(last, found[3 * features.width()..]);

        let alone = HardTexts { tokens: &tokens[time..2 * time], lengths: &lengths[1..2] };
        let alone = TextFeatures::new(&banks, &embeddings, embed, alone);
        alone.write(0, &mut last);
        assert_eq!(last, found[features.width()..][..features.width()], "other texts matter");
        Ok(())
    }

    #[test]
    fn a_highway_is_its_formula() {
        let (width, rows) = (19, 3);
        let (both, before) = (numbers(rows * 2 * width, 4), numbers(rows * width, 5));
        let mut after = before.clone();
        highway(&both, width, &mut after);
        for row in 0..rows {
            for j in 0..width {
                let h = f64::from(both[row * 2 * width + j]).max(0.0);
                let g = 1.0 / (1.0 + (-f64::from(both[row * 2 * width + width + j])).exp());
                let x = f64::from(before[row * width + j]);
                let expected = g * h + (1.0 - g) * x;
                assert!((f64::from(after[row * width + j]) - expected).abs() < 1e-6);
            }
        }
        let h = numbers(2 * width, 6);
        let repeated: Vec<f32> = h.chunks_exact(width).flat_map(|h| [h, h].concat()).collect();
        let mut shared = numbers(2 * width, 7);
        let mut separate = shared.clone();
        highway(&h, width, &mut shared);
        highway(&repeated, width, &mut separate);
        assert_eq!(shared, separate);
        let mut x = [1.0];
        highway(&[f32::NAN, 0.0], 1, &mut x);
        assert!(x[0].is_nan());
    }
}
