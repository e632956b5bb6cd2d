use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::{Context, Generator, Sequences, token_log_probs};
use textgan_nn::ops;

use super::{GENERATOR, generator_learner, optimizer_problem};
use crate::Result;
use crate::algorithm::{Algorithm, Learner, Loss};
use crate::config::{OptimizerConfig, Problem, positive, require};
use crate::losses::likelihood::{noise, real_hidden};
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::objective::{Objective, Plan, Role};
use crate::step::Step;

/// `kind = "jsdgan"`: the Jensen-Shannon divergence of the generator from its training text, without a
/// discriminator (Li et al., 2019). The best discriminator between `n` known texts and a generator whose
/// probabilities `p` are known needs no network. With it the gradient of the divergence is exact and is one of
/// likelihood: text `x`, which is there `c` times, weighs `r ln(1 + 1 / r)` with `r = n p(x) / c`. What the
/// generator cannot write yet weighs next to nothing, so it needs a beginning by likelihood. Weights are divided
/// by their mean over a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Jsdgan {
    /// Full learning rate.
    pub learning_rate: f64,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// What `r` is raised to: 1 is the divergence, 0 is likelihood, and between them more texts take part.
    pub power: f32,
}

impl Default for Jsdgan {
    fn default() -> Self {
        Self { learning_rate: 1e-3, optimizer: OptimizerConfig::default(), power: 1.0 }
    }
}

impl Objective for Jsdgan {
    fn kind(&self) -> &'static str {
        "jsdgan"
    }

    fn role(&self) -> Role {
        Role::Generator
    }

    fn check(&self, plan: &Plan<'_>) -> Problem {
        require(plan.noise.dimension == 0, || {
            "it needs the probabilities of texts, which noise hides: noise.dimension = 0".to_owned()
        })?;
        positive("learning_rate", self.learning_rate)?;
        require((0.0..=1.0).contains(&self.power), || {
            format!("power = {} is outside 0 to 1", self.power)
        })?;
        optimizer_problem(&self.optimizer)
    }

    fn at_rate(&self, learning_rate: f64) -> Option<Box<dyn Objective>> {
        Some(Box::new(Self { learning_rate, ..self.clone() }))
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let train = networks.data().train;
        let mut counts = HashMap::new();
        let mut texts = HashMap::new();
        for row in train {
            *counts.entry((row.label, row.tokens.clone())).or_default() += 1;
            *texts.entry(row.label).or_default() += 1;
        }
        let (config, generator) = (self.clone(), networks.generator());
        Ok(Box::new(Fitting { config, generator, counts, texts }))
    }
}

/// The phase under way.
struct Fitting {
    config: Jsdgan,
    generator: Arc<dyn Generator>,
    /// How often each training text is there, by its label.
    counts: HashMap<(Option<u32>, Vec<u32>), u32>,
    /// Training texts of each label.
    texts: HashMap<Option<u32>, u32>,
}

impl Algorithm for Fitting {
    fn learners(&self) -> Vec<Learner> {
        let Jsdgan { optimizer, learning_rate, .. } = &self.config;
        vec![generator_learner(self.generator.as_ref(), optimizer, *learning_rate)]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let update = step.update(GENERATOR)?;
        let (generator, real) = (self.generator.as_ref(), &update.real);
        let noise = noise(generator, &update.key.child("noise"), 0, real.batch())?;
        let context = Context { noise: &noise, labels: real.labels() };
        let log_probs = token_log_probs(generator, &context, real)?;
        let weights = self.weights(real, &log_probs);
        let [sum, squares] =
            [weights.iter().sum::<f64>(), weights.iter().map(|w| w * w).sum::<f64>()];
        let share = weights.len() as f64 / sum / real.tokens() as f64;
        let rows =
            weights.iter().flat_map(|w| std::iter::repeat_n((w * share) as f32, real.time()));
        let weights: Vec<f32> =
            real.weights().iter().zip(rows).map(|(there, w)| there * w).collect();
        let hidden = real_hidden(generator, real, &update.key)?;
        let (head, precision) = (generator.head(), generator.precision());
        let value =
            ops::head_cross_entropy(&hidden, head, real.targets(), &weights, precision)?.loss;
        let nll = -log_probs.iter().map(|&x| f64::from(x)).sum::<f64>() / real.tokens() as f64;
        let metrics = vec![
            Metric::new("nll", nll, Unit::NatsPerToken, Group::Likelihood).live("loss"),
            Metric::new("effective_texts", sum * sum / squares, Unit::Plain, Group::Game),
        ];
        step.descend(update, Loss::new(value, metrics))
    }
}

impl Fitting {
    /// Of each text, from the log-probabilities of its tokens; divided by the largest of the batch, since those of
    /// long texts are beyond numbers.
    fn weights(&self, texts: &Sequences, log_probs: &[f32]) -> Vec<f64> {
        let rows = log_probs.chunks_exact(texts.time()).enumerate();
        let log_weights: Vec<f64> = rows
            .map(|(row, log_probs)| {
                let log_prob: f64 = log_probs.iter().map(|&x| f64::from(x)).sum();
                let label = texts.labels().map(|labels| labels[row]);
                let known = (label, texts.row(row).to_vec());
                let count = self.counts.get(&known).copied().unwrap_or(1);
                let all = self.texts.get(&label).copied().unwrap_or(1);
                let log_ratio = log_prob + (f64::from(all) / f64::from(count)).ln();
                log_weight(f64::from(self.config.power) * log_ratio)
            })
            .collect();
        let largest = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        log_weights.into_iter().map(|weight| (weight - largest).exp()).collect()
    }
}

/// `ln (r ln(1 + 1 / r))` from `ln r`: near 0 `ln r + ln(-ln r)`, near infinity 0.
fn log_weight(log_ratio: f64) -> f64 {
    match log_ratio {
        x if x > 30.0 => 0.0,
        x if x < -30.0 => x + (-x).ln(),
        x => x + (-x).exp().ln_1p().ln(),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use textgan_random::Key;

    use super::*;
    use crate::testing::{in_game, log_probs_by_token};

    /// The gradient of the divergence from three texts, by its definition over all one-word texts and
    /// automatic differentiation, is that of the weighed likelihood.
    #[test]
    fn the_gradient_is_that_of_the_divergence() -> Result<()> {
        in_game(|game| {
            let generator = game.generator.as_ref();
            let known = [vec![4u32], vec![5], vec![5]];
            let mut counts = HashMap::new();
            known.iter().for_each(|text| *counts.entry((None, text.clone())).or_default() += 1);
            let fitting = Fitting {
                config: Jsdgan::default(),
                generator: game.generator.clone(),
                counts,
                texts: [(None, 3)].into(),
            };
            // One noise vector, and one-word texts that are cut: the word alone has a probability.
            let noise = noise(generator, &Key::root(1), 0, 1)?;
            let one = Sequences::from_samples(&[[4]], &[false], None)?;
            let context = Context { noise: &noise, labels: None };
            let log_p = log_probs_by_token(generator, &context, &one)?.flatten_all()?;
            // p_d over the vocabulary: 1/3 of 4 and 2/3 of 5.
            let data = Tensor::new(&[0f32, 0., 0., 0., 1. / 3., 2. / 3.], &Device::Cpu)?;
            let p = log_p.exp()?;
            // Far below any probability, so that what neither has is nothing.
            let middle = (&p + &data)?.affine(0.5, 1e-30)?;
            let own = (&p * (&log_p - middle.log()?)?)?.sum_all()?;
            // Where there is no text the first part is nothing.
            let theirs = (&data * (data.affine(1.0, 1e-30)?.log()? - middle.log()?)?)?.sum_all()?;
            let expected = ((own + theirs)? * 0.5)?.backward()?;

            let rows = noise.broadcast_as((3, noise.dim(1)?))?.contiguous()?;
            let texts = Sequences::from_samples(&known, &[false; 3], None)?;
            let context = Context { noise: &rows, labels: None };
            let shape = (3, 1, 1);
            let targets = Tensor::from_slice(texts.targets(), shape, &Device::Cpu)?;
            let log_probs = log_probs_by_token(generator, &context, &texts)?.contiguous()?;
            let log_probs = log_probs.gather(&targets, 2)?.flatten_all()?;
            let weights = fitting.weights(&texts, &log_probs.to_vec1::<f32>()?);
            // They are divided by the largest: that of the text that is there once.
            let first = log_probs.to_vec1::<f32>()?[0];
            let largest = log_weight(f64::from(first) + 3f64.ln()).exp();
            let other = log_weight(f64::from(log_probs.to_vec1::<f32>()?[1]) + 1.5f64.ln()).exp();
            let largest = largest.max(other);
            let weights: Vec<f32> = weights.iter().map(|&w| (w * largest) as f32).collect();
            let weights = Tensor::from_vec(weights, 3, &Device::Cpu)?;
            let found = ((log_probs * weights)?.mean_all()? * -0.5)?.backward()?;
            for (name, variable) in generator.parameters().iter() {
                let (Some(found), Some(expected)) = (found.get(variable), expected.get(variable))
                else {
                    continue;
                };
                let apart = (found - expected)?.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(apart < 1e-5, "{name}: {apart}");
            }
            Ok(())
        })
    }

    #[test]
    fn weights_stay_numbers() {
        let weight = |x: f64| log_weight(x).exp();
        assert!((weight(0.0) - 2f64.ln()).abs() < 1e-12);
        assert!((weight(29.0) - 1.0).abs() < 1e-9 && weight(1e3) == 1.0);
        // Beyond what numbers hold the order stays, and the two sides of a seam agree.
        assert!(log_weight(-1e9) < log_weight(-1e8) && log_weight(-1e9).is_finite());
        for seam in [30.0, -30.0] {
            assert!((log_weight(seam - 1e-9) - log_weight(seam + 1e-9)).abs() < 1e-8, "{seam}");
        }
    }
}
