//! What the stages write, as far as a report reads it. Keys that are unknown here are passed over
//! and most known ones may be absent, so a report can be made of an older or newer run.

use serde::Deserialize;
use std::collections::BTreeMap;

/// A line of `metrics.jsonl`.
#[derive(Deserialize)]
pub(crate) struct Line {
    pub event: String,
    #[serde(default)]
    pub phase: usize,
    #[serde(default)]
    pub kind: String,
    pub step: u64,
    #[serde(default)]
    pub note: Option<String>,
    #[serde(default)]
    pub values: BTreeMap<String, Option<f64>>,
    #[serde(default)]
    pub kinds: BTreeMap<String, MetricKind>,
}

/// A line of `samples.jsonl`.
#[derive(Deserialize)]
pub(crate) struct Sample {
    #[serde(default)]
    pub phase: usize,
    pub step: u64,
    pub index: usize,
    #[serde(default)]
    pub label: Option<String>,
    #[serde(default)]
    pub greedy: Option<String>,
    #[serde(default)]
    pub sampled: Option<String>,
}

/// `summary.json`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Training {
    pub generator_parameters: u64,
    pub discriminator_parameters: Option<u64>,
    pub train_sentences: u64,
    pub valid_sentences: u64,
    pub phases: Vec<Phase>,
}

impl Training {
    /// The numbers of the phases that made controls.
    pub fn controls(&self) -> Vec<usize> {
        let phases = self.phases.iter().enumerate();
        phases.filter(|(_, phase)| phase.control.is_some()).map(|(number, _)| number).collect()
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Phase {
    pub kind: String,
    pub control: Option<String>,
    pub steps: u64,
    pub ended: String,
    pub updates: BTreeMap<String, u64>,
    pub kept_step: Option<u64>,
}

/// What a number of `metrics.jsonl` is counted in, and what it is drawn beside.
#[derive(Deserialize, Clone, Copy, PartialEq)]
pub(crate) struct MetricKind {
    pub unit: Unit,
    pub group: Group,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unit {
    NatsPerToken,
    NatsPerText,
    Share,
    #[serde(other)]
    Plain,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Group {
    Likelihood,
    Game,
    Discriminator,
    Samples,
    Optimizer,
    #[serde(other)]
    Other,
}

/// `evaluation.json`.
#[derive(Deserialize)]
pub(crate) struct Evaluation {
    #[serde(default)]
    pub tokens: String,
    pub model: Scores,
    #[serde(default)]
    pub baseline: Option<Scores>,
    #[serde(default)]
    pub changes: Vec<Change>,
    #[serde(default)]
    pub texts: Vec<ShownText>,
    #[serde(default)]
    pub controls: Vec<ControlScores>,
    #[serde(default)]
    pub judgement: Option<Judgement>,
    #[serde(default)]
    pub training_text: Vec<Measure>,
    #[serde(default)]
    pub held_out: Option<Memorisation>,
}

/// A text, and what stands beside it.
#[derive(Deserialize)]
pub(crate) struct ShownText {
    #[serde(default)]
    pub label: Option<String>,
    pub model: String,
    #[serde(default)]
    pub baseline: Option<String>,
    #[serde(default)]
    pub real: Option<String>,
}

/// The curve of a control.
#[derive(Deserialize)]
pub(crate) struct ControlScores {
    pub name: String,
    pub sweep: Sweep,
}

/// A line of `log.jsonl`.
#[derive(Deserialize)]
pub(crate) struct LogLine {
    pub time: u64,
    #[serde(default)]
    pub stage: String,
    #[serde(default)]
    pub event: String,
    #[serde(default)]
    pub seconds: Option<f64>,
    #[serde(default)]
    pub threads: usize,
    #[serde(default)]
    pub instruction_set: String,
    #[serde(default)]
    pub machine: String,
}

/// The verdict on the game.
#[derive(Deserialize)]
pub(crate) struct Judgement {
    #[serde(default)]
    pub outcome: Verdict,
    pub sentence: String,
    #[serde(default)]
    pub findings: Vec<Finding>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Better,
    Worse,
    #[default]
    #[serde(other)]
    Open,
}

#[derive(Deserialize)]
pub(crate) struct Finding {
    pub pair: Pair,
    pub rivals: Vec<Rival>,
}

#[derive(Clone, PartialEq, Deserialize)]
pub(crate) struct Pair {
    pub quality: String,
    pub diversity: String,
}

#[derive(Deserialize)]
pub(crate) struct Rival {
    pub name: String,
    pub range: [f64; 2],
    pub model: f64,
    pub rival: f64,
    pub advantage: Advantage,
}

#[derive(Deserialize)]
pub(crate) struct Advantage {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
}

#[derive(Deserialize)]
pub(crate) struct Scores {
    #[serde(default)]
    pub temperature: Option<Choice>,
    pub measures: Vec<Measure>,
    #[serde(default)]
    pub sweep: Option<Sweep>,
    #[serde(default)]
    pub memorisation: Option<Audit>,
}

#[derive(Deserialize)]
pub(crate) struct Audit {
    pub samples: Memorisation,
    #[serde(default)]
    pub beyond: Vec<Change>,
}

#[derive(Deserialize)]
pub(crate) struct Memorisation {
    pub texts: usize,
    pub measures: Vec<Measure>,
    #[serde(default)]
    pub runs: Vec<usize>,
    #[serde(default)]
    pub longest: Vec<CopiedRun>,
}

impl Memorisation {
    pub fn get(&self, name: &str) -> Option<&Measure> {
        self.measures.iter().find(|measure| measure.name == name)
    }
}

#[derive(Deserialize)]
pub(crate) struct CopiedRun {
    pub tokens: u64,
    pub run: String,
    pub text: String,
    pub training: String,
}

#[derive(Deserialize)]
pub(crate) struct Sweep {
    pub temperatures: Vec<f64>,
    pub measures: Vec<Swept>,
    #[serde(default)]
    pub published: Vec<PublishedCurve>,
}

#[derive(Deserialize)]
pub(crate) struct Swept {
    pub name: String,
    #[serde(default)]
    pub protocol: String,
    pub values: Vec<Option<f64>>,
    /// Of disjoint batches, `[temperature][batch]`.
    #[serde(default)]
    pub batches: Vec<Vec<f64>>,
}

impl Sweep {
    pub fn get(&self, name: &str) -> Option<&Swept> {
        self.measures.iter().find(|measure| measure.name == name)
    }
}

#[derive(Deserialize)]
pub(crate) struct Point {
    pub temperature: f64,
    pub quality: f64,
    pub diversity: f64,
}

#[derive(Deserialize)]
pub(crate) struct PublishedCurve {
    pub name: String,
    #[serde(default)]
    pub quality: String,
    #[serde(default)]
    pub diversity: String,
    #[serde(default)]
    pub source: String,
    pub points: Vec<Point>,
}

#[derive(Deserialize)]
pub(crate) struct Choice {
    pub temperature: f64,
    #[serde(default)]
    pub rule: String,
    #[serde(default)]
    pub candidates: Vec<Candidate>,
}

#[derive(Deserialize)]
pub(crate) struct Candidate {
    pub temperature: f64,
    pub bleu_4: f64,
    pub self_bleu_4: f64,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Better {
    Higher,
    Lower,
    #[default]
    #[serde(other)]
    Neither,
}

#[derive(Deserialize)]
pub(crate) struct Measure {
    pub name: String,
    pub value: Option<f64>,
    #[serde(default)]
    pub better: Better,
    #[serde(default)]
    pub protocol: String,
    #[serde(default)]
    pub note: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Change {
    pub name: String,
    pub change: f64,
    pub low: f64,
    pub high: f64,
    /// How probable a change as great is by chance, for all of a table together.
    pub adjusted_p: f64,
    #[serde(default)]
    pub batches: usize,
    #[serde(default)]
    pub better: Better,
}

/// `stats.json` of ingestion.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Ingest {
    pub read: Read,
    pub steps: Vec<Step>,
    pub splits: BTreeMap<String, IngestSplit>,
    pub shared: Vec<Shared>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Read {
    pub files: u64,
    pub documents: u64,
    pub text_bytes: u64,
    pub dropped: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Step {
    pub step: String,
    pub rows: u64,
    pub changed: u64,
    pub added: u64,
    pub dropped: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct IngestSplit {
    pub rows: u64,
    pub dropped: u64,
    pub words: u64,
    pub labels: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
pub(crate) struct Shared {
    pub split: String,
    pub also_in: String,
    pub rows: u64,
}

/// `stats.json` of tokenization.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Tokenize {
    pub vocabulary: Vocabulary,
    pub splits: BTreeMap<String, TokenSplit>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Vocabulary {
    pub kind: String,
    pub size: u64,
    pub coverage: Option<f64>,
    pub note: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct TokenSplit {
    pub sequences: u64,
    pub tokens: u64,
    pub unknown_rate: f64,
    pub truncated: u64,
    pub dropped: u64,
    pub longest: u64,
    pub lengths: Lengths,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Lengths {
    pub mean: f64,
    pub median: u64,
    pub percentile_95: u64,
    pub counts: Vec<u64>,
}
