use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::{BOS, Context, EOS, Generator, Sequences};
use textgan_nn::{Mode, ops};
use textgan_random::Key;

use super::{GENERATOR, generator_learner, optimizer_problem};
use crate::Result;
use crate::algorithm::{Algorithm, Learner, Loss};
use crate::config::{OptimizerConfig, Problem, positive, require};
use crate::losses::NEVER_SAMPLED;
use crate::losses::likelihood::noise;
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::objective::{Objective, Plan, Role};
use crate::step::Step;

/// `kind = "scheduled-sampling"`: likelihood of real text of which the generator reads some words as it would have
/// written them itself (Bengio et al., 2015, arXiv 1506.03099). The share of its own words grows over the phase
/// from `begin` to `end` (over all rounds that `converge` allows, where a phase may end before). As in Mihaylova and Martins (2019), a first pass over real text draws them all at once,
/// and a second reads the mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduledSampling {
    /// Full learning rate.
    pub learning_rate: f64,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// Share of its own words at the first step.
    pub begin: f32,
    /// Share of its own words at the last step.
    pub end: f32,
}

impl Default for ScheduledSampling {
    fn default() -> Self {
        let optimizer = OptimizerConfig::default();
        Self { learning_rate: 1e-3, optimizer, begin: 0.0, end: 0.25 }
    }
}

impl Objective for ScheduledSampling {
    fn kind(&self) -> &'static str {
        "scheduled-sampling"
    }

    fn role(&self) -> Role {
        Role::Generator
    }

    fn check(&self, _: &Plan<'_>) -> Problem {
        positive("learning_rate", self.learning_rate)?;
        for (key, share) in [("begin", self.begin), ("end", self.end)] {
            require((0.0..=1.0).contains(&share), || format!("{key} = {share} is outside 0 to 1"))?;
        }
        optimizer_problem(&self.optimizer)
    }

    fn at_rate(&self, learning_rate: f64) -> Option<Box<dyn Objective>> {
        Some(Box::new(Self { learning_rate, ..self.clone() }))
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        Ok(Box::new(Fitting { config: self.clone(), generator: networks.generator() }))
    }
}

/// The phase under way.
struct Fitting {
    config: ScheduledSampling,
    generator: Arc<dyn Generator>,
}

impl Algorithm for Fitting {
    fn learners(&self) -> Vec<Learner> {
        let ScheduledSampling { optimizer, learning_rate, .. } = &self.config;
        vec![generator_learner(self.generator.as_ref(), optimizer, *learning_rate)]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let update = step.update(GENERATOR)?;
        let (generator, real) = (self.generator.as_ref(), &update.real);
        let through = step.number() as f32 / step.steps().saturating_sub(1).max(1) as f32;
        let share = self.config.begin + through * (self.config.end - self.config.begin);
        let noise = noise(generator, &update.key.child("noise"), 0, real.batch())?;
        let context = Context { noise: &noise, labels: real.labels() };
        let (read, exchanged) = self.mixed(&context, real, share, &update.key)?;
        let dropout = update.key.child("dropout").child("generator");
        let hidden = generator.hidden(&context, &read, Mode::Train(&dropout))?.flatten_to(1)?;
        let token = 1.0 / real.tokens() as f32;
        let weights: Vec<f32> = real.weights().into_iter().map(|there| there * token).collect();
        let (head, precision) = (generator.head(), generator.precision());
        let loss = ops::head_cross_entropy(&hidden, head, real.targets(), &weights, precision)?;
        let nll = f64::from(loss.loss.to_scalar::<f32>()?);
        let metrics = vec![
            Metric::new("nll", nll, Unit::NatsPerToken, Group::Likelihood).live("loss"),
            Metric::new("own_words", exchanged, Unit::Share, Group::Game).live("own words"),
        ];
        step.descend(update, Loss::new(loss.loss, metrics))
    }
}

impl Fitting {
    /// Real texts that are read with a `share` of their words exchanged for words that the generator draws in
    /// their place, and how many were. It never reads an end before the end: there the real word stays.
    fn mixed(
        &self,
        context: &Context<'_>,
        real: &Sequences,
        share: f32,
        key: &Key,
    ) -> Result<(Sequences, f64)> {
        let mut inputs = real.inputs();
        let mut exchanged = 0;
        if share > 0.0 {
            let logits = self.generator.logits(context, real, Mode::Evaluate)?.detach();
            let logits = logits.to_vec3::<f32>()?;
            let time = real.time();
            for (row, logits) in logits.iter().enumerate() {
                let mut stream = key.child("own-words").index(row as u64).stream();
                // The word at a place is read at the next one.
                for place in 0..real.lengths()[row].saturating_sub(1) {
                    if stream.uniform() >= share {
                        continue;
                    }
                    let noisy = (0u32..)
                        .zip(&logits[place])
                        .filter(|(id, _)| !NEVER_SAMPLED.contains(id) && *id != EOS);
                    let noisy = noisy.map(|(id, logit)| (id, logit + stream.gumbel()));
                    if let Some((id, _)) = noisy.max_by(|a, b| a.1.total_cmp(&b.1)) {
                        inputs[row * time + place + 1] = id;
                        exchanged += 1;
                    }
                }
            }
        }
        debug_assert!(inputs.iter().step_by(real.time()).all(|&id| id == BOS));
        let words = real.lengths().iter().map(|length| length - 1).sum::<usize>().max(1);
        Ok((real.reading(inputs)?, exchanged as f64 / words as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::in_game;

    #[test]
    fn a_share_of_the_words_is_read_as_written() -> Result<()> {
        in_game(|game| {
            let generator = game.generator.clone();
            let fitting = Fitting { config: ScheduledSampling::default(), generator };
            let real = Sequences::from_samples(&[[4, 5]; 2000], &[true; 2000], None)?;
            let noise = noise(game.generator.as_ref(), &Key::root(3), 0, 2000)?;
            let context = Context { noise: &noise, labels: None };
            let (same, none) = fitting.mixed(&context, &real, 0.0, &Key::root(1))?;
            assert_eq!((same.inputs(), none), (real.inputs(), 0.0));
            let (read, exchanged) = fitting.mixed(&context, &real, 0.3, &Key::root(1))?;
            assert!((exchanged - 0.3).abs() < 0.03, "{exchanged}");
            assert_eq!(read.targets(), real.targets());
            let inputs = read.inputs();
            assert!(
                inputs
                    .chunks_exact(3)
                    .all(|row| row[0] == BOS
                        && row[1..].iter().all(|&id| { id != EOS && id != BOS }))
            );
            // All of them: the first words are as the generator would begin, the end left out.
            let (read, _) = fitting.mixed(&context, &real, 1.0, &Key::root(1))?;
            let all = crate::testing::log_probs_by_token(game.generator.as_ref(), &context, &real)?;
            let all = all.narrow(1, 0, 1)?.squeeze(1)?.exp()?.to_vec2::<f32>()?;
            for id in [1usize, 4, 5] {
                let expected: f32 = all.iter().map(|p| p[id] / (1.0 - p[EOS as usize])).sum();
                let inputs = read.inputs();
                let found = inputs.chunks_exact(3).filter(|row| row[1] == id as u32).count();
                let apart = (found as f32 - expected) / 2000.0;
                assert!(apart.abs() < 0.03, "{id}: {found} {expected}");
            }
            Ok(())
        })
    }
}
