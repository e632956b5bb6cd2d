use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::Generator;
use textgan_nn::{Mode, ops};

use super::GENERATOR;
use super::discriminator::{Judge, learning_problem};
use super::turns::turns;
use crate::Result;
use crate::algorithm::{Algorithm, Critic, Learner, Loss, Update};
use crate::config::{DiscriminatorLearning, Judged, OptimizerConfig, Problem, require};
use crate::generated::Generated;
use crate::losses::Divergence;
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::objective::{Objective, Opponent, Pace, Plan, Role};
use crate::step::Step;

/// `kind = "selfgan"`: a generator that learns by likelihood from what generator and discriminator write
/// together (SelfGAN; Scialom et al., 2021, arXiv 2106.14127). Of several samples the discriminator chooses
/// the one that looks most real, and the generator learns to predict it. The paper decodes by a tree search
/// that both guide; here it is the best of `candidates` whole samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Selfgan {
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
    /// Samples of which one is chosen; with 1 the generator learns from all that it writes.
    pub candidates: u64,
    /// What the discriminator is shown, and what keeps it smooth.
    pub discriminator: DiscriminatorLearning,
}

impl Default for Selfgan {
    fn default() -> Self {
        Self {
            discriminator_steps: 1,
            learning_rate: 1e-3,
            optimizer: OptimizerConfig::default(),
            discriminator_learning_rate: 1e-3,
            discriminator_optimizer: OptimizerConfig::default(),
            candidates: 4,
            discriminator: DiscriminatorLearning::default(),
        }
    }
}

impl Objective for Selfgan {
    fn kind(&self) -> &'static str {
        "selfgan"
    }

    fn role(&self) -> Role {
        Role::Game
    }

    fn opponent(&self) -> Opponent {
        Opponent::Discriminator
    }

    fn check(&self, _: &Plan<'_>) -> Problem {
        turns!(self).check()?;
        require((1..=1000).contains(&self.candidates), || {
            format!("candidates = {} is outside 1 to 1000", self.candidates)
        })?;
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
    config: Selfgan,
    generator: Arc<dyn Generator>,
    judge: Judge,
}

impl Algorithm for Game {
    fn learners(&self) -> Vec<Learner> {
        turns!(self.config).learners(self.generator.as_ref(), &self.judge).into()
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        // It must tell what the generator learns from, not what it writes alone.
        turns!(self.config).teach(&self.judge, step, |_, update| Ok(self.chosen(update)?.0))?;
        if !step.gate_is_open() {
            return Ok(());
        }
        let update = step.update(GENERATOR)?;
        let (chosen, gained) = self.chosen(&update)?;
        let (generator, texts) = (self.generator.as_ref(), &chosen.sequences);
        let share = 1.0 / texts.tokens() as f32;
        let weights: Vec<f32> = texts.weights().into_iter().map(|there| there * share).collect();
        let dropout = update.key.child("dropout");
        let hidden =
            generator.hidden(&chosen.context(), texts, Mode::Train(&dropout))?.flatten_to(1)?;
        let (head, precision) = (generator.head(), generator.precision());
        let loss = ops::head_cross_entropy(&hidden, head, texts.targets(), &weights, precision)?;
        let nll = f64::from(loss.loss.to_scalar::<f32>()?);
        let metrics = vec![
            Metric::new("chosen_nll", nll, Unit::NatsPerToken, Group::Likelihood).live("loss"),
            Metric::new("gained_realness", gained, Unit::Plain, Group::Game).live("gained"),
        ];
        step.descend(update, Loss::new(loss.loss, metrics))
    }

    fn critic(&self) -> Option<&dyn Critic> {
        Some(&self.judge)
    }
}

impl Game {
    /// For each of the update's texts the candidate that looks most real, and by how much more than the
    /// mean of all.
    fn chosen(&self, update: &Update) -> Result<(Generated, f64)> {
        let (rows, labels) = (update.real.batch(), update.real.labels());
        let mut rounds = Vec::new();
        for round in 0..self.config.candidates {
            let key = update.key.child("candidates").index(round);
            let drawn = Generated::draw(self.generator.as_ref(), &key, 0, rows, labels)?;
            let realness = self.judge.networks.frozen.scores(&drawn.sequences)?;
            rounds.push((drawn.stored()?, drawn.log_probs, realness));
        }
        let (mut texts, mut log_probs, mut gained) = (Vec::new(), Vec::new(), 0.0);
        for row in 0..rows {
            let realness: Vec<f32> = rounds.iter().map(|round| round.2[row]).collect();
            let best = first_of_greatest(&realness);
            gained += f64::from(realness[best])
                - realness.iter().map(|&x| f64::from(x)).sum::<f64>() / realness.len() as f64;
            texts.push(rounds[best].0[row].clone());
            log_probs.push(rounds[best].1[row].clone());
        }
        Ok((Generated::from_stored(&texts, log_probs)?, gained / rows as f64))
    }
}

/// The place of the greatest; the first of several.
fn first_of_greatest(values: &[f32]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

#[cfg(test)]
mod tests {
    use textgan_models::Sequences;
    use textgan_nn::Parameters;
    use textgan_random::Key;

    use super::*;
    use crate::testing::in_game;

    /// What is chosen of more candidates looks more real, and with one it is what was written.
    #[test]
    fn the_most_real_candidate_is_chosen() -> Result<()> {
        in_game(|game| {
            let of = |candidates: u64| -> Result<(Vec<Sequences>, f64, f64)> {
                let judge = Judge {
                    networks: game.judges.clone(),
                    divergence: Divergence::NonSaturating,
                    judged: Judged::Whole,
                    learning: DiscriminatorLearning::default(),
                    parameters: Parameters::new(),
                };
                let config = Selfgan { candidates, ..Selfgan::default() };
                let game = Game { config, generator: game.generator.clone(), judge };
                let real = Sequences::from_samples(&[[4]; 40], &[true; 40], None)?;
                let update = Update { learner: 0, key: Key::root(4), real };
                let (chosen, gained) = game.chosen(&update)?;
                let scores = game.judge.networks.frozen.scores(&chosen.sequences)?;
                let mean = scores.iter().map(|&x| f64::from(x)).sum::<f64>() / 40.0;
                Ok((vec![chosen.sequences], gained, mean))
            };
            let (_, nothing, one) = of(1)?;
            let (_, gained, many) = of(8)?;
            assert_eq!(nothing, 0.0);
            assert!(gained > 0.0 && many > one, "{gained} {many} {one}");
            assert_eq!(first_of_greatest(&[1.0, 3.0, 3.0, 2.0]), 1);
            Ok(())
        })
    }
}
