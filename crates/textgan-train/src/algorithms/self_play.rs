//! Games of a generator against what it was a round ago: no other network takes part.

use std::sync::Arc;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::{Context, Generator, Sequences, Sizes};
use textgan_nn::Mode;
use textgan_nn::ops::softplus;

use super::{GENERATOR, generator_learner, optimizer_problem};
use crate::Result;
use crate::algorithm::{Algorithm, Learner, Loss};
use crate::config::{OptimizerConfig, Problem, at_least_one, positive, require};
use crate::losses::likelihood::noise;
use crate::losses::texts::text_log_probs;
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::objective::{Objective, Pace, Plan, Role};
use crate::step::Step;

/// `kind = "ddo"`: direct discriminative optimization (Zheng et al., 2025, arXiv 2503.01103). The
/// discriminator is the generator itself, beside the one of a round ago: with `r(x) = ln p(x) -
/// ln p_ref(x)`, real text against texts of `p_ref` by the logistic loss
/// `mean softplus(-beta r(real)) + alpha mean softplus(beta r(fake))`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ddo {
    /// Full learning rate.
    pub learning_rate: f64,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// How steep the logistic loss is.
    pub beta: f32,
    /// What the loss on generated text is multiplied by.
    pub alpha: f32,
    /// Whether `r` is a mean over the words of a text, as images have one number of dimensions, or a sum.
    pub per_token: bool,
    /// Steps of a round, after which the reference becomes the generator.
    pub round: u64,
}

impl Default for Ddo {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            optimizer: OptimizerConfig::default(),
            beta: 0.1,
            alpha: 0.5,
            per_token: true,
            round: 500,
        }
    }
}

/// `kind = "spin"`: self-play fine-tuning (Chen et al., 2024, arXiv 2401.01335). Each real text is paired
/// with one that the generator of a round ago wrote, and with `r(x) = ln p(x) - ln p_ref(x)` the loss is
/// `mean softplus(-beta (r(real) - r(fake)))`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Spin {
    /// Full learning rate.
    pub learning_rate: f64,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// How steep the logistic loss is.
    pub beta: f32,
    /// Steps of a round, after which the opponent becomes the generator.
    pub round: u64,
}

impl Default for Spin {
    fn default() -> Self {
        Self { learning_rate: 1e-3, optimizer: OptimizerConfig::default(), beta: 0.1, round: 500 }
    }
}

/// What a game against oneself minimises, of the log-ratios of real and of generated texts, `[batch]` each.
type Contrast = Box<dyn Fn(&Tensor, &Tensor) -> Result<Tensor> + Send + Sync>;

impl Objective for Ddo {
    fn kind(&self) -> &'static str {
        "ddo"
    }

    fn role(&self) -> Role {
        Role::Game
    }

    fn check(&self, plan: &Plan<'_>) -> Problem {
        require(self.alpha >= 0.0, || format!("alpha = {} must not be negative", self.alpha))?;
        problem(plan, self.learning_rate, &self.optimizer, self.beta, self.round)
    }

    fn declared_parameters(&self, plan: &Plan<'_>, sizes: &Sizes) -> Result<u64> {
        Ok(plan.generator.parameter_count(plan.noise, sizes)?)
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { learning_rate: self.learning_rate, updates: 1 })
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let Self { alpha, beta, .. } = *self;
        let contrast = move |real: &Tensor, fake: &Tensor| ddo(real, fake, beta, alpha);
        Ok(Box::new(SelfPlay {
            generator: networks.generator(),
            reference: networks.lagged("reference")?,
            optimizer: self.optimizer.clone(),
            learning_rate: self.learning_rate,
            round: self.round,
            per_token: self.per_token,
            contrast: Box::new(contrast),
        }))
    }
}

impl Objective for Spin {
    fn kind(&self) -> &'static str {
        "spin"
    }

    fn role(&self) -> Role {
        Role::Game
    }

    fn check(&self, plan: &Plan<'_>) -> Problem {
        problem(plan, self.learning_rate, &self.optimizer, self.beta, self.round)
    }

    fn declared_parameters(&self, plan: &Plan<'_>, sizes: &Sizes) -> Result<u64> {
        Ok(plan.generator.parameter_count(plan.noise, sizes)?)
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { learning_rate: self.learning_rate, updates: 1 })
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let beta = self.beta;
        Ok(Box::new(SelfPlay {
            generator: networks.generator(),
            reference: networks.lagged("reference")?,
            optimizer: self.optimizer.clone(),
            learning_rate: self.learning_rate,
            round: self.round,
            per_token: false,
            contrast: Box::new(move |real, fake| spin(real, fake, beta)),
        }))
    }
}

fn problem(
    plan: &Plan<'_>,
    learning_rate: f64,
    optimizer: &OptimizerConfig,
    beta: f32,
    round: u64,
) -> Problem {
    positive("learning_rate", learning_rate)?;
    positive("beta", beta.into())?;
    at_least_one("round", round)?;
    require(plan.noise.dimension == 0, || {
        "it compares the likelihood of real text, which a generator with noise does not know: set \
         noise.dimension = 0"
            .to_owned()
    })?;
    optimizer_problem(optimizer)
}

fn ddo(real: &Tensor, fake: &Tensor, beta: f32, alpha: f32) -> Result<Tensor> {
    let (beta, alpha) = (f64::from(beta), f64::from(alpha));
    let real = softplus(&(real * -beta)?)?.mean_all()?;
    let fake = softplus(&(fake * beta)?)?.mean_all()?;
    Ok((real + (fake * alpha)?)?)
}

fn spin(real: &Tensor, fake: &Tensor, beta: f32) -> Result<Tensor> {
    Ok(softplus(&((real - fake)? * -f64::from(beta))?)?.mean_all()?)
}

/// The game under way.
struct SelfPlay {
    generator: Arc<dyn Generator>,
    /// The generator as it was when the round began.
    reference: Arc<dyn Generator>,
    optimizer: OptimizerConfig,
    learning_rate: f64,
    round: u64,
    per_token: bool,
    contrast: Contrast,
}

impl Algorithm for SelfPlay {
    fn learners(&self) -> Vec<Learner> {
        let generator = self.generator.as_ref();
        let learner = generator_learner(generator, &self.optimizer, self.learning_rate);
        vec![Learner { sorted: false, ..learner }]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        if step.number().is_multiple_of(self.round) {
            let (reference, now) = (self.reference.parameters(), self.generator.parameters());
            step.once(|| Ok(reference.approach(now, 0.0)?))?;
        }
        let update = step.update(GENERATOR)?;
        let fake = step.sample(&update, self.reference.as_ref())?;
        let (real, fake) = (self.log_ratios(&update.real)?, self.log_ratios(&fake.sequences)?);
        let value = (self.contrast)(&real, &fake)?;
        let mean = |ratios: &Tensor| -> Result<f64> {
            Ok(f64::from(ratios.mean_all()?.to_scalar::<f32>()?))
        };
        let metric = |name, value| Metric::new(name, value, Unit::Plain, Group::Game);
        let metrics = vec![
            metric("log_ratio_real", mean(&real)?).live("r(real)"),
            metric("log_ratio_fake", mean(&fake)?).live("r(fake)"),
        ];
        step.descend(update, Loss::new(value, metrics))
    }
}

impl SelfPlay {
    /// `ln p(x) - ln p_ref(x)`, `[batch]`, nats a text, or a token of it. Without dropout: it would be told
    /// for a difference.
    fn log_ratios(&self, texts: &Sequences) -> Result<Tensor> {
        // Without noise every key draws the same.
        let key = textgan_random::Key::root(0);
        let noise = noise(self.generator.as_ref(), &key, 0, texts.batch())?;
        let context = Context { noise: &noise, labels: texts.labels() };
        let of = |model: &Arc<dyn Generator>| {
            text_log_probs(model.as_ref(), &context, texts, Mode::Evaluate)
        };
        let ratios = (of(&self.generator)? - of(&self.reference)?.detach())?;
        if !self.per_token {
            return Ok(ratios);
        }
        let shares = texts.lengths().iter().map(|&tokens| 1.0 / tokens as f32);
        Ok((&ratios * Tensor::from_iter(shares, ratios.device())?)?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::testing::{VOCAB, generator_config, target_log_probs};

    /// By candle's own operations, from the formulas of the papers: value and gradient.
    #[test]
    fn the_losses_are_those_of_the_papers() -> Result<()> {
        let sizes = Sizes { vocab: VOCAB, labels: 0, max_length: 2 };
        let none = textgan_models::NoiseConfig { dimension: 0, ..Default::default() };
        let build = |seed: u64| -> Result<Arc<dyn Generator>> {
            let key = textgan_random::Key::root(seed);
            let built = textgan_models::build_generator(
                &generator_config(),
                &none,
                &sizes,
                &key,
                &Device::Cpu,
            )?;
            Ok(built.into())
        };
        let (generator, reference) = (build(1)?, build(2)?);
        let real = Sequences::from_samples(&[vec![4, 5], vec![5]], &[true; 2], None)?;
        let fake = Sequences::from_samples(&[vec![4], vec![5, 4]], &[true, false], None)?;
        let (beta, alpha) = (0.7, 0.4);
        for per_token in [true, false] {
            let game = SelfPlay {
                generator: generator.clone(),
                reference: reference.clone(),
                optimizer: OptimizerConfig::default(),
                learning_rate: 1.0,
                round: 1,
                per_token,
                contrast: Box::new(|real, fake| spin(real, fake, 0.7)),
            };
            let by_hand = |texts: &Sequences| -> Result<Tensor> {
                let noise = Tensor::zeros((2, 0), candle_core::DType::F32, &Device::Cpu)?;
                let context = Context { noise: &noise, labels: None };
                let of = |model: &dyn Generator| target_log_probs(model, &context, texts);
                let words = (of(generator.as_ref())? - of(reference.as_ref())?.detach())?;
                let there = Tensor::from_vec(texts.weights(), words.dims(), &Device::Cpu)?;
                let total = (words * &there)?.sum(1)?;
                Ok(if per_token { (total / there.sum(1)?)? } else { total })
            };
            let sigmoid = |x: Tensor| -> Result<Tensor> { Ok((x.neg()?.exp()? + 1.0)?.recip()?) };
            let log = |x: Tensor| -> Result<Tensor> { Ok(x.log()?.mean_all()?.neg()?) };
            let (r, s) = (by_hand(&real)?, by_hand(&fake)?);
            let one = log(sigmoid((&r * beta)?)?)?;
            let other = log((sigmoid((&s * beta)?)?.neg()? + 1.0)?)?;
            let expected_ddo = (one + (other * alpha)?)?;
            let expected_spin = log(sigmoid(((&r - &s)? * beta)?)?)?;
            let (r, s) = (game.log_ratios(&real)?, game.log_ratios(&fake)?);
            let found = [ddo(&r, &s, beta as f32, alpha as f32)?, (game.contrast)(&r, &s)?];
            for (found, expected) in found.into_iter().zip([expected_ddo, expected_spin]) {
                let value = |x: &Tensor| x.to_scalar::<f32>();
                assert!((value(&found)? - value(&expected)?).abs() < 1e-5);
                let (found, expected) = (found.backward()?, expected.backward()?);
                for (name, variable) in generator.parameters().iter() {
                    let (Some(a), Some(b)) = (found.get(variable), expected.get(variable)) else {
                        panic!("{name} has no gradient")
                    };
                    let apart = (a - b)?.abs()?.max_all()?.to_scalar::<f32>()?;
                    assert!(apart < 1e-5, "{name}: {apart}");
                }
                assert!(reference.parameters().iter().all(|(_, v)| found.get(v).is_none()));
            }
        }
        Ok(())
    }
}
