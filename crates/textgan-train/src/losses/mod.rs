//! What algorithms share, written once: divergences, estimators, relaxations, returns, likelihood.

mod divergence;
pub(crate) mod gumbel;
pub(crate) mod likelihood;
pub(crate) mod mmd;
pub(crate) mod proximal;
pub(crate) mod reference;
pub(crate) mod reinforce;
pub(crate) mod returns;
pub(crate) mod taylor;
pub(crate) mod texts;

pub use divergence::Divergence;

/// A loss times a weight. candle leaves out of the graph what is multiplied by the number 0, and an optimizer
/// refuses weights without a gradient; times a tensor of 0 they have one, which is 0.
pub(crate) fn weighed(
    loss: &candle_core::Tensor,
    weight: f32,
) -> crate::Result<candle_core::Tensor> {
    Ok((loss * candle_core::Tensor::new(weight, loss.device())?)?)
}

/// What is never sampled, and so has no probability where samples are judged or language models compared.
pub(crate) const NEVER_SAMPLED: [u32; 2] = [textgan_models::PAD, textgan_models::BOS];
