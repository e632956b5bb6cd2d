//! The log-probability of whole texts, for algorithms that compare texts by it.

use candle_core::Tensor;
use textgan_models::{Context, Generator, Sequences};
use textgan_nn::{Mode, ops};

use super::NEVER_SAMPLED;
use crate::Result;

/// `ln p(x)` of each of some texts as the sampler writes them, nats, `[batch]`, with its graph.
pub(crate) fn text_log_probs(
    generator: &dyn Generator,
    context: &Context<'_>,
    texts: &Sequences,
    mode: Mode<'_>,
) -> Result<Tensor> {
    let hidden = generator.hidden(context, texts, mode)?.flatten_to(1)?;
    let (targets, weights) = (texts.targets(), texts.weights());
    let (head, precision) = (generator.head(), generator.precision());
    let words =
        ops::head_target_log_probs(&hidden, head, targets, &weights, &NEVER_SAMPLED, precision)?;
    Ok(words.reshape((texts.batch(), texts.time()))?.sum(1)?)
}
