use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::embedding::check_encoder;
use crate::verdict::Pair;
use crate::{Error, LanguageModelConfig, Result, TwoSampleConfig};

/// The `[evaluate]` table: how much is measured, and how finely.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateConfig {
    /// Texts that are sampled from each model. BLEU does not depend on it but for noise; Self-BLEU
    /// rises with it, so compare only equal numbers.
    pub samples: usize,
    /// Temperatures to choose from. With several, the choice is made on the validation split: the
    /// highest BLEU-4 among those whose Self-BLEU-4 is at most `self_bleu_bound`, or, when there is
    /// none, the lowest Self-BLEU-4.
    pub temperatures: Vec<f32>,
    /// The greatest Self-BLEU-4 that a chosen temperature may have; needed with several
    /// temperatures.
    pub self_bleu_bound: Option<f64>,
    /// Temperatures of the curves of quality against diversity, for the model and for its baseline;
    /// `samples` texts are drawn at each. `compare` needs them: as many as it takes to reach from
    /// careful to daring, such as `[0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2]`. None: no curves.
    pub sweep: Vec<f32>,
    /// The pairs of measures that decide whether the game made the generator better, chosen before
    /// looking: each is compared at equal diversity over the curves of `sweep`.
    pub verdict: Vec<Pair>,
    /// What is done with the baseline's samples, as controls beside its temperatures.
    pub controls: Vec<Decoding>,
    /// Texts of which each of the model's samples is chosen by its discriminator, as `generate.candidates` says.
    /// Its likelihoods, and its baseline, are those of the generator alone. With 1 so are its samples.
    #[serde(skip_serializing_if = "is_one")]
    pub candidates: usize,
    /// Noise vectors that the probability of a text is averaged over.
    pub noise_vectors: usize,
    /// Texts of the validation split, and of the test split, whose likelihood is measured. Unset:
    /// all.
    pub likelihood_texts: Option<usize>,
    /// Noise vectors whose most probable texts are compared: how much the noise matters.
    pub greedy_texts: usize,
    /// Most samples, and most texts of the test split, that are compared by neighbourhoods and
    /// clusters of their embeddings: the time is quadratic.
    pub embedded_texts: usize,
    /// Most samples, and most texts of the test split, of which it is looked up what they have of the
    /// training text.
    pub audited_texts: usize,
    /// Folder of a BERT encoder in the layout of sentence-transformers, such as all-MiniLM-L6-v2,
    /// whose embeddings are compared (needs the feature `encoder`), or one on the Hugging Face hub,
    /// `hf://OWNER/NAME[@REVISION]` (needs the feature `hub`). Unset: a fixed projection of hashed
    /// n-grams, whose numbers never compare with an encoder's.
    pub encoder: Option<PathBuf>,
    /// Trains a language model on the training text, which scores the samples, and one on the
    /// samples of each temperature, which scores the test split. `{}` takes the defaults. Unset: none.
    pub language_model: Option<LanguageModelConfig>,
    /// Trains a classifier to tell samples from the test split. `{}` takes the defaults. Unset: none.
    pub two_sample: Option<TwoSampleConfig>,
    /// Disjoint batches that the samples and texts are cut into; their spread gives the intervals.
    pub batches: usize,
    /// Texts that a network reads at once.
    pub batch_size: usize,
}

/// A way to make a generator's samples better at the cost of their diversity, without training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Decoding {
    /// Of more samples than are wanted, those are kept that the generator itself finds most probable.
    Rejection,
    /// Each token is picked among the most probable that have a given probability together (nucleus
    /// sampling; Holtzman et al., 2020).
    Truncation,
    /// Each token is picked among those that are at least a given share as probable as the most
    /// probable one (Nguyen et al., 2024).
    MinP,
}

/// So that what is not used is not written either.
fn is_one(candidates: &usize) -> bool {
    *candidates == 1
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self {
            samples: 2_000,
            temperatures: vec![1.0],
            self_bleu_bound: None,
            sweep: Vec::new(),
            verdict: vec![Pair::default()],
            controls: Vec::new(),
            candidates: 1,
            noise_vectors: 64,
            likelihood_texts: None,
            greedy_texts: 1_000,
            embedded_texts: 10_000,
            audited_texts: 10_000,
            encoder: None,
            language_model: None,
            two_sample: None,
            batches: 10,
            batch_size: 256,
        }
    }
}

impl EvaluateConfig {
    /// Refuses what cannot work before anything is read.
    ///
    /// # Errors
    /// [`Error::Config`] names the key and the fix.
    pub fn validate(&self) -> Result<()> {
        let refuse = |key, message: String| Err(Error::Config { key, message });
        if !(1..=10_000).contains(&self.candidates) {
            return refuse("candidates", format!("{} is outside 1 to 10000", self.candidates));
        }
        if self.temperatures.is_empty() {
            return refuse("temperatures", "give at least one, such as [1.0]".into());
        }
        if let Some(bad) = self.temperatures.iter().find(|t| !(t.is_finite() && **t > 0.0)) {
            return refuse("temperatures", format!("{bad} is not a positive number"));
        }
        if let Some(bad) = self.sweep.iter().find(|t| !(t.is_finite() && **t > 0.0)) {
            return refuse("sweep", format!("{bad} is not a positive number"));
        }
        if self.temperatures.len() > 1 && self.self_bleu_bound.is_none() {
            return refuse(
                "self_bleu_bound",
                "several temperatures need a bound to choose by; without one the coldest would \
                 always win"
                    .into(),
            );
        }
        if self.batches < 2 {
            return refuse("batches", format!("{} gives no spread; give at least 2", self.batches));
        }
        if self.samples < 2 * self.batches {
            return refuse(
                "samples",
                format!(
                    "{} are too few for {} batches of at least two; give at least {}",
                    self.samples,
                    self.batches,
                    2 * self.batches
                ),
            );
        }
        if let Some(encoder) = &self.encoder {
            check_encoder(encoder)?;
        }
        if let Some(config) = &self.language_model {
            config.validate()?;
        }
        if let Some(config) = &self.two_sample {
            config.validate()?;
        }
        for (key, number) in [
            ("noise_vectors", self.noise_vectors),
            ("greedy_texts", self.greedy_texts),
            ("embedded_texts", self.embedded_texts),
            ("audited_texts", self.audited_texts),
            ("batch_size", self.batch_size),
            ("likelihood_texts", self.likelihood_texts.unwrap_or(1)),
        ] {
            if number == 0 {
                return refuse(key, "0 measures nothing; give at least 1".into());
            }
        }
        Ok(())
    }
}
