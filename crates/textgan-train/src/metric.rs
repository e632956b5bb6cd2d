//! A measured number, with what a reader of plots must know of it.

use serde::{Deserialize, Serialize};

/// A number that an update or an evaluation found.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name in `metrics.jsonl`.
    pub name: &'static str,
    /// The number.
    pub value: f64,
    /// What it is counted in, and what it is drawn beside.
    pub kind: MetricKind,
    /// The short name under which it stands beside the progress bar, if it does.
    pub live: Option<&'static str>,
}

/// Unit and group of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricKind {
    /// What it is counted in.
    pub unit: Unit,
    /// What it is drawn beside.
    pub group: Group,
}

/// What a metric is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Nats a token.
    NatsPerToken,
    /// Nats a text.
    NatsPerText,
    /// A share of 1.
    Share,
    /// A number without unit.
    Plain,
}

/// Metrics that belong in one chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// How well text is predicted.
    Likelihood,
    /// What the players of the game descend.
    Game,
    /// How well the discriminator tells real from generated or damaged text.
    Discriminator,
    /// Quality and diversity of samples.
    Samples,
    /// Gradients and learning rates.
    Optimizer,
}

impl Metric {
    /// A metric without a place beside the bar.
    pub fn new(name: &'static str, value: f64, unit: Unit, group: Group) -> Self {
        Self { name, value, kind: MetricKind { unit, group }, live: None }
    }

    /// The same, shown beside the progress bar as `name`.
    pub fn live(self, name: &'static str) -> Self {
        Self { live: Some(name), ..self }
    }
}
