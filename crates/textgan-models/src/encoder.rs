use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_nn::kernels::CellKind;
use textgan_nn::layers::{
    Embedding, EmbeddingConfig as TableConfig, Linear, LinearConfig, Recurrent, RecurrentConfig,
};
use textgan_nn::{Builder, Init, Mode, Parameters, ops};
use textgan_random::Key;

use crate::{Error, NoiseConfig, Result, Sequences, Sizes};

/// What reads a text to guess its noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EncoderKind {
    /// The mean of the embeddings: which words there are, not their order.
    Bag,
    /// The final state of a GRU.
    Gru,
}

/// A network from a text to the noise that may have made it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NoiseEncoderConfig {
    /// What reads the text.
    pub kind: EncoderKind,
    /// Width of the embeddings.
    pub embedding: usize,
    /// Width of the hidden layer, or of the state of the GRU.
    pub width: usize,
    /// Dropout before the last layer.
    pub dropout: f32,
}

impl Default for NoiseEncoderConfig {
    fn default() -> Self {
        Self { kind: EncoderKind::Bag, embedding: 64, width: 128, dropout: 0.0 }
    }
}

impl NoiseEncoderConfig {
    /// The number of weights that [`NoiseEncoder::new`] would make.
    ///
    /// # Errors
    /// When the configuration describes no encoder, or one beyond any machine.
    pub fn parameter_count(&self, noise: &NoiseConfig, sizes: &Sizes) -> Result<u64> {
        self.validate(noise)?;
        let (embedding, width) = (self.embedding as u64, self.width as u64);
        let hidden = match self.kind {
            EncoderKind::Bag => embedding.saturating_add(1),
            EncoderKind::Gru => embedding.saturating_add(width).saturating_add(2).saturating_mul(3),
        };
        let output = (noise.dimension as u64).saturating_mul(2);
        let products =
            [(sizes.vocab as u64, embedding), (width, hidden), (output, width.saturating_add(1))];
        let sum = products.iter().try_fold(0u64, |sum, &(a, b)| sum.checked_add(a.checked_mul(b)?));
        sum.ok_or_else(|| {
            let message = "with these sizes there are more weights than can be counted";
            Error::config("encoder.width", message)
        })
    }

    fn validate(&self, noise: &NoiseConfig) -> Result<()> {
        for (key, size) in [("embedding", self.embedding), ("width", self.width)] {
            if size == 0 {
                return Err(Error::config(format!("encoder.{key}"), "must be at least 1"));
            }
        }
        if noise.dimension == 0 {
            return Err(Error::config("noise.dimension", "0 leaves an encoder nothing to guess"));
        }
        match (0.0..1.0).contains(&self.dropout) {
            true => Ok(()),
            false => {
                let message = format!("{} is outside [0, 1)", self.dropout);
                Err(Error::config("encoder.dropout", message))
            }
        }
    }
}

/// `q(z | x)`, a Gaussian with independent dimensions over the noise of a text: the encoder of a
/// variational autoencoder (Kingma and Welling, 2014; of sentences: Bowman et al., 2016), or of a
/// loss that asks for the noise back.
///
/// At first it says the same of every text, close to the prior: mean zero, variance one.
///
/// ```
/// use candle_core::Device;
/// use textgan_models::{NoiseConfig, NoiseEncoder, NoiseEncoderConfig, Sequences, Sizes};
/// use textgan_nn::Mode;
/// use textgan_random::Key;
///
/// let sizes = Sizes { vocab: 50, labels: 0, max_length: 8 };
/// let noise = NoiseConfig { dimension: 5, ..NoiseConfig::default() };
/// let config = NoiseEncoderConfig::default();
/// let encoder = NoiseEncoder::new(&config, &noise, &sizes, &Key::root(1), &Device::Cpu)?;
///
/// let texts = Sequences::from_rows(&[&[7, 8, 9], &[10]], None, 8)?;
/// let (mean, log_variance) = encoder.posterior(&texts, Mode::Evaluate)?;
/// assert_eq!((mean.dims(), log_variance.dims()), (&[2, 5][..], &[2, 5][..]));
/// # Ok::<(), textgan_models::Error>(())
/// ```
pub struct NoiseEncoder {
    config: NoiseEncoderConfig,
    parameters: Parameters,
    vocab: usize,
    embedding: Embedding,
    body: Body,
    mean: Linear,
    log_variance: Linear,
}

enum Body {
    Bag(Linear),
    Gru(Recurrent),
}

impl NoiseEncoder {
    /// An encoder with fresh weights: each drawn from a stream of `key` named as the weight.
    ///
    /// # Errors
    /// When the configuration describes no encoder; the message names the key.
    pub fn new(
        config: &NoiseEncoderConfig,
        noise: &NoiseConfig,
        sizes: &Sizes,
        key: &Key,
        device: &Device,
    ) -> Result<Self> {
        config.validate(noise)?;
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, *key, device);
        let table = TableConfig {
            init: Init::Normal { std: 0.5 },
            ..TableConfig::new(sizes.vocab, config.embedding)
        };
        let embedding = Embedding::new(&mut builder.child("embedding"), &table)?;
        let body = match config.kind {
            EncoderKind::Bag => {
                let layer = LinearConfig::new(config.embedding, config.width);
                Body::Bag(Linear::new(&mut builder.child("hidden"), &layer)?)
            }
            EncoderKind::Gru => {
                let layer = RecurrentConfig::new(CellKind::Gru, config.embedding, config.width);
                Body::Gru(Recurrent::new(&mut builder.child("rnn"), &layer)?)
            }
        };
        let mut output = |name: &str| {
            let init = Init::Normal { std: 0.01 / (config.width as f32).sqrt() };
            let layer = LinearConfig { init, ..LinearConfig::new(config.width, noise.dimension) };
            Linear::new(&mut builder.child(name), &layer)
        };
        let (mean, log_variance) = (output("mean")?, output("log_variance")?);
        let (config, vocab) = (config.clone(), sizes.vocab);
        Ok(Self { config, parameters, vocab, embedding, body, mean, log_variance })
    }

    /// The architecture.
    pub fn config(&self) -> &NoiseEncoderConfig {
        &self.config
    }

    /// The variables, by name.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Mean and logarithm of the variance of `q(z | x)`, both `[batch, noise]`.
    ///
    /// # Errors
    /// When a token is outside the vocabulary.
    pub fn posterior(&self, sequences: &Sequences, mode: Mode<'_>) -> Result<(Tensor, Tensor)> {
        let (batch, time) = (sequences.batch(), sequences.time());
        if let Some(id) = sequences.targets().iter().find(|&&id| id as usize >= self.vocab) {
            let message = format!("token {id} is outside a vocabulary of {}", self.vocab);
            return Err(Error::argument("sequences", message));
        }
        let features = match &self.body {
            Body::Bag(hidden) => {
                let weights = mean_over_time(sequences);
                let bag = self.embedding.bag(sequences.targets(), &weights, batch)?;
                hidden.forward(&bag)?.tanh()?
            }
            Body::Gru(network) => {
                let x = self.embedding.forward(sequences.targets(), (batch, time))?;
                let states = network.forward(&x, sequences.lengths(), None, mode)?;
                network.last(&states)?
            }
        };
        let features = ops::dropout(&features, self.config.dropout, mode, "output")?;
        Ok((self.mean.forward(&features)?, self.log_variance.forward(&features)?))
    }
}

/// Weights `[batch, time]` of a mean over the words of each text, padding left out.
fn mean_over_time(sequences: &Sequences) -> Vec<f32> {
    let time = sequences.time();
    let mut weights = sequences.weights();
    for (row, &length) in weights.chunks_exact_mut(time).zip(sequences.lengths()) {
        row.iter_mut().for_each(|weight| *weight /= length as f32);
    }
    weights
}
