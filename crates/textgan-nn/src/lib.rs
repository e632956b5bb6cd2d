//! What candle needs to train a text GAN on a CPU, and get the same bits every time.
//!
//! candle's own norms and rotary embeddings pass no gradient, its random generator cannot be
//! seeded on the CPU, and its AdamW hides its moments. This crate brings the missing pieces:
//!
//! - [`ops`]: differentiable operations with hand-written backward passes (products, RMSNorm,
//!   causal attention with rotary positions, SwiGLU, embeddings, the language-model head with its
//!   loss, its log-probabilities, its Gumbel relaxation or beside another head, recurrent
//!   sequences, text convolutions, dropout);
//! - [`layers`]: the small structs that own weights and call those operations;
//! - [`Parameters`], [`Builder`], [`Init`]: a name-sorted store of variables and an initialisation
//!   in which every weight has its own random stream;
//! - [`Optimizer`]: Adam and AdamW in one pass, with clipping, a refusal of non-finite gradients
//!   and saved moments;
//! - [`kernels`]: the same pieces over plain slices, for code that samples without a graph.
//!
//! Results do not depend on the number of threads: work is cut into tiles of constant size, and
//! sums are taken in a constant order.
//!
//! ```
//! use candle_core::Device;
//! use textgan_nn::layers::{Linear, LinearConfig};
//! use textgan_nn::{AdamConfig, Builder, Optimizer, Parameters};
//! use textgan_random::Key;
//!
//! # fn main() -> textgan_nn::Result<()> {
//! let device = Device::Cpu;
//! let mut parameters = Parameters::new();
//! let mut builder = Builder::new(&mut parameters, Key::root(1), &device);
//! let layer = Linear::new(&mut builder.child("score"), &LinearConfig::new(2, 1))?;
//!
//! let x = candle_core::Tensor::new(&[[0f32, 1.0], [1.0, 0.0]], &device)?;
//! let y = candle_core::Tensor::new(&[[1f32], [0.0]], &device)?;
//! let mut optimizer = Optimizer::new(AdamConfig::default(), &parameters)?;
//! let mut losses = Vec::new();
//! for _ in 0..50 {
//!     let loss = textgan_nn::ops::bce_with_logits(&layer.forward(&x)?, &y)?;
//!     losses.push(loss.to_scalar::<f32>()?);
//!     optimizer.step(&loss.backward()?, 0.1)?;
//! }
//! assert!(losses[49] < 0.2 * losses[0]);
//! # Ok(())
//! # }
//! ```

mod builder;
mod error;
pub mod kernels;
pub mod layers;
mod mode;
pub mod ops;
mod optimizer;
mod parameters;
mod tensor_file;
mod threads;

// What signatures here speak of, in the versions that they mean.
pub use candle_core;
pub use textgan_random;

pub use builder::{Builder, Init};
pub use error::{Error, Result};
pub use mode::Mode;
pub use optimizer::{AdamConfig, Optimizer, StepStats};
pub use parameters::Parameters;
pub use threads::{STACK, in_threads};

/// The blocks of the README, which are tested with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
