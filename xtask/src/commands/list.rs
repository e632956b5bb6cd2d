//! `list`: the runs in a folder.

use anyhow::{Context, Result};
use std::fs;
use std::io::{Write, stdout};
use textgan_artifact::RunDir;

use crate::args::List;
use crate::exit;
use crate::overview::Overview;
use crate::terminal::{one_line, size};

/// The numbers that fit on a line; `show` prints all of them.
const HEADLINES: [&str; 5] =
    ["bleu-4", "self-bleu-4", "exact-copies", "grammatical", "test-perplexity"];

pub fn run(args: List) -> Result<()> {
    let read = || format!("cannot read the folder of runs {}", args.folder.display());
    let mut runs = Vec::new();
    for entry in fs::read_dir(&args.folder).with_context(read)? {
        let path = entry.with_context(read)?.path();
        if path.is_dir() && RunDir::is_run(&path) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // One damaged run says so, and the others are still there.
            runs.push((
                name,
                RunDir::open(&path).map_err(Into::into).and_then(|run| Overview::of(&run)),
            ));
        }
    }
    runs.sort_by(|(a, _), (b, _)| a.cmp(b));
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
