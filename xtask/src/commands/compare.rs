//! `compare`: whether finished runs are better than their maximum-likelihood checkpoints, or than
//! another run.

mod agree;
pub(super) mod finished;

use anyhow::{Result, bail};
use serde::Serialize;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use textgan_artifact::{Manifest, write_atomic};
use textgan_evaluate::Sweep;
use textgan_evaluate::verdict::{
    Duel, Judgement, Matched, Outcome, Pairing, Place, Sampled, Verdict, compare, judge,
    judge_training,
};

use textgan_report::Sources;

use self::finished::Finished;
use crate::args::Compare;
use crate::overview;
use crate::stages::EVALUATE;

pub fn run(args: Compare) -> Result<()> {
    let all: Vec<PathBuf> = args.runs.iter().chain(&args.baseline).cloned().collect();
    let runs = read(args.runs)?;
    let baselines = read(args.baseline)?;
    agree::check(&runs.iter().chain(&baselines).collect::<Vec<_>>())?;
    let baselines = experiments(baselines)?;
    if let [first, second, ..] = &baselines[..] {
        bail!(
            "{} and {} are different experiments: give one baseline, or several seeds of one",
            first.name(),
            second.name()
        );
    }
    let mut said = Vec::new();
    for experiment in experiments(runs)? {
        let comparison = match baselines.first() {
            Some(baseline) => experiment.against(baseline)?,
            None => experiment.against_itself()?,
        };
        let mut out = stdout().lock();
        match args.json {
            true => writeln!(out, "{}", serde_json::to_string(&comparison)?)?,
            false => comparison.print(&mut out)?,
        }
        let named = comparison.runs.join(" + ");
        said.push(comparison.sentence);
        said.extend(
            comparison.judgement.map(|judgement| format!("{named}: {}", judgement.sentence)),
        );
    }
    let Some(path) = args.html else { return Ok(()) };
    page(&all, &said, &path)?;
    if !args.json {
        writeln!(stdout(), "the page: {}", path.display())?;
    }
    Ok(())
}

/// Writes the page of all runs, named as they were given.
fn page(runs: &[PathBuf], said: &[String], path: &Path) -> Result<()> {
    let sources = |given: &PathBuf| {
        let run = overview::open(given.clone())?;
        // What was evaluated is what its manifest says, whatever has become of the file since.
        let config_text = Manifest::read(&run.stage_dir(EVALUATE)?)?.config;
        let name = given.display().to_string();
        Ok(Sources { name, config_text, ..Sources::of_run(&run)? })
    };
    let sources = runs.iter().map(sources).collect::<Result<Vec<_>>>()?;
    Ok(write_atomic(path, textgan_report::compare(&sources, said)?.as_bytes())?)
}

/// The verdict over `runs`, training seeds of one experiment that is called `name`, each against its
/// own maximum-likelihood checkpoint.
///
/// # Errors
/// Runs that do not belong together, and those that have no curves or no checkpoint.
pub(super) fn over_seeds(name: &str, runs: Vec<Finished>) -> Result<Comparison> {
    agree::check(&runs.iter().collect::<Vec<_>>())?;
    let experiments = experiments(runs)?;
    let [experiment] = &experiments[..] else {
        bail!("the runs differ in more than their seeds");
    };
    let mut comparison = experiment.against_itself()?;
    comparison.sentence = comparison.verdict.sentence(name, &comparison.baseline);
    Ok(comparison)
}

/// The verdict over `runs`, training seeds of one experiment that is called `name`, against those of
/// another that is called `baseline`.
///
/// # Errors
/// Runs that do not belong together, and those that have no curves.
pub(super) fn over_seeds_against(
    name: &str,
    runs: Vec<Finished>,
    baseline: &str,
    theirs: Vec<Finished>,
) -> Result<Comparison> {
    agree::check(&runs.iter().chain(&theirs).collect::<Vec<_>>())?;
    if theirs.is_empty() {
        bail!("no run of the baseline {baseline} is finished");
    }
    let (runs, theirs) = (experiments(runs)?, experiments(theirs)?);
    let ([experiment], [other]) = (&runs[..], &theirs[..]) else {
        bail!("the runs differ in more than their seeds");
    };
    let mut comparison = experiment.against(other)?;
    comparison.sentence = comparison.verdict.sentence(name, baseline);
    Ok(comparison)
}

fn read(paths: Vec<PathBuf>) -> Result<Vec<Finished>> {
    paths.into_iter().map(Finished::read).collect()
}

/// Runs whose configs differ only in `seed`.
struct Experiment {
    runs: Vec<Finished>,
}

/// In the order in which the first of each was given.
///
/// A run that is given twice would count as two seeds, and make an interval narrower than it is.
fn experiments(runs: Vec<Finished>) -> Result<Vec<Experiment>> {
    let mut experiments: Vec<Experiment> = Vec::new();
    for run in runs {
        let same = experiments.iter_mut().find(|other| other.runs[0].recipe == run.recipe);
        let Some(same) = same else {
            experiments.push(Experiment { runs: vec![run] });
            continue;
        };
        if let Some(twin) = same.runs.iter().find(|other| other.seed == run.seed) {
            bail!(
                "{} and {} are the same experiment with the same seed ({}): give one of them",
                twin.name,
                run.name,
                run.seed
            );
        }
        if let Some(twin) = same.runs.iter().find(|other| other.weights == run.weights) {
            bail!(
                "{} and {} have the same weights, so they are not two training seeds: give one of them",
                twin.name,
                run.name
            );
        }
        same.runs.push(run);
    }
    Ok(experiments)
}

impl Experiment {
    fn name(&self) -> String {
        let names: Vec<&str> = self.runs.iter().map(|run| &*run.name).collect();
        names.join(" + ")
    }

    fn sweeps(&self) -> Result<Vec<&Sweep>> {
        self.runs.iter().map(Finished::model).collect()
    }

    fn models(&self) -> Result<Vec<Sampled>> {
        self.sweeps()?.into_iter().map(sampled).collect()
    }

    fn against_itself(&self) -> Result<Comparison> {
        let model = self.models()?;
        let checkpoints: Vec<Sampled> =
            self.runs.iter().map(|run| sampled(run.checkpoint()?)).collect::<Result<_>>()?;
        let verdict = compare(&model, &checkpoints, Pairing::Paired)?;
        let baseline = match self.runs[..] {
            [_] => "its own maximum-likelihood checkpoint",
            _ => "their own maximum-likelihood checkpoints",
        }
        .to_owned();
        let mut comparison = Comparison::new(self, baseline, [&model, &checkpoints], verdict);
        comparison.judgement = self.judgement()?;
        Ok(comparison)
    }

    /// Whether the game made the generator better than all that a claim must beat, over the seeds.
    fn judgement(&self) -> Result<Option<Judgement>> {
        let Some(first) = self.runs.first() else { return Ok(None) };
        if let [run] = &self.runs[..] {
            return Ok(run.evaluation.judgement.clone());
        }
        let duel = |name: &str, model, rival| Duel {
            name: name.to_owned(),
            model,
            rival,
            pairing: Pairing::Paired,
        };
        let models = self.sweeps()?;
        let baselines = self.runs.iter().map(Finished::checkpoint).collect::<Result<Vec<_>>>()?;
        let mut duels = vec![duel("temperature", models.clone(), baselines)];
        for control in &first.evaluation.controls {
            let of = |run: &'_ Finished| {
                let mut controls = run.evaluation.controls.iter();
                controls.position(|other| other.name == control.name)
            };
            let Some(places) = self.runs.iter().map(of).collect::<Option<Vec<_>>>() else {
                continue;
            };
            let found =
                || self.runs.iter().zip(&places).map(|(run, &at)| &run.evaluation.controls[at]);
            let alike = found()
                .zip(&models)
                .map(|(control, model)| control.model.as_ref().unwrap_or(model));
            duels.push(duel(
                &control.name,
                alike.collect(),
                found().map(|control| &control.sweep).collect(),
            ));
        }
        let known = self.runs.iter().map(|run| run.evaluation.judgement.as_ref()?.converged);
        let converged =
            known.collect::<Option<Vec<bool>>>().map(|all| all.into_iter().all(|is| is));
        if first.evaluation.judgement.is_none() {
            return Ok(None);
        }
        Ok(Some(judge(&duels, &first.pairs, converged)?))
    }

    fn against(&self, baseline: &Self) -> Result<Comparison> {
        if let Some(run) = self.runs.iter().find(|run| baseline.has(run)) {
            bail!("{} is also the baseline: it would be compared with itself", run.name);
        }
        let (model, theirs) = (self.models()?, baseline.models()?);
        let verdict = compare(&model, &theirs, Pairing::Independent)?;
        let mut comparison = Comparison::new(self, baseline.name(), [&model, &theirs], verdict);
        let pairs = &self.runs[0].pairs;
        let both = || self.runs.iter().chain(&baseline.runs);
        let curves = self.sweeps()?.into_iter().chain(baseline.sweeps()?);
        let curves = curves.map(|sweep| sweep.temperatures.len()).min();
        if !pairs.is_empty() && curves >= Some(2) && both().all(|run| run.pairs == *pairs) {
            let duel = Duel {
                name: "temperature".to_owned(),
                model: self.sweeps()?,
                rival: baseline.sweeps()?,
                pairing: Pairing::Independent,
            };
            let known = baseline.runs.iter().map(|run| run.converged);
            let converged =
                known.collect::<Option<Vec<bool>>>().map(|all| all.into_iter().all(|is| is));
            comparison.judgement = Some(judge_training(&[duel], pairs, converged)?);
        }
        Ok(comparison)
    }

    fn has(&self, run: &Finished) -> bool {
        self.runs.iter().any(|own| own.recipe == run.recipe && own.seed == run.seed)
    }
}

fn sampled(sweep: &Sweep) -> Result<Sampled> {
    Ok(Sampled::of(sweep)?)
}

/// What one experiment came to.
#[derive(Serialize)]
pub(super) struct Comparison {
    runs: Vec<String>,
    baseline: String,
    pub(super) sentence: String,
    /// What is repeated, of the runs and of the baseline.
    repeated: [String; 2],
    #[serde(flatten)]
    verdict: Verdict,
    /// Whether the game made the generator better than all that a claim must beat; of runs beside others,
    /// whether their training made it better than theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Judgement>,
}

impl Comparison {
    fn new(
        experiment: &Experiment,
        baseline: String,
        sides: [&[Sampled]; 2],
        verdict: Verdict,
    ) -> Self {
        Self {
            runs: experiment.runs.iter().map(|run| run.name.clone()).collect(),
            sentence: verdict.sentence(&experiment.name(), &baseline),
            baseline,
            repeated: sides.map(repeated),
            verdict,
            judgement: None,
        }
    }

    fn print(&self, out: &mut impl Write) -> Result<()> {
        let Verdict { level, places, .. } = &self.verdict;
        if !places.is_empty() {
            writeln!(
                out,
                "{:22}  {:11}  {:>7}  {:>11}  {:>7}  {:>8}  difference",
                "", "at the same", "", "", "model", "baseline"
            )?;
        }
        places.iter().try_for_each(|place| writeln!(out, "{}", line(place)))?;
        if !places.is_empty() {
            let [ours, theirs] = &self.repeated;
            let repeated =
                if ours == theirs { ours.clone() } else { format!("{ours} and {theirs}") };
            writeln!(
                out,
                "Over {repeated}; the {} intervals hold together at an error level of {} %.",
                places.len(),
                level * 100.0
            )?;
        }
        writeln!(out, "{}", self.sentence)?;
        if let Some(judgement) = &self.judgement {
            writeln!(out, "{}", judgement.sentence)?;
        }
        Ok(())
    }
}

fn repeated(side: &[Sampled]) -> String {
    match side {
        [run] => format!("{} disjoint batches of {} samples", run.batches(), run.batch_size()),
        seeds => {
            let size = seeds.first().map_or(0, Sampled::batch_size);
            format!("{} training seeds, at {size} samples a batch", seeds.len())
        }
    }
}

fn line(place: &Place) -> String {
    let Place { part, matched, at, model, baseline, difference, outcome } = place;
    let [equal, compared] = match matched {
        Matched::Diversity => ["self-bleu-4", "bleu-4"],
        Matched::Quality => ["bleu-4", "self-bleu-4"],
    };
    let word = match outcome {
        Outcome::Better => "  better",
        Outcome::Worse => "  worse",
        _ => "",
    };
    format!(
        "{:22}  {equal:11}  {at:>7.4}  {compared:>11}  {model:>7.4}  {baseline:>8.4}  {:+.4} [{:+.4}, {:+.4}]{word}",
        part.words(),
        difference.mean,
        difference.low,
        difference.high
    )
}
