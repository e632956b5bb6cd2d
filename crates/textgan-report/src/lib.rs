//! One offline HTML report from the artifacts of a run.
//!
//! [`report`] reads the files that the stages of a run have written (metrics, samples,
//! statistics, evaluation, config) and writes one `report.html`: curves as inline SVG, the
//! measures beside the maximum-likelihood checkpoint with their intervals, samples by step, the
//! corpus, the resolved config. It follows the reader's light or dark setting, works without a
//! network and without scripts, and has the same bytes for the same artifacts.
//!
//! What is absent is said to be absent: a report can be made of a run that has only begun.
//!
//! ```
//! use textgan_report::{Sources, render};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let metrics = folder.path().join("metrics.jsonl");
//! let line = r#"{"event":"train","kind":"maximum-likelihood","step":10,"values":{"nll":2.5},
//!     "kinds":{"nll":{"unit":"nats-per-token","group":"likelihood"}}}"#;
//! std::fs::write(&metrics, line.replace('\n', ""))?;
//!
//! let page = render(&Sources { name: "first try".into(), metrics, ..Sources::default() })?;
//! assert!(page.contains("Likelihood"));
//! assert!(page.contains("No evaluation.json"));
//! # Ok(())
//! # }
//! ```

mod chart;
mod compare;
mod error;
mod html;
mod page;
mod record;
mod section;
mod sources;

// What signatures here speak of, in the versions that they mean.
pub use textgan_artifact;

pub use compare::compare;
pub use error::Error;
pub use section::{MEASURES, meaning};
pub use sources::Sources;

use record::{Evaluation, Line, LogLine, Sample, Training};
use section::{config, curves, data, memorisation, run, samples, scores, texts, training};
use std::path::{Path, PathBuf};
use textgan_artifact::{Manifest, RunDir, write_atomic};

/// The file that [`report`] writes.
pub const FILE: &str = "report.html";

/// Reads a run's artifacts and writes `report.html` into `out`; returns its path.
///
/// # Errors
/// A file that is there but cannot be read or understood, or a report that cannot be written.
pub fn report(run: &RunDir, out: &Path) -> Result<PathBuf, Error> {
    let page = render(&Sources::of_run(run)?)?;
    let path = out.join(FILE);
    write_atomic(&path, page.as_bytes())?;
    Ok(path)
}

/// The report as HTML, from whichever of the files there are.
///
/// # Errors
/// A file that is there but cannot be read or understood.
pub fn render(sources: &Sources) -> Result<String, Error> {
    let lines: Vec<Line> = sources::lines(&sources.metrics, sources.unfinished)?;
    let by_step: Vec<Sample> = sources::lines(&sources.samples, sources.unfinished)?;
    let summary: Option<Training> = sources::json(&sources.training)?;
    // The last line may be being written by whoever makes this page.
    let log: Vec<LogLine> = sources::lines(&sources.log, true)?;
    let written = sources::texts(&sources.texts)?;
    let evaluation: Option<Evaluation> = sources::json(&sources.evaluation)?;
    let ingest = sources::json(&sources.ingest)?;
    let tokenize = sources::json(&sources.tokenize)?;
    let resolved = match &sources.config_text {
        Some(text) => Some(text.clone()),
        None => sources::text(&sources.config)?,
    };
    let keys = resolved.as_deref().and_then(|text| text.parse::<toml::Table>().ok());
    let mut manifests = Vec::new();
    for stage in &sources.stages {
        if stage.join(textgan_artifact::MANIFEST).is_file() {
            manifests.push(Manifest::read(stage)?);
        }
    }
    let chosen = keys
        .as_ref()
        .and_then(|keys| keys.get("evaluate")?.get("candidates")?.as_integer())
        .unwrap_or(1);
    // Controls are other generators: they have begun from the baseline again.
    let controls = summary.as_ref().map_or(Vec::new(), Training::controls);
    let lines: Vec<Line> =
        lines.into_iter().filter(|line| !controls.contains(&line.phase)).collect();
    let by_step: Vec<Sample> =
        by_step.into_iter().filter(|sample| !controls.contains(&sample.phase)).collect();
    let facts = run::Facts {
        config: keys.as_ref(),
        training: summary.as_ref(),
        evaluation: evaluation.as_ref(),
        log: &log,
    };
    let sections = [
        run::section(&facts),
        texts::section(evaluation.as_ref(), &written, chosen > 1),
        scores::section(evaluation.as_ref()),
        curves::section(evaluation.as_ref()),
        training::section(
            &lines,
            summary.as_ref(),
            sources.unfinished && !lines.is_empty(),
            keys.as_ref(),
        ),
        samples::section(&by_step, &lines),
        memorisation::section(evaluation.as_ref()),
        data::section(ingest.as_ref(), tokenize.as_ref()),
        config::section(resolved.as_deref(), &manifests),
    ];
    Ok(page::page(&sources.name, &sections, sources.live))
}

/// The blocks of the README, which are tested with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
