//! The Taylor estimator: what words near to a sampled one would have earned, to the first order.

use candle_core::{D, Tensor, Var};
use textgan_models::{Generator, Tokens};
use textgan_nn::{Mode, ops};

use super::NEVER_SAMPLED;
use super::gumbel::sample_nll;
use super::reinforce::{self, is_cut};
use super::returns::advantages;
use crate::Result;
use crate::algorithm::Loss;
use crate::config::{Baseline, Judged};
use crate::generated::Generated;
use crate::metric::{Group, Metric, Unit};
use crate::networks::{Judges, places};

/// TaylorGAN's policy gradient (Lin et al., 2020, arXiv 2011.13527), and the moving average of returns after these texts.
///
/// A text earns the discriminator's logit `D`. With a word `v` in place of the sampled `x_t` it would have earned about
/// `D + g_t (e_v - e_x)`, where `e` are the discriminator's embeddings and `g_t` its gradient at the word; `A(v)` is that
/// less the baseline. A kernel `K(x, v) = exp(-|e_x - e_v|^2 / 2 s^2)` says which words a sample speaks for, so that `v` is
/// spoken for by `L(v) = sum_u p(u) K(u, v)` on average, and the loss, a mean over texts, is
/// `-sum_t sum_v K(x_t, v) / L(v) A(v) p(v)`, of which only `p` is differentiated.
///
/// `s` is `bandwidth` times the root of the mean square distance of two rows of the table. Where it is small a sample speaks for
/// itself, as in REINFORCE; where it is large, for all words, and the gradient is that of the straight-through
/// estimator. Not to end where a text was cut is an action that nothing stands near to: it counts as in REINFORCE.
pub(crate) fn policy_loss(
    generator: &dyn Generator,
    judges: &Judges,
    fake: &Generated,
    bandwidth: f32,
    baseline: Baseline,
    moving_average: Option<f64>,
) -> Result<(Loss, Option<f64>)> {
    let sequences = &fake.sequences;
    let (batch, time) = (sequences.batch(), sequences.time());
    let table = judges.frozen.embedding().detach();
    let shown = Var::from_tensor(&ops::embedding(&table, sequences.targets(), (batch, time))?)?;
    let opinion =
        judges.judge(&Tokens::Soft(shown.as_tensor()), sequences, Judged::Whole, Mode::Evaluate)?;
    let opinion = opinion.reshape((batch, ()))?.mean(1)?;
    let slopes = opinion.sum_all()?.backward()?;
    let slopes = match slopes.get(&shown) {
        Some(slopes) => slopes.flatten_to(1)?,
        None => shown.zeros_like()?.flatten_to(1)?,
    };
    let returns: Vec<Vec<f32>> =
        opinion.to_vec1::<f32>()?.into_iter().map(|earned| vec![earned]).collect();
    let mean_return = returns.iter().flatten().map(|&x| f64::from(x)).sum::<f64>() / batch as f64;
    let (advantages, moving_average) = advantages(&returns, baseline, moving_average);

    // From here on `[tokens, ..]`, without padding.
    let there = places(sequences)?;
    let device = there.device();
    let lengths = sequences.lengths();
    let sampled = sequences.packed_targets();
    let of_text = advantages.iter().zip(lengths);
    let of_text = of_text.flat_map(|(of, &length)| std::iter::repeat_n(of[0], length));
    let of_text = Tensor::from_iter(of_text, device)?.unsqueeze(1)?;
    let slopes = slopes.index_select(&there, 0)?;
    let words = ops::embedding(&table, &sampled, sampled.len())?;
    let here = (&slopes * words)?.sum_keepdim(1)?;
    let advantage = ops::linear(&slopes, &table, None)?.broadcast_add(&(of_text - here)?)?;

    let hidden = generator.hidden(&fake.context(), sequences, Mode::Evaluate)?;
    let hidden = hidden.flatten_to(1)?.index_select(&there, 0)?;
    let probs = probabilities(&ops::linear(&hidden, generator.head(), None)?)?;
    let kernel = kernel(&table, bandwidth)?;
    // The kernel is symmetric.
    let spoken_for = ops::linear(&probs.detach(), &kernel, None)?;
    let spoken_for = spoken_for.affine(1.0, f64::from(f32::MIN_POSITIVE))?;
    let sampled = Tensor::from_vec(sampled, there.elem_count(), device)?;
    let share = (kernel.index_select(&sampled, 0)? / spoken_for)?;
    let weights = (share * advantage)?.affine(1.0 / batch as f64, 0.0)?;
    let mut value = (probs * weights.detach())?.sum_all()?.neg()?;
    let mut cut = false;
    let not_ending = |(row, advantages): (usize, &Vec<f32>)| {
        let mut actions = vec![0.0; lengths[row]];
        if is_cut(sequences, row) {
            cut = true;
            actions.push(advantages[0]);
        }
        actions
    };
    let not_ending: Vec<Vec<f32>> = advantages.iter().enumerate().map(not_ending).collect();
    if cut {
        value = (value + reinforce::policy_loss(generator, fake, &not_ending, 0.0)?)?;
    }
    let earned = Metric::new("return", mean_return, Unit::Plain, Group::Game).live("return");
    Ok((Loss::new(value, vec![earned, sample_nll(fake)]), moving_average))
}

/// The softmax over what is ever sampled, of `[tokens, vocab]`.
fn probabilities(logits: &Tensor) -> Result<Tensor> {
    let vocab = logits.dim(1)? as u32;
    let never = (0..vocab).map(|id| if NEVER_SAMPLED.contains(&id) { -1e4f32 } else { 0.0 });
    let logits = logits.broadcast_add(&Tensor::from_iter(never, logits.device())?)?;
    let odds = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?.exp()?;
    Ok(odds.broadcast_div(&odds.sum_keepdim(D::Minus1)?)?)
}

/// `[vocab, vocab]`.
fn kernel(table: &Tensor, bandwidth: f32) -> Result<Tensor> {
    let squares = table.sqr()?.sum_keepdim(1)?;
    let products = ops::linear(table, table, None)?;
    let distances =
        (products * -2.0)?.broadcast_add(&squares)?.broadcast_add(&squares.t()?)?.relu()?;
    // Of `|e - f|^2` over all pairs: twice what `|e|^2` is on average more than that of the mean.
    let centre = table.mean_keepdim(0)?.sqr()?.sum_all()?.to_scalar::<f32>()?;
    let mean = 2.0 * f64::from(squares.mean_all()?.to_scalar::<f32>()? - centre);
    let scale = -0.5 / (f64::from(bandwidth).powi(2) * mean).max(f64::MIN_POSITIVE);
    // A word is at no distance of itself, whatever was rounded.
    let apart = Tensor::eye(table.dim(0)?, table.dtype(), table.device())?.affine(-1.0, 1.0)?;
    Ok(((distances * apart)? * scale.max(-1e30))?.exp()?)
}

#[cfg(test)]
mod tests {
    use candle_core::backprop::GradStore;
    use textgan_random::Key;

    use super::*;
    use crate::testing::{Players, in_game};

    fn fake(game: &Players) -> Result<Generated> {
        Generated::draw(game.generator.as_ref(), &Key::root(4), 0, 12, None)
    }

    fn gradients(game: &Players, fake: &Generated, bandwidth: f32) -> Result<GradStore> {
        let generator = game.generator.as_ref();
        let (loss, _) =
            policy_loss(generator, &game.judges, fake, bandwidth, Baseline::LeaveOneOut, None)?;
        Ok(loss.value.backward()?)
    }

    fn assert_same(game: &Players, one: &GradStore, other: &GradStore, what: &str) -> Result<()> {
        for (name, variable) in game.generator.parameters().iter() {
            let (Some(one), Some(other)) = (one.get(variable), other.get(variable)) else {
                panic!("{what}: {name} has no gradient")
            };
            let apart = (one - other)?.abs()?.max_all()?.to_scalar::<f32>()?;
            let size = other.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(apart <= 2e-6 + 2e-3 * size, "{what}: {name} differs by {apart} of {size}");
        }
        Ok(())
    }

    /// A sample that speaks for itself alone is REINFORCE's.
    #[test]
    fn a_narrow_kernel_is_reinforce() -> Result<()> {
        in_game(|game| {
            let fake = fake(&game)?;
            let returns: Vec<Vec<f32>> =
                game.judges.frozen.scores(&fake.sequences)?.iter().map(|&x| vec![x]).collect();
            let (advantages, _) = advantages(&returns, Baseline::LeaveOneOut, None);
            let lengths = fake.sequences.lengths();
            // One that was cut has an action more.
            let actions = |row: usize| lengths[row] + usize::from(is_cut(&fake.sequences, row));
            assert!((0..12).any(|row| is_cut(&fake.sequences, row)));
            let advantages: Vec<Vec<f32>> =
                advantages.iter().enumerate().map(|(row, of)| vec![of[0]; actions(row)]).collect();
            let generator = game.generator.as_ref();
            let expected =
                reinforce::policy_loss(generator, &fake, &advantages, 0.0)?.backward()?;
            assert_same(&game, &gradients(&game, &fake, 1e-4)?, &expected, "narrow")
        })
    }

    /// One that speaks for all words has the gradient that goes straight through mixtures of words by their
    /// probabilities.
    #[test]
    fn a_wide_kernel_goes_straight_through() -> Result<()> {
        in_game(|game| {
            let fake = fake(&game)?;
            let (generator, sequences) = (game.generator.as_ref(), &fake.sequences);
            let (batch, time) = (sequences.batch(), sequences.time());
            let table = game.judges.frozen.embedding();
            let shown = ops::embedding(table, sequences.targets(), (batch, time))?;
            let logits = generator.logits(&fake.context(), sequences, Mode::Evaluate)?;
            let soft = probabilities(&logits.flatten_to(1)?)?.matmul(table)?;
            let soft = soft.reshape((batch, time, ()))?;
            let there = Tensor::from_vec(sequences.weights(), (batch, time, 1), table.device())?;
            let soft = soft.broadcast_mul(&there)?;
            let through = (&soft - soft.detach())?;
            let read = (shown.broadcast_mul(&there)? + through)?;
            let opinion = game.judges.judge(
                &Tokens::Soft(&read),
                sequences,
                Judged::Whole,
                Mode::Evaluate,
            )?;
            let scores: Vec<Vec<f32>> =
                opinion.to_vec1::<f32>()?.into_iter().map(|score| vec![score]).collect();
            let (advantages, _) = advantages(&scores, Baseline::LeaveOneOut, None);
            let lengths = sequences.lengths();
            let not_ending: Vec<Vec<f32>> = (0..batch)
                .map(|row| match is_cut(sequences, row) {
                    true => [vec![0.0; lengths[row]], advantages[row].clone()].concat(),
                    false => vec![0.0; lengths[row]],
                })
                .collect();
            let not_ending = reinforce::policy_loss(generator, &fake, &not_ending, 0.0)?;
            let expected = (opinion.mean_all()?.neg()? + not_ending)?.backward()?;
            assert_same(&game, &gradients(&game, &fake, 1e4)?, &expected, "wide")?;
            // In between it is neither.
            let between = gradients(&game, &fake, 0.7)?;
            let apart = |one: &GradStore| -> Result<f32> {
                let head = generator.head();
                let (one, other) = (one.get(head), between.get(head));
                let (Some(one), Some(other)) = (one, other) else { panic!("the head") };
                Ok((one - other)?.abs()?.max_all()?.to_scalar::<f32>()?)
            };
            assert!(apart(&expected)? > 1e-4 && apart(&gradients(&game, &fake, 1e-4)?)? > 1e-4);
            Ok(())
        })
    }
}
