//! Batches that the generator wrote.

use candle_core::{Device, Tensor};
use textgan_models::{Conditions, Context, Generator, Samples, SamplingOptions, Sequences, sample};
use textgan_random::Key;

use crate::Result;
use crate::memory::StoredText;

/// Texts, and the noise that they were made of, where that is known.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a> {
    /// The texts, with their labels.
    pub sequences: &'a Sequences,
    /// Their noise, `[batch, noise]`; unknown of real text.
    pub noise: Option<&'a Tensor>,
}

/// A batch that a generator has just written, with all that is needed to score it again.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The texts.
    pub sequences: Sequences,
    /// Their noise, `[batch, noise]`.
    pub noise: Tensor,
    /// Log-probability of every token in nats, the end included, and of a cut that of its last
    /// token.
    pub log_probs: Vec<Vec<f32>>,
}

impl Generated {
    /// Samples a text for each of the noise vectors `first .. first + rows` of `key`, at temperature
    /// 1 and without truncation: from the generator's own distribution.
    ///
    /// # Errors
    /// When labels do not fit the generator, or its logits are not finite.
    pub fn draw(
        generator: &dyn Generator,
        key: &Key,
        first: u64,
        rows: usize,
        labels: Option<&[u32]>,
    ) -> Result<Self> {
        Self::draw_at(generator, 1.0, key, first, rows, labels)
    }

    /// The same at another temperature; log-probabilities are those at temperature 1.
    ///
    /// # Errors
    /// As [`draw`](Self::draw).
    pub fn draw_at(
        generator: &dyn Generator,
        temperature: f32,
        key: &Key,
        first: u64,
        rows: usize,
        labels: Option<&[u32]>,
    ) -> Result<Self> {
        let options = SamplingOptions { temperature, ..SamplingOptions::default() };
        let vectors = generator.noise().draw(&key.child("noise"), first, rows);
        let conditions = Conditions { rows, noise: &vectors, labels };
        let mut sampler = generator.sampler()?;
        let samples =
            sample(sampler.as_mut(), &conditions, &[], &options, &key.child("tokens"), first)?;
        Self::of(samples, vectors, labels)
    }

    /// `samples` that were made of these noise vectors, one after the other.
    pub(crate) fn of(samples: Samples, noise: Vec<f32>, labels: Option<&[u32]>) -> Result<Self> {
        let sequences = samples.sequences(labels)?;
        let shape = (sequences.batch(), noise.len() / sequences.batch());
        let noise = Tensor::from_vec(noise, shape, &Device::Cpu)?;
        Ok(Self { sequences, noise, log_probs: samples.log_probs })
    }

    /// The texts with their noise, to be kept.
    ///
    /// # Errors
    /// If the noise is not one vector a text.
    pub fn stored(&self) -> Result<Vec<StoredText>> {
        let noise = self.noise.to_vec2::<f32>()?;
        let (texts, labels) = (&self.sequences, self.sequences.labels());
        let text = |(row, noise): (usize, Vec<f32>)| {
            let tokens = texts.row(row).to_vec();
            let ended = tokens.len() < texts.lengths()[row];
            StoredText { tokens, ended, label: labels.map(|labels| labels[row]), noise }
        };
        Ok(noise.into_iter().enumerate().map(text).collect())
    }

    /// Texts that were kept, with the log-probabilities of their tokens as far as they are known.
    ///
    /// # Errors
    /// If the texts do not fit each other.
    pub fn from_stored(texts: &[StoredText], log_probs: Vec<Vec<f32>>) -> Result<Self> {
        let tokens: Vec<&[u32]> = texts.iter().map(|text| text.tokens.as_slice()).collect();
        let ended: Vec<bool> = texts.iter().map(|text| text.ended).collect();
        let labels: Option<Vec<u32>> = texts.iter().map(|text| text.label).collect();
        let sequences = Sequences::from_samples(&tokens, &ended, labels.as_deref())?;
        let noise: Vec<f32> = texts.iter().flat_map(|text| &text.noise).copied().collect();
        let shape = (texts.len(), noise.len() / texts.len().max(1));
        Ok(Self { sequences, noise: Tensor::from_vec(noise, shape, &Device::Cpu)?, log_probs })
    }

    /// What the generator was conditioned on.
    pub fn context(&self) -> Context<'_> {
        Context { noise: &self.noise, labels: self.sequences.labels() }
    }

    /// The texts as a critic reads them.
    pub fn texts(&self) -> Texts<'_> {
        Texts { sequences: &self.sequences, noise: Some(&self.noise) }
    }

    /// Mean surprise of the generator at its own words, nats per token: an estimate of its entropy.
    pub fn nll(&self) -> f64 {
        let words = self.log_probs.iter().flatten();
        -words.map(|&x| f64::from(x)).sum::<f64>() / self.sequences.tokens() as f64
    }
}
