use std::ops::Range;

use textgan_artifact::Progress;
use textgan_artifact::table::TokenRow;
use textgan_generate::Model;
use textgan_models::{Context, Sequences, token_log_probs};
use textgan_random::Key;

use crate::change::batches;
use crate::evaluation::{Better, Measure};
use crate::series::Series;
use crate::{Error, Result};

/// The likelihood of some texts, a text each, in their order.
pub(crate) struct Likelihood {
    /// `-ln(1/K sum_k p(x | z_k))`, nats for the whole text.
    pub nll: Vec<f64>,
    /// Tokens that were predicted, the end included.
    pub tokens: Vec<usize>,
}

/// How the likelihood of texts is measured.
pub(crate) struct Likelihoods<'a> {
    pub model: &'a Model,
    /// Names the noise vectors: vector `k` is drawn from `key.index(k)`, the same for every text.
    pub key: Key,
    pub noise_vectors: usize,
    pub batch_size: usize,
    pub progress: &'a dyn Progress,
}

impl Likelihood {
    /// Nats per token.
    pub fn per_token(&self) -> f64 {
        self.per_token_of(0..self.nll.len())
    }

    /// Nats per token as a measure, by batches of texts too.
    pub fn series(&self, name: &str, protocol: &str, count: usize) -> Series {
        let measure = Measure::new(name, self.per_token(), Better::Lower, protocol);
        let size = self.nll.len() / count;
        if size == 0 {
            return Series::single(measure);
        }
        let values =
            batches(self.nll.len(), count).into_iter().map(|range| self.per_token_of(range));
        Series::batched(measure, size, values.collect())
    }

    fn per_token_of(&self, range: Range<usize>) -> f64 {
        let tokens: usize = self.tokens[range.clone()].iter().sum();
        self.nll[range].iter().sum::<f64>() / tokens.max(1) as f64
    }
}

impl Likelihoods<'_> {
    /// A model without noise has one distribution, and one noise vector says all.
    pub fn vectors(&self) -> usize {
        if self.model.generator().noise().dimension == 0 { 1 } else { self.noise_vectors }
    }

    /// The likelihood of `rows`, each given its label where the model takes labels.
    ///
    /// Texts of like length are read together, so that little of a batch is padding.
    pub fn of(&self, rows: &[TokenRow]) -> Result<Likelihood> {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&row| rows[row].tokens.len());
        let mut nll = vec![0.0; rows.len()];
        let mut tokens = vec![0; rows.len()];
        for chunk in order.chunks(self.batch_size) {
            let sequences = self.sequences(rows, chunk)?;
            for (&row, value) in chunk.iter().zip(self.marginal(&sequences)?) {
                if !value.is_finite() {
                    return Err(Error::NotANumber {
                        folder: self.model.folder().to_owned(),
                        text: self.model.tokenizer().decode(&rows[row].tokens)?,
                    });
                }
                nll[row] = value;
            }
            for (&row, &length) in chunk.iter().zip(sequences.lengths()) {
                tokens[row] = length;
            }
            self.progress.advance(chunk.len() as u64);
        }
        Ok(Likelihood { nll, tokens })
    }

    fn sequences(&self, rows: &[TokenRow], chunk: &[usize]) -> Result<Sequences> {
        let texts: Vec<&[u32]> = chunk.iter().map(|&row| rows[row].tokens.as_slice()).collect();
        let labels: Option<Vec<u32>> = (!self.model.labels().is_empty())
            .then(|| chunk.iter().map(|&row| rows[row].label.unwrap_or(0)).collect());
        let limit = self.model.generator().sizes().max_length;
        Ok(Sequences::from_rows(&texts, labels.as_deref(), limit)?)
    }

    fn marginal(&self, sequences: &Sequences) -> Result<Vec<f64>> {
        let generator = self.model.generator();
        let vectors = self.vectors();
        let mut log_probs = vec![Vec::with_capacity(vectors); sequences.batch()];
        for k in 0..vectors as u64 {
            if self.progress.stop_requested() {
                return Err(Error::Interrupted);
            }
            let repeated = generator.noise().draw(&self.key, k, 1).repeat(sequences.batch());
            let noise = self.model.noise_tensor(repeated, sequences.batch())?;
            let context = Context { noise: &noise, labels: sequences.labels() };
            let tokens = token_log_probs(generator, &context, sequences)?;
            for (row, tokens) in log_probs.iter_mut().zip(tokens.chunks_exact(sequences.time())) {
                row.push(tokens.iter().map(|&log_prob| f64::from(log_prob)).sum::<f64>());
            }
        }
        Ok(log_probs.iter().map(|row| (vectors as f64).ln() - log_sum_exp(row)).collect())
    }
}

fn log_sum_exp(values: &[f64]) -> f64 {
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    greatest + values.iter().map(|value| (value - greatest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averaging_probabilities_does_not_underflow() {
        assert!((log_sum_exp(&[-2000.0, -2000.0]) - (-2000.0 + 2_f64.ln())).abs() < 1e-9);
        assert_eq!(log_sum_exp(&[-3.5]), -3.5);
    }
}
