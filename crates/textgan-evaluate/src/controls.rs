//! What else a baseline's samples can be made into: the controls of decoding.

use textgan_generate::{Drawn, Labels, Model, Options};
use textgan_random::Key;

use crate::config::Decoding;
use crate::{EvaluateConfig, Result};

/// Shares of the candidates that rejection keeps.
const KEPT: [f32; 5] = [0.5, 0.6, 0.7, 0.85, 1.0];
/// Shares of the most probable token's probability.
const LEAST: [f32; 5] = [0.2, 0.1, 0.05, 0.02, 0.0];
/// Probabilities of the nucleus.
const NUCLEUS: [f32; 5] = [0.8, 0.87, 0.93, 0.97, 1.0];

impl Decoding {
    /// Its name as a control.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rejection => "rejection",
            Self::Truncation => "truncation",
            Self::MinP => "min-p",
        }
    }

    /// What it varies.
    pub(crate) fn parameter(self) -> &'static str {
        match self {
            Self::Rejection => "share-kept",
            Self::Truncation => "top-p",
            Self::MinP => "min-p",
        }
    }

    /// Samples at each value of its knob, as many as are configured, in the batches of the others.
    pub(crate) fn draw(
        self,
        model: &Model,
        candidates: usize,
        labels: Labels<'_>,
        key: &Key,
        config: &EvaluateConfig,
    ) -> Result<Vec<(f32, Drawn)>> {
        let EvaluateConfig { samples, batch_size, batches, .. } = *config;
        match self {
            Self::Truncation => {
                let at = |top_p: f32| {
                    let kept = (top_p < 1.0).then_some(top_p);
                    let options =
                        Options { top_p: kept, batch_size, candidates, ..Options::default() };
                    Ok((top_p, model.draw(&options, labels, key, samples)?))
                };
                NUCLEUS.into_iter().map(at).collect()
            }
            Self::MinP => {
                let at = |min_p: f32| {
                    let kept = (min_p > 0.0).then_some(min_p);
                    let options =
                        Options { min_p: kept, batch_size, candidates, ..Options::default() };
                    Ok((min_p, model.draw(&options, labels, key, samples)?))
                };
                LEAST.into_iter().map(at).collect()
            }
            Self::Rejection => {
                let most = (samples as f32 / KEPT[0]).ceil() as usize;
                let options = Options { batch_size, candidates, ..Options::default() };
                let pool = model.draw(&options, labels, key, most)?;
                Ok(KEPT
                    .into_iter()
                    .map(|kept| (kept, reject(&pool, kept, samples, batches)))
                    .collect())
            }
        }
    }
}

/// The most probable `samples` of a pool: by batch, so that batches share no candidate. Texts are
/// ranked by their mean log-probability of a token, since the sum prefers short ones; they keep their
/// order.
fn reject(pool: &Drawn, kept: f32, samples: usize, batches: usize) -> Drawn {
    let mean = |row: &Vec<f32>| row.iter().sum::<f32>() / row.len().max(1) as f32;
    let log_prob: Vec<f32> = pool.log_probs.iter().map(mean).collect();
    let mut rows = Vec::with_capacity(samples);
    for range in crate::change::batches(samples, batches) {
        let (wanted, first) = (range.len(), (range.start as f32 / KEPT[0]) as usize);
        let candidates = ((wanted as f32 / kept).round() as usize).min(pool.tokens.len() - first);
        let mut ranked: Vec<usize> = (first..first + candidates).collect();
        ranked.sort_by(|&a, &b| log_prob[b].total_cmp(&log_prob[a]).then(a.cmp(&b)));
        ranked.truncate(wanted);
        ranked.sort_unstable();
        rows.extend(ranked);
    }
    let dimension = pool.noise.len() / pool.tokens.len().max(1);
    Drawn {
        tokens: rows.iter().map(|&row| pool.tokens[row].clone()).collect(),
        ended: rows.iter().map(|&row| pool.ended[row]).collect(),
        log_probs: rows.iter().map(|&row| pool.log_probs[row].clone()).collect(),
        noise: rows
            .iter()
            .flat_map(|&row| &pool.noise[row * dimension..][..dimension])
            .copied()
            .collect(),
        labels: pool.labels.as_ref().map(|labels| rows.iter().map(|&row| labels[row]).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejection_keeps_the_most_probable_of_each_batch() {
        let pool = Drawn {
            tokens: (0..8).map(|i| vec![i]).collect(),
            ended: vec![true; 8],
            log_probs: [-4.0, -1.0, -2.0, -3.0, -9.0, -8.0, -7.0, -6.0].map(|x| vec![x]).to_vec(),
            noise: (0..16).map(|i| i as f32).collect(),
            labels: Some((0..8).collect()),
        };
        let half = reject(&pool, 0.5, 4, 2);
        assert_eq!(half.tokens, [[1], [2], [6], [7]]);
        assert_eq!(half.labels, Some(vec![1, 2, 6, 7]));
        assert_eq!(half.noise[..4], [2.0, 3.0, 4.0, 5.0]);
        let all = reject(&pool, 1.0, 4, 2);
        assert_eq!(all.tokens, [[0], [1], [4], [5]]);
    }
}
