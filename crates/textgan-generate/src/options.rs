use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::SamplingOptions;
use textgan_random::Key;

use crate::{Error, Result};

/// The `[generate]` table: how many texts, and how their tokens are picked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// How many texts.
    pub count: usize,
    /// Seed of the noise and of the picks. Unset: in an experiment, the experiment's; else 0.
    pub seed: Option<u64>,
    /// Divides the logits before a token is picked; below 1 is more cautious, above 1 more daring. Unset: in an
    /// experiment, the one that its evaluation chose; else 1.
    pub temperature: Option<f32>,
    /// Pick among so many most probable tokens. Unset: among all.
    pub top_k: Option<usize>,
    /// Pick among the most probable tokens that together have at least this probability (Holtzman
    /// et al., 2020). Unset: among all.
    pub top_p: Option<f32>,
    /// Pick among the tokens that are at least so many times as probable as the most probable one
    /// (Nguyen et al., 2024). Unset: among all.
    pub min_p: Option<f32>,
    /// Always pick the most probable token; only the noise differs from text to text.
    pub greedy: bool,
    /// Never pick the token of unknown words.
    pub forbid_unknown: bool,
    /// The most tokens a text may have. Unset: what the model was trained for.
    pub max_length: Option<usize>,
    /// Generate for this label; for a model that was trained with labels. Unset: each label is
    /// equally probable.
    pub label: Option<String>,
    /// Continue this text. Unset: begin from nothing.
    pub prompt: Option<String>,
    /// Texts of which one is chosen, each with a chance in proportion to the exponential of the discriminator's
    /// logit: samples of the generator times what the discriminator thinks of them (residual energy-based
    /// models; Deng et al., 2020). With 1 the generator writes alone.
    #[serde(skip_serializing_if = "is_one")]
    pub candidates: usize,
    /// Texts that are sampled together; it decides speed and memory, not the texts.
    pub batch_size: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            count: 16,
            seed: None,
            temperature: None,
            top_k: None,
            top_p: None,
            min_p: None,
            greedy: false,
            forbid_unknown: false,
            max_length: None,
            label: None,
            prompt: None,
            candidates: 1,
            batch_size: 256,
        }
    }
}

/// So that what is not used is not written either.
fn is_one(candidates: &usize) -> bool {
    *candidates == 1
}

/// The most texts of which one is chosen.
const MOST_CANDIDATES: usize = 10_000;

impl Options {
    /// Refuses what cannot work before a model is read.
    ///
    /// # Errors
    /// [`Error::Option`] names the key and the fix.
    pub fn validate(&self) -> Result<()> {
        if self.batch_size == 0 {
            let message = "0 samples nothing; give at least 1".to_owned();
            return Err(Error::Option { key: "batch_size", message });
        }
        if !(1..=MOST_CANDIDATES).contains(&self.candidates) {
            let message = format!("{} is outside 1 to {MOST_CANDIDATES}", self.candidates);
            return Err(Error::Option { key: "candidates", message });
        }
        Ok(self.sampling().validate()?)
    }

    /// The root of the random streams: from the options' own seed, else the experiment's key, else
    /// seed 0.
    pub fn key(&self, experiment: Option<&Key>) -> Key {
        match (self.seed, experiment) {
            (None, Some(key)) => *key,
            (seed, _) => Key::root(seed.unwrap_or(0)).child("generate"),
        }
    }

    /// The temperature that is in force.
    pub fn heat(&self) -> f32 {
        match self.greedy {
            true => 0.0,
            false => self.temperature.unwrap_or(1.0),
        }
    }

    /// What the sampler has to know.
    pub(crate) fn sampling(&self) -> SamplingOptions {
        SamplingOptions {
            temperature: self.temperature.unwrap_or(1.0),
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            greedy: self.greedy,
            forbid_unknown: self.forbid_unknown,
            max_length: self.max_length,
        }
    }
}
