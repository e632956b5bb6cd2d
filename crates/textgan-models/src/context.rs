use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_random::Key;

use crate::{Error, Result};

/// What a generator is conditioned on, beside the tokens before.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Noise `z`, `[batch, noise]`; or, of a generator that makes a [code](NoiseConfig::code) of its noise,
    /// the codes themselves, `[batch, code]`.
    pub noise: &'a Tensor,
    /// One label a row. `None` adds no label embedding at all: the unconditional model.
    pub labels: Option<&'a [u32]>,
}

/// The noise that a generator turns into text: a standard Gaussian vector a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NoiseConfig {
    /// Length of a noise vector; 0 makes a plain language model, without noise.
    pub dimension: usize,
    /// Where noise (and a label, when there is one) enters the generator.
    pub placement: Placement,
    /// A network that makes a code of the noise, which enters in its place: the latent generator of ARAE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<CodeConfig>,
}

/// A network from noise to a code, linear layers with rectifiers between them. A code has a root mean square
/// of 1, so it says what it says by its direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CodeConfig {
    /// Length of a code; another one than that of the noise.
    pub width: usize,
    /// Width of the hidden layers.
    pub hidden: usize,
    /// Hidden layers.
    pub layers: usize,
}

impl Default for CodeConfig {
    fn default() -> Self {
        Self { width: 48, hidden: 96, layers: 2 }
    }
}

impl Default for NoiseConfig {
    fn default() -> Self {
        Self { dimension: 32, placement: Placement::Begin, code: None }
    }
}

/// Where noise and label enter a generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// Once: transformer, added to the embedding of the begin-of-sequence token; LSTM, the initial
    /// hidden state; relational memory, added to the initial memory.
    Begin,
    /// Added to the input embedding of every position.
    Every,
}

impl NoiseConfig {
    /// Numbers that enter the generator: of a code, where there is one, or of the noise.
    pub fn width(&self) -> usize {
        self.code.as_ref().map_or(self.dimension, |code| code.width)
    }

    /// Refuses a code that cannot be made, or could not be told from noise.
    pub(crate) fn validate(&self) -> Result<()> {
        let Some(code) = &self.code else { return Ok(()) };
        let sizes = [("width", code.width), ("hidden", code.hidden), ("layers", code.layers)];
        if let Some((key, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(Error::config(format!("noise.code.{key}"), "must be at least 1"));
        }
        if self.dimension == 0 {
            return Err(Error::config("noise.code", "there is no noise: noise.dimension is 0"));
        }
        if self.dimension == code.width {
            let message = format!("{} is also the length of the noise: take another", code.width);
            return Err(Error::config("noise.code.width", message));
        }
        Ok(())
    }

    /// Noise vectors `first .. first + rows` of the stream `key`, row after row: `[rows, dimension]`.
    /// Vector `i` is drawn from `key.index(i)`, whatever else is drawn.
    ///
    /// ```
    /// use textgan_models::NoiseConfig;
    /// use textgan_random::Key;
    ///
    /// let noise = NoiseConfig { dimension: 4, ..NoiseConfig::default() };
    /// let key = Key::root(1).child("noise");
    /// assert_eq!(noise.draw(&key, 0, 3)[8..], noise.draw(&key, 2, 1));
    /// ```
    pub fn draw(&self, key: &Key, first: u64, rows: usize) -> Vec<f32> {
        let mut noise = vec![0.0; rows * self.dimension];
        if self.dimension > 0 {
            for (row, vector) in (first..).zip(noise.chunks_exact_mut(self.dimension)) {
                key.index(row).stream().fill_normal(vector);
            }
        }
        noise
    }
}
