//! The score-function estimator: each sampled word's log-probability, weighted by what it earned.

use candle_core::Tensor;
use textgan_models::{Sequences, Tokens};
use textgan_nn::{Mode, ops};

use crate::Result;
use crate::config::{Baseline, Judged, Reward};
use crate::game::{Fresh, Game, Loss, Turn};
use crate::rewards::{advantages, returns, rewards};

/// A loss whose gradient is the policy gradient of the expected reward of a sentence.
pub(super) fn loss(
    game: &Game<'_>,
    turn: &Turn,
    fresh: &Fresh,
    reward: &Reward,
    baseline: Baseline,
    entropy: f32,
    judged: Judged,
) -> Result<Loss> {
    let realness = realness(game, &fresh.sequences)?;
    let discount = if judged == Judged::Prefixes { reward.discount } else { 1.0 };
    let returns = returns(&rewards(reward.score, judged, &realness), discount);
    let (advantages, moving_average) = advantages(&returns, baseline, turn.moving_average);
    let value = policy_loss(game, fresh, &advantages, entropy)?;
    let first: f64 = returns.iter().filter_map(|row| row.first()).map(|&x| f64::from(x)).sum();
    let facts = vec![("return", first / returns.len() as f64), ("sample_nll", fresh.nll())];
    Ok(Loss { value, facts, moving_average })
}

/// `mean over sentences of sum_t (advantage_t * -ln p(word_t) - entropy * H_t)`, with `H_t` the
/// entropy of the word's distribution.
fn policy_loss(game: &Game<'_>, fresh: &Fresh, advantages: &[Vec<f32>], entropy: f32) -> Result<Tensor> {
    let sequences = &fresh.sequences;
    let share = 1.0 / sequences.batch() as f32;
    let mut weights = vec![0.0; sequences.batch() * sequences.time()];
    for (row, advantages) in weights.chunks_exact_mut(sequences.time()).zip(advantages) {
        for (weight, advantage) in row.iter_mut().zip(advantages) {
            *weight = advantage * share;
        }
    }
    let bonus: Vec<f32> = sequences.weights().into_iter().map(|real| real * entropy * share).collect();
    let hidden = game.generator.hidden(&fresh.context(), sequences, Mode::Evaluate)?.flatten_to(1)?;
    Ok(ops::head_policy_loss(&hidden, game.generator.head(), sequences.targets(), &weights, &bonus)?.loss)
}

/// The discriminator's logit of every prefix, without a graph.
fn realness(game: &Game<'_>, sequences: &Sequences) -> Result<Vec<Vec<f32>>> {
    let tokens = Tokens::Hard(sequences.targets());
    let realness =
        game.opponent().realness(&tokens, sequences.lengths(), sequences.labels(), Mode::Evaluate)?.detach();
    let mut realness = realness.to_vec2::<f32>()?;
    for (row, &length) in realness.iter_mut().zip(sequences.lengths()) {
        row.truncate(length);
    }
    Ok(realness)
}
