use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::Generator;
use textgan_nn::ops;

use super::{GENERATOR, generator_learner, optimizer_problem};
use crate::Result;
use crate::algorithm::{Algorithm, Learner, Loss};
use crate::config::{OptimizerConfig, Problem, positive, require};
use crate::losses::likelihood::real_hidden;
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::objective::{Objective, Plan, Role};
use crate::step::Step;

/// `kind = "tailr"`: maximum likelihood tailored by the total variation distance (Ji et al., 2023, arXiv
/// 2302.13344). Each real token `x` with probability `p` is learned with the weight
/// `p / (gamma + (1 - gamma) p)`, which has no gradient: what the generator thinks impossible it need not
/// cover. With `gamma = 0` it is maximum likelihood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tailr {
    /// Full learning rate.
    pub learning_rate: f64,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// From likelihood (0) to total variation (1).
    pub gamma: f32,
    /// The least weight of a token, so that what has no probability yet can be learned at all.
    pub least: f32,
}

impl Default for Tailr {
    fn default() -> Self {
        let optimizer = OptimizerConfig::default();
        Self { learning_rate: 1e-3, optimizer, gamma: 1e-5, least: 0.1 }
    }
}

impl Objective for Tailr {
    fn kind(&self) -> &'static str {
        "tailr"
    }

    fn role(&self) -> Role {
        Role::Generator
    }

    fn check(&self, _: &Plan<'_>) -> Problem {
        positive("learning_rate", self.learning_rate)?;
        for (key, share) in [("gamma", self.gamma), ("least", self.least)] {
            require((0.0..=1.0).contains(&share), || format!("{key} = {share} is outside 0 to 1"))?;
        }
        optimizer_problem(&self.optimizer)
    }

    fn at_rate(&self, learning_rate: f64) -> Option<Box<dyn Objective>> {
        Some(Box::new(Self { learning_rate, ..self.clone() }))
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        Ok(Box::new(Tailoring { config: self.clone(), generator: networks.generator() }))
    }
}

/// The phase under way.
struct Tailoring {
    config: Tailr,
    generator: Arc<dyn Generator>,
}

impl Algorithm for Tailoring {
    fn learners(&self) -> Vec<Learner> {
        let Tailr { optimizer, learning_rate, .. } = &self.config;
        vec![generator_learner(self.generator.as_ref(), optimizer, *learning_rate)]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let update = step.update(GENERATOR)?;
        let (generator, real) = (self.generator.as_ref(), &update.real);
        let hidden = real_hidden(generator, real, &update.key)?;
        let (head, precision) = (generator.head(), generator.precision());
        let (targets, there) = (real.targets(), real.weights());
        let scores = ops::head_log_probs(&hidden, head, targets, &there, precision)?;
        let share = 1.0 / real.tokens() as f32;
        let weights: Vec<f32> = there
            .iter()
            .zip(&scores.log_probs)
            .map(|(there, log_prob)| there * share * self.weight(log_prob.exp()))
            .collect();
        let value = ops::head_cross_entropy(&hidden, head, targets, &weights, precision)?.loss;
        let nll = scores.log_probs.iter().map(|&x| -f64::from(x)).sum::<f64>();
        let nll = nll / real.tokens() as f64;
        let metric = Metric::new("nll", nll, Unit::NatsPerToken, Group::Likelihood);
        step.descend(update, Loss::new(value, vec![metric.live("loss")]))
    }
}

impl Tailoring {
    fn weight(&self, p: f32) -> f32 {
        let Tailr { gamma, least, .. } = self.config;
        // With no probability at all the fraction is 0 / gamma, or 0 / 0, which is 1 in likelihood.
        let weight = if gamma == 0.0 { 1.0 } else { p / (gamma + (1.0 - gamma) * p) };
        weight.max(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::in_game;

    #[test]
    fn tokens_weigh_what_the_paper_says() -> Result<()> {
        in_game(|game| {
            let of = |gamma: f32, least: f32| Tailoring {
                config: Tailr { gamma, least, ..Tailr::default() },
                generator: game.generator.clone(),
            };
            assert_eq!(of(0.0, 0.0).weight(0.0), 1.0);
            assert_eq!(of(0.0, 0.0).weight(0.3), 1.0);
            assert_eq!(of(1.0, 0.0).weight(0.3), 0.3);
            assert!((of(0.5, 0.0).weight(0.25) - 0.25 / 0.625).abs() < 1e-7);
            assert_eq!(of(0.5, 0.6).weight(0.25), 0.6);
            assert_eq!(of(1e-5, 0.0).weight(0.0), 0.0);
            Ok(())
        })
    }
}
