use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{Alarms, GateConfig, ScheduleConfig};
use crate::algorithms::BuiltIn;

/// One `[[phase]]` table: settings that phases of all kinds have, and the keys of its own kind.
/// Phases run from top to bottom; each begins with fresh optimizers.
///
/// `O` is what a phase may be: the objectives of this crate, or an enum of them and of others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Phase<O = BuiltIn> {
    /// What this phase does.
    #[serde(flatten)]
    pub objective: O,
    /// What phases of all kinds are told.
    #[serde(flatten)]
    pub settings: PhaseSettings,
}

/// What phases of all kinds are told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PhaseSettings {
    /// Length of the phase in steps, where it does not end earlier; give this or `epochs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Length of the phase in passes of its first learner over its rows; give this or `steps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Goes on until the score has converged: the phase is repeated from where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub converge: Option<ConvergeConfig>,
    /// How all learning rates of the phase move.
    pub schedule: ScheduleConfig,
    /// What is measured while it lasts, how often, and when that ends it.
    pub evaluation: EvaluationConfig,
    /// What is watched for at each evaluation of a phase in which generator and discriminator play.
    pub alarms: Alarms,
    /// Holds the generator until the discriminator knows something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateConfig>,
    /// Which weights the phase hands on.
    pub keep: Keep,
    /// Gives generator and discriminator disjoint halves of the training text: a discriminator that
    /// sees the generator's own training text learns what was memorised rather than what is real.
    pub cross_fit: bool,
}

/// The keys of [`PhaseSettings`] in a `[[phase]]` table; all others are the objective's.
const SETTINGS: [&str; 9] = [
    "steps",
    "epochs",
    "converge",
    "schedule",
    "evaluation",
    "alarms",
    "gate",
    "keep",
    "cross_fit",
];

/// Until when a phase is repeated: until as many more updates as it has made would not have improved its
/// validation loss. Each round has the schedule anew, and is as long as all before it together: the
/// second as long as `steps`, the third twice that, and so on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConvergeConfig {
    /// By what share of itself a round must lower the loss for another to follow.
    pub improvement: f64,
    /// Rounds after the first, at most.
    pub rounds: u32,
}

impl Default for ConvergeConfig {
    fn default() -> Self {
        Self { improvement: 0.003, rounds: 1 }
    }
}

/// When a phase is evaluated, on what, and when it has converged: its score no longer improves.
///
/// The score of maximum likelihood is minus the validation loss. That of a game is `BLEU-4 of
/// samples against validation text - diversity_weight * Self-BLEU-4 of the samples`: quality counts
/// only as far as it is not bought with repetition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationConfig {
    /// Steps between two evaluations; with 0 there is one at the end alone. A game has one at its
    /// beginning besides.
    pub every: u64,
    /// Evaluations without improvement after which the phase ends; 0 runs to the step limit.
    pub patience: u32,
    /// By how much the score must rise to count as an improvement: nats per token, or points of
    /// BLEU.
    pub min_improvement: f64,
    /// What a point of Self-BLEU-4 costs in points of BLEU-4.
    pub diversity_weight: f64,
    /// Samples drawn where a phase has a discriminator, and held-out texts damaged.
    pub samples: usize,
    /// Pairs of words, such as `["is", "are"]`: how well the discriminator tells text in which one
    /// stands for the other is measured beside other damage.
    pub confusions: Vec<[String; 2]>,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self {
            every: 200,
            patience: 0,
            min_improvement: 0.0,
            diversity_weight: 0.5,
            samples: 500,
            confusions: Vec::new(),
        }
    }
}

/// Which weights a phase hands on when it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Keep {
    /// Those of its best evaluation, where it has a score; the beginning of a game is one of them.
    #[default]
    Best,
    /// Those of its last step.
    Last,
}

impl<O> Phase<O> {
    /// A phase of so many steps, with the settings that files begin with.
    pub fn of_steps(steps: u64, objective: impl Into<O>) -> Self {
        let settings = PhaseSettings { steps: Some(steps), ..PhaseSettings::default() };
        Self { objective: objective.into(), settings }
    }
}

impl<'de, O: DeserializeOwned> Deserialize<'de> for Phase<O> {
    /// The table is cut in two, so that each half can refuse keys that it does not know: serde's
    /// `flatten` cannot.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Map::<String, Value>::deserialize(deserializer)?;
        let (settings, own): (Map<_, _>, Map<_, _>) =
            table.into_iter().partition(|(key, _)| SETTINGS.contains(&key.as_str()));
        let settings = serde_json::from_value(Value::Object(settings)).map_err(D::Error::custom)?;
        let objective = serde_json::from_value(Value::Object(own)).map_err(|error| {
            let mut message = error.to_string();
            if message.contains("unknown field") {
                // A misspelt setting ends up here too.
                message += &format!(" or one of `{}`", SETTINGS.join("`, `"));
            }
            D::Error::custom(message)
        })?;
        Ok(Self { objective, settings })
    }
}

impl<O: JsonSchema> JsonSchema for Phase<O> {
    fn schema_name() -> Cow<'static, str> {
        format!("Phase_{}", O::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (own, settings) =
            (generator.subschema_for::<O>(), generator.subschema_for::<PhaseSettings>());
        json_schema!({
            "description": "One phase of training. Phases run from top to bottom; each begins with fresh optimizers.",
            "allOf": [own, settings]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_known_by_name() {
        let full = PhaseSettings {
            steps: Some(1),
            epochs: Some(1),
            converge: Some(ConvergeConfig::default()),
            gate: Some(GateConfig::default()),
            ..PhaseSettings::default()
        };
        let Ok(Value::Object(keys)) = serde_json::to_value(full) else { panic!("a table") };
        let keys: Vec<&str> = keys.keys().map(String::as_str).collect();
        assert_eq!(keys, SETTINGS);
    }

    #[test]
    fn a_phase_is_the_table_it_was_read_from() {
        let table = serde_json::json!({"kind": "maximum-likelihood", "steps": 3, "keep": "last"});
        let phase: Phase = serde_json::from_value(table).expect("a phase");
        assert_eq!((phase.settings.steps, phase.settings.keep), (Some(3), Keep::Last));
        let again: Phase =
            serde_json::from_value(serde_json::to_value(&phase).expect("JSON")).expect("a phase");
        assert_eq!(phase, again);
    }

    #[test]
    fn misspelt_keys_are_refused_with_all_that_are_known() {
        for (key, near) in [("stps", "`steps`"), ("learning_rat", "`learning_rate`")] {
            let table = serde_json::json!({"kind": "maximum-likelihood", key: 3});
            let error = serde_json::from_value::<Phase>(table).expect_err(key).to_string();
            assert!(error.contains(near) && error.contains(&format!("`{key}`")), "{error}");
        }
    }
}
