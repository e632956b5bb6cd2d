use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::{Context, Generator, Sequences};
use textgan_nn::{Mode, ops};

use super::GENERATOR;
use super::discriminator::{Judge, learning_problem};
use super::turns::turns;
use crate::Result;
use crate::algorithm::{Algorithm, Critic, Learner, Loss, Update};
use crate::config::{DiscriminatorLearning, Judged, OptimizerConfig, Problem, positive, require};
use crate::losses::Divergence;
use crate::losses::likelihood::noise;
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::objective::{Objective, Opponent, Pace, Plan, Role};
use crate::step::Step;

/// `kind = "araml"`: adversarial reward-augmented maximum likelihood (Ke et al., 2019, arXiv 1908.07195). The
/// generator learns by likelihood from real texts near to real ones: in each some words are exchanged, and it
/// weighs as much as the discriminator likes it, `softmax(D / tau)` over the batch. Nothing that the generator
/// itself wrote has to be judged by it. Other than there, words are exchanged for words of other texts of the
/// batch, in place of those that a language model would put there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Araml {
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
    /// Temperature `tau` of the weights.
    pub temperature: f32,
    /// Probability that a word is exchanged.
    pub exchanged: f32,
    /// What the discriminator is shown, and what keeps it smooth.
    pub discriminator: DiscriminatorLearning,
}

impl Default for Araml {
    fn default() -> Self {
        Self {
            discriminator_steps: 1,
            learning_rate: 1e-3,
            optimizer: OptimizerConfig::default(),
            discriminator_learning_rate: 1e-3,
            discriminator_optimizer: OptimizerConfig::default(),
            temperature: 0.2,
            exchanged: 0.05,
            discriminator: DiscriminatorLearning::default(),
        }
    }
}

impl Objective for Araml {
    fn kind(&self) -> &'static str {
        "araml"
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
        require((0.0..=1.0).contains(&self.exchanged), || {
            format!("exchanged = {} is outside 0 to 1", self.exchanged)
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
    config: Araml,
    generator: Arc<dyn Generator>,
    judge: Judge,
}

impl Algorithm for Game {
    fn learners(&self) -> Vec<Learner> {
        turns!(self.config).learners(self.generator.as_ref(), &self.judge).into()
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let generator = self.generator.as_ref();
        turns!(self.config)
            .teach(&self.judge, step, |step, update| step.sample(update, generator))?;
        if !step.gate_is_open() {
            return Ok(());
        }
        let update = step.update(GENERATOR)?;
        let near = self.near(&update)?;
        let shares = shares(&self.judge.networks.frozen.scores(&near)?, self.config.temperature);
        let token = near.batch() as f32 / near.tokens() as f32;
        let rows = shares.iter().flat_map(|share| std::iter::repeat_n(share * token, near.time()));
        let weights: Vec<f32> =
            near.weights().iter().zip(rows).map(|(there, w)| there * w).collect();
        let noise = noise(generator, &update.key.child("noise"), 0, near.batch())?;
        let context = Context { noise: &noise, labels: near.labels() };
        let dropout = update.key.child("dropout").child("generator");
        let hidden = generator.hidden(&context, &near, Mode::Train(&dropout))?.flatten_to(1)?;
        let (head, precision) = (generator.head(), generator.precision());
        let value =
            ops::head_cross_entropy(&hidden, head, near.targets(), &weights, precision)?.loss;
        let loss = f64::from(value.to_scalar::<f32>()?);
        let effective = 1.0 / shares.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>();
        let metrics = vec![
            Metric::new("generator_loss", loss, Unit::NatsPerToken, Group::Game).live("G"),
            Metric::new("effective_samples", effective, Unit::Plain, Group::Game),
        ];
        step.descend(update, Loss::new(value, metrics))
    }

    fn critic(&self) -> Option<&dyn Critic> {
        Some(&self.judge)
    }
}

impl Game {
    /// Real texts in which some words are exchanged for words of others, of like frequency as they are read.
    fn near(&self, update: &Update) -> Result<Sequences> {
        let real = &update.real;
        let mut rows: Vec<Vec<u32>> = (0..real.batch()).map(|row| real.row(row).to_vec()).collect();
        let words: Vec<u32> = rows.iter().flatten().copied().collect();
        for (row, text) in rows.iter_mut().enumerate() {
            let mut stream = update.key.child("near").index(row as u64).stream();
            for word in text.iter_mut() {
                if stream.uniform() < self.config.exchanged {
                    *word = words[stream.below(words.len() as u64) as usize];
                }
            }
        }
        let ended: Vec<bool> =
            (0..real.batch()).map(|row| real.row(row).len() < real.lengths()[row]).collect();
        Ok(Sequences::from_samples(&rows, &ended, real.labels())?)
    }
}

/// `softmax(D / tau)` over the texts of a batch.
fn shares(realness: &[f32], temperature: f32) -> Vec<f32> {
    let largest = realness.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let odds: Vec<f32> = realness.iter().map(|r| ((r - largest) / temperature).exp()).collect();
    let sum: f32 = odds.iter().sum();
    odds.into_iter().map(|odds| odds / sum).collect()
}

#[cfg(test)]
mod tests {
    use textgan_nn::Parameters;
    use textgan_random::Key;

    use super::*;
    use crate::testing::in_game;

    #[test]
    fn texts_weigh_what_the_discriminator_says() {
        let found = shares(&[0.0, 0.2 * 3f32.ln(), 0.0], 0.2);
        for (found, expected) in found.iter().zip([0.2, 0.6, 0.2]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        assert_eq!(shares(&[900.0, -900.0], 0.2), [1.0, 0.0]);
    }

    #[test]
    fn a_share_of_the_words_is_exchanged() -> Result<()> {
        in_game(|players| {
            let of = |exchanged: f32| Game {
                config: Araml { exchanged, ..Araml::default() },
                generator: players.generator.clone(),
                judge: Judge {
                    networks: players.judges.clone(),
                    divergence: Divergence::NonSaturating,
                    judged: Judged::Whole,
                    learning: DiscriminatorLearning::default(),
                    parameters: Parameters::new(),
                },
            };
            let texts: Vec<[u32; 2]> = (0..2000u32).map(|row| [4 + row % 2; 2]).collect();
            let ended: Vec<bool> = (0..2000).map(|row| row % 3 > 0).collect();
            let real = Sequences::from_samples(&texts, &ended, None)?;
            let update = Update { learner: 0, key: Key::root(1), real };
            assert_eq!(of(0.0).near(&update)?, update.real);
            let near = of(0.4).near(&update)?;
            assert_eq!(near.lengths(), update.real.lengths());
            let pairs = near.targets().iter().zip(update.real.targets());
            let changed = pairs.filter(|(a, b)| a != b).count() as f64 / 4000.0;
            // Half of what is exchanged is exchanged for the same word.
            assert!((changed - 0.2).abs() < 0.02, "{changed}");
            Ok(())
        })
    }
}
