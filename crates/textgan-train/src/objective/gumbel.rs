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
    let embedding = game.judges().frozen.embedding();
    let words = ops::gumbel_head(
        &hidden,
        game.generator.head(),
        embedding,
        &sampled,
        temperature,
        relaxation,
        key,
    )?;
    let width = words.dim(1)?;
    let padded = Tensor::zeros((batch * time, width), words.dtype(), words.device())?;
    Ok(padded.index_add(&places, &words, 0)?.reshape((batch, time, width))?)
}

#[cfg(test)]
mod tests {
    use textgan_models::{Context, Sequences};

    use super::*;
    use crate::config::{Baseline, Reward, RewardScore};
    use crate::game::Player;
    use crate::objective::reinforce;
    use crate::testing::{game, with_data};

    fn fresh(game: &Game<'_>) -> Result<Fresh> {
        game.fresh(&Key::root(4), 0, 16, None)
    }

    #[test]
    fn straight_through_words_are_the_sampled_words() -> Result<()> {
        with_data(|data| {
            let game = game(data)?;
            let fresh = fresh(&game)?;
            let sequences = &fresh.sequences;
            let relaxed = relax(&game, &fresh, Relaxation::StraightThrough, 0.7, &Key::root(5))?
                .to_vec3::<f32>()?;
            let table = game.judges().frozen.embedding().to_vec2::<f32>()?;
            for (row, words) in relaxed.iter().enumerate() {
                for (place, word) in words.iter().enumerate() {
                    let token = sequences.targets()[row * sequences.time() + place] as usize;
                    for (i, value) in word.iter().enumerate() {
                        let expected =
                            if place < sequences.lengths()[row] { table[token][i] } else { 0.0 };
                        assert!((value - expected).abs() < 1e-6, "row {row}, place {place}");
                    }
                }
            }
            // A soft word at a low temperature is nearly the same.
            let soft =
                relax(&game, &fresh, Relaxation::Soft, 1e-3, &Key::root(5))?.to_vec3::<f32>()?;
            let far = relaxed.iter().flatten().flatten().zip(soft.iter().flatten().flatten());
            let share = far.clone().filter(|(a, b)| (*a - *b).abs() > 1e-2).count() as f64
                / far.count() as f64;
            assert!(share < 0.05, "{share} of the entries are far from the words");
            Ok(())
        })
    }

    /// Everything that the generator is made of hears from the discriminator.
    #[test]
    fn every_parameter_of_the_generator_has_a_gradient() -> Result<()> {
        with_data(|data| {
            let game = game(data)?;
            let fresh = fresh(&game)?;
            for relaxation in [Relaxation::StraightThrough, Relaxation::Soft] {
                let words = relax(&game, &fresh, relaxation, 1.0, &Key::root(5))?;
                let logits = game.judge(
                    &Tokens::Soft(&words),
                    &fresh.sequences,
                    Judged::Whole,
                    Mode::Evaluate,
                )?;
                let gradients = Divergence::NonSaturating
                    .generator_loss(&logits.detach(), &logits)?
                    .backward()?;
                for (name, variable) in game.generator.parameters().iter() {
                    let Some(gradient) = gradients.get(variable) else {
                        panic!("{name} has no gradient")
                    };
                    assert!(
                        gradient.abs()?.max_all()?.to_scalar::<f32>()? > 0.0,
                        "{name} has a zero gradient"
                    );
                }
            }
            Ok(())
        })
    }
    /// Sentences of one word, drawn from the generator's own distribution.
    fn one_word(game: &Game<'_>, rows: usize) -> Result<Fresh> {
        let noise = game.noise(&Key::root(6), 0, rows)?;
        let any = Sequences::from_samples(&vec![[4]; rows], &vec![false; rows], None)?;
        let context = Context { noise: &noise, labels: None };
        let logits = game.generator.logits(&context, &any, Mode::Evaluate)?.squeeze(1)?;
        let mut stream = Key::root(8).stream();
        let mut draw = |logits: &Vec<f32>| {
            let noisy = logits.iter().map(|logit| logit + stream.gumbel());
            let largest = noisy.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
            [largest.map_or(0, |(token, _)| token as u32)]
        };
        let words: Vec<[u32; 1]> = logits.to_vec2::<f32>()?.iter().map(&mut draw).collect();
        let sequences = Sequences::from_samples(&words, &vec![false; rows], None)?;
        Ok(Fresh { sequences, noise, log_probs: vec![vec![0.0]; rows] })
    }

    /// Both estimators climb the same hill: over many one-word sentences, where the feedback of a
    /// word to later ones plays no part, the pathwise gradient of the mean logit points where the
    /// policy gradient of the reward `logit` does.
    #[test]
    fn the_gradient_points_where_the_policy_gradient_does() -> Result<()> {
        with_data(|data| {
            let game = game(data)?;
            let fresh = one_word(&game, 8000)?;
            let reward = Reward { score: RewardScore::Logit, discount: 1.0, monte_carlo: None };
            let real = game.data.sequences(game.data.train.iter())?;
            let turn = Turn {
                player: Player::Generator,
                key: Key::root(7),
                step: 0,
                steps: 1,
                real,
                moving_average: None,
            };
            let policy = reinforce::loss(
                &game,
                &turn,
                &fresh,
                &reward,
                Baseline::LeaveOneOut,
                0.0,
                Judged::Whole,
            )?;
            let policy = policy.value.backward()?;
            for (relaxation, temperature, least) in [
                (Relaxation::Soft, 0.3, 0.98),
                (Relaxation::StraightThrough, 0.5, 0.98),
                (Relaxation::StraightThrough, 1.0, 0.95),
            ] {
                let hinge = Divergence::Hinge;
                let path =
                    loss(&game, &turn, &fresh, relaxation, temperature, hinge, Judged::Whole)?;
                let path = path.value.backward()?;
                let (mut dot, mut one, mut other) = (0.0, 0.0, 0.0);
                for (_, variable) in game.generator.parameters().iter() {
                    let (Some(a), Some(b)) = (policy.get(variable), path.get(variable)) else {
                        continue;
                    };
                    dot += (a * b)?.sum_all()?.to_scalar::<f32>()?;
                    one += a.sqr()?.sum_all()?.to_scalar::<f32>()?;
                    other += b.sqr()?.sum_all()?.to_scalar::<f32>()?;
                }
                let cosine = dot / (one * other).sqrt();
                assert!(cosine > least, "{relaxation:?} at {temperature}: cosine {cosine}");
            }
            Ok(())
        })
    }
}
