//! Differentiable operations.
//!
//! On the CPU with `f32` each is one custom operation with a hand-written backward pass; on any
//! other device it is its [`composed`] twin, which is also what the tests compare it with and what
//! a second derivative needs (a custom operation has only a first one).
//!
//! candle adds up the gradients of a tensor that is used twice, so tied weights need no care.

pub(crate) mod argument;
mod bundle;
pub mod composed;
mod composed_convolution;
mod composed_head;
mod composed_memory;
mod composed_recurrent;
mod convolution;
mod cross_entropy;
mod dropout;
mod embedding;
mod group_loss;
mod gumbel;
mod head;
mod likelihood_ratio;
mod linear;
mod pointwise;
mod recurrent;
mod reduce;
mod relational_memory;
mod rms_norm;
pub(crate) mod storage;
mod target_log_probs;
mod transformer_block;

pub use convolution::text_convolution;
pub use cross_entropy::{
    HeadLoss, HeadScores, head_cross_entropy, head_log_probs, head_policy_loss,
};
pub use dropout::dropout;
pub use embedding::{embedding, embedding_bag};
pub use group_loss::{GroupLoss, head_group_loss};
pub use gumbel::{GumbelOptions, Relaxation, gumbel_head};
pub use likelihood_ratio::{
    HeadInput, JudgeKind, LogRatios, PolicyLoss, RatioOptions, SampledTokens,
    head_expected_policy_loss, head_log_ratios,
};
pub use linear::{linear, matmul};
pub use pointwise::{bce_with_logits, softplus, swiglu};
pub use recurrent::{RecurrentWeights, recurrent_sequence};
pub use relational_memory::{MemoryOptions, MemoryWeights, relational_memory};
pub use rms_norm::rms_norm;
pub use target_log_probs::head_target_log_probs;
pub use transformer_block::{BlockOptions, BlockWeights, transformer_block};
