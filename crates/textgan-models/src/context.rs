use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_random::Key;

/// What a generator is conditioned on, beside the tokens before.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Noise `z`, `[batch, noise]`.
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
}

impl Default for NoiseConfig {
    fn default() -> Self {
        Self { dimension: 32, placement: Placement::Begin }
    }
}

/// Where noise and label enter a generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// Once: transformer, added to the embedding of the begin-of-sequence token; LSTM, the initial
    /// hidden state.
    Begin,
    /// Added to the input embedding of every position.
    Every,
}

impl NoiseConfig {
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
