//! The algorithms of this crate: each file a paper's step, over the shared [`losses`](crate::losses).

mod adversarial;
mod arae;
mod araml;
mod blanks;
mod catgan;
mod codes;
mod coldgan;
mod cot;
mod dense;
mod discriminator;
mod distillation;
mod jsdgan;
mod language_model;
mod leakgan;
mod likelihood_ratio;
mod maligan;
mod maskgan;
mod maximum_likelihood;
mod pg_bleu;
mod professor_forcing;
mod rankgan;
mod scheduled_sampling;
mod self_play;
mod selfgan;
mod sentigan;
mod tailr;
mod textgail;
mod textgan;
mod turns;
mod unlikelihood;

pub use arae::Arae;
pub use araml::Araml;
pub use catgan::Catgan;
pub use coldgan::Coldgan;
pub use cot::Cot;
pub use dense::Dense;
pub use distillation::Distillation;
pub(crate) use distillation::writes;
pub use jsdgan::Jsdgan;
pub use language_model::LanguageModel;
pub use leakgan::Leakgan;
pub use likelihood_ratio::{Later, LikelihoodRatio};
pub use maligan::Maligan;
pub use maskgan::Maskgan;
pub use pg_bleu::PgBleu;
pub use professor_forcing::ProfessorForcing;
pub use rankgan::Rankgan;
pub use scheduled_sampling::ScheduledSampling;
pub use self_play::{Ddo, Spin};
pub use selfgan::Selfgan;
pub use sentigan::Sentigan;
pub use tailr::Tailr;
pub use textgail::Textgail;
pub use textgan::Textgan;
pub use unlikelihood::Unlikelihood;

use candle_core::Tensor;
use schemars::{JsonSchema, Schema};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use textgan_models::{Discriminator, Generator, Sequences, Tokens};
use textgan_nn::{Mode, Parameters};

use crate::Result;
use crate::algorithm::Learner;
use crate::config::{
    Adversarial, DiscriminatorOnly, MaximumLikelihood, OptimizerConfig, Problem, require,
};
use crate::data::Rows;
use crate::objective::{Objective, OneOf};

/// The objectives of this crate, by the `kind` of a `[[phase]]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
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
    /// The generator plays against a network that judges every word that could come next.
    Dense(Dense),
    /// TaiLr: likelihood that need not cover what the generator thinks impossible.
    Tailr(Tailr),
    /// Likelihood that unlearns repetition.
    Unlikelihood(Unlikelihood),
    /// PG-BLEU: the policy gradient of BLEU.
    PgBleu(PgBleu),
    /// MaliGAN: samples weigh as much as the odds that they are real.
    Maligan(Maligan),
    /// RankGAN: samples earn their rank among real texts.
    Rankgan(Rankgan),
    /// CoT: cooperative training with a mediator.
    Cot(Cot),
    /// DDO: the generator against itself, by the logistic loss of its own likelihood ratio.
    Ddo(Ddo),
    /// SPIN: the generator against itself, in pairs of a real text and one of its own.
    Spin(Spin),
    /// SelfGAN: likelihood of those samples that the discriminator chooses.
    Selfgan(Selfgan),
    /// TextGAN: features of real and of generated text are matched.
    Textgan(Textgan),
    /// TextGAIL: imitation by proximal policy optimisation, with demonstrations.
    Textgail(Textgail),
    /// CatGAN: the fittest of several losses' children.
    Catgan(Catgan),
    /// ARAE: codes of noise that cannot be told from codes of texts.
    Arae(Arae),
    /// ARAML: likelihood of texts near to real ones, as the discriminator likes them.
    Araml(Araml),
    /// ColdGAN: samples at a low temperature, weighed for what they are.
    Coldgan(Coldgan),
    /// JSDGAN: the Jensen-Shannon divergence from the training text, in closed form.
    Jsdgan(Jsdgan),
    /// Likelihood, and states that do not tell reading from writing.
    ProfessorForcing(ProfessorForcing),
    /// Likelihood of text of which some words are read as the generator would write them.
    ScheduledSampling(ScheduledSampling),
    /// SentiGAN: a discriminator of categories, whose penalty the generator minimises.
    Sentigan(Sentigan),
    /// LeakGAN: a worker, and a manager that is told the discriminator's features.
    Leakgan(Leakgan),
    /// MaskGAN: blanks of real texts are filled in.
    Maskgan(Maskgan),
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
            Self::Dense(objective) => objective,
            Self::Tailr(objective) => objective,
            Self::Unlikelihood(objective) => objective,
            Self::PgBleu(objective) => objective,
            Self::Maligan(objective) => objective,
            Self::Rankgan(objective) => objective,
            Self::Cot(objective) => objective,
            Self::Ddo(objective) => objective,
            Self::Spin(objective) => objective,
            Self::Selfgan(objective) => objective,
            Self::Textgan(objective) => objective,
            Self::Textgail(objective) => objective,
            Self::Catgan(objective) => objective,
            Self::Sentigan(objective) => objective,
            Self::ScheduledSampling(objective) => objective,
            Self::ProfessorForcing(objective) => objective,
            Self::Jsdgan(objective) => objective,
            Self::Coldgan(objective) => objective,
            Self::Araml(objective) => objective,
            Self::Arae(objective) => objective,
            Self::Leakgan(objective) => objective,
            Self::Maskgan(objective) => objective,
        }
    }
}

/// What a `[[phase]]` may be in a program with objectives of its own: `Own`, an enum of them that is
/// tagged by `kind`, or one of [`BuiltIn`].
///
/// A table is read as what its `kind` says, so what is wrong with it is said as of any other; serde's
/// `untagged` would only say that nothing fits.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(clippy::large_enum_variant, reason = "there are as many as phases, a handful")]
pub enum Extended<Own> {
    /// One of the program's own.
    Own(Own),
    /// One of the library's.
    BuiltIn(BuiltIn),
}

impl<Own: OneOf> OneOf for Extended<Own> {
    fn chosen(&self) -> &dyn Objective {
        match self {
            Self::Own(own) => own.chosen(),
            Self::BuiltIn(objective) => objective.chosen(),
        }
    }
}

impl<'de, Own: DeserializeOwned> Deserialize<'de> for Extended<Own> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let table = Value::deserialize(deserializer)?;
        let kind = table.get("kind").and_then(Value::as_str).unwrap_or_default();
        if kinds::<BuiltIn>().iter().any(|known| known == kind) {
            return serde_json::from_value(table).map(Self::BuiltIn).map_err(D::Error::custom);
        }
        serde_json::from_value(table).map(Self::Own).map_err(|error| {
            let mut message = error.to_string();
            if message.contains("unknown variant") {
                message += &format!(" or one of `{}`", kinds::<BuiltIn>().join("`, `"));
            }
            D::Error::custom(message)
        })
    }
}

impl<Own: JsonSchema> JsonSchema for Extended<Own> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Extended_{}", Own::schema_name()).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> Schema {
        let (own, built_in) =
            (generator.subschema_for::<Own>(), generator.subschema_for::<BuiltIn>());
        schemars::json_schema!({ "anyOf": [own, built_in] })
    }
}

/// The values of `kind` that an enum has, by its schema.
fn kinds<O: JsonSchema>() -> Vec<String> {
    let schema = schemars::schema_for!(O).to_value();
    let variants = schema["oneOf"].as_array().into_iter().flatten();
    variants
        .filter_map(|variant| variant["properties"]["kind"]["const"].as_str().map(str::to_owned))
        .collect()
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

/// A learner that moves the generator alone, under the same names of weights as in maximum likelihood.
fn generator_learner(
    generator: &dyn Generator,
    optimizer: &OptimizerConfig,
    learning_rate: f64,
) -> Learner {
    let parameters = generator_parameters(generator, |_| true);
    Learner::new(GENERATOR, parameters, optimizer, learning_rate, Rows::Generator)
}

/// The weights that are the generator's to learn, under the names that they have in every phase: of those, such as
/// are `chosen` by their own.
fn generator_parameters(generator: &dyn Generator, chosen: impl Fn(&str) -> bool) -> Parameters {
    let mut parameters = Parameters::new();
    for (name, variable) in generator.parameters().iter() {
        if !generator.is_told(name) && chosen(name) {
            let inserted = parameters.insert(format!("{GENERATOR}.{name}"), variable.clone());
            debug_assert!(inserted.is_ok(), "invariant: a store has no name twice");
        }
    }
    parameters
}

/// What a discriminator's logit of whole texts is made of, `[texts, features]`.
fn whole_features(
    network: &dyn Discriminator,
    tokens: &Tokens<'_>,
    texts: &Sequences,
    mode: Mode<'_>,
) -> Result<Tensor> {
    let all = network.features(tokens, texts.lengths(), mode)?;
    let (rows, places, width) = all.dims3()?;
    let last = texts.lengths().iter().enumerate();
    let last = last.map(|(row, &length)| (row * places + length.min(places) - 1) as u32);
    let last = Tensor::from_iter(last, all.device())?;
    Ok(all.reshape((rows * places, width))?.index_select(&last, 0)?)
}

/// An optimizer whose numbers make sense.
fn optimizer_problem(optimizer: &OptimizerConfig) -> Problem {
    require((0.0..1.0).contains(&optimizer.average), || {
        format!("the optimizer's average = {} is outside [0, 1)", optimizer.average)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
    enum Own {
        Mine { weight: f32 },
    }

    #[test]
    fn an_extended_choice_says_what_is_wrong_with_either_half() {
        assert_eq!(kinds::<BuiltIn>().len(), 28);
        let read = |text| serde_json::from_str::<Extended<Own>>(text);
        let own = read(r#"{"kind": "mine", "weight": 2}"#).unwrap();
        assert_eq!(own, Extended::Own(Own::Mine { weight: 2.0 }));
        let text = serde_json::to_string(&own).unwrap();
        assert_eq!(read(&text).unwrap(), own);
        let built_in = read(r#"{"kind": "language-model", "blind": true}"#).unwrap();
        assert!(matches!(built_in, Extended::BuiltIn(BuiltIn::LanguageModel(_))));
        for (text, expect) in [
            (r#"{"kind": "mine", "wieght": 2}"#, "unknown field `wieght`"),
            (r#"{"kind": "language-model", "blnd": true}"#, "unknown field `blnd`"),
            (r#"{"kind": "mien"}"#, "expected `mine` or one of `maximum-likelihood`"),
            (r#"{"weight": 2}"#, "missing field `kind`"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expect), "{text}: {error}");
        }
    }
}
