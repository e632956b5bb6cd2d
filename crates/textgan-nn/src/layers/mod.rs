//! Layers: structs that own weights and call the operations of [`crate::ops`].
//!
//! Each has a configuration beside it, creates its parameters through a
//! [`Builder`](crate::Builder) and states its shapes.

mod convolution;
mod embedding;
mod linear;
mod recurrent;
mod rms_norm;

pub use convolution::{TextConv, TextConvConfig};
pub use embedding::{Embedding, EmbeddingConfig};
pub use linear::{Linear, LinearConfig};
pub use recurrent::{Recurrent, RecurrentConfig};
pub use rms_norm::{RmsNorm, RmsNormConfig};
