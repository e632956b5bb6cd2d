use std::sync::Arc;

use candle_core::{D, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::{
    Context, Generator, GeneratorConfig, LstmConfig, NoiseConfig, NoiseEncoder, Placement, Sizes,
    build_generator,
};
use textgan_nn::ops::{self, HeadInput, JudgeKind, RatioOptions, softplus};
use textgan_nn::{Mode, Parameters};

use super::language_model::text_noise;
use super::turns::turns;
use super::{DISCRIMINATOR, GENERATOR, generator_learner};
use crate::Result;
use crate::algorithm::{Accuracy, Algorithm, Critic, Learner, Loss, Update};
use crate::config::{OptimizerConfig, Problem, positive, require};
use crate::data::Rows;
use crate::generated::{Generated, Texts};
use crate::losses::NEVER_SAMPLED;
use crate::losses::gumbel::sample_nll;
use crate::metric::{Group, Metric, Unit};
use crate::networks::{Network, Networks};
use crate::objective::{Declared, Objective, Opponent, Pace, Plan, Role};
use crate::step::Step;

/// The name of its network.
const DENSE: &str = "dense-discriminator";

/// `kind = "dense"`: the discriminator is a recurrent or causal network with a logit for every word that
/// could come next, `D(v | prefix)`, which learns to tell the words of real text from those that the
/// generator wrote, each after its own prefix: mean over words of `softplus(-D(real)) +
/// softplus(D(fake))`. The generator follows the expected policy gradient of `D` over the whole vocabulary
/// on prefixes of its own (Ciosek and Whiteson, 2018).
///
/// Such a discriminator begins with nothing. Against a generator that has converged it made captions worse
/// at every temperature where it was measured; the likelihood ratio of a fitted language model
/// (`kind = "likelihood-ratio"`) made them better.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dense {
    /// The discriminator's network: a generator's, whose head gives realness instead of log-probability.
    pub network: GeneratorConfig,
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
    /// Logits are kept within this distance of 0 in the generator's update.
    pub bound: f32,
    /// What the generator's loss is multiplied by; with 0 it learns nothing.
    pub weight: f32,
}

impl Default for Dense {
    fn default() -> Self {
        let network = LstmConfig { embedding: 96, hidden: 192, ..LstmConfig::default() };
        let optimizer = OptimizerConfig { beta1: 0.5, beta2: 0.99, ..OptimizerConfig::default() };
        Self {
            network: GeneratorConfig::Lstm(network),
            discriminator_steps: 1,
            learning_rate: 1e-3,
            optimizer: optimizer.clone(),
            discriminator_learning_rate: 1e-3,
            discriminator_optimizer: optimizer,
            bound: 5.0,
            weight: 1.0,
        }
    }
}

impl Objective for Dense {
    fn kind(&self) -> &'static str {
        "dense"
    }

    fn role(&self) -> Role {
        Role::Game
    }

    fn check(&self, _: &Plan<'_>) -> Problem {
        turns!(self).check()?;
        positive("bound", self.bound.into())?;
        require(self.weight >= 0.0, || format!("weight = {} must not be negative", self.weight))
    }

    fn declares(&self) -> Vec<Declared> {
        vec![Declared { name: DENSE, config: serde_json::json!(self.network) }]
    }

    fn declared_parameters(&self, plan: &Plan<'_>, sizes: &Sizes) -> Result<u64> {
        Ok(self.network.parameter_count(plan.noise, sizes)?)
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { learning_rate: self.learning_rate, updates: 1 })
    }

    fn opponent(&self) -> Opponent {
        Opponent::Own
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let encoder = networks.found_encoder();
        let dimension = encoder.as_ref().map_or(0, |_| networks.plan().noise.dimension);
        let noise = NoiseConfig { dimension, placement: Placement::Every, code: None };
        let network = networks.custom(DENSE, |sizes, _, key| {
            let device = &candle_core::Device::Cpu;
            Ok(Judge(build_generator(&self.network, &noise, sizes, key, device)?))
        })?;
        let critic = EveryWord { network, generator: networks.generator(), encoder };
        Ok(Box::new(Game { config: self.clone(), critic }))
    }
}

/// A network whose head is of realness.
struct Judge(Box<dyn Generator>);

impl Network for Judge {
    fn parameters(&self) -> &Parameters {
        self.0.parameters()
    }
}

/// The game under way.
struct Game {
    config: Dense,
    critic: EveryWord,
}

impl Algorithm for Game {
    fn learners(&self) -> Vec<Learner> {
        let config = &self.config;
        let (optimizer, rate) = (&config.optimizer, config.learning_rate);
        let generator = generator_learner(self.critic.generator.as_ref(), optimizer, rate);
        let parameters = self.critic.network.parameters().clone();
        let (optimizer, rate) =
            (&config.discriminator_optimizer, config.discriminator_learning_rate);
        let discriminator =
            Learner::new(DISCRIMINATOR, parameters, optimizer, rate, Rows::Discriminator);
        vec![generator, Learner { sorted: false, carries: true, ..discriminator }]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        for _ in 0..self.config.discriminator_steps {
            let update = step.update(DISCRIMINATOR)?;
            let fake = step.sample(&update, self.critic.generator.as_ref())?;
            let loss = self.critic.loss(&update, &fake)?;
            step.descend(update, loss)?;
        }
        if step.gate_is_open() {
            let update = step.update(GENERATOR)?;
            let fake = step.sample(&update, self.critic.generator.as_ref())?;
            let loss = self.generator_loss(&fake)?;
            step.descend(update, loss)?;
        }
        Ok(())
    }

    fn critic(&self) -> Option<&dyn Critic> {
        Some(&self.critic)
    }
}

impl Game {
    /// The expected policy gradient, a mean over places.
    fn generator_loss(&self, fake: &Generated) -> Result<Loss> {
        let (generator, texts) = (self.critic.generator.as_ref(), &fake.sequences);
        let share = self.config.weight / texts.tokens() as f32;
        let weights: Vec<f32> = texts.weights().into_iter().map(|real| real * share).collect();
        let hidden = generator.hidden(&fake.context(), texts, Mode::Evaluate)?.flatten_to(1)?;
        let judged = self.critic.hidden(&fake.texts(), Mode::Evaluate)?.detach();
        let policy = HeadInput { hidden: &hidden, head: generator.head() };
        let judge = HeadInput { hidden: &judged, head: self.critic.network.0.head() };
        let options = RatioOptions {
            judge: JudgeKind::Realness,
            bound: self.config.bound,
            excluded: &NEVER_SAMPLED,
            precision: generator.precision(),
        };
        let found = ops::head_expected_policy_loss(policy, judge, &weights, None, options)?;
        let realness = found.ratios.expected.iter().map(|&x| f64::from(x)).sum::<f64>();
        let realness = realness / texts.tokens() as f64;
        let metric = Metric::new("word_realness", realness, Unit::Plain, Group::Game);
        Ok(Loss::new(found.loss, vec![metric.live("realness"), sample_nll(fake)]))
    }
}

/// The discriminator of words, beside the generator whose words it tells.
struct EveryWord {
    network: Arc<Judge>,
    generator: Arc<dyn Generator>,
    encoder: Option<Arc<NoiseEncoder>>,
}

impl EveryWord {
    /// What its head reads at every place, `[batch * time, width]`.
    fn hidden(&self, texts: &Texts<'_>, mode: Mode<'_>) -> Result<Tensor> {
        let (sequences, network) = (texts.sequences, self.network.0.as_ref());
        let noise = match texts.noise {
            Some(noise) if network.noise().dimension > 0 => noise.clone(),
            _ => text_noise(network, self.encoder.as_deref(), sequences)?,
        };
        let context = Context { noise: &noise, labels: sequences.labels() };
        Ok(network.hidden(&context, sequences, mode)?.flatten_to(1)?)
    }

    /// The logit of every word that is there, `[batch * time]`; of padding 0.
    fn realness(&self, texts: &Texts<'_>, mode: Mode<'_>) -> Result<Tensor> {
        let (sequences, hidden) = (texts.sequences, self.hidden(texts, mode)?);
        let rows = hidden.dim(0)?;
        let words = ops::embedding(self.network.0.head(), sequences.targets(), rows)?;
        let there = Tensor::from_vec(sequences.weights(), rows, hidden.device())?;
        Ok(((hidden * words)?.sum(D::Minus1)? * there)?)
    }

    /// `softplus(-D(real)) + softplus(D(fake))`, means over words.
    fn loss(&self, update: &Update, fake: &Generated) -> Result<Loss> {
        let dropout = update.key.child("dropout");
        let (of_real, of_fake) = (dropout.child("real"), dropout.child("fake"));
        let real_texts = Texts { sequences: &update.real, noise: None };
        let real = self.realness(&real_texts, Mode::Train(&of_real))?;
        let generated = self.realness(&fake.texts(), Mode::Train(&of_fake))?;
        let mean = |logits: &Tensor, texts: &Texts<'_>| -> Result<Tensor> {
            let share = 1.0 / texts.sequences.tokens() as f32;
            let weights = texts.sequences.weights().into_iter().map(|real| real * share);
            let weights = Tensor::from_iter(weights, logits.device())?;
            Ok((softplus(logits)? * weights)?.sum_all()?)
        };
        let value = (mean(&real.neg()?, &real_texts)? + mean(&generated, &fake.texts())?)?;
        let words = |logits: &Tensor, texts: &Texts<'_>| -> Result<Vec<f32>> {
            let there = texts.sequences.weights();
            let logits = logits.to_vec1::<f32>()?;
            let both = logits.into_iter().zip(there);
            Ok(both.filter(|(_, there)| *there > 0.0).map(|(logit, _)| logit).collect())
        };
        let (of_real, of_fake) = (words(&real, &real_texts)?, words(&generated, &fake.texts())?);
        let accuracy = Accuracy::of(|_, _| 0.0, &of_real, &of_fake);
        let share = |name, value, live| {
            Metric::new(name, value, Unit::Share, Group::Discriminator).live(live)
        };
        let loss = f64::from(value.to_scalar::<f32>()?);
        let metrics = vec![
            Metric::new("discriminator_loss", loss, Unit::Plain, Group::Game).live("D"),
            share("accuracy_real", accuracy.real, "right on real words"),
            share("accuracy_fake", accuracy.fake, "right on generated"),
        ];
        Ok(Loss { value, metrics, accuracy: Some(accuracy) })
    }
}

impl Critic for EveryWord {
    /// The mean logit of a text's words.
    fn logits(&self, texts: &Texts<'_>) -> Result<Vec<f32>> {
        let realness = self.realness(texts, Mode::Evaluate)?.detach().to_vec1::<f32>()?;
        let rows = realness.chunks_exact(texts.sequences.time()).zip(texts.sequences.lengths());
        Ok(rows.map(|(row, &length)| row.iter().sum::<f32>() / length as f32).collect())
    }

    fn threshold(&self, _: f64, _: f64) -> f64 {
        0.0
    }
}
