use textgan_nn::{Mode, ops};

use super::Generator;
use crate::{Context, Result, Sequences};

/// The log-probability (nats) of every target, in evaluation mode: `[batch, time]`, 0 at padding.
///
/// No gradient is prepared, and the logits `[batch, time, vocab]` never exist as a whole. It is
/// what validation loss, perplexity and rewards by likelihood are computed from.
///
/// # Errors
/// As [`Generator::hidden`].
pub fn token_log_probs(
    generator: &dyn Generator,
    context: &Context<'_>,
    sequences: &Sequences,
) -> Result<Vec<f32>> {
    let hidden = generator.hidden(context, sequences, Mode::Evaluate)?.detach();
    let (batch, time, width) = hidden.dims3()?;
    let scores = ops::head_log_probs(
        &hidden.reshape((batch * time, width))?,
        generator.head(),
        sequences.targets(),
        &sequences.weights(),
    )?;
    Ok(scores.log_probs)
}
