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
    let mut all = token_log_probs_at(generator, context, sequences, &[1.0])?;
    Ok(all.pop().unwrap_or_default())
}

/// As [`token_log_probs`], once for each of some temperatures: of `softmax(logits / temperature)`.
///
/// The network runs once; what remains for each temperature is the head.
///
/// # Errors
/// As [`Generator::hidden`].
pub fn token_log_probs_at(
    generator: &dyn Generator,
    context: &Context<'_>,
    sequences: &Sequences,
    temperatures: &[f32],
) -> Result<Vec<Vec<f32>>> {
    let hidden = generator.hidden(context, sequences, Mode::Evaluate)?.detach();
    let (batch, time, width) = hidden.dims3()?;
    let hidden = hidden.reshape((batch * time, width))?;
    let (targets, weights) = (sequences.targets(), sequences.weights());
    let at = |temperature: &f32| -> Result<Vec<f32>> {
        // The head is linear, without a bias: scaling what it reads scales the logits.
        let scaled = hidden.affine(1.0 / f64::from(*temperature), 0.0)?;
        Ok(ops::head_log_probs(
            &scaled,
            generator.head(),
            targets,
            &weights,
            generator.precision(),
        )?
        .log_probs)
    };
    temperatures.iter().map(at).collect()
}
