//! Text generators and discriminators: transformer, RNN and CNN, with a fast sampler and Hugging
//! Face model folders.
//!
//! - A [`Generator`] turns noise, and a label where it has labels, into text. [`build_generator`]
//!   makes one from a [`GeneratorConfig`]. It has two faces over the same parameters: the
//!   differentiable one, teacher-forced, for training, and a [`Sampler`] without a graph that
//!   [`sample`] draws texts with. *Sample once, score in one pass*: losses over sampled texts come
//!   from one teacher-forced pass.
//! - A discriminator reads texts, hard tokens or relaxed embeddings, and says how real each prefix
//!   looks.
//! - [`save_generator`] writes a folder that loads in Hugging Face `transformers` as a
//!   `LlamaForCausalLM` (a transformer at zero noise); [`load_generator`] reads it back.
//!
//! Every random draw comes from a named stream ([`textgan_random::Key`]), and a sampled row has the
//! same bits in whatever batch, on however many threads.
//!
//! ```
//! use candle_core::Device;
//! use textgan_models::{
//!     Conditions, GeneratorConfig, NoiseConfig, SamplingOptions, Sizes, build_generator, sample,
//! };
//! use textgan_random::Key;
//!
//! let key = Key::root(1);
//! let noise = NoiseConfig::default();
//! let sizes = Sizes { vocab: 50, labels: 0, max_length: 8 };
//! let config = GeneratorConfig::default();
//! let generator = build_generator(&config, &noise, &sizes, &key.child("init"), &Device::Cpu)?;
//!
//! let rows = 4;
//! let z = noise.draw(&key.child("noise"), 0, rows);
//! let conditions = Conditions { rows, noise: &z, labels: None };
//! let samples = sample(
//!     generator.sampler()?.as_mut(),
//!     &conditions,
//!     &[],
//!     &SamplingOptions::default(),
//!     &key.child("sample"),
//!     0,
//! )?;
//! assert_eq!(samples.tokens.len(), rows);
//! # Ok::<(), textgan_models::Error>(())
//! ```

mod context;
mod discriminator;
mod encoder;
mod error;
mod folder;
mod generator;
mod sampler;
mod sequences;
mod special;
mod word_vectors;

// What signatures here speak of, in the versions that they mean.
pub use candle_core;
pub use textgan_nn;
pub use textgan_random;

pub use context::{CodeConfig, Context, NoiseConfig, Placement};
pub use discriminator::*;
pub use encoder::*;
pub use error::{Error, Result};
pub use folder::{
    ModelCard, SavedGenerator, load_card, load_generator, load_generator_with, save_generator,
};
pub use generator::{
    CODE_PARAMETERS, Generator, GeneratorConfig, Guidance, LEAK_PARAMETERS, LeakConfig, LstmConfig,
    RelationalConfig, Sizes, TransformerConfig, build_generator, token_log_probs,
    token_log_probs_at, unit_rows,
};
pub use sampler::{
    Completion, Conditions, Prefix, Reader, Rollouts, Sampler, Samples, SamplingOptions, Start,
    StepModel, Tile, TiledSampler, infill, rollouts, sample,
};
pub use sequences::Sequences;
pub use special::{BOS, EOS, PAD, UNK};
pub use word_vectors::*;

/// The blocks of the README, which are tested with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
