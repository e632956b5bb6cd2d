use std::sync::Arc;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::{
    Context, Generator, GeneratorConfig, LstmConfig, NoiseConfig, Placement, Sequences, Sizes,
    token_log_probs,
};
use textgan_nn::ops::{self, HeadInput, JudgeKind, RatioOptions};
use textgan_nn::{Mode, Parameters};
use textgan_random::Key;

use super::{GENERATOR, generator_learner, optimizer_problem};
use crate::Result;
use crate::algorithm::{Algorithm, Critic, Learner, Loss};
use crate::config::{OptimizerConfig, Problem, at_least_one, positive, require};
use crate::data::Rows;
use crate::generated::{Generated, Texts};
use crate::losses::NEVER_SAMPLED;
use crate::losses::gumbel::sample_nll;
use crate::losses::likelihood::noise;
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::objective::{Declared, Objective, Pace, Plan, Role};
use crate::step::Step;

/// The name of the mediator as a network and as a learner.
const MEDIATOR: &str = "mediator";

/// `kind = "cot"`: cooperative training (Lu et al., 2019, arXiv 1804.03782). A second language model, the
/// mediator `M`, learns by maximum likelihood to predict a mixture of real and of generated texts in equal
/// parts; the generator `G` descends `sum_t KL(G(. | prefix_t) || M(. | prefix_t))` on prefixes of its own,
/// exactly over the vocabulary: an estimate of the Jensen-Shannon divergence from real text. It needs no
/// pretraining.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cot {
    /// The mediator's network. It reads no noise.
    pub network: GeneratorConfig,
    /// Steps at the beginning in which the mediator learns alone: a generator that has learned already would
    /// follow one that knows nothing.
    pub ahead: u64,
    /// Updates of the mediator a step.
    pub mediator_steps: u64,
    /// Updates of the generator a step.
    pub generator_steps: u64,
    /// Full learning rate of the generator.
    pub learning_rate: f64,
    /// The generator's optimizer.
    pub optimizer: OptimizerConfig,
    /// Full learning rate of the mediator.
    pub mediator_learning_rate: f64,
    /// The mediator's optimizer.
    pub mediator_optimizer: OptimizerConfig,
    /// What the generator's loss is multiplied by; with 0 it learns nothing.
    pub weight: f32,
}

impl Default for Cot {
    fn default() -> Self {
        let network = LstmConfig { embedding: 32, hidden: 32, ..LstmConfig::default() };
        Self {
            network: GeneratorConfig::Lstm(network),
            ahead: 0,
            mediator_steps: 1,
            generator_steps: 1,
            learning_rate: 1e-3,
            optimizer: OptimizerConfig::default(),
            mediator_learning_rate: 1e-3,
            mediator_optimizer: OptimizerConfig::default(),
            weight: 1.0,
        }
    }
}

impl Objective for Cot {
    fn kind(&self) -> &'static str {
        "cot"
    }

    fn role(&self) -> Role {
        Role::Game
    }

    fn check(&self, _: &Plan<'_>) -> Problem {
        at_least_one("mediator_steps", self.mediator_steps)?;
        at_least_one("generator_steps", self.generator_steps)?;
        positive("learning_rate", self.learning_rate)?;
        positive("mediator_learning_rate", self.mediator_learning_rate)?;
        require(self.weight >= 0.0, || format!("weight = {} must not be negative", self.weight))?;
        optimizer_problem(&self.optimizer)?;
        optimizer_problem(&self.mediator_optimizer)
    }

    fn declares(&self) -> Vec<Declared> {
        vec![Declared { name: MEDIATOR, config: serde_json::json!(self.network) }]
    }

    fn declared_parameters(&self, plan: &Plan<'_>, sizes: &Sizes) -> Result<u64> {
        Ok(self.network.parameter_count(plan.noise, sizes)?)
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { learning_rate: self.learning_rate, updates: self.generator_steps })
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let blind = NoiseConfig { dimension: 0, placement: Placement::Begin, code: None };
        let model = networks.writer(MEDIATOR, &self.network, &blind)?;
        let mediator = Mediator { model, generator: networks.generator() };
        Ok(Box::new(Cooperation { config: self.clone(), mediator }))
    }
}

/// Cooperative training under way.
struct Cooperation {
    config: Cot,
    mediator: Mediator,
}

impl Algorithm for Cooperation {
    fn learners(&self) -> Vec<Learner> {
        let Cot { optimizer, learning_rate, mediator_optimizer, mediator_learning_rate, .. } =
            &self.config;
        let generator = self.mediator.generator.as_ref();
        let mut parameters = Parameters::new();
        let shared = parameters.share(MEDIATOR, self.mediator.model.parameters());
        debug_assert!(shared.is_ok(), "invariant: an empty store has no name twice");
        let reads = Rows::Discriminator;
        let mediator =
            Learner::new(MEDIATOR, parameters, mediator_optimizer, *mediator_learning_rate, reads);
        vec![
            generator_learner(generator, optimizer, *learning_rate),
            Learner { sorted: false, carries: true, ..mediator },
        ]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let generator = self.mediator.generator.as_ref();
        for _ in 0..self.config.mediator_steps {
            let update = step.update(MEDIATOR)?;
            let fake = step.sample(&update, generator)?;
            let loss = self.mediator.loss(&update.real, &fake.sequences, &update.key)?;
            step.descend(update, loss)?;
        }
        if step.number() < self.config.ahead || !step.gate_is_open() {
            return Ok(());
        }
        for _ in 0..self.config.generator_steps {
            let update = step.update(GENERATOR)?;
            let fake = step.sample(&update, generator)?;
            let loss = self.mediator.divergence(&fake, self.config.weight)?;
            step.descend(update, loss)?;
        }
        Ok(())
    }

    fn critic(&self) -> Option<&dyn Critic> {
        Some(&self.mediator)
    }
}

/// The mediator, beside the generator whose texts it mixes with real ones.
struct Mediator {
    model: Arc<dyn Generator>,
    generator: Arc<dyn Generator>,
}

impl Mediator {
    /// `-(ln M(real) + ln M(fake)) / 2`, a mean over the tokens of each.
    fn loss(&self, real: &Sequences, fake: &Sequences, key: &Key) -> Result<Loss> {
        let dropout = key.child("dropout");
        let nll = |texts: &Sequences, name: &str| -> Result<Tensor> {
            let share = 0.5 / texts.tokens() as f32;
            let weights: Vec<f32> = texts.weights().into_iter().map(|real| real * share).collect();
            let mode = dropout.child(name);
            let hidden = self.hidden(texts, Mode::Train(&mode))?;
            let (head, precision) = (self.model.head(), self.model.precision());
            Ok(ops::head_cross_entropy(&hidden, head, texts.targets(), &weights, precision)?.loss)
        };
        let value = (nll(real, "real")? + nll(fake, "fake")?)?;
        let loss = f64::from(value.to_scalar::<f32>()?);
        let metric = Metric::new("mediator_nll", loss, Unit::NatsPerToken, Group::Game);
        Ok(Loss::new(value, vec![metric.live("M")]))
    }

    /// `weight KL(G || M)` over the next word after each prefix of `fake` texts, a mean over texts.
    fn divergence(&self, fake: &Generated, weight: f32) -> Result<Loss> {
        let (generator, texts) = (self.generator.as_ref(), &fake.sequences);
        let share = weight / texts.batch() as f32;
        let weights: Vec<f32> = texts.weights().into_iter().map(|there| there * share).collect();
        let hidden = generator.hidden(&fake.context(), texts, Mode::Evaluate)?.flatten_to(1)?;
        let judged = self.hidden(texts, Mode::Evaluate)?.detach();
        let policy = HeadInput { hidden: &hidden, head: generator.head() };
        let judge = HeadInput { hidden: &judged, head: self.model.head() };
        let options = RatioOptions {
            judge: JudgeKind::LanguageModel,
            bound: f32::INFINITY,
            excluded: &NEVER_SAMPLED,
            precision: generator.precision(),
        };
        let found = ops::head_expected_policy_loss(policy, judge, &weights, None, options)?;
        let nats = -found.ratios.expected.iter().map(|&x| f64::from(x)).sum::<f64>();
        let nats = nats / texts.batch() as f64;
        let metric = Metric::new("mediator_kl", nats, Unit::NatsPerText, Group::Game);
        Ok(Loss::new(found.loss, vec![metric.live("KL(G || M)"), sample_nll(fake)]))
    }

    /// What the mediator's head reads, `[batch * time, width]`.
    fn hidden(&self, texts: &Sequences, mode: Mode<'_>) -> Result<Tensor> {
        // It has no noise: every key draws the same.
        let noise = noise(self.model.as_ref(), &Key::root(0), 0, texts.batch())?;
        let context = Context { noise: &noise, labels: texts.labels() };
        Ok(self.model.hidden(&context, texts, mode)?.flatten_to(1)?)
    }
}

/// As a discriminator: the best one of real and generated text that `M` knows of says
/// `p / (p + q)` with `p = 2 M - G`, which has a logit only where that is positive, so what is told is the
/// monotone `ln M - ln G`, a mean over the tokens of a text.
impl Critic for Mediator {
    fn logits(&self, texts: &Texts<'_>) -> Result<Vec<f32>> {
        let sequences = texts.sequences;
        let prior = noise(self.generator.as_ref(), &Key::root(0), 0, sequences.batch())?;
        let noise = texts.noise.unwrap_or(&prior);
        let context = Context { noise, labels: sequences.labels() };
        let own = token_log_probs(self.generator.as_ref(), &context, sequences)?;
        let blind = self::noise(self.model.as_ref(), &Key::root(0), 0, sequences.batch())?;
        let context = Context { noise: &blind, labels: sequences.labels() };
        let mediator = token_log_probs(self.model.as_ref(), &context, sequences)?;
        let rows = mediator.chunks_exact(sequences.time()).zip(own.chunks_exact(sequences.time()));
        let row = |((m, g), &length): ((&[f32], &[f32]), &usize)| {
            let ratios = m[..length].iter().zip(&g[..length]).map(|(m, g)| m - g);
            ratios.sum::<f32>() / length as f32
        };
        Ok(rows.zip(sequences.lengths()).map(row).collect())
    }

    fn threshold(&self, mean_real: f64, mean_fake: f64) -> f64 {
        0.5 * (mean_real + mean_fake)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use textgan_models::{TransformerConfig, build_generator};

    use super::*;
    use crate::testing::{VOCAB, generator_config, in_game, log_probs_by_token, target_log_probs};

    /// Against the sum over the vocabulary, by candle's own operations; times `weight`, so that with 0 it is
    /// nothing.
    #[test]
    fn the_divergence_and_the_likelihood_are_those_of_the_formulas() -> Result<()> {
        in_game(|game| {
            let sizes = Sizes { vocab: VOCAB, labels: 0, max_length: 2 };
            let blind = NoiseConfig { dimension: 0, placement: Placement::Begin, code: None };
            let key = Key::root(8);
            let GeneratorConfig::Transformer(body) = generator_config() else {
                panic!("a transformer")
            };
            let body = TransformerConfig { dropout: 0.0, embedding_dropout: 0.0, ..body };
            let config = GeneratorConfig::Transformer(body);
            let model = build_generator(&config, &blind, &sizes, &key, &Device::Cpu)?.into();
            let mediator = Mediator { model, generator: game.generator.clone() };
            let sequences = Sequences::from_samples(&[vec![4, 5], vec![5]], &[true; 2], None)?;
            let noise = Tensor::new(&[[0.3f32, -0.7], [1.0, 0.2]], &Device::Cpu)?;
            let fake = Generated { sequences, noise, log_probs: vec![vec![0.0; 3], vec![0.0; 2]] };
            let texts = &fake.sequences;
            let nothing = Tensor::zeros((2, 0), candle_core::DType::F32, &Device::Cpu)?;
            let blind = Context { noise: &nothing, labels: None };
            let own = log_probs_by_token(game.generator.as_ref(), &fake.context(), texts)?;
            let other = log_probs_by_token(mediator.model.as_ref(), &blind, texts)?.detach();
            let by_place = (own.exp()? * (&own - other)?)?.sum(2)?;
            let mask = Tensor::from_vec(texts.weights(), by_place.dims(), &Device::Cpu)?;
            let expected = ((by_place * &mask)?.sum_all()? * 0.5)?;

            let found = mediator.divergence(&fake, 1.0)?;
            let nats = f64::from(expected.to_scalar::<f32>()?);
            assert!((found.metrics[0].value - nats).abs() < 1e-5, "{nats}");
            let none = mediator.divergence(&fake, 0.0)?.value.backward()?;
            let (found, expected) = (found.value.backward()?, expected.backward()?);
            for (name, variable) in game.generator.parameters().iter() {
                let (Some(one), Some(other)) = (found.get(variable), expected.get(variable)) else {
                    panic!("{name} has no gradient")
                };
                let apart = (one - other)?.abs()?.max_all()?.to_scalar::<f32>()?;
                let size = other.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(apart <= 1e-5 + 1e-3 * size, "{name}: {apart} of {size}");
                let none = none.get(variable).map(|none| none.abs()?.max_all()?.to_scalar::<f32>());
                assert!(none.transpose()?.is_none_or(|none| none == 0.0), "{name}");
            }

            let real = Sequences::from_samples(&[vec![4], vec![4, 4]], &[true, false], None)?;
            let nll = |texts: &Sequences| -> Result<f32> {
                // Padding and the begin token are learned to be improbable: all tokens count here.
                let logits = mediator.model.logits(&blind, texts, Mode::Evaluate)?;
                let norm = logits.exp()?.sum_keepdim(candle_core::D::Minus1)?.log()?;
                let shift = log_probs_by_token(mediator.model.as_ref(), &blind, texts)?;
                let shift = (logits.broadcast_sub(&norm)? - shift)?.narrow(2, 4, 1)?.squeeze(2)?;
                let said = (target_log_probs(mediator.model.as_ref(), &blind, texts)? + shift)?;
                let there = Tensor::from_vec(texts.weights(), said.dims(), &Device::Cpu)?;
                let total = (said * there)?.sum_all()?.to_scalar::<f32>()?;
                Ok(-total / texts.tokens() as f32)
            };
            let expected = 0.5 * (nll(&real)? + nll(texts)?);
            let loss = mediator.loss(&real, texts, &key)?;
            let found = loss.value.to_scalar::<f32>()?;
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
            let gradients = loss.value.backward()?;
            let mut learned = mediator.model.parameters().iter();
            assert!(learned.all(|(_, variable)| gradients.get(variable).is_some()));
            Ok(())
        })
    }
}
