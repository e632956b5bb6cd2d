use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pick;
use crate::{Error, Result};

/// How a token is chosen from the distribution that the generator gives.
///
/// The order is: temperature, then `top_k`, then `top_p`, then `min_p`, each on what the one before left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingOptions {
    /// Divides the logits; below 1 favours likely tokens. Greedy choice is not temperature 0 but
    /// `greedy`.
    pub temperature: f32,
    /// Keeps only the `top_k` most likely tokens.
    pub top_k: Option<usize>,
    /// Keeps the fewest most likely tokens whose probabilities sum to at least `top_p`
    /// (nucleus sampling, Holtzman et al., 2020).
    pub top_p: Option<f32>,
    /// Keeps the tokens that are at least `min_p` times as likely as the most likely one
    /// (Nguyen et al., 2024).
    pub min_p: Option<f32>,
    /// Takes the most likely token, and draws nothing.
    pub greedy: bool,
    /// Never chooses the unknown-word token, as it is never an acceptable output for a reader.
    pub forbid_unknown: bool,
    /// Most content tokens a sample may have; the generator's own limit when absent.
    pub max_length: Option<usize>,
}

impl Default for SamplingOptions {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: None,
            top_p: None,
            min_p: None,
            greedy: false,
            forbid_unknown: false,
            max_length: None,
        }
    }
}

impl SamplingOptions {
    /// The most likely token at every step.
    pub fn greedy() -> Self {
        Self { greedy: true, ..Self::default() }
    }

    /// The chance of every token to be chosen after `logits: [vocab]`: what is cut has none.
    ///
    /// # Errors
    /// When a value is outside its range, or the logits are not finite.
    pub fn distribution(&self, logits: &[f32]) -> Result<Vec<f32>> {
        self.validate()?;
        pick::distribution(logits, self)
            .ok_or_else(|| Error::argument("logits", "they are not finite numbers".to_owned()))
    }

    /// # Errors
    /// When a value is outside its range; the message names the key.
    pub fn validate(&self) -> Result<()> {
        // Colder than this, logits divided by it are not numbers any more.
        if self.temperature > 0.0 && self.temperature < 1e-6 {
            let message = format!(
                "{} is as good as greedy, and too cold to compute: be greedy instead",
                self.temperature
            );
            return Err(Error::config("temperature", message));
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            let message = format!(
                "{} is not a positive number; for the most likely token be greedy instead",
                self.temperature
            );
            return Err(Error::config("temperature", message));
        }
        if self.top_k == Some(0) {
            return Err(Error::config(
                "top_k",
                "0 keeps no token at all; leave it out to keep all",
            ));
        }
        if let Some(p) = self.top_p
            && !(p > 0.0 && p <= 1.0)
        {
            return Err(Error::config("top_p", format!("{p} is outside (0, 1]")));
        }
        if let Some(p) = self.min_p
            && !(0.0..=1.0).contains(&p)
        {
            return Err(Error::config("min_p", format!("{p} is outside [0, 1]")));
        }
        if self.max_length == Some(0) {
            return Err(Error::config("max_length", "0 leaves no room for a token"));
        }
        Ok(())
    }
}
