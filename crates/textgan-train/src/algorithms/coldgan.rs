use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::Generator;

use super::GENERATOR;
use super::discriminator::{Judge, learning_problem};
use super::turns::turns;
use crate::Result;
use crate::algorithm::{Algorithm, Critic, Learner, Loss, Update};
use crate::config::{DiscriminatorLearning, Judged, OptimizerConfig, Problem, positive, require};
use crate::generated::Generated;
use crate::losses::gumbel::sample_nll;
use crate::losses::{Divergence, reinforce};
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::objective::{Objective, Opponent, Pace, Plan, Role};
use crate::step::Step;

/// `kind = "coldgan"`: cautious sampling (ColdGAN; Scialom et al., 2020, arXiv 2006.04643). A `cautious` share of
/// the texts that both networks learn from is sampled at a low temperature, near the mode, where a discriminator
/// knows real text best; the policy gradient weighs each text by its probability over that under the mixture that
/// it was drawn of, so the generator still learns its own distribution. Other than there the other samples are at
/// temperature 1 instead of infinity, and what a text earns is `2 D - 1` less the batch's mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Coldgan {
    /// Updates of the discriminator a step.
    pub discriminator_steps: u64,
    /// Full learning rate of the generator.
    pub learning_rate: f64,
    /// The generator's optimizer.
    pub optimizer: OptimizerConfig,
    /// Full learning rate of the discriminator.
    pub discriminator_learning_rate: f64,
    /// The discriminator's optimizer.
    pub discriminator_optimizer: OptimizerConfig,
    /// Temperature of the cautious samples.
    pub temperature: f32,
    /// Their share.
    pub cautious: f32,
    /// What the generator's loss is multiplied by; with 0 it learns nothing.
    pub weight: f32,
    /// What the discriminator is shown, and what keeps it smooth.
    pub discriminator: DiscriminatorLearning,
}

impl Default for Coldgan {
    fn default() -> Self {
        Self {
            discriminator_steps: 1,
            learning_rate: 1e-3,
            optimizer: OptimizerConfig::default(),
            discriminator_learning_rate: 1e-3,
            discriminator_optimizer: OptimizerConfig::default(),
            temperature: 0.5,
            cautious: 0.5,
            weight: 1.0,
            discriminator: DiscriminatorLearning::default(),
        }
    }
}

impl Objective for Coldgan {
    fn kind(&self) -> &'static str {
        "coldgan"
    }

    fn role(&self) -> Role {
        Role::Game
    }

    fn opponent(&self) -> Opponent {
        Opponent::Discriminator
    }

    fn check(&self, _: &Plan<'_>) -> Problem {
        turns!(self).check()?;
        positive("temperature", self.temperature.into())?;
        require((0.0..1.0).contains(&self.cautious), || {
            format!(
                "cautious = {} is outside [0, 1): some texts must be as the generator writes them",
                self.cautious
            )
        })?;
        require(self.weight >= 0.0, || format!("weight = {} must not be negative", self.weight))?;
        learning_problem(&self.discriminator)
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { learning_rate: self.learning_rate, updates: 1 })
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let (divergence, judged) = (Divergence::NonSaturating, Judged::Whole);
        let judge = Judge::new(networks, divergence, judged, self.discriminator)?;
        Ok(Box::new(Game { config: self.clone(), generator: networks.generator(), judge }))
    }
}

/// The game under way.
struct Game {
    config: Coldgan,
    generator: Arc<dyn Generator>,
    judge: Judge,
}

impl Algorithm for Game {
    fn learners(&self) -> Vec<Learner> {
        turns!(self.config).learners(self.generator.as_ref(), &self.judge).into()
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        turns!(self.config).teach(&self.judge, step, |_, update| self.mixed(update))?;
        if !step.gate_is_open() {
            return Ok(());
        }
        let update = step.update(GENERATOR)?;
        let fake = self.mixed(&update)?;
        let realness = self.judge.networks.frozen.scores(&fake.sequences)?;
        let earned: Vec<f32> = realness.iter().map(|logit| (0.5 * logit).tanh()).collect();
        let mean = earned.iter().sum::<f32>() / earned.len() as f32;
        let weights = self.weights(&fake)?;
        let weighed = earned.iter().zip(&weights);
        let weighed: Vec<f32> =
            weighed.map(|(earned, weight)| self.config.weight * weight * (earned - mean)).collect();
        let advantages = reinforce::of_sentences(&weighed, &fake.sequences);
        let value = reinforce::policy_loss(self.generator.as_ref(), &fake, &advantages, 0.0)?;
        let [sum, squares] = [
            weights.iter().map(|&w| f64::from(w)).sum::<f64>(),
            weights.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>(),
        ];
        let metrics = vec![
            Metric::new("return", mean.into(), Unit::Plain, Group::Game).live("return"),
            Metric::new("effective_samples", sum * sum / squares, Unit::Plain, Group::Game),
            sample_nll(&fake),
        ];
        step.descend(update, Loss::new(value, metrics))
    }

    fn critic(&self) -> Option<&dyn Critic> {
        Some(&self.judge)
    }
}

impl Game {
    /// Whether the text of a row is cautious: so many rows are, evenly spread, since a batch goes from short real
    /// texts to long ones, and so do their labels.
    fn is_cautious(&self, row: usize) -> bool {
        let before = |rows: usize| (f64::from(self.config.cautious) * rows as f64) as usize;
        before(row + 1) > before(row)
    }

    /// Texts as many as the update has real ones, some of them cautious.
    fn mixed(&self, update: &Update) -> Result<Generated> {
        let (rows, labels) = (update.real.batch(), update.real.labels());
        let key = update.key.child("fresh");
        let generator = self.generator.as_ref();
        let mut drawn = Vec::with_capacity(2);
        for temperature in [1.0, self.config.temperature] {
            let texts = Generated::draw_at(generator, temperature, &key, 0, rows, labels)?;
            drawn.push((texts.stored()?, texts.log_probs));
        }
        let (mut texts, mut log_probs) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for row in 0..rows {
            let (stored, found) = &drawn[usize::from(self.is_cautious(row))];
            texts.push(stored[row].clone());
            log_probs.push(found[row].clone());
        }
        Generated::from_stored(&texts, log_probs)
    }

    /// `p(x) / (c p_T(x) + (1 - c) p(x))` of each text, with `c` the cautious share: at most `1 / (1 - c)`.
    fn weights(&self, fake: &Generated) -> Result<Vec<f32>> {
        let (generator, rows) = (self.generator.as_ref(), fake.sequences.batch());
        let of = |temperature: f32| -> Result<Vec<f32>> {
            let actions = reinforce::action_log_probs_at(generator, fake, temperature)?;
            Ok(actions.iter().map(|row| row.iter().sum()).collect())
        };
        let (plain, cold) = (of(1.0)?, of(self.config.temperature)?);
        let share = (0..rows).filter(|&row| self.is_cautious(row)).count() as f32 / rows as f32;
        let weight = |(plain, cold): (&f32, &f32)| {
            1.0 / (1.0 - share + share * (cold - plain).min(80.0).exp())
        };
        Ok(plain.iter().zip(&cold).map(weight).collect())
    }
}

#[cfg(test)]
mod tests {
    use textgan_models::Sequences;
    use textgan_nn::Parameters;
    use textgan_random::Key;

    use super::*;
    use crate::testing::{in_game, target_log_probs};

    fn with_game(config: Coldgan, test: impl FnOnce(&Game) -> Result<()>) -> Result<()> {
        in_game(|players| {
            let judge = Judge {
                networks: players.judges.clone(),
                divergence: Divergence::NonSaturating,
                judged: Judged::Whole,
                learning: DiscriminatorLearning::default(),
                parameters: Parameters::new(),
            };
            test(&Game { config, generator: players.generator.clone(), judge })
        })
    }

    fn update(rows: usize) -> Result<Update> {
        let real = Sequences::from_samples(&vec![[4]; rows], &vec![true; rows], None)?;
        Ok(Update { learner: 0, key: Key::root(4), real })
    }

    /// A text's probability at temperature 1 and at the low one, by candle's own operations.
    #[test]
    fn weights_are_ratios_of_probabilities() -> Result<()> {
        with_game(Coldgan::default(), |game| {
            let fake = game.mixed(&update(40)?)?;
            let found = game.weights(&fake)?;
            let is_cut =
                |row: usize| fake.sequences.row(row).len() == fake.sequences.lengths()[row];
            let generator = game.generator.as_ref();
            let plain = target_log_probs(generator, &fake.context(), &fake.sequences)?;
            let weights = candle_core::Tensor::from_vec(
                fake.sequences.weights(),
                plain.dims(),
                plain.device(),
            )?;
            let plain = (plain * &weights)?.sum(1)?.to_vec1::<f32>()?;
            let logits =
                crate::testing::log_probs_by_token(generator, &fake.context(), &fake.sequences)?;
            let cold = (logits * 2.0)?;
            let cold = cold.broadcast_sub(&cold.exp()?.sum_keepdim(2)?.log()?)?;
            let shape = (fake.sequences.batch(), fake.sequences.time(), 1);
            let targets =
                candle_core::Tensor::from_slice(fake.sequences.targets(), shape, cold.device())?;
            let cold = cold.contiguous()?.gather(&targets, 2)?.squeeze(2)?;
            let cold = (cold * weights)?.sum(1)?.to_vec1::<f32>()?;
            assert_eq!((0..40).filter(|&row| game.is_cautious(row)).count(), 20);
            // Of a cut text not to end is an action too, which is looked at in the next test.
            for (row, found) in found.iter().enumerate().filter(|(row, _)| !is_cut(*row)) {
                let expected = 1.0 / (0.5 + 0.5 * (cold[row] - plain[row]).exp());
                assert!((found - expected).abs() < 1e-4, "{found} {expected}");
                assert!(*found <= 2.0);
            }
            Ok(())
        })
    }

    /// Weighed, a mean over the mixture is a mean over the generator's own texts.
    #[test]
    fn weighed_means_are_those_of_the_generator() -> Result<()> {
        with_game(Coldgan { temperature: 0.3, ..Coldgan::default() }, |game| {
            let mixed = game.mixed(&update(8000)?)?;
            let weights = game.weights(&mixed)?;
            // Of the text that cautious samples have most too many of.
            let count = |texts: &Generated, weight: &dyn Fn(usize) -> f32| {
                let mut shares = std::collections::BTreeMap::<Vec<u32>, f32>::new();
                for row in 0..texts.sequences.batch() {
                    let text = texts.sequences.row(row).to_vec();
                    *shares.entry(text).or_default() += weight(row) / 8000.0;
                }
                shares
            };
            let own = Generated::draw(game.generator.as_ref(), &Key::root(77), 0, 8000, None)?;
            let [weighed, unweighed, own] = [
                count(&mixed, &|row| weights[row]),
                count(&mixed, &|_| 1.0),
                count(&own, &|_| 1.0),
            ];
            let apart = |shares: &std::collections::BTreeMap<Vec<u32>, f32>| {
                let far =
                    own.iter().map(|(text, own)| (shares.get(text).unwrap_or(&0.0) - own).abs());
                far.fold(0.0, f32::max)
            };
            let (corrected, before) = (apart(&weighed), apart(&unweighed));
            assert!(corrected < 0.025 && before > 0.05, "{corrected} {before}");
            Ok(())
        })
    }
}
