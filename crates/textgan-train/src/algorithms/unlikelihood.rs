use std::sync::Arc;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::{Generator, Sequences};
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

/// `kind = "unlikelihood"`: maximum likelihood that also unlearns repetition (Welleck et al., 2020, arXiv
/// 1908.04319). At every place the words that stand before it, but for the right one, are candidates `c`
/// that should not come next: the loss gains `-weight sum_c ln(1 - p(c))`, a mean over tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Unlikelihood {
    /// Full learning rate.
    pub learning_rate: f64,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// What unlikelihood counts beside likelihood.
    pub weight: f32,
}

impl Default for Unlikelihood {
    fn default() -> Self {
        Self { learning_rate: 1e-3, optimizer: OptimizerConfig::default(), weight: 1.0 }
    }
}

impl Objective for Unlikelihood {
    fn kind(&self) -> &'static str {
        "unlikelihood"
    }

    fn role(&self) -> Role {
        Role::Generator
    }

    fn check(&self, _: &Plan<'_>) -> Problem {
        positive("learning_rate", self.learning_rate)?;
        require(self.weight >= 0.0, || format!("weight = {} must not be negative", self.weight))?;
        optimizer_problem(&self.optimizer)
    }

    fn at_rate(&self, learning_rate: f64) -> Option<Box<dyn Objective>> {
        Some(Box::new(Self { learning_rate, ..self.clone() }))
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        Ok(Box::new(Unlearning { config: self.clone(), generator: networks.generator() }))
    }
}

/// The phase under way.
struct Unlearning {
    config: Unlikelihood,
    generator: Arc<dyn Generator>,
}

impl Algorithm for Unlearning {
    fn learners(&self) -> Vec<Learner> {
        let Unlikelihood { optimizer, learning_rate, .. } = &self.config;
        vec![generator_learner(self.generator.as_ref(), optimizer, *learning_rate)]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let update = step.update(GENERATOR)?;
        let (generator, real) = (self.generator.as_ref(), &update.real);
        let hidden = real_hidden(generator, real, &update.key)?;
        let (head, precision) = (generator.head(), generator.precision());
        let share = 1.0 / real.tokens() as f32;
        let weights: Vec<f32> = real.weights().into_iter().map(|there| there * share).collect();
        let likelihood =
            ops::head_cross_entropy(&hidden, head, real.targets(), &weights, precision)?;
        let nll = f64::from(likelihood.loss.to_scalar::<f32>()?);
        let metric = |name, value| Metric::new(name, value, Unit::NatsPerToken, Group::Likelihood);
        let mut metrics = vec![metric("nll", nll).live("loss")];
        let mut value = likelihood.loss;
        let weight = self.config.weight * share;
        if let Some((loss, total)) = unlikelihood(generator, &hidden, real, weight)? {
            metrics.push(metric("repetition", total / real.tokens() as f64));
            value = (value + loss)?;
        }
        step.descend(update, Loss::new(value, metrics))
    }
}

/// A loss whose gradient is that of `-weight sum ln(1 - p(c))` over all candidates, and that sum without
/// the weight; nothing where no text has two words.
///
/// `-ln(1 - p)` has `p / (1 - p)` times the gradient of `ln p`, so it is a weighted likelihood of the
/// candidates.
fn unlikelihood(
    generator: &dyn Generator,
    hidden: &Tensor,
    texts: &Sequences,
    weight: f32,
) -> Result<Option<(Tensor, f64)>> {
    let (mut places, mut candidates) = (Vec::new(), Vec::new());
    for row in 0..texts.batch() {
        let words = &texts.targets()[row * texts.time()..][..texts.lengths()[row]];
        for (place, word) in words.iter().enumerate() {
            let mut before: Vec<u32> = words[..place].to_vec();
            before.sort_unstable();
            before.dedup();
            before.retain(|candidate| candidate != word);
            places.extend(std::iter::repeat_n((row * texts.time() + place) as u32, before.len()));
            candidates.extend(before);
        }
    }
    if candidates.is_empty() {
        return Ok(None);
    }
    let count = candidates.len();
    let places = Tensor::from_vec(places, count, hidden.device())?;
    let hidden = hidden.index_select(&places, 0)?;
    let (head, precision) = (generator.head(), generator.precision());
    let scores = ops::head_log_probs(&hidden, head, &candidates, &vec![1.0; count], precision)?;
    let mut total = 0.0;
    let weights: Vec<f32> = scores
        .log_probs
        .iter()
        .map(|log_prob| {
            let p = log_prob.exp();
            let rest = (1.0 - p).max(1e-6);
            total -= f64::from(rest.ln());
            -weight * p / rest
        })
        .collect();
    let loss = ops::head_cross_entropy(&hidden, head, &candidates, &weights, precision)?.loss;
    Ok(Some((loss, total)))
}

#[cfg(test)]
mod tests {
    use candle_core::{D, Device};
    use textgan_nn::Mode;

    use super::*;
    use crate::generated::Generated;
    use crate::testing::in_game;

    /// Of `4 5 </s>` the 4 must not come third, nor must it second; at the end neither may.
    #[test]
    fn the_gradient_is_that_of_the_formula() -> Result<()> {
        in_game(|game| {
            let sequences = Sequences::from_samples(&[vec![4, 5], vec![4, 4]], &[true; 2], None)?;
            let noise = Tensor::new(&[[0.3f32, -0.7], [1.0, 0.2]], &Device::Cpu)?;
            let fake = Generated { sequences, noise, log_probs: Vec::new() };
            let (generator, texts) = (game.generator.as_ref(), &fake.sequences);
            let logits = generator.logits(&fake.context(), texts, Mode::Evaluate)?;
            let norm = logits.exp()?.sum_keepdim(D::Minus1)?;
            let p = logits.exp()?.broadcast_div(&norm)?;
            // [text][place][candidate]
            let wrong = [(0, 1, 4), (0, 2, 4), (0, 2, 5), (1, 2, 4)];
            let mut expected = Tensor::zeros((), candle_core::DType::F32, &Device::Cpu)?;
            for (text, place, candidate) in wrong {
                let p = p.get(text)?.get(place)?.get(candidate)?;
                expected = (expected - ((1.0 - p)?.log()? * 0.3)?)?;
            }
            let hidden = generator.hidden(&fake.context(), texts, Mode::Evaluate)?.flatten_to(1)?;
            let Some((loss, total)) = unlikelihood(generator, &hidden, texts, 0.3)? else {
                panic!("there are candidates")
            };
            assert!((0.3 * total - f64::from(expected.to_scalar::<f32>()?)).abs() < 1e-5);
            let Some((none, _)) = unlikelihood(generator, &hidden, texts, 0.0)? else {
                panic!("there are candidates")
            };
            assert_eq!(none.to_scalar::<f32>()?, 0.0);
            let (found, expected) = (loss.backward()?, expected.backward()?);
            for (name, variable) in generator.parameters().iter() {
                let (Some(one), Some(other)) = (found.get(variable), expected.get(variable)) else {
                    panic!("{name} has no gradient")
                };
                let apart = (one - other)?.abs()?.max_all()?.to_scalar::<f32>()?;
                let size = other.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(apart <= 1e-6 + 1e-3 * size, "{name}: {apart} of {size}");
            }
            let single = Sequences::from_samples(&[Vec::<u32>::new()], &[true], None)?;
            assert!(unlikelihood(generator, &hidden, &single, 0.3)?.is_none());
            Ok(())
        })
    }
}
