//! What algorithms share, written once: divergences, estimators, relaxations, returns, likelihood.

mod divergence;
pub(crate) mod gumbel;
pub(crate) mod likelihood;
pub(crate) mod mmd;
pub(crate) mod proximal;
pub(crate) mod reference;
pub(crate) mod reinforce;
pub(crate) mod returns;
pub(crate) mod texts;

pub use divergence::Divergence;

/// What is never sampled, and so has no probability where samples are judged or language models compared.
pub(crate) const NEVER_SAMPLED: [u32; 2] = [textgan_models::PAD, textgan_models::BOS];
