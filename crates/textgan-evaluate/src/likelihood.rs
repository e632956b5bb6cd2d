use std::ops::Range;

use textgan_artifact::Progress;
use textgan_artifact::table::TokenRow;
use textgan_generate::Model;
use textgan_models::{Context, Sequences, token_log_probs_at};
use textgan_random::Key;

use crate::change::batches;
use crate::evaluation::{Better, Measure};
use crate::series::Series;
use crate::{Error, Result};

/// The likelihood of some texts, a text each, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Likelihood {
    /// `-ln(1/K sum_k p(x | z_k))`, nats for the whole text.
    pub nll: Vec<f64>,
    /// Tokens that were predicted, the end included where it counts.
    pub tokens: Vec<usize>,
}

/// Whether the end of a text is one of the tokens that are predicted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It is: how a model of texts is measured.
    Counted,
    /// It is not: the truth has sequences of a given length, without an end of their own.
    LeftOut,
}

/// How the likelihood of texts is measured.
pub(crate) struct Likelihoods<'a> {
    pub model: &'a Model,
    /// Names the noise vectors: vector `k` of batch `b` is drawn from `key.index(b)`, the same for every
    /// text of the batch. Each batch has vectors of its own, so that the spread between batches contains the
    /// draw of the noise.
    pub key: Key,
    pub noise_vectors: usize,
    /// Disjoint batches of texts.
    pub batches: usize,
    pub batch_size: usize,
    pub progress: &'a dyn Progress,
}

impl Likelihood {
    /// Nats per token.
    pub fn per_token(&self) -> f64 {
        self.per_token_of(0..self.nll.len())
    }

    /// Nats per token as a measure, by batches of texts too.
    pub(crate) fn series(&self, name: &str, protocol: &str, count: usize) -> Series {
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
    fn vectors(&self) -> usize {
        if self.model.generator().noise().dimension == 0 { 1 } else { self.noise_vectors }
    }

    /// How many noise vectors a text is read with: a part of protocols.
    pub fn noise(&self) -> String {
        match self.model.generator().noise().dimension {
            0 => "1".to_owned(),
            _ => format!("{}-a-batch-of-texts", self.noise_vectors),
        }
    }

    /// The likelihood of `rows`, each given its label where the model takes labels.
    ///
    /// Texts of like length are read together, so that little of a batch is padding.
    pub fn of(&self, rows: &[TokenRow]) -> Result<Likelihood> {
        let mut all = self.at(rows, &[1.0], End::Counted)?;
        Ok(all.remove(0))
    }

    /// The likelihood of `rows` under `softmax(logits / temperature)`, for each temperature.
    pub fn at(&self, rows: &[TokenRow], temperatures: &[f32], end: End) -> Result<Vec<Likelihood>> {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        let batch = |row: usize| self.batch(row, rows.len());
        order.sort_by_key(|&row| (batch(row), rows[row].tokens.len()));
        let blank = || Likelihood { nll: vec![0.0; rows.len()], tokens: vec![0; rows.len()] };
        let mut all: Vec<Likelihood> = temperatures.iter().map(|_| blank()).collect();
        let limit = self.model.generator().sizes().max_length;
        let of_one_batch = order.chunk_by(|&a, &b| batch(a) == batch(b));
        for chunk in of_one_batch.flat_map(|rows| rows.chunks(self.batch_size)) {
            let key = self.key.index(batch(chunk[0]));
            let sequences = self.sequences(rows, chunk)?;
            let counted: Vec<usize> = match end {
                End::Counted => sequences.lengths().to_vec(),
                End::LeftOut => {
                    chunk.iter().map(|&row| rows[row].tokens.len().min(limit)).collect()
                }
            };
            let marginals = self.marginal(&key, &sequences, &counted, temperatures)?;
            for (likelihood, values) in all.iter_mut().zip(marginals) {
                for ((&row, value), &tokens) in chunk.iter().zip(values).zip(&counted) {
                    if !value.is_finite() {
                        return Err(Error::NotANumber {
                            folder: self.model.folder().to_owned(),
                            text: self.model.tokenizer().decode(&rows[row].tokens)?,
                        });
                    }
                    likelihood.nll[row] = value;
                    likelihood.tokens[row] = tokens;
                }
            }
            self.progress.advance(chunk.len() as u64);
        }
        Ok(all)
    }

    /// Which batch a row is of, and so which noise it is read with: one for all where there is no noise.
    /// What [`batches`] leaves out goes with the last.
    fn batch(&self, row: usize, rows: usize) -> u64 {
        let without_noise = self.model.generator().noise().dimension == 0;
        match rows / self.batches {
            0 => 0,
            _ if without_noise => 0,
            size => (row / size).min(self.batches - 1) as u64,
        }
    }

    fn sequences(&self, rows: &[TokenRow], chunk: &[usize]) -> Result<Sequences> {
        let texts: Vec<&[u32]> = chunk.iter().map(|&row| rows[row].tokens.as_slice()).collect();
        let labels: Option<Vec<u32>> = (!self.model.labels().is_empty())
            .then(|| chunk.iter().map(|&row| rows[row].label.unwrap_or(0)).collect());
        let limit = self.model.generator().sizes().max_length;
        let goes_on = |row: usize| rows[row].cut || rows[row].tokens.len() > limit;
        let ended: Vec<bool> = chunk.iter().map(|&row| !goes_on(row)).collect();
        let texts: Vec<&[u32]> = texts.iter().map(|text| &text[..text.len().min(limit)]).collect();
        Ok(Sequences::from_samples(&texts, &ended, labels.as_deref())?)
    }

    /// For each temperature, the negative log-likelihood of the first `counted` tokens of each row.
    fn marginal(
        &self,
        key: &Key,
        sequences: &Sequences,
        counted: &[usize],
        temperatures: &[f32],
    ) -> Result<Vec<Vec<f64>>> {
        let generator = self.model.generator();
        let vectors = self.vectors();
        let none = || vec![Vec::with_capacity(vectors); sequences.batch()];
        let mut log_probs: Vec<Vec<Vec<f64>>> = temperatures.iter().map(|_| none()).collect();
        for k in 0..vectors as u64 {
            if self.progress.stop_requested() {
                return Err(Error::Interrupted);
            }
            let repeated = generator.noise().draw(key, k, 1).repeat(sequences.batch());
            let noise = self.model.noise_tensor(repeated, sequences.batch())?;
            let context = Context { noise: &noise, labels: sequences.labels() };
            let all = token_log_probs_at(generator, &context, sequences, temperatures)?;
            for (log_probs, tokens) in log_probs.iter_mut().zip(all) {
                let rows = log_probs.iter_mut().zip(tokens.chunks_exact(sequences.time()));
                for ((row, tokens), &counted) in rows.zip(counted) {
                    let counted = &tokens[..counted];
                    row.push(counted.iter().map(|&log_prob| f64::from(log_prob)).sum::<f64>());
                }
            }
        }
        let nll = |row: &Vec<f64>| (vectors as f64).ln() - log_sum_exp(row);
        Ok(log_probs.iter().map(|rows| rows.iter().map(nll).collect()).collect())
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
