use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::{
    Context, Generator, GeneratorConfig, LstmConfig, NoiseConfig, NoiseEncoder, Placement,
    Sequences, Sizes, token_log_probs,
};
use textgan_nn::{Mode, ops};
use textgan_random::Key;

use super::likelihood_ratio::Ratio;
use super::{DISCRIMINATOR, optimizer_problem};
use crate::Result;
use crate::algorithm::{Algorithm, Critic, Learner, Loss, Measured};
use crate::config::{OptimizerConfig, Problem, positive, require};
use crate::data::Rows;
use crate::losses::likelihood::{guessed_noise, noise, told};
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::objective::{Declared, Objective, Plan, Role};
use crate::step::Step;

/// The name of the language model among the networks.
pub(super) const LANGUAGE_MODEL: &str = "language-model";

/// `kind = "language-model"`: a second language model `M`, usually larger than the generator, learns
/// to predict real text. It is the likelihood-ratio discriminator of a later phase: how real a word
/// looks is `ln M - ln G`.
///
/// Where the run has an encoder of the generator's noise, `M` reads that noise too, so that both
/// models speak of the same text and noise, as discriminators of pairs do (Dumoulin et al., 2017;
/// Donahue et al., 2017). One that is blind to the noise would teach the generator to ignore it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LanguageModel {
    /// Its network.
    pub network: GeneratorConfig,
    /// Full learning rate.
    pub learning_rate: f64,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// Share of the texts of a batch that are read with noise from the prior instead of the
    /// encoder's: as in the generator's own latent objective.
    pub prior_share: f32,
    /// Leaves the noise out even where there is an encoder.
    pub blind: bool,
}

impl Default for LanguageModel {
    fn default() -> Self {
        let network = LstmConfig { embedding: 96, hidden: 192, ..LstmConfig::default() };
        Self {
            network: GeneratorConfig::Lstm(network),
            learning_rate: 3e-3,
            optimizer: OptimizerConfig::default(),
            prior_share: 0.0,
            blind: false,
        }
    }
}

impl Objective for LanguageModel {
    fn kind(&self) -> &'static str {
        "language-model"
    }

    fn role(&self) -> Role {
        Role::Discriminator
    }

    fn check(&self, _: &Plan<'_>) -> Problem {
        positive("learning_rate", self.learning_rate)?;
        require((0.0..=1.0).contains(&self.prior_share), || {
            format!("prior_share = {} is outside 0 to 1", self.prior_share)
        })?;
        optimizer_problem(&self.optimizer)
    }

    fn declares(&self) -> Vec<Declared> {
        vec![Declared {
            name: LANGUAGE_MODEL,
            config: serde_json::json!([self.network, self.blind]),
        }]
    }

    fn declared_parameters(&self, plan: &Plan<'_>, sizes: &Sizes) -> Result<u64> {
        Ok(self.network.parameter_count(plan.noise, sizes)?)
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let encoder = networks.found_encoder().filter(|_| !self.blind);
        let dimension = encoder.as_ref().map_or(0, |_| networks.plan().noise.dimension);
        let noise = NoiseConfig { dimension, placement: Placement::Every, code: None };
        let model = networks.writer(LANGUAGE_MODEL, &self.network, &noise)?;
        let critic = Ratio { model, generator: networks.generator(), encoder };
        Ok(Box::new(Fitting { config: self.clone(), critic }))
    }
}

/// The language model's own phase under way.
struct Fitting {
    config: LanguageModel,
    critic: Ratio,
}

impl Algorithm for Fitting {
    fn learners(&self) -> Vec<Learner> {
        let parameters = self.critic.model.parameters().clone();
        let (optimizer, rate) = (&self.config.optimizer, self.config.learning_rate);
        let reads = Rows::Discriminator;
        let learner = Learner::new(DISCRIMINATOR, parameters, optimizer, rate, reads);
        vec![Learner { carries: true, ..learner }]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let update = step.update(DISCRIMINATOR)?;
        let (real, model) = (&update.real, self.critic.model.as_ref());
        let draws = noise(model, &update.key.child("noise"), 0, real.batch())?;
        let noise = match &self.critic.encoder {
            Some(encoder) => {
                let told = told(real.batch(), self.config.prior_share)?;
                guessed_noise(encoder, real, &draws, &told)?
            }
            None => draws,
        };
        let context = Context { noise: &noise, labels: real.labels() };
        let tokens = real.tokens() as f32;
        let weights: Vec<f32> = real.weights().into_iter().map(|weight| weight / tokens).collect();
        let dropout = update.key.child("dropout");
        let hidden = model.hidden(&context, real, Mode::Train(&dropout))?.flatten_to(1)?;
        let targets = real.targets();
        let loss =
            ops::head_cross_entropy(&hidden, model.head(), targets, &weights, model.precision())?
                .loss;
        let nll = f64::from(loss.to_scalar::<f32>()?);
        let metric = Metric::new("language_model_nll", nll, Unit::NatsPerToken, Group::Likelihood);
        step.descend(update, Loss::new(loss, vec![metric.live("loss")]))
    }

    fn critic(&self) -> Option<&dyn Critic> {
        Some(&self.critic)
    }

    fn measure(&self, held_out: &[Sequences], _: &Key) -> Result<Measured> {
        let Ratio { model, encoder, .. } = &self.critic;
        let (mut total, mut tokens) = (0.0, 0);
        for texts in held_out {
            let noise = text_noise(model.as_ref(), encoder.as_deref(), texts)?;
            let context = Context { noise: &noise, labels: texts.labels() };
            let log_probs = token_log_probs(model.as_ref(), &context, texts)?;
            total -= log_probs.iter().map(|&x| f64::from(x)).sum::<f64>();
            tokens += texts.tokens();
        }
        let nll = total / tokens as f64;
        let name = "language_model_validation_loss";
        let metric = Metric::new(name, nll, Unit::NatsPerToken, Group::Likelihood);
        Ok(Measured { metrics: vec![metric], score: Some(-nll) })
    }
}

/// The noise that `model` reads real `texts` with: the encoder's best guess, or none.
pub(super) fn text_noise(
    model: &dyn Generator,
    encoder: Option<&NoiseEncoder>,
    texts: &Sequences,
) -> Result<candle_core::Tensor> {
    match encoder {
        Some(encoder) if model.noise().dimension > 0 => {
            Ok(encoder.posterior(texts, Mode::Evaluate)?.0.detach())
        }
        _ => noise(model, &Key::root(0), 0, texts.batch()),
    }
}
