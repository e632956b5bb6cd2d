//! Text generators and discriminators: transformer, RNN and CNN, with a fast sampler and Hugging Face model folders.

mod context;
mod discriminator;
mod encoder;
mod error;
mod sequences;
mod special;
mod word_vectors;

pub use context::{Context, NoiseConfig, Placement};
pub use discriminator::*;
pub use encoder::*;
pub use error::{Error, Result};
pub use sequences::Sequences;
pub use special::{BOS, EOS, PAD, UNK};
pub use word_vectors::*;
