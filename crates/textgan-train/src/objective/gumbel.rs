//! The pathwise estimator: sampled words, relaxed so that the discriminator's gradient passes.

use candle_core::Tensor;
use textgan_models::Tokens;
use textgan_nn::Mode;
use textgan_nn::ops::{self, Relaxation};
use textgan_random::Key;

use crate::Result;
use crate::config::Judged;
use crate::divergence::Divergence;
use crate::game::{Fresh, Game, Loss, Turn, places};

/// The generator's loss through relaxed words.
pub(super) fn loss(
    game: &Game<'_>,
    turn: &Turn,
    fresh: &Fresh,
    relaxation: Relaxation,
    temperature: f32,
    divergence: Divergence,
    judged: Judged,
) -> Result<Loss> {
    let relaxed = relax(game, fresh, relaxation, temperature, &turn.key.child("gumbel"))?;
    let fake = game.judge(&Tokens::Soft(&relaxed), &fresh.sequences, judged, Mode::Evaluate)?;
    let real = if divergence.is_relativistic() {
        game.judge(&Tokens::Hard(turn.real.targets()), &turn.real, judged, Mode::Evaluate)?.detach()
    } else {
        fake.detach()
    };
    let value = divergence.generator_loss(&real, &fake)?;
    let facts = vec![
        ("generator_loss", f64::from(value.to_scalar::<f32>()?)),
        ("temperature", temperature.into()),
        ("sample_nll", fresh.nll()),
    ];
    Ok(Loss { value, facts, moving_average: None })
}

/// The sampled words in the discriminator's embedding space, `[batch, time, embedding]`.
///
/// One teacher-forced pass scores what was sampled, and the Gumbel noise is drawn on the condition
/// that the sampled words were its arg-maxima: the same joint distribution as drawing the noise
/// first. Padding stays zero.
pub(super) fn relax(
    game: &Game<'_>,
    fresh: &Fresh,
    relaxation: Relaxation,
    temperature: f32,
    key: &Key,
) -> Result<Tensor> {
    let sequences = &fresh.sequences;
    let (batch, time) = (sequences.batch(), sequences.time());
    let places = places(sequences)?;
    let hidden = game.generator.hidden(&fresh.context(), sequences, Mode::Evaluate)?;
    let hidden = hidden.flatten_to(1)?.index_select(&places, 0)?;
    let sampled: Vec<u32> = (0..batch)
        .flat_map(|row| &sequences.targets()[row * time..][..sequences.lengths()[row]])
        .copied()
        .collect();
    let embedding = game.opponent().embedding().detach();
    let words =
        ops::gumbel_head(&hidden, game.generator.head(), &embedding, &sampled, temperature, relaxation, key)?;
    let width = words.dim(1)?;
    let padded = Tensor::zeros((batch * time, width), words.dtype(), words.device())?;
    Ok(padded.index_add(&places, &words, 0)?.reshape((batch, time, width))?)
}
