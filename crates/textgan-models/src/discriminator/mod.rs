//! Discriminators: how real does a text look, and each of its prefixes.

mod begin;
mod cnn;
mod embedding;
mod folder;
mod hard;
mod pieces;
mod prefixes;
mod rnn;
mod score;
mod size;
mod transformer;

pub use begin::generator_layers;
pub use cnn::CnnDiscriminatorConfig;
pub use embedding::EmbeddingConfig;
pub use folder::{load_discriminator, load_discriminator_with, save_discriminator};
pub use rnn::RnnDiscriminatorConfig;
pub use transformer::TransformerDiscriminatorConfig;

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_nn::{Builder, Mode, Parameters};
use textgan_random::Key;

use crate::special::SPECIALS;
use crate::{Error, Result, Sequences, Sizes};
pub(crate) use cnn::CnnDiscriminator;
pub(crate) use prefixes::{PrefixReader, PrefixScratch};
use rnn::RnnDiscriminator;
use transformer::TransformerDiscriminator;

/// A batch of texts as a discriminator reads them.
#[derive(Clone, Copy, Debug)]
pub enum Tokens<'a> {
    /// Token ids, `[batch, time]` row after row.
    Hard(&'a [u32]),
    /// Mixtures of rows of [`Discriminator::embedding`], `[batch, time, embed]`: what
    /// [`gumbel_head`](textgan_nn::ops::gumbel_head) makes of a generator's samples. Gradients pass
    /// through to what they were made of.
    Soft(&'a Tensor),
}

impl Tokens<'_> {
    /// Tokens a row, of `batch` rows.
    fn time(&self, batch: usize) -> Result<usize> {
        Ok(match self {
            Self::Hard(ids) => ids.len().checked_div(batch).unwrap_or(0),
            Self::Soft(embedded) => embedded.dim(1)?,
        })
    }
}

/// A network that tells real text from generated text, as a logit: positive for real.
///
/// What lies beyond the length of a row changes nothing.
pub trait Discriminator: Send + Sync {
    /// The architecture as a config file would give it: an object whose `kind` names it, with its numbers.
    fn architecture(&self) -> serde_json::Value;

    /// The sizes that the data decided.
    fn sizes(&self) -> &Sizes;

    /// The variables, by name. Those of a [`frozen`](Self::frozen) one are none.
    fn parameters(&self) -> &Parameters;

    /// The embeddings of hard tokens, `[vocab, embed]`.
    fn embedding(&self) -> &Tensor;

    /// Whether the logit of a prefix depends on that prefix only. Otherwise every position has the
    /// logit of the whole text, and a reward for each prefix takes a text of its own.
    fn reads_prefixes(&self) -> bool;

    /// What the realness logits are linear in, given the label: `[batch, time, features]` of every prefix
    /// where [prefixes are read](Self::reads_prefixes), else `[batch, 1, features]` of whole texts. Losses
    /// that match features read them, and generators that are told them.
    ///
    /// # Errors
    /// As [`realness`](Self::realness).
    fn features(&self, tokens: &Tokens<'_>, lengths: &[usize], mode: Mode<'_>) -> Result<Tensor>;

    /// The realness logit of every prefix, `[batch, time]`: position `t` has read the tokens
    /// `0..=t`. Beyond the length of a row the logit of the whole text is repeated. See
    /// [`reads_prefixes`](Self::reads_prefixes) for networks that only know whole texts.
    ///
    /// `lengths` count the tokens of each row, the end of the text among them, padding not.
    ///
    /// # Errors
    /// When tokens, lengths or labels do not fit the model or each other.
    fn realness(
        &self,
        tokens: &Tokens<'_>,
        lengths: &[usize],
        labels: Option<&[u32]>,
        mode: Mode<'_>,
    ) -> Result<Tensor>;

    /// The realness of whole texts as each of the network's representations sees it, `[batch, representations]`,
    /// where it has several; the mean of a row is its [`realness`](Self::realness). Losses of logits are means
    /// over them all.
    ///
    /// # Errors
    /// As [`realness`](Self::realness).
    fn opinions(
        &self,
        tokens: &Tokens<'_>,
        lengths: &[usize],
        labels: Option<&[u32]>,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        Ok(whole(&self.realness(tokens, lengths, labels, mode)?, lengths)?.unsqueeze(1)?)
    }

    /// The realness of whole texts, one logit a text: what [`whole`] finds in
    /// [`realness`](Self::realness) in evaluation mode, without a graph. There may be any number of
    /// texts: they are read in pieces of bounded memory.
    ///
    /// # Errors
    /// As [`realness`](Self::realness).
    fn scores(&self, texts: &Sequences) -> Result<Vec<f32>> {
        pieces::score(texts, self.footprint(texts.time()), |tokens, lengths, labels| {
            let tokens = Tokens::Hard(tokens);
            let realness = self.realness(&tokens, lengths, labels, Mode::Evaluate)?.detach();
            Ok(whole(&realness, lengths)?.to_vec1()?)
        })
    }

    /// About how many numbers reading a text of `time` tokens takes: it bounds how many texts
    /// [`scores`](Self::scores) reads at once.
    fn footprint(&self, time: usize) -> usize {
        time.saturating_mul(4096)
    }

    /// The same network over the same weights, also after they change, which get no gradient from
    /// it: what a generator plays against. It saves the third of the backward pass that would
    /// compute gradients nobody uses.
    ///
    /// # Errors
    /// When the layers cannot be built; not in practice, as they were before.
    fn frozen(&self) -> Result<Box<dyn Discriminator>>;
}

/// The realness of whole texts, `[batch]`: out of `realness: [batch, time]` the logit at each row's
/// last token.
///
/// # Errors
/// When there is not one length a row.
pub fn whole(realness: &Tensor, lengths: &[usize]) -> Result<Tensor> {
    let (batch, time) = realness.dims2()?;
    check_lengths(lengths, batch, time)?;
    let last: Vec<u32> = lengths.iter().map(|&length| length.saturating_sub(1) as u32).collect();
    let last = Tensor::from_vec(last, (batch, 1), realness.device())?;
    Ok(realness.contiguous()?.gather(&last, 1)?.squeeze(1)?)
}

/// The architecture of a discriminator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DiscriminatorConfig {
    /// A recurrent network: a logit for every prefix.
    Rnn(RnnDiscriminatorConfig),
    /// Convolutions over the whole text, as in SeqGAN and RelGAN.
    Cnn(CnnDiscriminatorConfig),
    /// A causal transformer: a logit for every prefix.
    Transformer(TransformerDiscriminatorConfig),
}

impl Default for DiscriminatorConfig {
    fn default() -> Self {
        Self::Rnn(RnnDiscriminatorConfig::default())
    }
}

/// Makes a discriminator with fresh weights: each drawn from a stream of `key` named as the weight.
///
/// `words` are the words of the vocabulary by id; only [`EmbeddingConfig::WordVectors`] needs them.
///
/// # Errors
/// When the configuration describes no model (the message names the key), or the word vectors
/// cannot be read.
///
/// ```
/// use candle_core::Device;
/// use textgan_models::{DiscriminatorConfig, Sizes, Tokens, build_discriminator, whole};
/// use textgan_nn::Mode;
/// use textgan_random::Key;
///
/// let config = DiscriminatorConfig::default();
/// let sizes = Sizes { vocab: 100, labels: 0, max_length: 16 };
/// let network = build_discriminator(&config, &sizes, None, &Key::root(1), &Device::Cpu)?;
///
/// let (tokens, lengths) = ([7, 8, 3, 9, 3, 0], [3, 2]);
/// let realness = network.realness(&Tokens::Hard(&tokens), &lengths, None, Mode::Evaluate)?;
/// assert_eq!(realness.dims(), [2, 3]);
/// assert_eq!(whole(&realness, &lengths)?.dims(), [2]);
/// # Ok::<(), textgan_models::Error>(())
/// ```
pub fn build_discriminator(
    config: &DiscriminatorConfig,
    sizes: &Sizes,
    words: Option<&[String]>,
    key: &Key,
    device: &Device,
) -> Result<Box<dyn Discriminator>> {
    let embedding = config.embedding();
    embedding.check_words(words, sizes)?;
    let network = build_untrained(config, sizes, key, device)?;
    if let (EmbeddingConfig::WordVectors { path, width }, Some(words)) = (embedding, words) {
        let vectors = crate::WordVectors::read(path, words, *width)?;
        let table = vectors.table(&key.child("word-vectors"));
        let table = Tensor::from_vec(table, (sizes.vocab, *width), device)?;
        if let Some(variable) = network.parameters().get(embedding::PARAMETER) {
            variable.set(&table)?;
        }
    }
    Ok(network)
}

/// All weights are drawn, also those that a file should give.
fn build_untrained(
    config: &DiscriminatorConfig,
    sizes: &Sizes,
    key: &Key,
    device: &Device,
) -> Result<Box<dyn Discriminator>> {
    if sizes.vocab <= SPECIALS as usize {
        let message = format!("{} leaves none beside the {SPECIALS} special ones", sizes.vocab);
        return Err(Error::config("vocabulary size", message));
    }
    if sizes.max_length > crate::generator::LONGEST {
        let message = format!("{} is longer than any text may be", sizes.max_length);
        return Err(Error::config("max_length", message));
    }
    let mut parameters = Parameters::new();
    let mut network = assemble(config, sizes, &mut Builder::new(&mut parameters, *key, device))?;
    network.adopt(parameters);
    Ok(network.boxed())
}

/// A network before it is behind the trait.
enum Assembled {
    Rnn(RnnDiscriminator),
    Cnn(CnnDiscriminator),
    Transformer(TransformerDiscriminator),
}

fn assemble(
    config: &DiscriminatorConfig,
    sizes: &Sizes,
    builder: &mut Builder<'_>,
) -> Result<Assembled> {
    Ok(match config {
        DiscriminatorConfig::Rnn(config) => {
            Assembled::Rnn(RnnDiscriminator::new(config, sizes, builder)?)
        }
        DiscriminatorConfig::Cnn(config) => {
            Assembled::Cnn(CnnDiscriminator::new(config, sizes, builder)?)
        }
        DiscriminatorConfig::Transformer(config) => {
            Assembled::Transformer(TransformerDiscriminator::new(config, sizes, builder)?)
        }
    })
}

impl Assembled {
    fn adopt(&mut self, parameters: Parameters) {
        match self {
            Self::Rnn(network) => network.parameters = parameters,
            Self::Cnn(network) => network.parameters = parameters,
            Self::Transformer(network) => network.parameters = parameters,
        }
    }

    fn boxed(self) -> Box<dyn Discriminator> {
        match self {
            Self::Rnn(network) => Box::new(network),
            Self::Cnn(network) => Box::new(network),
            Self::Transformer(network) => Box::new(network),
        }
    }
}

/// See [`Discriminator::frozen`].
fn frozen(
    config: &DiscriminatorConfig,
    network: &dyn Discriminator,
) -> Result<Box<dyn Discriminator>> {
    let device = network.embedding().device().clone();
    let mut builder = Builder::frozen(network.parameters(), &device);
    Ok(assemble(config, network.sizes(), &mut builder)?.boxed())
}

fn check_lengths(lengths: &[usize], batch: usize, time: usize) -> Result<()> {
    if lengths.len() != batch {
        let message = format!("{} for {batch} rows", lengths.len());
        return Err(Error::argument("lengths", message));
    }
    match lengths.iter().find(|&&length| length > time || length == 0) {
        Some(length) => {
            Err(Error::argument("lengths", format!("{length} is not within 1 to {time}")))
        }
        None => Ok(()),
    }
}

/// Refuses a size of zero.
fn at_least_one(sizes: &[(&str, usize)]) -> Result<()> {
    match sizes.iter().find(|(_, size)| *size == 0) {
        Some((key, _)) => Err(Error::config(format!("discriminator.{key}"), "must be at least 1")),
        None => Ok(()),
    }
}

/// Refuses a rate of dropout that leaves nothing or is no rate.
fn check_dropout(rate: f32) -> Result<()> {
    match (0.0..1.0).contains(&rate) {
        true => Ok(()),
        false => Err(Error::config("discriminator.dropout", format!("{rate} is outside [0, 1)"))),
    }
}
