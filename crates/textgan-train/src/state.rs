//! Where a run is: everything that is not weights, moments, or a function of the step.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::alarms::Watch;
use crate::algorithm::Accuracy;
use crate::convergence::Convergence;
use crate::memory::Memory;
use crate::metric::MetricKind;
use crate::summary::PhaseSummary;

/// Version of the layout of checkpoints.
pub(crate) const VERSION: u32 = 7;

/// How fast the average of the accuracy follows, per update.
const ACCURACY_STEP: f64 = 0.05;

/// `state.json` of a checkpoint. Random streams have no place in it: each is named by the step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// [`VERSION`].
    pub version: u32,
    /// All that decides the run besides its phases, as JSON.
    pub recipe: serde_json::Value,
    /// The phases this run was told of, as JSON.
    pub phases: Vec<serde_json::Value>,
    /// The phase at hand, from 0; as many as there are phases when all are done.
    pub phase: usize,
    /// Steps made in it.
    pub phase_step: u64,
    /// Steps made over all phases.
    pub step: u64,
    /// What remains of the learning rates after roll-backs.
    pub learning_rate_scale: f64,
    /// Roll-backs in this phase.
    pub roll_backs: u32,
    /// The phase's best evaluation.
    pub convergence: Convergence,
    /// The best loss at the end of the round before.
    pub round_loss: Option<f64>,
    /// Whether the last round improved the loss too little for another.
    pub converged: Option<bool>,
    /// What the alarms remember.
    pub watch: Watch,
    /// Whether the generator may move in this phase.
    pub gate_open: bool,
    /// What belongs to each replica.
    pub replicas: Vec<Replica>,
    /// Updates in this phase, by learner.
    pub updates: BTreeMap<String, u64>,
    /// Unit and group of every metric of the run so far.
    pub metrics: BTreeMap<String, MetricKind>,
    /// Those of them that the log has explained.
    pub explained: BTreeSet<String>,
    /// Facts of the last evaluation of this phase.
    pub evaluation: BTreeMap<String, f64>,
    /// Names of the checkpoints that stay, oldest first.
    pub checkpoints: Vec<String>,
    /// Name of the checkpoint at this phase's beginning.
    pub beginning: Option<String>,
    /// Name of the checkpoint that the first game began with, where controls will begin too.
    pub baseline: Option<String>,
    /// Name of the checkpoint after the last phase that is no control: what more phases go on from.
    pub trained: Option<String>,
    /// Whether a step of this phase was made by how long the phase is.
    pub follows_length: bool,
    /// Name of the checkpoint of the best evaluation: of this phase if `convergence` has one, else
    /// of an earlier phase.
    pub best: Option<String>,
    /// What the growing files held.
    pub written: Written,
    /// The phases that are done.
    pub done: Vec<PhaseSummary>,
}

/// What belongs to one of the replicas that share out a batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Replica {
    /// What the algorithm of this phase remembers.
    pub memory: Memory,
    /// The discriminator's accuracy, averaged over recent updates of this phase.
    pub accuracy: Option<f64>,
    /// Training facts since the last line of the log.
    pub interval: Facts,
}

/// What the growing files held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    /// `metrics.jsonl`.
    pub metrics: Extent,
    /// `samples.jsonl`.
    pub samples: Extent,
}

/// How much of a file there was, and which bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Extent {
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of these bytes, in hex; empty where there are none.
    pub hash: String,
}

impl State {
    /// Before the first step, of so many replicas.
    pub fn new(phases: Vec<serde_json::Value>, replicas: usize) -> Self {
        Self {
            version: VERSION,
            recipe: serde_json::Value::Null,
            phases,
            phase: 0,
            phase_step: 0,
            step: 0,
            learning_rate_scale: 1.0,
            roll_backs: 0,
            convergence: Convergence::default(),
            round_loss: None,
            converged: None,
            watch: Watch::default(),
            gate_open: false,
            replicas: vec![Replica::default(); replicas],
            updates: BTreeMap::new(),
            metrics: BTreeMap::new(),
            explained: BTreeSet::new(),
            evaluation: BTreeMap::new(),
            checkpoints: Vec::new(),
            beginning: None,
            baseline: None,
            trained: None,
            follows_length: false,
            best: None,
            written: Written::default(),
            done: Vec::new(),
        }
    }

    /// Moves to the next phase: what belongs to a phase begins anew.
    pub fn next_phase(&mut self, summary: PhaseSummary) {
        let mut done = std::mem::take(&mut self.done);
        done.push(summary);
        *self = Self {
            phase: self.phase + 1,
            step: self.step,
            checkpoints: std::mem::take(&mut self.checkpoints),
            best: self.best.take(),
            baseline: self.baseline.take(),
            trained: self.trained.take(),
            metrics: std::mem::take(&mut self.metrics),
            explained: std::mem::take(&mut self.explained),
            written: self.written.clone(),
            recipe: std::mem::take(&mut self.recipe),
            done,
            ..Self::new(std::mem::take(&mut self.phases), self.replicas.len())
        };
    }
}

/// Named numbers, summed until they are logged as means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts(BTreeMap<String, Fact>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Fact {
    sum: f64,
    count: u64,
    kind: MetricKind,
}

impl State {
    /// Remembers what a metric is counted in.
    pub fn know(&mut self, name: &str, kind: MetricKind) {
        if !self.metrics.contains_key(name) {
            self.metrics.insert(name.to_owned(), kind);
        }
    }

    /// The means of what the replicas took note of since the last line of the log, which begins anew.
    pub fn take_means(&mut self) -> BTreeMap<String, f64> {
        let mut all = Facts::default();
        for replica in &mut self.replicas {
            all.join(std::mem::take(&mut replica.interval));
        }
        for (name, fact) in &all.0 {
            self.know(name, fact.kind);
        }
        let known = all.0.into_iter().filter(|(_, fact)| fact.count > 0);
        known.map(|(name, fact)| (name, fact.sum / fact.count as f64)).collect()
    }

    /// The discriminator's accuracy, averaged over recent updates of this phase and over the replicas.
    pub fn accuracy(&self) -> Option<f64> {
        let sum: Option<f64> = self.replicas.iter().map(|replica| replica.accuracy).sum();
        Some(sum? / self.replicas.len() as f64)
    }
}

impl Replica {
    /// Takes note of how often the discriminator was right in an update.
    pub fn note_accuracy(&mut self, accuracy: Accuracy) {
        let now = accuracy.mean();
        self.accuracy =
            Some(self.accuracy.map_or(now, |before| before + ACCURACY_STEP * (now - before)));
    }
}

impl Facts {
    /// Adds one observation.
    pub fn add(&mut self, name: &str, value: f64, kind: MetricKind) {
        let fact = Fact { sum: 0.0, count: 0, kind };
        let fact = self.0.entry(name.to_owned()).or_insert(fact);
        // What is no number has no mean, and no place in a checkpoint: JSON would not read it back.
        if value.is_finite() {
            fact.sum += value;
            fact.count += 1;
        }
    }

    /// Adds all of another's.
    fn join(&mut self, other: Self) {
        for (name, fact) in other.0 {
            let nothing = Fact { sum: 0.0, count: 0, kind: fact.kind };
            let ours = self.0.entry(name).or_insert(nothing);
            ours.sum += fact.sum;
            ours.count += fact.count;
        }
    }
}
