//! A game small enough to be computed by hand.

use std::sync::Arc;

use candle_core::{D, Device, Tensor};
use textgan_artifact::table::TokenRow;
use textgan_models::{
    Context, Discriminator, DiscriminatorConfig, Generator, GeneratorConfig, ModelCard,
    NoiseConfig, Sequences, Sizes, TransformerConfig, build_discriminator, build_generator,
};
use textgan_nn::Mode;
use textgan_random::Key;

use crate::Result;
use crate::data::TrainData;
use crate::losses::NEVER_SAMPLED;
use crate::networks::Judges;

/// Entries of the vocabulary, the four special tokens included.
pub(crate) const VOCAB: usize = 6;

/// Some sentences over it.
pub(crate) fn rows() -> Vec<TokenRow> {
    let row = |id: u64| TokenRow {
        id,
        label: None,
        tokens: vec![4 + (id % 2) as u32; 1 + (id % 2) as usize],
        cut: false,
    };
    (0..12).map(row).collect()
}

/// Calls `test` with data made of [`rows`].
pub(crate) fn with_data<T>(test: impl FnOnce(&TrainData<'_>) -> T) -> T {
    let rows = rows();
    test(&TrainData {
        train: &rows[..8],
        valid: &rows[8..],
        labels: &[],
        vocab_size: VOCAB,
        max_length: 2,
        decode: &|tokens| format!("{tokens:?}"),
        words: None,
        tokenizer: None,
        id: None,
        well_formed: None,
        card: &ModelCard::default(),
    })
}

/// A one-layer transformer.
pub(crate) fn generator_config() -> GeneratorConfig {
    GeneratorConfig::Transformer(TransformerConfig {
        width: 8,
        layers: 1,
        heads: 2,
        embedding_std: 0.5,
        ..TransformerConfig::default()
    })
}

/// An untrained generator and discriminator.
pub(crate) struct Players {
    pub generator: Arc<dyn Generator>,
    pub judges: Judges,
}

/// Players of the language of [`rows`].
pub(crate) fn players() -> Result<Players> {
    let sizes = Sizes { vocab: VOCAB, labels: 0, max_length: 2 };
    let noise = NoiseConfig { dimension: 2, ..NoiseConfig::default() };
    let key = Key::root(3);
    let device = &Device::Cpu;
    let generator =
        build_generator(&generator_config(), &noise, &sizes, &key.child("generator"), device)?;
    let learning: Arc<dyn Discriminator> = build_discriminator(
        &DiscriminatorConfig::default(),
        &sizes,
        None,
        &key.child("discriminator"),
        device,
    )?
    .into();
    let judges = Judges { frozen: learning.frozen()?.into(), learning };
    Ok(Players { generator: generator.into(), judges })
}

/// Calls `test` with [`players`].
pub(crate) fn in_game<T>(test: impl FnOnce(Players) -> Result<T>) -> Result<T> {
    test(players()?)
}

/// The tokens that a sampler takes.
pub(crate) fn sampled() -> impl Iterator<Item = u32> + Clone {
    (0..VOCAB as u32).filter(|id| !NEVER_SAMPLED.contains(id))
}

/// `ln p` of every token at every place, `[batch, time, vocab]`, over those that a sampler takes, with its
/// graph, by candle's own operations.
pub(crate) fn log_probs_by_token(
    model: &dyn Generator,
    context: &Context<'_>,
    texts: &Sequences,
) -> Result<Tensor> {
    let logits = model.logits(context, texts, Mode::Evaluate)?;
    let mask = (0..VOCAB as u32).map(|id| if NEVER_SAMPLED.contains(&id) { -1e4f32 } else { 0.0 });
    let logits = logits.broadcast_add(&Tensor::from_iter(mask, &Device::Cpu)?)?;
    Ok(logits.broadcast_sub(&logits.exp()?.sum_keepdim(D::Minus1)?.log()?)?)
}

/// [`log_probs_by_token`] of the targets alone, `[batch, time]`.
pub(crate) fn target_log_probs(
    model: &dyn Generator,
    context: &Context<'_>,
    texts: &Sequences,
) -> Result<Tensor> {
    let shape = (texts.batch(), texts.time(), 1);
    let targets = Tensor::from_slice(texts.targets(), shape, &Device::Cpu)?;
    let all = log_probs_by_token(model, context, texts)?.contiguous()?;
    Ok(all.gather(&targets, D::Minus1)?.squeeze(D::Minus1)?)
}
