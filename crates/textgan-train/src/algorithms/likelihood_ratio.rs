use std::sync::Arc;

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::{Context, Generator, NoiseEncoder, Sizes, token_log_probs};
use textgan_nn::Mode;
use textgan_nn::ops::{self, HeadInput, JudgeKind, RatioOptions, SampledTokens, softplus};

use super::language_model::{LANGUAGE_MODEL, text_noise};
use super::{DISCRIMINATOR, GENERATOR, generator_learner, optimizer_problem};
use crate::algorithm::{Accuracy, Algorithm, Critic, Learner, Loss, Update};
use crate::config::{OptimizerConfig, Problem, at_least_one, positive, require};
use crate::data::Rows;
use crate::generated::{Generated, Texts};
use crate::losses::gumbel::sample_nll;
use crate::losses::returns;
use crate::losses::{NEVER_SAMPLED, reference};
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::objective::{Objective, Pace, Plan, Role};
use crate::step::Step;
use crate::{Error, Result};

/// `kind = "likelihood-ratio"`: the generator `G` plays against a language model `M`, fitted by an
/// earlier phase `language-model`. How real a word `v` looks after a prefix is
/// `d(v) = ln M(v | prefix) - ln G(v | prefix)`, and a text looks as real as their sum: with `M` the
/// distribution of real text that is the optimal discriminator.
///
/// `M` is held, or learns by the logistic loss of that sum, `softplus(-d(real)) + softplus(d(fake))`
/// (Goodfellow et al., 2014). The generator follows the policy gradient of `d` on prefixes that it
/// wrote itself, in expectation over the whole vocabulary at each place (Ciosek and Whiteson, 2018):
/// only the prefix is sampled, so there is almost no variance, and the end is a word like any other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LikelihoodRatio {
    /// Full learning rate of the generator.
    pub learning_rate: f64,
    /// The generator's optimizer.
    pub optimizer: OptimizerConfig,
    /// Full learning rate of the language model; 0 holds it as it is.
    pub discriminator_learning_rate: f64,
    /// The language model's optimizer.
    pub discriminator_optimizer: OptimizerConfig,
    /// Log-ratios of words are kept within this many nats of 0 in the generator's update.
    pub bound: f32,
    /// What the generator's loss is multiplied by. With 0 the generator learns nothing: the control
    /// that a claim must fail under.
    pub weight: f32,
    /// Lets a word earn what later words are found to be worth too, each `lambda` times less a word
    /// further on, less the mean over the batch's other texts at its place. 0 judges words by
    /// themselves. More buys quality with length and diversity.
    pub lambda: f32,
    /// What later words are worth.
    pub later: Later,
    /// Weight of the divergence `KL(G || G0)` from the generator `G0` that the phase began with, mean
    /// over the words that the generator writes; 0 leaves it out.
    pub reference: f32,
    /// Share of the generated texts of a discriminator's batch that are older samples instead of fresh
    /// ones. For one that learns.
    pub replay: f32,
    /// How many older samples are kept for that; the newest stay.
    pub replay_size: usize,
}

/// What a later word is worth to the words before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Later {
    /// The log-ratio of the word that was sampled.
    #[default]
    Sampled,
    /// Its expectation over the vocabulary, given the prefix: the same in expectation, with the variance
    /// of the prefix alone.
    Expected,
}

impl Default for LikelihoodRatio {
    fn default() -> Self {
        let optimizer = OptimizerConfig { beta1: 0.5, beta2: 0.99, ..OptimizerConfig::default() };
        Self {
            learning_rate: 1e-3,
            optimizer: optimizer.clone(),
            discriminator_learning_rate: 0.0,
            discriminator_optimizer: optimizer,
            bound: 5.0,
            weight: 1.0,
            lambda: 0.0,
            later: Later::Sampled,
            reference: 0.0,
            replay: 0.0,
            replay_size: 4096,
        }
    }
}

impl Objective for LikelihoodRatio {
    fn kind(&self) -> &'static str {
        "likelihood-ratio"
    }

    fn role(&self) -> Role {
        Role::Game
    }

    fn check(&self, plan: &Plan<'_>) -> Problem {
        let fitted = plan.phases.iter().flat_map(|phase| phase.objective.declares());
        require(fitted.into_iter().any(|network| network.name == LANGUAGE_MODEL), || {
            "it plays against a language model: put a phase with kind = \"language-model\" before it"
                .to_owned()
        })?;
        positive("learning_rate", self.learning_rate)?;
        require(self.discriminator_learning_rate >= 0.0, || {
            let rate = self.discriminator_learning_rate;
            format!("discriminator_learning_rate = {rate} must not be negative")
        })?;
        positive("bound", self.bound.into())?;
        require(self.weight >= 0.0, || format!("weight = {} must not be negative", self.weight))?;
        require((0.0..=1.0).contains(&self.lambda), || {
            format!("lambda = {} is outside 0 to 1", self.lambda)
        })?;
        require(self.reference >= 0.0, || {
            format!("reference = {} must not be negative", self.reference)
        })?;
        let learns = self.discriminator_learning_rate > 0.0;
        require((0.0..1.0).contains(&self.replay), || {
            format!("replay = {} is outside [0, 1)", self.replay)
        })?;
        require(self.replay == 0.0 || learns, || {
            "replay is for a language model that learns: set discriminator_learning_rate too"
                .to_owned()
        })?;
        at_least_one("replay_size", self.replay_size as u64)?;
        optimizer_problem(&self.optimizer)?;
        optimizer_problem(&self.discriminator_optimizer)
    }

    fn declared_parameters(&self, plan: &Plan<'_>, sizes: &Sizes) -> Result<u64> {
        match self.reference > 0.0 {
            true => Ok(plan.generator.parameter_count(plan.noise, sizes)?),
            false => Ok(0),
        }
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { learning_rate: self.learning_rate, updates: 1 })
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let model = networks.found_writer(LANGUAGE_MODEL).ok_or_else(|| Error::Train {
            problem: "there is no language model yet: its phase must come first".to_owned(),
        })?;
        let critic =
            Ratio { model, generator: networks.generator(), encoder: networks.found_encoder() };
        let reference = match self.reference > 0.0 {
            true => Some(networks.lagged("reference")?),
            false => None,
        };
        Ok(Box::new(Game { config: self.clone(), critic, reference }))
    }
}

/// The game under way.
struct Game {
    config: LikelihoodRatio,
    critic: Ratio,
    /// The generator as the phase found it.
    reference: Option<Arc<dyn Generator>>,
}

impl Algorithm for Game {
    fn learners(&self) -> Vec<Learner> {
        let config = &self.config;
        let (optimizer, rate) = (&config.optimizer, config.learning_rate);
        let generator = generator_learner(self.critic.generator.as_ref(), optimizer, rate);
        let model = self.critic.model.parameters().clone();
        let (optimizer, rate) =
            (&config.discriminator_optimizer, config.discriminator_learning_rate);
        let discriminator = Learner {
            sorted: false,
            carries: true,
            ..Learner::new(DISCRIMINATOR, model, optimizer, rate, Rows::Discriminator)
        };
        let learns = config.discriminator_learning_rate > 0.0;
        [Some(generator), learns.then_some(discriminator)].into_iter().flatten().collect()
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        if self.config.discriminator_learning_rate > 0.0 {
            let update = step.update(DISCRIMINATOR)?;
            let fresh = step.sample(&update, self.critic.generator.as_ref())?;
            let fake = match self.config.replay > 0.0 {
                true => {
                    step.replay(&update, &fresh, self.config.replay, self.config.replay_size)?
                }
                false => fresh,
            };
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
    /// The expected policy gradient, a mean over places, with the lambda-returns of later words.
    fn generator_loss(&self, fake: &Generated) -> Result<Loss> {
        let Ratio { model, generator, .. } = &self.critic;
        let texts = &fake.sequences;
        let share = self.config.weight / texts.tokens() as f32;
        let weights: Vec<f32> = texts.weights().into_iter().map(|real| real * share).collect();
        let hidden = generator.hidden(&fake.context(), texts, Mode::Evaluate)?.flatten_to(1)?;
        let noise = noise_for(model.as_ref(), &fake.noise, texts.batch())?;
        let context = Context { noise: &noise, labels: texts.labels() };
        let judged = model.hidden(&context, texts, Mode::Evaluate)?.flatten_to(1)?.detach();
        let policy = HeadInput { hidden: &hidden, head: generator.head() };
        let judge = HeadInput { hidden: &judged, head: model.head() };
        let options = RatioOptions {
            judge: JudgeKind::LanguageModel,
            bound: self.config.bound,
            excluded: &NEVER_SAMPLED,
            precision: generator.precision(),
        };
        let later = match self.config.lambda {
            0.0 => vec![0.0; weights.len()],
            lambda => {
                let real = texts.weights();
                let ratios = match self.config.later {
                    Later::Sampled => {
                        ops::head_log_ratios(policy, judge, texts.targets(), &real, options)?
                    }
                    Later::Expected => {
                        let (hidden, head) = (policy.hidden.detach(), policy.head.detach());
                        let policy = HeadInput { hidden: &hidden, head: &head };
                        ops::head_expected_policy_loss(policy, judge, &real, None, options)?
                            .ratios
                            .expected
                    }
                };
                let rows = ratios.chunks_exact(texts.time()).zip(texts.lengths());
                let rows: Vec<Vec<f32>> =
                    rows.map(|(row, &length)| row[..length].to_vec()).collect();
                let mut weights = vec![0.0; weights.len()];
                let advantages = returns::of_later(&rows, lambda);
                for (to, row) in weights.chunks_exact_mut(texts.time()).zip(advantages) {
                    to.iter_mut().zip(row).for_each(|(to, advantage)| *to = advantage * share);
                }
                weights
            }
        };
        let sampled = SampledTokens { tokens: texts.targets(), weights: &later };
        let found =
            ops::head_expected_policy_loss(policy, judge, &weights, Some(sampled), options)?;
        let tokens = texts.tokens() as f64;
        let sum = |values: &[f32]| values.iter().map(|&x| f64::from(x)).sum::<f64>();
        let game = |name, value, unit| Metric::new(name, value, unit, Group::Game);
        let divergence = -sum(&found.ratios.expected) / tokens;
        let realness = sum(&found.ratios.sampled) / texts.batch() as f64;
        let mut metrics = vec![
            // KL(G || M) on the generator's own prefixes.
            game("divergence", divergence, Unit::NatsPerToken).live("KL(G || M)"),
            game("realness", realness, Unit::NatsPerText).live("realness"),
            sample_nll(fake),
        ];
        let mut loss = found.loss;
        if let Some(before) = &self.reference {
            let weight = self.config.reference / texts.tokens() as f32;
            let (before, generator) = (before.as_ref(), generator.as_ref());
            let (divergence, metric) =
                reference::divergence(generator, &hidden, before, fake, weight)?;
            metrics.push(metric);
            loss = (loss + divergence)?;
        }
        Ok(Loss::new(loss, metrics))
    }
}

/// The likelihood ratio of a language model and the generator as a discriminator.
pub(super) struct Ratio {
    pub model: Arc<dyn Generator>,
    pub generator: Arc<dyn Generator>,
    pub encoder: Option<Arc<NoiseEncoder>>,
}

impl Ratio {
    /// `softplus(-d(real)) + softplus(d(fake))`, means over texts, with a gradient for the language
    /// model alone.
    fn loss(&self, update: &Update, fake: &Generated) -> Result<Loss> {
        let real = Texts { sequences: &update.real, noise: None };
        let dropout = update.key.child("dropout");
        let (of_real, of_fake) = (dropout.child("real"), dropout.child("fake"));
        let real = self.ratio(&real, Mode::Train(&of_real))?;
        let fake = self.ratio(&fake.texts(), Mode::Train(&of_fake))?;
        let value = (softplus(&real.neg()?)?.mean_all()? + softplus(&fake)?.mean_all()?)?;
        let accuracy = Accuracy::of(|_, _| 0.0, &real.to_vec1()?, &fake.to_vec1()?);
        let share = |name, value, live| {
            Metric::new(name, value, Unit::Share, Group::Discriminator).live(live)
        };
        let loss = f64::from(value.to_scalar::<f32>()?);
        let metrics = vec![
            Metric::new("discriminator_loss", loss, Unit::Plain, Group::Game).live("D"),
            share("accuracy_real", accuracy.real, "right on real"),
            share("accuracy_fake", accuracy.fake, "right on generated"),
        ];
        Ok(Loss { value, metrics, accuracy: Some(accuracy) })
    }

    /// `d` of each text, `[batch]`, in nats.
    fn ratio(&self, texts: &Texts<'_>, mode: Mode<'_>) -> Result<Tensor> {
        let sequences = texts.sequences;
        let (batch, time) = (sequences.batch(), sequences.time());
        let (model, generator) = (self.model.as_ref(), self.generator.as_ref());
        let noise = match texts.noise {
            Some(noise) => noise.clone(),
            None => text_noise(generator, self.encoder.as_deref(), sequences)?,
        };
        let context = Context { noise: &noise, labels: sequences.labels() };
        let own = token_log_probs(generator, &context, sequences)?;
        let own = Tensor::from_vec(own, (batch, time), &Device::Cpu)?.sum(1)?;
        let noise = noise_for(model, &noise, batch)?;
        let context = Context { noise: &noise, labels: sequences.labels() };
        let hidden = model.hidden(&context, sequences, mode)?.flatten_to(1)?;
        let log_probs = ops::head_target_log_probs(
            &hidden,
            model.head(),
            sequences.targets(),
            &sequences.weights(),
            &[],
            model.precision(),
        )?;
        Ok((log_probs.reshape((batch, time))?.sum(1)? - own)?)
    }
}

impl Critic for Ratio {
    fn logits(&self, texts: &Texts<'_>) -> Result<Vec<f32>> {
        Ok(self.ratio(texts, Mode::Evaluate)?.detach().to_vec1()?)
    }

    /// The language model's mean log-probability of a token. On text that neither model would write
    /// the ratio says no more than whose tails are heavier.
    fn fluency(&self, texts: &Texts<'_>) -> Result<Vec<f32>> {
        let sequences = texts.sequences;
        let model = self.model.as_ref();
        let noise = match texts.noise {
            Some(noise) => noise_for(model, noise, sequences.batch())?,
            None => text_noise(model, self.encoder.as_deref(), sequences)?,
        };
        let context = Context { noise: &noise, labels: sequences.labels() };
        let log_probs = token_log_probs(model, &context, sequences)?;
        let rows = log_probs.chunks_exact(sequences.time()).zip(sequences.lengths());
        Ok(rows.map(|(row, &length)| row.iter().sum::<f32>() / length as f32).collect())
    }

    fn threshold(&self, _: f64, _: f64) -> f64 {
        0.0
    }
}

/// The generator's noise as the language model reads it: all of it, or none.
fn noise_for(model: &dyn Generator, noise: &Tensor, rows: usize) -> Result<Tensor> {
    match model.noise().dimension {
        0 => Ok(Tensor::from_vec(Vec::<f32>::new(), (rows, 0), &Device::Cpu)?),
        _ => Ok(noise.clone()),
    }
}
