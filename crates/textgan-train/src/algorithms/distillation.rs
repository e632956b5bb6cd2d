use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_models::Generator;
use textgan_nn::{Mode, ops};

use super::language_model::LANGUAGE_MODEL;
use super::{GENERATOR, generator_learner, optimizer_problem};
use crate::algorithm::{Algorithm, Learner, Loss};
use crate::config::{OptimizerConfig, Problem, positive, require};
use crate::generated::Generated;
use crate::metric::{Group, Metric, Unit};
use crate::networks::Networks;
use crate::objective::{Objective, Plan, Role};
use crate::step::Step;
use crate::{Error, Result};

/// `kind = "distillation"`: the generator learns to predict what the language model of an earlier
/// phase writes (sequence-level distillation; Kim and Rush, 2016), noise and label being the same.
///
/// The same teacher as in a game of likelihood ratios, but off-policy: what it shows is what being
/// on-policy is worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Distillation {
    /// Full learning rate.
    pub learning_rate: f64,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
}

impl Default for Distillation {
    fn default() -> Self {
        Self { learning_rate: 1e-3, optimizer: OptimizerConfig::default() }
    }
}

/// Whether a phase of the plan makes a language model.
pub(crate) fn writes(plan: &Plan<'_>) -> bool {
    let mut declared = plan.phases.iter().flat_map(|phase| phase.objective.declares());
    declared.any(|network| network.name == LANGUAGE_MODEL)
}

impl Objective for Distillation {
    fn kind(&self) -> &'static str {
        "distillation"
    }

    fn role(&self) -> Role {
        Role::Generator
    }

    fn check(&self, plan: &Plan<'_>) -> Problem {
        require(writes(plan), || {
            "it learns from a language model: put a phase with kind = \"language-model\" before it"
                .to_owned()
        })?;
        positive("learning_rate", self.learning_rate)?;
        optimizer_problem(&self.optimizer)
    }

    fn begin(&self, networks: &mut Networks<'_>) -> Result<Box<dyn Algorithm>> {
        let teacher = networks.found_writer(LANGUAGE_MODEL).ok_or_else(|| Error::Train {
            problem: "there is no language model yet: its phase must come first".to_owned(),
        })?;
        let generator = networks.generator();
        Ok(Box::new(Distilling { config: self.clone(), teacher, generator }))
    }
}

/// Distillation under way.
struct Distilling {
    config: Distillation,
    teacher: Arc<dyn Generator>,
    generator: Arc<dyn Generator>,
}

impl Algorithm for Distilling {
    fn learners(&self) -> Vec<Learner> {
        let (optimizer, rate) = (&self.config.optimizer, self.config.learning_rate);
        vec![generator_learner(self.generator.as_ref(), optimizer, rate)]
    }

    fn step(&self, step: &mut Step<'_, '_>) -> Result<()> {
        let update = step.update(GENERATOR)?;
        let taught = step.sample(&update, self.teacher.as_ref())?;
        let (texts, generator) = (&taught.sequences, self.generator.as_ref());
        // A teacher that is blind to the noise says nothing of it.
        let noise = match self.teacher.noise().dimension == generator.noise().dimension {
            true => taught.noise.clone(),
            false => {
                let key = update.key.child("noise");
                crate::losses::likelihood::noise(generator, &key, 0, texts.batch())?
            }
        };
        let read = Generated { noise, ..taught.clone() };
        let tokens = texts.tokens() as f32;
        let weights: Vec<f32> = texts.weights().into_iter().map(|weight| weight / tokens).collect();
        let dropout = update.key.child("dropout");
        let hidden =
            generator.hidden(&read.context(), texts, Mode::Train(&dropout))?.flatten_to(1)?;
        let precision = generator.precision();
        let head = generator.head();
        let loss =
            ops::head_cross_entropy(&hidden, head, texts.targets(), &weights, precision)?.loss;
        let nll = f64::from(loss.to_scalar::<f32>()?);
        let metric = Metric::new("taught_nll", nll, Unit::NatsPerToken, Group::Likelihood);
        step.descend(update, Loss::new(loss, vec![metric.live("loss")]))
    }
}
