//! `list`: the runs in a folder, those of sweeps too.

use anyhow::{Context, Result};
use std::fs;
use std::io::{self, Write, stdout};
use std::path::{Path, PathBuf};
use textgan_artifact::RunDir;

use crate::args::List;
use crate::exit::{self, Refusal};
use crate::overview::Overview;
use crate::terminal::{one_line, size};

/// The numbers that fit on a line; `show` prints all of them.
const HEADLINES: [&str; 5] =
    ["bleu-4", "self-bleu-4", "exact-copies", "grammatical", "test-perplexity"];

/// Folders between that of the runs and a run: those of a sweep lie in `<sweep>/<cell>/seed-<n>`.
const DEPTH: usize = 2;

pub fn run(args: List) -> Result<()> {
    if !args.folder.is_dir() {
        let message = format!("{} is no folder, so it has no runs", args.folder.display());
        return Err(Refusal::new(message).into());
    }
    let mut found = Vec::new();
    runs_below(&args.folder, DEPTH, &mut found)
        .with_context(|| format!("cannot read the folder of runs {}", args.folder.display()))?;
    found.sort();
    // One damaged run says so, and the others are still there.
    let overview = |path: PathBuf| {
        let name = path.strip_prefix(&args.folder).unwrap_or(&path).to_string_lossy().into_owned();
        let overview = RunDir::open(&path).map_err(Into::into).and_then(|run| Overview::of(&run));
        (name.clone(), overview.map(|overview| Overview { name, ..overview }))
    };
    let runs: Vec<_> = found.into_iter().map(overview).collect();
    let mut out = stdout().lock();
    if args.json {
        for (name, run) in &runs {
            match run {
                Ok(run) => writeln!(out, "{}", serde_json::to_string(run)?)?,
                Err(error) => {
                    let error = serde_json::json!({ "name": name, "error": exit::chain(error) });
                    writeln!(out, "{error}")?;
                }
            }
        }
        return Ok(());
    }
    let width = runs.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(4);
    writeln!(out, "{:width$}  {:>9}  {:44}  numbers", "run", "size", "stages")?;
    for (name, run) in &runs {
        let name = one_line(name);
        let run = match run {
            Ok(run) => run,
            Err(error) => {
                writeln!(
                    out,
                    "{name:width$}  {:>9}  damaged: {}",
                    "-",
                    one_line(&exit::chain(error))
                )?;
                continue;
            }
        };
        let stages = run.stages.iter().map(|stage| match stage.stale {
            Some(_) => format!("{} (stale)", stage.name),
            None => stage.name.clone(),
        });
        let stages: Vec<String> = stages.collect();
        let stages = if stages.is_empty() { "none yet".into() } else { stages.join(" ") };
        let numbers: Vec<_> = HEADLINES
            .iter()
            .filter_map(|name| run.numbers.iter().find(|(found, _)| found == name))
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        let numbers = numbers.join("  ");
        let line = format!("{name:width$}  {:>9}  {stages:44}  {numbers}", size(run.bytes));
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// The runs in `folder`, and in folders of it that are no runs, `depth` of them deep.
fn runs_below(folder: &Path, depth: usize, runs: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if path.is_dir() && RunDir::is_run(&path) {
            runs.push(path);
        } else if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            // What is closed to this user holds no runs of his.
            let _ = runs_below(&path, depth - 1, runs);
        }
    }
    Ok(())
}
