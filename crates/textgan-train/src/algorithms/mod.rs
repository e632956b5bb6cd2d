//! The algorithms of this crate: each file a paper's step, over the shared [`losses`](crate::losses).

mod adversarial;
mod discriminator;
mod distillation;
mod language_model;
mod likelihood_ratio;
mod maximum_likelihood;

pub use distillation::Distillation;
pub(crate) use distillation::writes;
pub use language_model::LanguageModel;
pub use likelihood_ratio::LikelihoodRatio;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{
    Adversarial, DiscriminatorOnly, MaximumLikelihood, OptimizerConfig, Problem, require,
};
use crate::objective::{Objective, OneOf, Plan};

/// The objectives of this crate, by the `kind` of a `[[phase]]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum BuiltIn {
    /// The generator learns to predict real text.
    MaximumLikelihood(MaximumLikelihood),
    /// The discriminator learns to tell real text from samples of a resting generator.
    Discriminator(DiscriminatorOnly),
    /// Both learn, in alternation.
    Adversarial(Adversarial),
    /// A second language model learns to predict real text.
    LanguageModel(LanguageModel),
    /// The generator plays against the likelihood ratio of that model and itself.
    LikelihoodRatio(LikelihoodRatio),
    /// The generator learns to predict what that model writes.
    Distillation(Distillation),
}

impl OneOf for BuiltIn {
    fn chosen(&self) -> &dyn Objective {
        match self {
            Self::MaximumLikelihood(objective) => objective,
            Self::Discriminator(objective) => objective,
            Self::Adversarial(objective) => objective,
            Self::LanguageModel(objective) => objective,
            Self::LikelihoodRatio(objective) => objective,
            Self::Distillation(objective) => objective,
        }
    }
}

impl From<MaximumLikelihood> for BuiltIn {
    fn from(objective: MaximumLikelihood) -> Self {
        Self::MaximumLikelihood(objective)
    }
}

impl From<DiscriminatorOnly> for BuiltIn {
    fn from(objective: DiscriminatorOnly) -> Self {
        Self::Discriminator(objective)
    }
}

impl From<Adversarial> for BuiltIn {
    fn from(objective: Adversarial) -> Self {
        Self::Adversarial(objective)
    }
}

impl From<LanguageModel> for BuiltIn {
    fn from(objective: LanguageModel) -> Self {
        Self::LanguageModel(objective)
    }
}

impl From<Distillation> for BuiltIn {
    fn from(objective: Distillation) -> Self {
        Self::Distillation(objective)
    }
}

impl From<LikelihoodRatio> for BuiltIn {
    fn from(objective: LikelihoodRatio) -> Self {
        Self::LikelihoodRatio(objective)
    }
}

/// The name of the generator as a learner.
const GENERATOR: &str = "generator";
/// The name of the discriminator as a learner.
const DISCRIMINATOR: &str = "discriminator";

/// An optimizer whose numbers make sense.
fn optimizer_problem(optimizer: &OptimizerConfig) -> Problem {
    require((0.0..1.0).contains(&optimizer.average), || {
        format!("the optimizer's average = {} is outside [0, 1)", optimizer.average)
    })
}

/// A plan with a discriminator.
fn needs_discriminator(plan: &Plan<'_>) -> Problem {
    require(plan.discriminator.is_some(), || "it needs a [discriminator] table".to_owned())
}
