use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::metric::MetricKind;

/// `summary.json`: what a run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Steps over all phases.
    pub steps: u64,
    /// Parameters of the generator.
    pub generator_parameters: u64,
    /// Parameters of the discriminator, where there is one.
    pub discriminator_parameters: Option<u64>,
    /// Sentences of the training split.
    pub train_sentences: u64,
    /// Sentences of the validation split.
    pub valid_sentences: u64,
    /// The phases, in order.
    pub phases: Vec<PhaseSummary>,
    /// Unit and group of every metric in `metrics.jsonl`, by name.
    pub metrics: BTreeMap<String, MetricKind>,
}

/// What a phase came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseSummary {
    /// The phase's `kind`.
    pub kind: String,
    /// Of a control: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// Steps made.
    pub steps: u64,
    /// Why it ended.
    pub ended: End,
    /// Updates, by learner.
    pub updates: BTreeMap<String, u64>,
    /// The step whose weights it handed on; absent if those of the last step.
    pub kept_step: Option<u64>,
    /// Best score: minus the validation loss, or the score of convergence.
    pub best_score: Option<f64>,
    /// Whether as many more updates improved its loss too little for another round, where that was
    /// measured.
    #[serde(default)]
    pub converged: Option<bool>,
    /// What the last evaluation measured.
    pub evaluation: BTreeMap<String, f64>,
}

/// Why a phase ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// It made all its steps.
    StepLimit,
    /// Nothing improved for as long as its patience.
    Converged,
    /// An alarm stopped it.
    Alarm,
    /// The discriminator never knew what the gate asks for.
    Gate,
}

impl PhaseSummary {
    /// Steps and last measurements in a line.
    pub(crate) fn facts(&self) -> String {
        let values = self
            .evaluation
            .iter()
            .map(|(name, value)| format!(", {} {value:.4}", name.replace('_', " ")));
        format!("{} steps{}", self.steps, values.collect::<String>())
    }
}

impl std::fmt::Display for PhaseSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let why = match self.ended {
            End::StepLimit => "at its step limit",
            End::Converged => "converged",
            End::Alarm => "stopped by an alarm",
            End::Gate => "ended at its gate, which the discriminator did not pass",
        };
        if let Some(control) = &self.control {
            write!(f, "control {control}: ")?;
        }
        write!(f, "{}: {} steps, {why}", self.kind, self.steps)?;
        match self.kept_step {
            Some(step) => write!(f, "; weights of step {step} kept"),
            None => Ok(()),
        }
    }
}
