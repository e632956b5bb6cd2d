//! `list`: the runs in a folder.

use anyhow::{Context, Result};
use std::fs;
use textgan_artifact::RunDir;

use crate::args::List;
use crate::overview::Overview;
use crate::terminal::size;

/// The numbers that fit on a line; `show` prints all of them.
const HEADLINES: [&str; 5] =
    ["bleu-4", "self-bleu-4", "exact-copies", "grammatical", "test-perplexity"];

pub fn run(args: List) -> Result<()> {
    let read = || format!("cannot read the folder of runs {}", args.folder.display());
    let mut runs = Vec::new();
    for entry in fs::read_dir(&args.folder).with_context(read)? {
        let path = entry.with_context(read)?.path();
        if path.is_dir()
            && let Ok(run) = RunDir::open(&path)
        {
            runs.push(Overview::of(&run)?);
        }
    }
    runs.sort_by(|a, b| a.name.cmp(&b.name));
    if args.json {
        for run in &runs {
            println!("{}", serde_json::to_string(run)?);
        }
        return Ok(());
    }
    let width = runs.iter().map(|run| run.name.len()).max().unwrap_or(0).max(4);
    println!("{:width$}  {:>9}  {:44}  numbers", "run", "size", "stages");
    for run in &runs {
        let stages = run.stages.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>();
        let stages = if stages.is_empty() { "none yet".into() } else { stages.join(" ") };
        let numbers: Vec<_> = HEADLINES
            .iter()
            .filter_map(|name| run.numbers.iter().find(|(found, _)| found == name))
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        let line = format!(
            "{:width$}  {:>9}  {stages:44}  {}",
            run.name,
            size(run.bytes),
            numbers.join("  ")
        );
        println!("{}", line.trim_end());
    }
    Ok(())
}
