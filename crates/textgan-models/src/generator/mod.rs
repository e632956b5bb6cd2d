//! Generators: the differentiable face and what makes one.

mod built;
mod conditioning;
mod leak;
mod lstm;
mod relational;
mod score;
mod size;
mod transformer;

pub use leak::{LEAK_PARAMETERS, LeakConfig};
pub use lstm::LstmConfig;
pub use relational::RelationalConfig;
pub use score::{token_log_probs, token_log_probs_at};
pub use transformer::TransformerConfig;

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use textgan_nn::kernels::Precision;
use textgan_nn::{Mode, Parameters, ops};
use textgan_random::Key;

use crate::special::SPECIALS;
use crate::{Context, Error, NoiseConfig, Result, Sampler, Sequences};
pub use conditioning::unit_rows;
pub(crate) use conditioning::{CODE_EPSILON, Conditioning};

/// The first part of the names of the parameters that make a [code](NoiseConfig::code) of noise.
pub const CODE_PARAMETERS: &str = conditioning::CodeNetwork::PARAMETERS;
use built::Built;
pub(crate) use built::Frame;
pub(crate) use leak::LeakNetwork;
pub(crate) use lstm::LstmNetwork;
pub(crate) use relational::{FORGET_BIAS, NORM_EPSILON, RelationalNetwork};
pub(crate) use transformer::{Block, Body, TransformerNetwork};

/// A model that turns noise, and a label where it has labels, into text, token by token.
///
/// It has two faces over the same parameters. This trait is the differentiable one: teacher-forced,
/// over whole sequences. [`sampler`](Self::sampler) gives the other, without a graph.
///
/// Logits are those of the whole vocabulary; nothing is masked. The sampler alone refuses
/// [`PAD`](crate::PAD) and [`BOS`](crate::BOS), which are never targets, so that the logits of a
/// saved folder are the same wherever it is loaded.
pub trait Generator: Send + Sync {
    /// The architecture as a config file would give it: an object whose `kind` names it, with its numbers.
    /// A saved folder keeps it, and says it to whoever builds the generator again.
    fn architecture(&self) -> Value;

    /// A generator of its own with the same architecture and weights.
    ///
    /// # Errors
    /// When it cannot be built; not in practice, as this one was.
    fn copy(&self) -> Result<Box<dyn Generator>>;

    /// The noise it takes.
    fn noise(&self) -> &NoiseConfig;

    /// The sizes that the data decided.
    fn sizes(&self) -> &Sizes;

    /// The variables, by name.
    fn parameters(&self) -> &Parameters;

    /// The state before the head for every position, teacher-forced: `[batch, time, width]`.
    /// Position `t` has read the noise, the label and the tokens before `t`.
    ///
    /// # Errors
    /// When noise, labels or sequences do not fit the model or each other.
    fn hidden(
        &self,
        context: &Context<'_>,
        sequences: &Sequences,
        mode: Mode<'_>,
    ) -> Result<Tensor>;

    /// The weights of the head, `[vocab, width]`: logits are their products with a hidden state.
    fn head(&self) -> &Tensor;

    /// The numbers that products multiply where there is a graph: those of transformer blocks in
    /// [`hidden`](Self::hidden), and the head's where a loss is told to. Weights, gradients and all
    /// other arithmetic are `f32`, and so are samplers and saved folders.
    fn precision(&self) -> Precision;

    /// Changes [`precision`](Self::precision); it begins as `f32`.
    fn set_precision(&mut self, precision: Precision);

    /// A snapshot of the current weights that samples.
    ///
    /// # Errors
    /// When the weights cannot be read from their device.
    fn sampler(&self) -> Result<Box<dyn Sampler>>;

    /// The [codes](NoiseConfig::code) of some noise, `[batch, code]`, with their graph; `None` where noise
    /// enters as it is. The parameters of the network that makes them begin with
    /// [`CODE_PARAMETERS`].
    ///
    /// # Errors
    /// When the noise does not fit.
    fn codes(&self, _noise: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Whether a variable of this name is not the generator's own to learn: it is told it by another network, whose it
    /// is ([`LeakConfig`]).
    fn is_told(&self, _name: &str) -> bool {
        false
    }

    /// What guides the writing of some texts, with its graph where there is one; `None` for a generator without a
    /// manager.
    ///
    /// # Errors
    /// When the sequences do not fit the model.
    fn guidance(&self, _sequences: &Sequences, _mode: Mode<'_>) -> Result<Option<Guidance>> {
        Ok(None)
    }

    /// The logits of every position, teacher-forced: `[batch, time, vocab]`. A loss should not
    /// need them: [`ops::head_cross_entropy`] takes [`hidden`](Self::hidden) and
    /// [`head`](Self::head) and never stores them whole.
    ///
    /// # Errors
    /// As [`hidden`](Self::hidden).
    fn logits(
        &self,
        context: &Context<'_>,
        sequences: &Sequences,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        Ok(ops::linear(&self.hidden(context, sequences, mode)?, self.head(), None)?)
    }
}

/// What a [manager](LeakConfig) reads of some texts and what it makes of it.
#[derive(Clone, Debug)]
pub struct Guidance {
    /// The discriminator's features of every prefix, the empty one and the whole text among them, without a graph:
    /// `[batch, time + 1, features]`. Beyond the end of a text those of all of it are repeated.
    pub features: Tensor,
    /// Where they should go from each prefix that a word follows, as vectors of length 1:
    /// `[batch, time, features]`.
    pub goals: Tensor,
}

/// The sizes that data decides, not taste.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// The size of the vocabulary, the four special tokens included.
    pub vocab: usize,
    /// The number of labels; 0 for a generator without.
    pub labels: usize,
    /// The most content tokens in a text.
    pub max_length: usize,
}

/// The architecture of a generator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GeneratorConfig {
    /// A decoder-only transformer in the layout of Llama.
    Transformer(TransformerConfig),
    /// A recurrent network, the classic generator of text GANs.
    Lstm(LstmConfig),
    /// A memory whose slots attend to each other, the generator of RelGAN.
    RelationalMemory(RelationalConfig),
    /// A worker and a manager that is told the discriminator's features, the generator of LeakGAN.
    Leak(LeakConfig),
}

impl Default for GeneratorConfig {
    fn default() -> Self {
        Self::Transformer(TransformerConfig::default())
    }
}

/// The most tokens of a text: tables of positions, and caches of samplers, are as long.
pub(crate) const LONGEST: usize = 1 << 20;

/// Makes a generator with fresh weights: each drawn from a stream of `key` named as the weight.
///
/// # Errors
/// When the configuration describes no model; the message names the key.
///
/// ```
/// use candle_core::Device;
/// use textgan_models::{GeneratorConfig, NoiseConfig, Sizes, build_generator};
/// use textgan_random::Key;
///
/// let generator = build_generator(
///     &GeneratorConfig::default(),
///     &NoiseConfig::default(),
///     &Sizes { vocab: 100, labels: 0, max_length: 16 },
///     &Key::root(1),
///     &Device::Cpu,
/// )?;
/// assert_eq!(generator.head().dims(), [100, 64]);
/// # Ok::<(), textgan_models::Error>(())
/// ```
pub fn build_generator(
    config: &GeneratorConfig,
    noise: &NoiseConfig,
    sizes: &Sizes,
    key: &Key,
    device: &Device,
) -> Result<Box<dyn Generator>> {
    if sizes.vocab <= SPECIALS as usize {
        let message = format!("{} leaves none beside the {SPECIALS} special ones", sizes.vocab);
        return Err(Error::config("vocabulary size", message));
    }
    if sizes.max_length > LONGEST {
        let message =
            format!("{} is more than the {LONGEST} tokens that a text may have", sizes.max_length);
        return Err(Error::config("max_length", message));
    }
    if sizes.max_length == 0 {
        return Err(Error::config("max_length", "0 leaves no room for a token"));
    }
    Ok(match config {
        GeneratorConfig::Transformer(layout) => {
            Built::<TransformerNetwork>::new(config, layout, noise, sizes, key, device)?
        }
        GeneratorConfig::Lstm(layout) => {
            Built::<LstmNetwork>::new(config, layout, noise, sizes, key, device)?
        }
        GeneratorConfig::RelationalMemory(layout) => {
            Built::<RelationalNetwork>::new(config, layout, noise, sizes, key, device)?
        }
        GeneratorConfig::Leak(layout) => {
            Built::<LeakNetwork>::new(config, layout, noise, sizes, key, device)?
        }
    })
}

/// Refuses a size of zero.
fn at_least_one(sizes: &[(&str, usize)]) -> Result<()> {
    match sizes.iter().find(|(_, size)| *size == 0) {
        Some((key, _)) => Err(Error::config(format!("generator.{key}"), "must be at least 1")),
        None => Ok(()),
    }
}

/// Refuses what is not a positive number.
fn positive(values: &[(&str, f32)]) -> Result<()> {
    match values.iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
        Some((key, value)) => {
            let message = format!("{value} is not a positive number");
            Err(Error::config(format!("generator.{key}"), message))
        }
        None => Ok(()),
    }
}

/// Refuses a rate of dropout that leaves nothing or is no rate.
fn check_dropout(rates: &[(&str, f32)]) -> Result<()> {
    match rates.iter().find(|(_, rate)| !(0.0..1.0).contains(rate)) {
        Some((key, rate)) => {
            Err(Error::config(format!("generator.{key}"), format!("{rate} is outside [0, 1)")))
        }
        None => Ok(()),
    }
}
