use std::sync::Arc;

use textgan_models::{Generator, NoiseEncoder, Sequences, Sizes};
use textgan_nn::Parameters;
use textgan_random::Key;

use super::{GENERATOR, generator_parameters, optimizer_problem};
use crate::algorithm::{Algorithm, Learner, Loss, Measured};
use crate::config::{LatentConfig, MaximumLikelihood, Problem, positive, require};
use crate::data::Rows;
use crate::losses::likelihood;
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::objective::{Declared, Objective, Plan, Role};
use crate::step::Step;
use crate::{Error, Result};

impl Objective for MaximumLikelihood {
    fn kind(&self) -> &'static str {
        "maximum-likelihood"
    }

    fn role(&self) -> Role {
        Role::Generator
    }

    fn check(&self, plan: &Plan<'_>) -> Problem {
        positive("learning_rate", self.learning_rate)?;
        optimizer_problem(&self.optimizer)?;
        latent_problem(self.latent.as_ref(), plan)
    }

    fn at_rate(&self, learning_rate: f64) -> Option<Box<dyn Objective>> {
        Some(Box::new(Self { learning_rate, ..self.clone() }))
    }

    fn declares(&self) -> Vec<Declared> {
        self.latent.iter().filter_map(declared_encoder).collect()
    }

    fn declared_parameters(&self, plan: &Plan<'_>, sizes: &Sizes) -> Result<u64> {
        encoder_parameters(self.latent.as_ref(), plan, sizes)
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let writer = Writer::new(networks, self.latent.as_ref())?;
        Ok(Box::new(Fitting { config: self.clone(), writer }))
    }
}

/// Maximum likelihood under way.
struct Fitting {
    config: MaximumLikelihood,
    writer: Writer,
}

impl Algorithm for Fitting {
    fn learners(&self) -> Vec<Learner> {
        let parameters = self.writer.parameters.clone();
        let (optimizer, rate) = (&self.config.optimizer, self.config.learning_rate);
        vec![Learner::new(GENERATOR, parameters, optimizer, rate, Rows::Generator)]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let update = step.update(GENERATOR)?;
        let likelihood = self.writer.likelihood(&update.real, &update.key)?;
        let metrics = likelihood.metrics();
        step.descend(update, Loss::new(likelihood.loss, metrics))
    }

    /// With noise that an encoder tells, the loss that is learned. The likelihood with noise from its
    /// prior is another thing, which may get worse while what is learned still gets better.
    fn measure(&self, held_out: &[Sequences], key: &Key) -> Result<Measured> {
        let Some((config, encoder)) = &self.writer.latent else { return Ok(Measured::default()) };
        let generator = self.writer.generator.as_ref();
        let [loss, kl] = likelihood::held_out(generator, held_out, key, config, encoder)?;
        let group = Group::Likelihood;
        let metrics = vec![
            Metric::new("validation_latent_loss", loss, Unit::NatsPerToken, group),
            Metric::new("validation_kl", kl, Unit::NatsPerText, group),
        ];
        Ok(Measured { metrics, score: Some(-loss) })
    }
}

/// A generator that learns from real text, with the encoder of its noise where it has one.
pub(super) struct Writer {
    pub generator: Arc<dyn Generator>,
    pub latent: Option<(LatentConfig, Arc<NoiseEncoder>)>,
    /// Of both.
    pub parameters: Parameters,
}

impl Writer {
    pub fn new(networks: &mut Networks<'_>, latent: Option<&LatentConfig>) -> Result<Self> {
        let generator = networks.generator();
        let mut parameters = generator_parameters(generator.as_ref(), |_| true);
        let latent = match latent {
            Some(latent) if latent.learn => {
                let encoder = networks.encoder(&latent.encoder)?;
                parameters.share("encoder", encoder.parameters())?;
                Some((latent.clone(), encoder))
            }
            Some(latent) => match networks.found_encoder() {
                Some(encoder) => Some((latent.clone(), encoder)),
                None => return Err(Error::Train { problem: UNTAUGHT.to_owned() }),
            },
            None => None,
        };
        Ok(Self { generator, latent, parameters })
    }

    pub fn likelihood(&self, real: &Sequences, key: &Key) -> Result<likelihood::Likelihood> {
        let latent = self.latent.as_ref().map(|(config, encoder)| (config, encoder.as_ref()));
        likelihood::likelihood(self.generator.as_ref(), real, key, latent)
    }
}

const UNTAUGHT: &str = "latent.learn = false keeps what an earlier phase has taught the encoder, and none \
                        has: put a phase with latent before it that learns";

/// A latent objective that can work.
pub(super) fn latent_problem(latent: Option<&LatentConfig>, plan: &Plan<'_>) -> Problem {
    let Some(latent) = latent else { return Ok(()) };
    require(plan.noise.dimension > 0, || {
        "latent needs noise, and noise.dimension is 0".to_owned()
    })?;
    let taught = || plan.phases.iter().flat_map(|phase| phase.objective.declares());
    require(latent.learn || taught().any(|network| network.name == ENCODER), || {
        UNTAUGHT.to_owned()
    })?;
    require((0.0..=1.0).contains(&latent.prior_share), || {
        format!("latent.prior_share = {} is outside 0 to 1", latent.prior_share)
    })?;
    require(latent.rate >= 0.0, || format!("latent.rate = {} must not be negative", latent.rate))
}

/// The name of the encoder among the networks.
const ENCODER: &str = "latent.encoder";

/// The encoder that a latent objective teaches, by its config.
pub(super) fn declared_encoder(latent: &LatentConfig) -> Option<Declared> {
    let config = serde_json::json!(latent.encoder);
    latent.learn.then_some(Declared { name: ENCODER, config })
}

/// The number of the encoder's weights.
pub(super) fn encoder_parameters(
    latent: Option<&LatentConfig>,
    plan: &Plan<'_>,
    sizes: &Sizes,
) -> Result<u64> {
    match latent {
        Some(latent) if latent.learn => Ok(latent.encoder.parameter_count(plan.noise, sizes)?),
        _ => Ok(0),
    }
}
