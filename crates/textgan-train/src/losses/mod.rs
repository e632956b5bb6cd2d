//! What algorithms share, written once: divergences, estimators, relaxations, returns, likelihood.

mod divergence;
pub(crate) mod gumbel;
pub(crate) mod likelihood;
pub(crate) mod proximal;
pub(crate) mod reference;
pub(crate) mod reinforce;
pub(crate) mod returns;

pub use divergence::Divergence;
