//! The classifier two-sample test (Lopez-Paz and Oquab, 2017): can a fresh discriminator tell
//! samples from real text?
//!
//! It learns on one part of both sets, stops where it is best on a second, and is asked about the
//! third. If both sets come from one distribution it can only guess, whatever it learned: its
//! accuracy on texts that it has not seen is near 1/2, and how near is known exactly. An accuracy
//! above says that there is a difference; one near 1/2 says that *this* network found none in *that*
//! many texts, not that there is none.

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_artifact::Progress;
use textgan_models::{
    CnnDiscriminatorConfig, Discriminator, DiscriminatorConfig, Sequences, Sizes, Tokens,
    build_discriminator, whole,
};
use textgan_nn::{Mode, Parameters, ops};
use textgan_random::Key;

use crate::fit::{FitConfig, Learner, fit};
use crate::{Error, Result, binomial, texts};

/// The least number of texts on each side. With fewer, the held-out part is so small that even clear
/// differences pass as chance.
const LEAST: usize = 50;

/// The `[two_sample]` table: the classifier of the test, and how it learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TwoSampleConfig {
    /// Its architecture.
    pub discriminator: DiscriminatorConfig,
    /// Share of the texts that it is asked about.
    pub test: f64,
    /// Share of the texts that say when to stop.
    pub valid: f64,
    /// How it learns.
    pub fit: FitConfig,
}

impl Default for TwoSampleConfig {
    fn default() -> Self {
        let fit = FitConfig {
            steps: 800,
            learning_rate: 1e-3,
            validate_every: 50,
            patience: 6,
            ..FitConfig::default()
        };
        let discriminator = DiscriminatorConfig::Cnn(CnnDiscriminatorConfig::default());
        Self { discriminator, test: 0.3, valid: 0.1, fit }
    }
}

impl TwoSampleConfig {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// [`Error::Config`] names the key and the fix. What describes no network is refused when it is
    /// built.
    pub fn validate(&self) -> Result<()> {
        for (key, share) in [("test", self.test), ("valid", self.valid)] {
            if !(share > 0.0 && share < 1.0) {
                let message = format!("{share} is not between 0 and 1");
                return Err(Error::Config { key, message });
            }
        }
        if self.test + self.valid >= 1.0 {
            let message = format!("{} and test {} leave none to learn from", self.valid, self.test);
            return Err(Error::Config { key: "valid", message });
        }
        self.fit.validate()
    }
}

/// What a classifier made of real text and samples that it had not seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TwoSample {
    /// Share of the texts that it put on the right side; 1/2 is guessing.
    pub accuracy: f64,
    /// The exact 95 % interval of the accuracy (Clopper and Pearson, 1934).
    pub interval: [f64; 2],
    /// The probability that guessing is right as often or more often. It is one-sided, since a
    /// classifier that is worse than guessing has found nothing; 0 where it is below the least
    /// number there is.
    pub p_value: f64,
    /// How many texts it was asked about, half of them real.
    pub held_out: usize,
}

/// Asks a fresh classifier to tell `samples` from `real` text: token ids below `vocab` without
/// an end, cut at `max_length`.
///
/// Both sets are shuffled and cut to the size of the smaller, so that half of every part is real.
/// Every draw is named by `key`, and the result does not depend on the number of threads.
///
/// The binomial interval is exact for texts that are drawn independently. Under equal distributions
/// it is wide rather than narrow: with as many real texts as samples the number of right answers
/// spreads at most as that of coin tosses.
///
/// # Errors
/// [`Error::Config`] when the configuration cannot work, [`Error::Texts`] when a set has too few
/// texts, only empty ones, or tokens outside of the vocabulary; [`Error::Diverged`] when the loss is
/// not a number; [`Error::Interrupted`] when `progress` asks to stop.
pub fn two_sample(
    config: &TwoSampleConfig,
    real: &[Vec<u32>],
    samples: &[Vec<u32>],
    vocab: usize,
    max_length: usize,
    key: &Key,
    progress: &dyn Progress,
) -> Result<TwoSample> {
    config.validate()?;
    for (name, rows) in [("real texts", real), ("samples", samples)] {
        texts::check(name, rows, vocab)?;
        if rows.len() < LEAST {
            let message = format!(
                "{} are too few for a two-sample test, which needs at least {LEAST} real texts and \
                 as many samples",
                rows.len()
            );
            return Err(Error::Texts { texts: name, message });
        }
    }
    let [train, valid, test] = Part::cut(config, real, samples, max_length, key)?;

    let sizes = Sizes { vocab, labels: 0, max_length };
    let init = key.child("init");
    let network = build_discriminator(&config.discriminator, &sizes, None, &init, &Device::Cpu)?;
    let student = Student { network: &*network, train, valid };
    fit(&student, &config.fit, &key.child("fit"), progress)?;

    let logits = network.scores(&test.texts)?;
    let right = logits.iter().zip(&test.is_real).filter(|&(&logit, &real)| (logit > 0.0) == real);
    let (right, held_out) = (right.count(), logits.len());
    Ok(TwoSample {
        accuracy: right as f64 / held_out as f64,
        interval: binomial::interval(right, held_out),
        p_value: binomial::p_value_against_half(right, held_out),
        held_out,
    })
}

/// As many real texts as samples, and which they are.
struct Part {
    texts: Sequences,
    is_real: Vec<bool>,
}

impl Part {
    /// Disjoint parts to learn from, to stop by and to be asked about, in this order.
    fn cut(
        config: &TwoSampleConfig,
        real: &[Vec<u32>],
        samples: &[Vec<u32>],
        max_length: usize,
        key: &Key,
    ) -> Result<[Self; 3]> {
        let count = real.len().min(samples.len());
        let shuffled = |rows: &'_ [Vec<u32>], name: &str| {
            let mut order: Vec<usize> = (0..rows.len()).collect();
            key.child(name).stream().shuffle(&mut order);
            order
        };
        let (real_order, sample_order) = (shuffled(real, "real"), shuffled(samples, "samples"));
        let share = |share: f64| ((count as f64 * share).round() as usize).max(1);
        let test = count - share(config.test);
        let valid = test.saturating_sub(share(config.valid));
        let part = |range: std::ops::Range<usize>| -> Result<Self> {
            let half = range.len();
            let real = real_order[range.clone()].iter().map(|&row| real[row].as_slice());
            let samples = sample_order[range].iter().map(|&row| samples[row].as_slice());
            let rows: Vec<&[u32]> = real.chain(samples).collect();
            let texts = Sequences::from_rows(&rows, None, max_length)?;
            Ok(Self { texts, is_real: (0..2 * half).map(|row| row < half).collect() })
        };
        Ok([part(0..valid)?, part(valid..test)?, part(test..count)?])
    }
}

/// A discriminator and what it learns from.
struct Student<'a> {
    network: &'a dyn Discriminator,
    train: Part,
    valid: Part,
}

impl Learner for Student<'_> {
    const NAME: &'static str = "classifier";

    fn parameters(&self) -> &Parameters {
        self.network.parameters()
    }

    fn lengths(&self) -> Vec<usize> {
        self.train.texts.lengths().to_vec()
    }

    /// Binary cross-entropy, nats per text.
    fn loss(&self, rows: &[usize], dropout: &Key) -> Result<Tensor> {
        let texts = self.train.texts.select(rows)?;
        let (tokens, lengths) = (Tokens::Hard(texts.targets()), texts.lengths());
        let realness = self.network.realness(&tokens, lengths, None, Mode::Train(dropout))?;
        let target = |&row: &usize| f32::from(u8::from(self.train.is_real[row]));
        let targets: Vec<f32> = rows.iter().map(target).collect();
        let targets =
            Tensor::from_vec(targets, rows.len(), &Device::Cpu).map_err(textgan_nn::Error::from)?;
        Ok(ops::bce_with_logits(&whole(&realness, lengths)?, &targets)?)
    }

    fn held_out_loss(&self) -> Result<f64> {
        let logits = self.network.scores(&self.valid.texts)?;
        let loss = |(&logit, &real): (&f32, &bool)| {
            // ln(1 + e^x) of what speaks for the wrong side, without overflow.
            let wrong = f64::from(if real { -logit } else { logit });
            wrong.max(0.0) + (-wrong.abs()).exp().ln_1p()
        };
        let total: f64 = logits.iter().zip(&self.valid.is_real).map(loss).sum();
        Ok(total / logits.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_share_no_text_and_half_of_each_is_real() -> Result<()> {
        let real: Vec<Vec<u32>> = (100..160).map(|id| vec![id]).collect();
        let samples: Vec<Vec<u32>> = (200..250).map(|id| vec![id]).collect();
        let config = TwoSampleConfig::default();
        let cut = |seed| Part::cut(&config, &real, &samples, 9, &Key::root(seed));
        let parts = cut(1)?;
        assert_eq!(parts.each_ref().map(|part| part.is_real.len()), [60, 10, 30]);
        let mut seen = Vec::new();
        for part in &parts {
            let real = part.is_real.iter().filter(|&&real| real).count();
            assert_eq!(2 * real, part.is_real.len());
            for (row, &real) in part.is_real.iter().enumerate() {
                let id = part.texts.row(row)[0];
                assert_eq!(real, id < 200);
                seen.push(id);
            }
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 100);
        assert_ne!(cut(2)?[2].texts, parts[2].texts, "the cut is drawn");
        Ok(())
    }
}
