//! What is left to do in a sweep.

use anyhow::Result;
use std::io::{self, Write};
use textgan_artifact::{ALONE, RunDir};

use super::plan::{Plan, Run};
use crate::commands::pipeline::config_is_kept;
use crate::config::PhaseKind;
use crate::runner::Inspection;
use crate::{exit, stages};

/// Lists the runs, each with the stages that are left, on stdout.
pub fn print<O: PhaseKind>(plan: &Plan<O>) -> Result<()> {
    let mut out = io::stdout().lock();
    let width = plan.runs().map(|run| run.name.len()).max().unwrap_or(0);
    let (mut all, mut done) = (0, 0);
    for run in plan.runs() {
        let line = match of(run) {
            Ok(left) if left.is_empty() => {
                done += 1;
                "up to date".to_string()
            }
            Ok(left) => format!("left: {}", left.join(", ")),
            Err(error) => format!("cannot tell: {}", exit::chain(&error)),
        };
        all += 1;
        writeln!(out, "{:width$}  {line}", run.name)?;
    }
    writeln!(out, "{all} runs, {done} of them up to date; in {}", plan.folder.display())?;
    Ok(())
}

/// The stages of a run that are left, and which of them is half done. What it could take over from
/// another is among them.
pub fn of<O: PhaseKind>(run: &Run<O>) -> Result<Vec<String>> {
    if !run.folder.exists() {
        return Ok(stages::NAMES.map(String::from).to_vec());
    }
    let mut left =
        Inspection::open(&run.folder, stages::all(&run.experiment, &ALONE))?.left_to_do()?;
    // The report is made from the config that the run keeps, which would be written first.
    if left.is_empty() && !config_is_kept(&run.experiment.config, &run.folder)? {
        left.push(stages::REPORT);
    }
    let folder = RunDir::open(&run.folder)?;
    let word = |stage| {
        let half_done = folder.partial_dir(stage)?.is_dir();
        Ok(if half_done { format!("{stage} (half done)") } else { stage.to_string() })
    };
    left.into_iter().map(word).collect()
}
