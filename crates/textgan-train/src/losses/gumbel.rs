//! The pathwise estimator: sampled words, relaxed so that the discriminator's gradient passes.

use candle_core::Tensor;
use textgan_models::{Generator, Sequences, Tokens};
use textgan_nn::Mode;
use textgan_nn::ops::{self, GumbelOptions, Relaxation};
use textgan_random::Key;

use super::{Divergence, NEVER_SAMPLED};
use crate::Result;
use crate::algorithm::Loss;
use crate::config::Judged;
use crate::generated::Generated;
use crate::metric::{Group, Metric, Unit};
use crate::networks::{Judges, places};

/// The generator's loss through `relaxed` words, `[batch, time, embedding]`, of `fake` texts.
pub(crate) fn loss(
    judges: &Judges,
    divergence: Divergence,
    judged: Judged,
    real: &Sequences,
    fake: &Generated,
    relaxed: &Tensor,
    temperature: f32,
) -> Result<Loss> {
    let judge =
        |tokens: &Tokens<'_>, sequences| judges.judge(tokens, sequences, judged, Mode::Evaluate);
    let opinion = judge(&Tokens::Soft(relaxed), &fake.sequences)?;
    let real = if divergence.is_relativistic() {
        judge(&Tokens::Hard(real.targets()), real)?.detach()
    } else {
        opinion.detach()
    };
    let value = divergence.generator_loss(&real, &opinion)?;
    let loss = f64::from(value.to_scalar::<f32>()?);
    let metrics = vec![
        Metric::new("generator_loss", loss, Unit::Plain, Group::Game).live("G"),
        Metric::new("temperature", temperature.into(), Unit::Plain, Group::Game),
        sample_nll(fake),
    ];
    Ok(Loss::new(value, metrics))
}

/// The generator's surprise at its own words.
pub(crate) fn sample_nll(fake: &Generated) -> Metric {
    Metric::new("sample_nll", fake.nll(), Unit::NatsPerToken, Group::Likelihood)
}

/// The sampled words in the discriminator's embedding space, `[batch, time, embedding]`.
///
/// One teacher-forced pass scores what was sampled, and the Gumbel noise is drawn on the condition
/// that the sampled words were its arg-maxima: the same joint distribution as drawing the noise
/// first. Padding stays zero.
pub(crate) fn relax(
    generator: &dyn Generator,
    embedding: &Tensor,
    fake: &Generated,
    relaxation: Relaxation,
    temperature: f32,
    key: &Key,
) -> Result<Tensor> {
    let sequences = &fake.sequences;
    let (batch, time) = (sequences.batch(), sequences.time());
    let places = places(sequences)?;
    let hidden = generator.hidden(&fake.context(), sequences, Mode::Evaluate)?;
    let hidden = hidden.flatten_to(1)?.index_select(&places, 0)?;
    let sampled = sequences.packed_targets();
    let options = GumbelOptions { relaxation, temperature, excluded: &NEVER_SAMPLED };
    let words = ops::gumbel_head(&hidden, generator.head(), embedding, &sampled, options, key)?;
    let width = words.dim(1)?;
    let padded = Tensor::zeros((batch * time, width), words.dtype(), words.device())?;
    Ok(padded.index_add(&places, &words, 0)?.reshape((batch, time, width))?)
}

#[cfg(test)]
mod tests {
    use textgan_models::{Context, Sequences};

    use super::*;
    use crate::config::{Baseline, RewardScore};
    use crate::losses::returns::{advantages, returns, rewards};
    use crate::losses::{likelihood::noise, reinforce};
    use crate::testing::{Players, in_game, sampled};

    fn fresh(game: &Players) -> Result<Generated> {
        Generated::draw(game.generator.as_ref(), &Key::root(4), 0, 16, None)
    }

    fn relaxed(
        game: &Players,
        fresh: &Generated,
        relaxation: Relaxation,
        temperature: f32,
    ) -> Result<Tensor> {
        let embedding = game.judges.frozen.embedding();
        relax(game.generator.as_ref(), embedding, fresh, relaxation, temperature, &Key::root(5))
    }

    #[test]
    fn straight_through_words_are_the_sampled_words() -> Result<()> {
        in_game(|game| {
            let fresh = fresh(&game)?;
            let sequences = &fresh.sequences;
            let words =
                relaxed(&game, &fresh, Relaxation::StraightThrough, 0.7)?.to_vec3::<f32>()?;
            let table = game.judges.frozen.embedding().to_vec2::<f32>()?;
            for (row, words) in words.iter().enumerate() {
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
            let soft = relaxed(&game, &fresh, Relaxation::Soft, 1e-3)?.to_vec3::<f32>()?;
            let far = words.iter().flatten().flatten().zip(soft.iter().flatten().flatten());
            let share = far.clone().filter(|(a, b)| (*a - *b).abs() > 1e-2).count() as f64
                / far.count() as f64;
            assert!(share < 0.05, "{share} of the entries are far from the words");
            Ok(())
        })
    }

    /// Everything that the generator is made of hears from the discriminator.
    #[test]
    fn every_parameter_of_the_generator_has_a_gradient() -> Result<()> {
        in_game(|game| {
            let fresh = fresh(&game)?;
            for relaxation in [Relaxation::StraightThrough, Relaxation::Soft] {
                let words = relaxed(&game, &fresh, relaxation, 1.0)?;
                let logits = game.judges.judge(
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
    fn one_word(game: &Players, rows: usize) -> Result<Generated> {
        let noise = noise(game.generator.as_ref(), &Key::root(6), 0, rows)?;
        let any = Sequences::from_samples(&vec![[4]; rows], &vec![false; rows], None)?;
        let context = Context { noise: &noise, labels: None };
        let logits = game.generator.logits(&context, &any, Mode::Evaluate)?.squeeze(1)?;
        let mut stream = Key::root(8).stream();
        let mut draw = |logits: &Vec<f32>| {
            let noisy = sampled().map(|token| (token, logits[token as usize] + stream.gumbel()));
            let largest = noisy.max_by(|a, b| a.1.total_cmp(&b.1));
            [largest.map_or(0, |(token, _)| token)]
        };
        let words: Vec<[u32; 1]> = logits.to_vec2::<f32>()?.iter().map(&mut draw).collect();
        let sequences = Sequences::from_samples(&words, &vec![false; rows], None)?;
        Ok(Generated { sequences, noise, log_probs: vec![vec![0.0]; rows] })
    }

    /// Both estimators climb the same hill: over many one-word sentences, where the feedback of a
    /// word to later ones plays no part, the pathwise gradient of the mean logit points where the
    /// policy gradient of the reward `logit` does.
    #[test]
    fn the_gradient_points_where_the_policy_gradient_does() -> Result<()> {
        in_game(|game| {
            let fresh = one_word(&game, 8000)?;
            // Of the words alone: the relaxation knows nothing of ends and cuts.
            let realness = reinforce::realness(&game.judges, &fresh.sequences)?;
            let rewards = rewards(RewardScore::Logit, Judged::Whole, &realness);
            let (advantages, _) = advantages(&returns(&rewards, 1.0), Baseline::LeaveOneOut, None);
            let generator = game.generator.as_ref();
            let policy = reinforce::policy_loss(generator, &fresh, &advantages, 0.0)?.backward()?;
            for (relaxation, temperature, least) in [
                (Relaxation::Soft, 0.3, 0.98),
                (Relaxation::StraightThrough, 0.5, 0.98),
                (Relaxation::StraightThrough, 1.0, 0.95),
            ] {
                let words = relaxed(&game, &fresh, relaxation, temperature)?;
                let path = loss(
                    &game.judges,
                    Divergence::Hinge,
                    Judged::Whole,
                    &fresh.sequences,
                    &fresh,
                    &words,
                    temperature,
                )?;
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
