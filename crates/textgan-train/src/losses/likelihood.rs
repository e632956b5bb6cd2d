//! The likelihood of real text, with noise from its prior or from an encoder.

use candle_core::{Device, Tensor};
use textgan_models::{Context, Generator, NoiseEncoder, Sequences, token_log_probs};
use textgan_nn::{Mode, ops};
use textgan_random::Key;

use crate::Result;
use crate::config::LatentConfig;
use crate::metric::{Group, Metric, Unit};

/// The likelihood of a batch.
pub(crate) struct Likelihood {
    /// Nats per token with the latent charge: a scalar with its graph.
    pub loss: Tensor,
    /// Negative log-likelihood given the noise, nats per token.
    pub nll: f64,
    /// What the noise knew of the sentence, nats per sentence.
    pub kl: Option<f64>,
}

impl Likelihood {
    /// What is worth writing down.
    pub fn metrics(&self) -> Vec<Metric> {
        let nll = Metric::new("nll", self.nll, Unit::NatsPerToken, Group::Likelihood).live("loss");
        let kl = |kl| Metric::new("kl", kl, Unit::NatsPerText, Group::Likelihood).live("kl");
        [Some(nll), self.kl.map(kl)].into_iter().flatten().collect()
    }
}

/// The loss of `real` text. With a latent objective, the evidence bound with free bits in every
/// dimension `j` of the noise (Kingma et al., 2016), over tokens:
/// `E_q[-ln p(x | z)] + sum_j max(mean_x KL(q(z_j | x) || p(z_j)), rate / dimensions)`.
pub(crate) fn likelihood(
    generator: &dyn Generator,
    real: &Sequences,
    key: &Key,
    latent: Option<(&LatentConfig, &NoiseEncoder)>,
) -> Result<Likelihood> {
    let tokens = real.tokens() as f64;
    let dropout = key.child("dropout");
    let draws = noise(generator, &key.child("noise"), 0, real.batch())?;
    let (noise, charge) = match latent {
        Some((latent, encoder)) => {
            let (mean, log_variance) = match latent.learn {
                true => encoder.posterior(real, Mode::Train(&dropout.child("encoder")))?,
                false => {
                    let (mean, log_variance) = encoder.posterior(real, Mode::Evaluate)?;
                    (mean.detach(), log_variance.detach())
                }
            };
            let told = told(real.batch(), latent.prior_share)?;
            let noise = noise_of(&mean, &log_variance, &draws, &told)?;
            (noise, Some((divergence_from_prior(&mean, &log_variance)?, latent.rate)))
        }
        None => (draws, None),
    };
    let context = Context { noise: &noise, labels: real.labels() };
    let weights: Vec<f32> =
        real.weights().into_iter().map(|weight| weight / tokens as f32).collect();
    let hidden = generator
        .hidden(&context, real, Mode::Train(&dropout.child("generator")))?
        .flatten_to(1)?;
    let head = ops::head_cross_entropy(
        &hidden,
        generator.head(),
        real.targets(),
        &weights,
        generator.precision(),
    )?;
    let nll = f64::from(head.loss.to_scalar::<f32>()?);
    match charge {
        None => Ok(Likelihood { loss: head.loss, nll, kl: None }),
        Some((kl, rate)) => {
            // Nats per sentence that each dimension carries, and what of it is charged.
            let mean_kl = kl.mean(0)?;
            let free = f64::from(rate) / generator.noise().dimension as f64;
            let charged = mean_kl.affine(1.0, -free)?.relu()?.affine(1.0, free)?.sum_all()?;
            let loss = (head.loss + (charged * (real.batch() as f64 / tokens))?)?;
            let mean_kl = f64::from(mean_kl.sum_all()?.to_scalar::<f32>()?);
            Ok(Likelihood { loss, nll, kl: Some(mean_kl) })
        }
    }
}

/// What the head reads of `real` texts with noise from its prior, `[batch * time, width]`, in training: the
/// part of [`likelihood`] before its loss.
pub(crate) fn real_hidden(
    generator: &dyn Generator,
    real: &Sequences,
    key: &Key,
) -> Result<Tensor> {
    let noise = noise(generator, &key.child("noise"), 0, real.batch())?;
    let context = Context { noise: &noise, labels: real.labels() };
    let dropout = key.child("dropout").child("generator");
    Ok(generator.hidden(&context, real, Mode::Train(&dropout))?.flatten_to(1)?)
}

/// The loss of [`likelihood`] with a latent objective over all of some held-out texts, in nats per token,
/// and what the noise knows of a text, in nats. One noise vector a text, named by `key`.
pub(crate) fn held_out(
    generator: &dyn Generator,
    texts: &[Sequences],
    key: &Key,
    latent: &LatentConfig,
    encoder: &NoiseEncoder,
) -> Result<[f64; 2]> {
    let dimension = generator.noise().dimension;
    let (mut nll, mut tokens, mut rows) = (0.0, 0, 0);
    let mut kl = vec![0.0; dimension];
    for batch in texts {
        let draws = noise(generator, key, rows as u64, batch.batch())?;
        let (mean, log_variance) = encoder.posterior(batch, Mode::Evaluate)?;
        let noise = noise_of(&mean, &log_variance, &draws, &told(batch.batch(), 0.0)?)?.detach();
        let context = Context { noise: &noise, labels: batch.labels() };
        let log_probs = token_log_probs(generator, &context, batch)?;
        nll -= log_probs.iter().map(|&log_prob| f64::from(log_prob)).sum::<f64>();
        let divergence = divergence_from_prior(&mean, &log_variance)?.sum(0)?.to_vec1::<f32>()?;
        kl.iter_mut().zip(divergence).for_each(|(sum, kl)| *sum += f64::from(kl));
        tokens += batch.tokens();
        rows += batch.batch();
    }
    let (tokens, rows) = (tokens as f64, rows as f64);
    let free = f64::from(latent.rate) / dimension as f64;
    let charged: f64 = kl.iter().map(|kl| (kl / rows).max(free)).sum();
    Ok([(nll + charged * rows) / tokens, kl.iter().sum::<f64>() / rows])
}

/// `-ln(1/K sum_k p(x | z_k))` of every sentence in nats, with `K` noise vectors named by
/// `key`; `None` if `stop` says so in between.
pub(crate) fn marginal_nll(
    generator: &dyn Generator,
    sequences: &Sequences,
    key: &Key,
    noise_vectors: usize,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Vec<f64>>> {
    let batch = sequences.batch();
    let mut log_probs: Vec<Vec<f64>> = vec![Vec::with_capacity(noise_vectors); batch];
    for k in 0..noise_vectors as u64 {
        if stop() {
            return Ok(None);
        }
        let dimension = generator.noise().dimension;
        let noise = noise(generator, key, k, 1)?.broadcast_as((batch, dimension))?.contiguous()?;
        let context = Context { noise: &noise, labels: sequences.labels() };
        let tokens = token_log_probs(generator, &context, sequences)?;
        for (row, tokens) in log_probs.iter_mut().zip(tokens.chunks_exact(sequences.time())) {
            row.push(tokens.iter().map(|&log_prob| f64::from(log_prob)).sum());
        }
    }
    Ok(Some(log_probs.iter().map(|row| (noise_vectors as f64).ln() - log_sum_exp(row)).collect()))
}

/// Noise vectors `first .. first + rows` of `key`, `[rows, noise]`.
pub(crate) fn noise(
    generator: &dyn Generator,
    key: &Key,
    first: u64,
    rows: usize,
) -> Result<Tensor> {
    let config = generator.noise();
    let noise = config.draw(key, first, rows);
    Ok(Tensor::from_vec(noise, (rows, config.dimension), &Device::Cpu)?)
}

/// Noise from the posterior where `told` is 1 and from the prior where it is 0; `draws` are standard
/// normal.
fn noise_of(mean: &Tensor, log_variance: &Tensor, draws: &Tensor, told: &Tensor) -> Result<Tensor> {
    let spread = (log_variance.broadcast_mul(told)? * 0.5)?.exp()?;
    Ok((mean.broadcast_mul(told)? + (draws * spread)?)?)
}

/// Noise that may have made `real` texts, drawn from the encoder's posterior without a gradient.
pub(crate) fn guessed_noise(
    encoder: &NoiseEncoder,
    real: &Sequences,
    draws: &Tensor,
    told: &Tensor,
) -> Result<Tensor> {
    let (mean, log_variance) = encoder.posterior(real, Mode::Evaluate)?;
    Ok(noise_of(&mean, &log_variance, draws, told)?.detach())
}

/// Which rows of a batch have the encoder's noise, `[batch, 1]` of ones and zeros. With mean and
/// log-variance times zero a row has the prior's. They are spread evenly over the batch, whose rows may be
/// sorted by length.
pub(crate) fn told(batch: usize, prior_share: f32) -> Result<Tensor> {
    let untold = (prior_share * batch as f32).round() as usize;
    // Row `r` is the next one where a line from 0 to `untold` passes another whole number.
    let passed = |rows: usize| rows * untold / batch.max(1);
    let is_told = |row| if passed(row + 1) > passed(row) { 0.0 } else { 1.0 };
    let told: Vec<f32> = (0..batch).map(is_told).collect();
    Ok(Tensor::from_vec(told, (batch, 1), &Device::Cpu)?)
}

/// `KL(N(mean, exp(log_variance)) || N(0, 1))` of every entry of `[batch, noise]`, in nats.
fn divergence_from_prior(mean: &Tensor, log_variance: &Tensor) -> Result<Tensor> {
    let terms = ((mean.sqr()? + log_variance.exp()?)? - log_variance)?;
    Ok(terms.affine(0.5, -0.5)?)
}

fn log_sum_exp(x: &[f64]) -> f64 {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + x.iter().map(|x| (x - max).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kl_is_zero_at_the_prior_and_right_elsewhere() -> Result<()> {
        let device = &Device::Cpu;
        let mean = Tensor::new(&[[0.0f32, 0.0], [1.0, -2.0]], device)?;
        let log_variance = Tensor::new(&[[0.0f32, 0.0], [0.5, -1.0]], device)?;
        let kl = divergence_from_prior(&mean, &log_variance)?.to_vec2::<f32>()?;
        let by_hand = [0.5 * (1.0 + 0.5f32.exp() - 1.5), 0.5 * (4.0 + (-1.0f32).exp())];
        assert!(kl[0].iter().all(|kl| kl.abs() < 1e-6), "{kl:?}");
        assert!(
            kl[1].iter().zip(by_hand).all(|(kl, by_hand)| (kl - by_hand).abs() < 1e-5),
            "{kl:?}"
        );
        Ok(())
    }

    /// Some rows have noise from the prior, whatever the encoder says of them: not the shortest, as the
    /// first rows of a batch would be, but every so many.
    #[test]
    fn a_share_of_the_rows_has_the_noise_of_the_prior() -> Result<()> {
        let rows = |batch, share| -> Result<Vec<f32>> {
            Ok(told(batch, share)?.flatten_all()?.to_vec1()?)
        };
        assert_eq!(rows(4, 0.0)?, [1.0; 4]);
        assert_eq!(rows(4, 0.5)?, [1.0, 0.0, 1.0, 0.0]);
        assert_eq!(rows(6, 0.34)?, [1.0, 1.0, 0.0, 1.0, 1.0, 0.0]);
        assert_eq!(rows(3, 1.0)?, [0.0; 3]);
        assert_eq!(rows(64, 0.05)?.iter().filter(|&&told| told == 0.0).count(), 3);
        Ok(())
    }

    #[test]
    fn log_sum_exp_does_not_underflow() {
        assert!((log_sum_exp(&[-1000.0, -1000.0]) - (-1000.0 + 2f64.ln())).abs() < 1e-9);
    }
}
