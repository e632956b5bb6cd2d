use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a discriminator must know before the generator moves in a game. At each evaluation it is
/// shown held-out text and the same text damaged; how well it tells them apart is the area under the
/// ROC curve: 0.5 is guessing, 1 is never wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GateConfig {
    /// The least area under the curve, for each kind of damage in `on`.
    pub auc: f64,
    /// The kinds of damage that count.
    pub on: Vec<Damage>,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self { auc: 0.8, on: vec![Damage::Swapped, Damage::Replaced] }
    }
}

/// A way to damage a text at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Damage {
    /// Two neighbours are swapped.
    Swapped,
    /// A word is replaced by another of the vocabulary.
    Replaced,
    /// The text ends too early.
    Cut,
    /// A word of `evaluation.confusions` is replaced by its other.
    Confused,
}

impl Damage {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Swapped, Self::Replaced, Self::Cut, Self::Confused];
}
