//! The table of a sweep: what its finished runs measured, over seeds.

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use textgan_artifact::hash_file;
use textgan_evaluate::{Better, Measure, Scores};
use textgan_metrics::interval;

use super::make::Ending;
use super::plan::{Cell, Plan};
use crate::commands::compare::finished::Finished;
use crate::commands::compare::{Comparison, over_seeds, over_seeds_against};
use crate::config::PhaseKind;
use crate::{exit, stages};

/// The version of the layout of the file.
const FORMAT: u32 = 1;

/// What the evaluate stage writes.
const EVALUATION: &str = "evaluation.json";

/// What a sweep came to.
#[derive(Serialize)]
pub struct Table {
    format: u32,
    /// The file of the sweep, resolved.
    sweep: Value,
    pub cells: Vec<Row>,
    /// The measures that were asked for and that no evaluation has.
    #[serde(skip)]
    pub lacking: Vec<String>,
    /// The measures that some evaluation has.
    #[serde(skip)]
    pub known: Vec<String>,
    /// The measures that were asked for.
    #[serde(skip)]
    pub asked: Option<Vec<String>>,
    /// How the published figures were measured.
    #[serde(skip)]
    pub protocol: Option<String>,
}

/// One cell.
#[derive(Serialize)]
pub struct Row {
    pub name: String,
    /// The runs that were read.
    pub runs: Vec<Read>,
    /// Those that failed, and are not in the numbers.
    pub failed: Vec<Failure>,
    /// What others say that it measures.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub published: BTreeMap<String, f64>,
    pub measures: Vec<Column>,
    #[serde(flatten)]
    pub judgement: Judgement,
}

/// A run that was read.
#[derive(Clone, Serialize)]
pub struct Read {
    seed: u64,
    /// Its folder in that of the sweep.
    folder: String,
    /// The hash of its evaluation.
    evaluation: String,
}

/// A run that failed.
#[derive(Clone, Serialize)]
pub struct Failure {
    seed: u64,
    folder: String,
    error: String,
}

/// One measure of a cell.
#[derive(Serialize)]
pub struct Column {
    pub name: String,
    better: Better,
    pub model: Estimate,
    /// Of the maximum-likelihood checkpoints, where there are any.
    pub baseline: Option<Estimate>,
    /// Model minus baseline, seed by seed.
    pub difference: Option<Estimate>,
}

/// A number over seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean over the seeds that have it.
    pub mean: Option<f64>,
    /// Student's interval of 95 %, from two seeds on.
    pub interval: Option<[f64; 2]>,
    /// The value of each run, in their order; none where it is not defined.
    values: Vec<Option<f64>>,
}

/// Whether the model is better than the checkpoint that it began from, over the seeds of a cell.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    Verdict(Box<Comparison>),
    /// There is none, and why.
    NoVerdict(String),
}

impl Table {
    /// Reads the evaluations of the runs that are up to date.
    ///
    /// # Errors
    /// One that is not as it was written.
    pub fn of<O: PhaseKind>(plan: &Plan<O>, endings: &[Ending]) -> Result<Self> {
        let mut endings = endings.iter();
        let made = plan.cells.iter().map(|cell| Made::of(cell, endings.by_ref()));
        let made = made.collect::<Result<Vec<_>>>()?;
        let known = distinct(made.iter().flat_map(Made::measures));
        let mut both = plan.cells.iter().zip(&made);
        let baseline = both.clone().find(|(cell, _)| Some(&cell.name) == plan.baseline.as_ref());
        let columns = plan.measures.as_deref().unwrap_or(&known);
        let rows = both.by_ref().map(|(cell, made)| Row {
            name: cell.name.clone(),
            runs: made.runs.clone(),
            failed: made.failed.clone(),
            published: cell.published.clone(),
            measures: columns.iter().filter_map(|name| Column::of(name, &made.finished)).collect(),
            judgement: judge(
                &cell.name,
                &made.finished,
                baseline.map(|(cell, made)| (&*cell.name, &made.finished[..])),
            ),
        });
        let cells = rows.collect();
        let asked = plan.measures.iter().flatten();
        let lacking = asked.filter(|name| !known.is_empty() && !known.contains(name));
        Ok(Self {
            format: FORMAT,
            sweep: plan.resolved()?,
            cells,
            lacking: lacking.cloned().collect(),
            known,
            asked: plan.measures.clone(),
            protocol: plan.protocol.clone(),
        })
    }
}

/// What the runs of a cell came to.
struct Made {
    runs: Vec<Read>,
    failed: Vec<Failure>,
    finished: Vec<Finished>,
}

impl Made {
    /// Takes the endings of the cell's runs.
    fn of<'a, O>(cell: &Cell<O>, endings: impl Iterator<Item = &'a Ending>) -> Result<Self> {
        let mut made = Self { runs: Vec::new(), failed: Vec::new(), finished: Vec::new() };
        for (run, ending) in cell.runs.iter().zip(endings) {
            let (seed, folder) = (run.seed, run.name.clone());
            match ending {
                Ending::Done => {
                    let file = run.folder.join(stages::EVALUATE).join(EVALUATION);
                    made.runs.push(Read { seed, folder, evaluation: hash_file(&file)? });
                    made.finished.push(Finished::read(run.folder.clone())?);
                }
                Ending::Failed(error) => {
                    made.failed.push(Failure { seed, folder, error: error.clone() });
                }
                Ending::Stopped => {}
            }
        }
        Ok(made)
    }

    /// The names of all that was measured.
    fn measures(&self) -> impl Iterator<Item = String> {
        let scores = self.finished.iter().flat_map(|run| {
            [Some(&run.evaluation.model), run.evaluation.baseline.as_ref()].into_iter().flatten()
        });
        scores.flat_map(|scores| &scores.measures).map(|measure| measure.name.clone())
    }
}

/// What `compare` says of the runs of a cell: against their own checkpoints, or, where they have none,
/// against the runs of the sweep's baseline.
fn judge(name: &str, runs: &[Finished], baseline: Option<(&str, &[Finished])>) -> Judgement {
    if runs.is_empty() {
        return Judgement::NoVerdict("no run is finished".to_string());
    }
    let alone = runs.iter().all(|run| run.evaluation.baseline.is_none());
    let found = match baseline {
        Some((other, _)) if alone && other == name => {
            return Judgement::NoVerdict("it is the baseline".to_string());
        }
        Some((other, theirs)) if alone => {
            over_seeds_against(name, runs.to_vec(), other, theirs.to_vec())
        }
        _ => over_seeds(name, runs.to_vec()),
    };
    match found {
        Ok(comparison) => Judgement::Verdict(Box::new(comparison)),
        Err(why) => Judgement::NoVerdict(exit::chain(&why)),
    }
}

impl Column {
    fn of(name: &str, runs: &[Finished]) -> Option<Self> {
        let measures = |scores: fn(&Finished) -> Option<&Scores>| {
            let of = move |run| scores(run).and_then(|scores| scores.get(name));
            runs.iter().map(of).collect::<Vec<Option<&Measure>>>()
        };
        let model = measures(|run| Some(&run.evaluation.model));
        let baseline = measures(|run| run.evaluation.baseline.as_ref());
        let first = model.iter().chain(&baseline).flatten().next()?;
        let values = |measures: &[Option<&Measure>]| -> Vec<Option<f64>> {
            measures.iter().map(|measure| measure.and_then(|measure| measure.value)).collect()
        };
        let (ours, theirs) = (values(&model), values(&baseline));
        let differences = ours.iter().zip(&theirs).map(|(a, b)| Some((*a)? - (*b)?)).collect();
        let has_baseline = baseline.iter().any(Option::is_some);
        Some(Self {
            name: name.to_string(),
            better: first.better,
            model: Estimate::of(ours),
            baseline: has_baseline.then(|| Estimate::of(theirs)),
            difference: has_baseline.then(|| Estimate::of(differences)),
        })
    }
}

impl Estimate {
    fn of(values: Vec<Option<f64>>) -> Self {
        let defined: Vec<f64> = values.iter().flatten().copied().collect();
        // One value has no interval.
        match (interval(&defined), &defined[..]) {
            (Ok(found), _) => {
                Self { mean: Some(found.mean), interval: Some([found.low, found.high]), values }
            }
            (Err(_), [value, ..]) => Self { mean: Some(*value), interval: None, values },
            (Err(_), []) => Self { mean: None, interval: None, values },
        }
    }
}

fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut distinct = Vec::new();
    for name in names {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_says_as_much_as_its_seeds_allow() {
        let none = Estimate::of(vec![None]);
        assert_eq!((none.mean, none.interval), (None, None));
        let one = Estimate::of(vec![None, Some(0.5)]);
        assert_eq!((one.mean, one.interval), (Some(0.5), None));
        // t(0.975, 1) = 12.706 times a standard error of 0.1.
        let two = Estimate::of(vec![Some(0.4), Some(0.6)]);
        let [low, high] = two.interval.unwrap();
        assert!((two.mean.unwrap() - 0.5).abs() < 1e-12);
        assert!((high - 0.5 - 1.2706).abs() < 1e-4 && (low - 0.5 + 1.2706).abs() < 1e-4);
    }
}
