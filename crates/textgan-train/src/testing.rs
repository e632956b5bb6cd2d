//! A game small enough to be computed by hand.

use candle_core::Device;
use textgan_artifact::table::TokenRow;
use textgan_models::{
    DiscriminatorConfig, GeneratorConfig, ModelCard, NoiseConfig, Sizes, TransformerConfig,
    build_discriminator, build_generator,
};
use textgan_random::Key;

use crate::Result;
use crate::data::TrainData;
use crate::game::{Game, Judges};

/// Entries of the vocabulary, the four special tokens included.
pub(crate) const VOCAB: usize = 6;

/// Some sentences over it.
pub(crate) fn rows() -> Vec<TokenRow> {
    let row = |id: u64| TokenRow {
        id,
        label: None,
        tokens: vec![4 + (id % 2) as u32; 1 + (id % 2) as usize],
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
pub(crate) fn game<'a>(data: &'a TrainData<'a>) -> Result<Game<'a>> {
    let sizes = Sizes { vocab: VOCAB, labels: 0, max_length: data.max_length };
    let noise = NoiseConfig { dimension: 2, ..NoiseConfig::default() };
    let key = Key::root(3);
    let device = &Device::Cpu;
    let generator =
        build_generator(&generator_config(), &noise, &sizes, &key.child("generator"), device)?;
    let discriminator = build_discriminator(
        &DiscriminatorConfig::default(),
        &sizes,
        None,
        &key.child("discriminator"),
        device,
    )?;
    Ok(Game {
        data,
        noise,
        sample_length: None,
        generator,
        rollout_policy: None,
        judges: Some(Judges::new(discriminator)?),
        encoder: None,
    })
}
