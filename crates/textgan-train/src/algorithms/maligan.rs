use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::Generator;

use super::GENERATOR;
use super::discriminator::{Judge, learning_problem};
use super::turns::turns;
use crate::Result;
use crate::algorithm::{Algorithm, Critic, Learner, Loss};
use crate::config::{DiscriminatorLearning, Judged, OptimizerConfig, Problem, require};
use crate::losses::gumbel::sample_nll;
use crate::losses::{Divergence, reinforce};
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::objective::{Objective, Opponent, Pace, Plan, Role};
use crate::step::Step;

/// `kind = "maligan"`: maximum-likelihood augmented discrete GAN (Che et al., 2017, arXiv 1702.07983). A
/// sample `x` of a batch of `m` weighs `r(x) / sum r - b / m` with `r = D / (1 - D)`, the odds that it is
/// real: what maximum likelihood would weigh it if the discriminator were right. The basic form, without
/// the mixed one's real beginnings of texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Maligan {
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
    /// The baseline `b` at the end of the phase; it grows in a straight line from 0.
    pub baseline: f32,
    /// What the discriminator is shown, and what keeps it smooth.
    pub discriminator: DiscriminatorLearning,
}

impl Default for Maligan {
    fn default() -> Self {
        Self {
            discriminator_steps: 1,
            learning_rate: 1e-3,
            optimizer: OptimizerConfig::default(),
            discriminator_learning_rate: 1e-3,
            discriminator_optimizer: OptimizerConfig::default(),
            baseline: 1.0,
            discriminator: DiscriminatorLearning::default(),
        }
    }
}

impl Objective for Maligan {
    fn kind(&self) -> &'static str {
        "maligan"
    }

    fn role(&self) -> Role {
        Role::Game
    }

    fn opponent(&self) -> Opponent {
        Opponent::Discriminator
    }

    fn check(&self, _: &Plan<'_>) -> Problem {
        turns!(self).check()?;
        require((0.0..=1.0).contains(&self.baseline), || {
            format!("baseline = {} is outside 0 to 1", self.baseline)
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
    config: Maligan,
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
        let fake = step.sample(&update, generator)?;
        let logits = self.judge.networks.frozen.scores(&fake.sequences)?;
        let through = step.number() as f32 / step.steps().saturating_sub(1).max(1) as f32;
        let (weights, effective) = weights(&logits, self.config.baseline * through);
        let advantages = reinforce::of_sentences(&weights, &fake.sequences);
        let value = reinforce::policy_loss(generator, &fake, &advantages, 0.0)?;
        let metric =
            Metric::new("effective_samples", effective, Unit::Plain, Group::Game).live("effective");
        step.descend(update, Loss::new(value, vec![metric, sample_nll(&fake)]))
    }

    fn critic(&self) -> Option<&dyn Critic> {
        Some(&self.judge)
    }
}

/// `m r(x) / sum r - b` of the logits of `m` samples, of which the policy loss takes the mean; and how many
/// samples there are in effect, `(sum r)^2 / sum r^2` (Kish, 1965).
fn weights(logits: &[f32], baseline: f32) -> (Vec<f32>, f64) {
    // The odds are the exponential of the logit.
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let odds: Vec<f64> = logits.iter().map(|logit| f64::from(logit - highest).exp()).collect();
    let (sum, squares) = (odds.iter().sum::<f64>(), odds.iter().map(|r| r * r).sum::<f64>());
    let count = odds.len() as f64;
    let weights = odds.iter().map(|r| (count * r / sum) as f32 - baseline).collect();
    (weights, sum * sum / squares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_weigh_what_their_odds_say() {
        // Odds of 1, 3 and 4: of three samples 3/8, 9/8 and 12/8.
        let logits = [0.0f32, 3f32.ln(), 4f32.ln()];
        let (found, effective) = weights(&logits, 0.25);
        for (found, expected) in found.iter().zip([0.375 - 0.25, 1.125 - 0.25, 1.5 - 0.25]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        assert!((effective - 64.0 / 26.0).abs() < 1e-6, "{effective}");
        // A discriminator that knows nothing, and a baseline of 1: nothing is learned.
        assert_eq!(weights(&[7.0; 3], 1.0).0, [0.0; 3]);
        let (extreme, _) = weights(&[500.0, -500.0], 0.0);
        assert_eq!(extreme, [2.0, 0.0]);
    }
}
