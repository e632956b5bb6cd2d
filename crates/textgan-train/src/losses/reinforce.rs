//! The score-function estimator: each sampled word's log-probability, weighted by what it earned.

use std::borrow::Cow;

use candle_core::Tensor;
use textgan_models::{Conditions, Generator, SamplingOptions, Sequences, Tokens, rollouts};
use textgan_nn::{Mode, ops};
use textgan_random::Key;

use super::NEVER_SAMPLED;
use super::gumbel::sample_nll;
use super::returns::{advantages, returns, rewards, whiten};
use crate::Result;
use crate::config::{Baseline, Judged, MonteCarlo, Reward, RewardScore};
use crate::generated::Generated;
use crate::metric::{Group, Metric, Unit};
use crate::networks::Judges;

/// Who takes part in a policy gradient.
pub(crate) struct Players<'a> {
    /// Completes sentences.
    pub policy: &'a dyn Generator,
    /// Judges.
    pub judges: &'a Judges,
}

/// What each action of some texts is worth.
pub(crate) struct Credit {
    /// `[text][action]`; not to end where a text was cut is an action too.
    pub advantages: Vec<Vec<f32>>,
    /// What a text earned, mean.
    pub mean_return: f64,
    /// The moving average of returns after these texts.
    pub moving_average: Option<f64>,
}

/// What the judges make each action of `fake` texts worth: with [`policy_loss`] the policy gradient of
/// the expected reward of a sentence.
pub(crate) fn credit(
    players: &Players<'_>,
    fake: &Generated,
    reward: &Reward,
    baseline: Baseline,
    judged: Judged,
    moving_average: Option<f64>,
    key: &Key,
) -> Result<Credit> {
    let returns = match &reward.monte_carlo {
        Some(search) => action_values(players, fake, reward.score, search, key)?,
        None => {
            let realness = realness(players.judges, &fake.sequences)?;
            let discount = if judged == Judged::Prefixes { reward.discount } else { 1.0 };
            returns(&rewards(reward.score, judged, &realness), discount)
        }
    };
    let returns = with_cuts(returns, &fake.sequences);
    let (mut advantages, moving_average) = advantages(&returns, baseline, moving_average);
    if reward.whiten {
        whiten(&mut advantages);
    }
    let first: f64 = returns.iter().filter_map(|row| row.first()).map(|&x| f64::from(x)).sum();
    let mean_return = first / returns.len() as f64;
    Ok(Credit { advantages, mean_return, moving_average })
}

impl Credit {
    /// What is worth writing down.
    pub fn metrics(&self, fake: &Generated) -> Vec<Metric> {
        let earned = Metric::new("return", self.mean_return, Unit::Plain, Group::Game);
        vec![earned.live("return"), sample_nll(fake)]
    }
}

/// What each action of some texts earns where a text as a whole earns: not to end where it was cut is an
/// action too.
pub(crate) fn of_sentences(earned: &[f32], texts: &Sequences) -> Vec<Vec<f32>> {
    let rows = earned.iter().zip(texts.lengths());
    with_cuts(rows.map(|(&earned, &length)| vec![earned; length]).collect(), texts)
}

/// A text that reached the greatest length without an end was cut, which is the generator's doing like
/// every word: not to end there earns what the text earned.
pub(crate) fn with_cuts(mut returns: Vec<Vec<f32>>, sequences: &Sequences) -> Vec<Vec<f32>> {
    for (row, returns) in returns.iter_mut().enumerate() {
        if is_cut(sequences, row) {
            returns.extend(returns.last().copied());
        }
    }
    returns
}

/// Whether a text reached the greatest length without an end.
pub(crate) fn is_cut(sequences: &Sequences, row: usize) -> bool {
    sequences.row(row).len() == sequences.lengths()[row]
}

/// `mean over sentences of sum_t (advantage_t * -ln p(word_t) - entropy * H_t)`, with `H_t` the
/// entropy of the word's distribution.
///
/// Where a cut text has one more advantage than words, the last is that of not ending:
/// `-ln (1 - p(end))`, whose gradient is `p / (1 - p)` times that of `ln p(end)`. Without it, only
/// texts that end at the greatest length would teach when to.
pub(crate) fn policy_loss(
    generator: &dyn Generator,
    fresh: &Generated,
    advantages: &[Vec<f32>],
    entropy: f32,
) -> Result<Tensor> {
    let sampled = &fresh.sequences;
    let cut: Vec<usize> = (0..sampled.batch())
        .filter(|&row| is_cut(sampled, row) && advantages[row].len() > sampled.lengths()[row])
        .collect();
    let sequences = &match cut.is_empty() {
        true => Cow::Borrowed(sampled),
        false => Cow::Owned(ended(sampled)?),
    };
    let (share, time) = (1.0 / sequences.batch() as f32, sequences.time());
    let mut weights = vec![0.0; sequences.batch() * time];
    let mut bonus = weights.clone();
    for (row, advantages) in advantages.iter().enumerate() {
        let words = sampled.lengths()[row];
        for (weight, advantage) in weights[row * time..].iter_mut().zip(&advantages[..words]) {
            *weight = advantage * share;
        }
        bonus[row * time..][..words].fill(entropy * share);
    }
    let hidden = generator.hidden(&fresh.context(), sequences, Mode::Evaluate)?.flatten_to(1)?;
    if !cut.is_empty() {
        let at = |row: usize| row * time + sampled.lengths()[row];
        let mut ends = vec![0.0; weights.len()];
        cut.iter().for_each(|&row| ends[at(row)] = 1.0);
        let log_probs = log_probs(generator, &hidden, sequences, &ends)?;
        for row in cut {
            let end = log_probs[at(row)].exp();
            let odds = end / (1.0 - end).max(1e-6);
            weights[at(row)] = -advantages[row][sampled.lengths()[row]] * share * odds;
        }
    }
    Ok(ops::head_policy_loss(
        &hidden,
        generator.head(),
        sequences.targets(),
        &weights,
        &bonus,
        &NEVER_SAMPLED,
        generator.precision(),
    )?
    .loss)
}

/// The log-probability of the targets whose weight is not zero, as the sampler takes them; 0 for the others.
/// `hidden`: `[batch * time, width]`, of which no graph is kept.
fn log_probs(
    generator: &dyn Generator,
    hidden: &Tensor,
    texts: &Sequences,
    weights: &[f32],
) -> Result<Vec<f32>> {
    let (hidden, head) = (hidden.detach(), generator.head().detach());
    let (targets, precision) = (texts.targets(), generator.precision());
    let found =
        ops::head_target_log_probs(&hidden, &head, targets, weights, &NEVER_SAMPLED, precision)?;
    Ok(found.to_vec1()?)
}

/// The same texts, each with an end.
fn ended(texts: &Sequences) -> Result<Sequences> {
    let rows: Vec<&[u32]> = (0..texts.batch()).map(|row| texts.row(row)).collect();
    Ok(Sequences::from_samples(&rows, &vec![true; rows.len()], texts.labels())?)
}

/// The log-probability under `generator` of every action in `fake`: of each word, and of not ending
/// where a text was cut.
pub(crate) fn action_log_probs(
    generator: &dyn Generator,
    fake: &Generated,
) -> Result<Vec<Vec<f32>>> {
    action_log_probs_at(generator, fake, 1.0)
}

/// The same at a temperature.
pub(crate) fn action_log_probs_at(
    generator: &dyn Generator,
    fake: &Generated,
    temperature: f32,
) -> Result<Vec<Vec<f32>>> {
    let (sampled, whole) = (&fake.sequences, ended(&fake.sequences)?);
    let mut hidden = generator.hidden(&fake.context(), &whole, Mode::Evaluate)?.flatten_to(1)?;
    if temperature != 1.0 {
        // The head is linear, without a bias: scaling what it reads scales the logits.
        hidden = (hidden.detach() * f64::from(1.0 / temperature))?;
    }
    let log_probs = log_probs(generator, &hidden, &whole, &whole.weights())?;
    let row = |(row, log_probs): (usize, &[f32])| {
        let words = sampled.lengths()[row];
        let mut actions = log_probs[..words].to_vec();
        if is_cut(sampled, row) {
            actions.push((1.0 - log_probs[words].exp()).max(1e-6).ln());
        }
        actions
    };
    Ok(log_probs.chunks_exact(whole.time()).enumerate().map(row).collect())
}

/// The discriminator's logit of every prefix, without a graph.
pub(super) fn realness(judges: &Judges, sequences: &Sequences) -> Result<Vec<Vec<f32>>> {
    let tokens = Tokens::Hard(sequences.targets());
    let realness = judges
        .frozen
        .realness(&tokens, sequences.lengths(), sequences.labels(), Mode::Evaluate)?
        .detach();
    let mut realness = realness.to_vec2::<f32>()?;
    for (row, &length) in realness.iter_mut().zip(sequences.lengths()) {
        row.truncate(length);
    }
    Ok(realness)
}

/// What each word is worth: the mean score of the sentences that the rollout policy makes of the
/// words up to it, and the score of the sentence itself for the last (SeqGAN, equation 4).
pub(crate) fn action_values(
    players: &Players<'_>,
    fresh: &Generated,
    score: RewardScore,
    search: &MonteCarlo,
    key: &Key,
) -> Result<Vec<Vec<f32>>> {
    let sequences = &fresh.sequences;
    let noise = fresh.noise.flatten_all()?.to_vec1()?;
    let labels = sequences.labels();
    let conditions = Conditions { rows: sequences.batch(), noise: &noise, labels };
    let options = SamplingOptions::default();
    let mut sampler = players.policy.sampler()?;
    let rollouts =
        rollouts(sampler.as_mut(), &conditions, sequences, search.rollouts, &options, key)?;
    drop(sampler);

    let judge = &players.judges.frozen;
    let mut values = vec![Vec::new(); sequences.batch()];
    if !rollouts.prefixes.is_empty() {
        let scores = judge.scores(&rollouts.sequences(labels)?)?;
        for ((sentence, _), scores) in rollouts.prefixes.iter().zip(scores.chunks(rollouts.count)) {
            let sum: f64 = scores.iter().map(|&logit| f64::from(score.of(logit))).sum();
            values[*sentence].push((sum / scores.len() as f64) as f32);
        }
    }
    for (values, logit) in values.iter_mut().zip(judge.scores(sequences)?) {
        values.push(score.of(logit));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use candle_core::backprop::GradStore;
    use textgan_models::EOS;

    use super::*;
    use crate::testing::{in_game, players, sampled, target_log_probs};

    /// Every sequence of two tokens, with the noise that all of them share.
    fn all_pairs(game: &crate::testing::Players) -> Result<Generated> {
        let ids = sampled();
        let pairs: Vec<[u32; 2]> =
            ids.clone().flat_map(|a| ids.clone().map(move |b| [a, b])).collect();
        let sequences = Sequences::from_samples(&pairs, &vec![false; pairs.len()], None)?;
        let noise = Tensor::new(&[[0.3f32, -0.7]], &Device::Cpu)?
            .broadcast_as((pairs.len(), 2))?
            .contiguous()?;
        let mut pairs = Generated { sequences, noise, log_probs: Vec::new() };
        let generator = game.generator.as_ref();
        let log_probs = target_log_probs(generator, &pairs.context(), &pairs.sequences)?;
        pairs.log_probs = log_probs.to_vec2()?;
        Ok(pairs)
    }

    fn reward(row: usize) -> f32 {
        (row as f32 * 1.7).sin()
    }

    /// `-sum_x p(x) R(x)`, with its graph, by candle's own operations.
    fn negative_expected_reward(
        game: &crate::testing::Players,
        fresh: &Generated,
    ) -> Result<Tensor> {
        let generator = game.generator.as_ref();
        let log_prob = target_log_probs(generator, &fresh.context(), &fresh.sequences)?.sum(1)?;
        let rows = 0..fresh.sequences.batch();
        let rewards = Tensor::from_iter(rows.map(reward), &Device::Cpu)?;
        Ok((log_prob.exp()? * rewards)?.sum_all()?.neg()?)
    }

    fn assert_same_gradients(
        game: &crate::testing::Players,
        one: &GradStore,
        other: &GradStore,
        what: &str,
    ) -> Result<()> {
        for (name, variable) in game.generator.parameters().iter() {
            let (Some(one), Some(other)) = (one.get(variable), other.get(variable)) else {
                panic!("{what}: {name} has no gradient")
            };
            let difference = (one - other)?.abs()?.max_all()?.to_scalar::<f32>()?;
            let size = one.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(
                difference <= 2e-5 + 1e-3 * size,
                "{what}: {name} differs by {difference} of {size}"
            );
        }
        Ok(())
    }

    /// `grad J = sum_x p(x) R(x) grad ln p(x)`: the loss, weighted by the exact probabilities, has
    /// the gradient of the expected reward. So have the baselines, in expectation over batches of
    /// two independent sentences.
    #[test]
    fn the_gradient_is_the_analytic_policy_gradient() -> Result<()> {
        in_game(|game| {
            let fresh = all_pairs(&game)?;
            let expected = negative_expected_reward(&game, &fresh)?.backward()?;
            let rows = fresh.sequences.batch();
            let probability: Vec<f32> =
                fresh.log_probs.iter().map(|row| row.iter().sum::<f32>().exp()).collect();
            assert!((probability.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            for baseline in [Baseline::None, Baseline::MovingAverage, Baseline::LeaveOneOut] {
                // Expected weight of each word, over all batches (x, y) with probability p(x) p(y).
                let mut weights = vec![vec![0.0; 2]; rows];
                for x in 0..rows {
                    for y in 0..rows {
                        let whole = |row: usize| vec![0.0, reward(row)];
                        let returns = returns(&[whole(x), whole(y)], 1.0);
                        let (advantages, _) = advantages(&returns, baseline, Some(0.4));
                        for (row, advantages) in [x, y].into_iter().zip(&advantages) {
                            for (weight, advantage) in weights[row].iter_mut().zip(advantages) {
                                // A batch of two averages over two; the loss below over all rows.
                                *weight +=
                                    probability[x] * probability[y] * advantage * rows as f32 / 2.0;
                            }
                        }
                    }
                }
                let found =
                    policy_loss(game.generator.as_ref(), &fresh, &weights, 0.0)?.backward()?;
                assert_same_gradients(&game, &expected, &found, &format!("{baseline:?}"))?;
            }
            Ok(())
        })
    }

    /// Over every text of at most two words: that one ends, and that one is cut, have their share of the
    /// gradient of the expected reward.
    #[test]
    fn to_end_and_not_to_end_are_actions() -> Result<()> {
        in_game(|game| {
            let words: Vec<u32> = sampled().filter(|&id| id != EOS).collect();
            let mut texts: Vec<(Vec<u32>, bool)> = vec![(Vec::new(), true)];
            texts.extend(words.iter().map(|&a| (vec![a], true)));
            for ended in [true, false] {
                let pairs = words.iter().flat_map(|&a| words.iter().map(move |&b| vec![a, b]));
                texts.extend(pairs.map(|pair| (pair, ended)));
            }
            let (rows, ended): (Vec<Vec<u32>>, Vec<bool>) = texts.into_iter().unzip();
            let count = rows.len();
            let noise = Tensor::new(&[[0.3f32, -0.7]], &Device::Cpu)?
                .broadcast_as((count, 2))?
                .contiguous()?;
            let sequences = Sequences::from_samples(&rows, &ended, None)?;
            let fresh = Generated { sequences, noise, log_probs: Vec::new() };

            // `-sum_x p(x) R(x)` by candle's own operations.
            let whole = Sequences::from_samples(&rows, &vec![true; count], None)?;
            let said = target_log_probs(game.generator.as_ref(), &fresh.context(), &whole)?;
            let unsaid = said.exp()?.affine(-1.0, 1.0)?.log()?;
            let mask = |of: &dyn Fn(usize, usize) -> bool| {
                let places = (0..count * 3).map(|i| f32::from(u8::from(of(i / 3, i % 3))));
                Tensor::from_iter(places, &Device::Cpu)?.reshape((count, 3))
            };
            let says = mask(&|row, place| place < fresh.sequences.lengths()[row])?;
            let cuts = mask(&|row, place| !ended[row] && place == 2)?;
            let log_prob = ((said * says)? + (unsaid * cuts)?)?.sum(1)?;
            let probability = log_prob.exp()?;
            let all = probability.sum_all()?.to_scalar::<f32>()?;
            assert!((all - 1.0).abs() < 1e-5, "{all}");
            let rewards = Tensor::from_iter((0..count).map(reward), &Device::Cpu)?;
            let expected = (&probability * rewards)?.sum_all()?.neg()?.backward()?;

            let probability: Vec<f32> = probability.to_vec1()?;
            let earned: Vec<Vec<f32>> = (0..count)
                .map(|row| {
                    let weight = probability[row] * reward(row) * count as f32;
                    vec![weight; fresh.sequences.lengths()[row]]
                })
                .collect();
            let earned = with_cuts(earned, &fresh.sequences);
            let found = policy_loss(game.generator.as_ref(), &fresh, &earned, 0.0)?.backward()?;
            assert_same_gradients(&game, &expected, &found, "ends and cuts")
        })
    }

    /// `Q(first word) = sum over all ways on of p(way | first word) score(sentence)`, counted out:
    /// the end at once, or one more word and then the end or the cut.
    #[test]
    fn action_values_are_expected_scores() -> Result<()> {
        in_game(|game| {
            let policy = players()?.generator;
            // Far from the generator, so that it matters who completes; and a judge of strong views.
            for (_, variable) in policy.parameters().iter() {
                variable.set(&(variable.as_detached_tensor() * -2.0)?)?;
            }
            for (_, variable) in game.judges.learning.parameters().iter() {
                variable.set(&(variable.as_detached_tensor() * 3.0)?)?;
            }
            let sequences = Sequences::from_samples(&[[4, 4], [5, 4]], &[false; 2], None)?;
            let noise = Tensor::new(&[[0.3f32, -0.7]; 2], &Device::Cpu)?;
            let fresh = Generated { sequences, noise, log_probs: Vec::new() };
            let score = RewardScore::Probability;
            let worth = |tokens: &[u32], ended: bool| -> Result<f64> {
                let text = Sequences::from_samples(&[tokens], &[ended], None)?;
                Ok(f64::from(score.of(game.judges.frozen.scores(&text)?[0])))
            };
            // What may follow `tokens`, and how likely the policy makes it.
            let next = |tokens: &[u32]| -> Result<Vec<(u32, f64)>> {
                let text = Sequences::from_samples(&[tokens], &[true], None)?;
                let noise = fresh.noise.narrow(0, 0, 1)?.contiguous()?;
                let context = textgan_models::Context { noise: &noise, labels: None };
                let logits = policy.logits(&context, &text, Mode::Evaluate)?;
                let logits: Vec<f32> = logits.get(0)?.get(tokens.len())?.to_vec1()?;
                let weight = |id: u32| (id, f64::from(logits[id as usize]).exp());
                let weights: Vec<_> = sampled().map(weight).collect();
                let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
                Ok(weights.into_iter().map(|(id, weight)| (id, weight / sum)).collect())
            };
            let mut expected = Vec::new();
            for first in [4, 5] {
                let mut value = 0.0;
                for (second, p) in next(&[first])? {
                    let pair = [first, second];
                    value += p * match second {
                        EOS => worth(&[first], true)?,
                        _ => {
                            let ends = next(&pair)?.iter().find(|(id, _)| *id == EOS).unwrap().1;
                            ends * worth(&pair, true)? + (1.0 - ends) * worth(&pair, false)?
                        }
                    };
                }
                expected.push([value, worth(&[first, 4], false)?]);
            }
            let search = MonteCarlo { rollouts: 8_000, lag: 0.8 };
            let with = |policy| Players { policy, judges: &game.judges };
            let values =
                action_values(&with(policy.as_ref()), &fresh, score, &search, &Key::root(9))?;
            for (values, expected) in values.iter().zip(&expected) {
                assert_eq!(values.len(), 2);
                assert!(
                    (f64::from(values[0]) - expected[0]).abs() < 0.02,
                    "{values:?} {expected:?}"
                );
                assert!(
                    (f64::from(values[1]) - expected[1]).abs() < 1e-5,
                    "{values:?} {expected:?}"
                );
            }
            assert!(
                (expected[0][0] - expected[1][0]).abs() > 0.05,
                "little is proved: {expected:?}"
            );
            let generator = game.generator.as_ref();
            let own = action_values(&with(generator), &fresh, score, &search, &Key::root(9))?;
            assert!(
                (own[0][0] - values[0][0]).abs() > 0.05,
                "little is proved: {own:?} {values:?}"
            );
            Ok(())
        })
    }

    /// One batch of many samples comes near the exact gradient.
    #[test]
    fn sampled_gradients_average_to_the_exact_one() -> Result<()> {
        in_game(|game| {
            let exact = all_pairs(&game)?;
            let expected = negative_expected_reward(&game, &exact)?.backward()?;
            // Draws from the exact distribution over pairs.
            let mut stream = textgan_random::Key::root(5).stream();
            let draw = |stream: &mut textgan_random::Stream| {
                let mut left = stream.uniform();
                exact.log_probs.iter().position(|row| {
                    left -= row.iter().sum::<f32>().exp();
                    left < 0.0
                })
            };
            let last = exact.sequences.batch() - 1;
            let rows: Vec<usize> = (0..20_000).map(|_| draw(&mut stream).unwrap_or(last)).collect();
            let whole: Vec<Vec<f32>> = rows.iter().map(|&row| vec![reward(row); 2]).collect();
            let (advantages, _) = advantages(&whole, Baseline::LeaveOneOut, None);
            let mut weights = vec![vec![0.0; 2]; exact.sequences.batch()];
            for (&row, advantages) in rows.iter().zip(&advantages) {
                for (weight, advantage) in weights[row].iter_mut().zip(advantages) {
                    *weight += advantage * exact.sequences.batch() as f32 / rows.len() as f32;
                }
            }
            let found = policy_loss(game.generator.as_ref(), &exact, &weights, 0.0)?.backward()?;
            let (mut dot, mut one, mut other) = (0.0, 0.0, 0.0);
            for (_, variable) in game.generator.parameters().iter() {
                let (Some(a), Some(b)) = (expected.get(variable), found.get(variable)) else {
                    continue;
                };
                dot += (a * b)?.sum_all()?.to_scalar::<f32>()?;
                one += a.sqr()?.sum_all()?.to_scalar::<f32>()?;
                other += b.sqr()?.sum_all()?.to_scalar::<f32>()?;
            }
            let cosine = dot / (one * other).sqrt();
            assert!(cosine > 0.99, "cosine {cosine}");
            Ok(())
        })
    }
}
