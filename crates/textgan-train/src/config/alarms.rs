use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is watched for at each evaluation of an adversarial phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Alarms {
    /// The generator repeats itself.
    pub collapse: CollapseAlarm,
    /// The discriminator has nothing left to teach.
    pub discriminator_won: WonAlarm,
    /// The discriminator has learned nothing.
    pub discriminator_blind: BlindAlarm,
}

/// Rings when the discriminator does not tell damaged text from real text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BlindAlarm {
    /// Rings when the mean area under the ROC curve, over swapped neighbours and replaced words, is
    /// below this.
    pub auc_below: f64,
    /// What happens then.
    pub action: AlarmAction,
}

impl Default for BlindAlarm {
    fn default() -> Self {
        Self { auc_below: 0.6, action: AlarmAction::Report }
    }
}

/// Rings when distinct bigrams of the samples become rare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CollapseAlarm {
    /// Rings below this fraction of what the phase began with.
    pub distinct_bigrams_below: f64,
    /// What happens then.
    pub action: AlarmAction,
}

impl Default for CollapseAlarm {
    fn default() -> Self {
        Self { distinct_bigrams_below: 0.5, action: AlarmAction::Report }
    }
}

/// Rings when the discriminator is right about nearly everything for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WonAlarm {
    /// Rings above this accuracy (mean of real and generated, averaged over recent updates) ...
    pub accuracy_above: f64,
    /// ... at this many evaluations in a row.
    pub for_evaluations: u32,
    /// What happens then.
    pub action: AlarmAction,
}

impl Default for WonAlarm {
    fn default() -> Self {
        Self { accuracy_above: 0.98, for_evaluations: 3, action: AlarmAction::Report }
    }
}

/// What an alarm does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AlarmAction {
    /// Says so, in the terminal and in `metrics.jsonl`.
    #[default]
    Report,
    /// Says so and ends the phase, which then hands on what `keep` asks for.
    Stop,
    /// Says so, puts the weights of the best evaluation (or of the phase's beginning) back, and
    /// goes on with half the learning rates; the third time it ends the phase.
    RollBack,
}
