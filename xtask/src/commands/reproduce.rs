//! `reproduce`: a benchmark of the field, every algorithm of it over its seeds, beside what was published.

use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;

use crate::args::{Reproduce, Sweep};
use crate::cargo::root;
use crate::config::PhaseKind;
use crate::exit::Refusal;
use crate::terminal::Terminal;

pub fn run<O: PhaseKind>(
    args: Reproduce,
    threads: Option<usize>,
    terminal: &Terminal,
) -> Result<()> {
    let benchmarks = benchmarks()?;
    let Some(name) = args.name else {
        benchmarks.iter().for_each(|(name, file)| println!("{name:16} {}", file.display()));
        return Ok(());
    };
    let Some((_, file)) = benchmarks.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = benchmarks.iter().map(|(name, _)| &**name).collect();
        let message = format!("no benchmark {name}; there are {}", known.join(", "));
        return Err(Refusal::new(message).into());
    };
    let folder = args.folder.unwrap_or_else(|| PathBuf::from(format!("runs/reproduce-{name}")));
    let Reproduce { on, dry_run, json, .. } = args;
    let sweep = Sweep { file: file.clone(), folder: Some(folder), on, dry_run, json, task: None };
    super::sweep::run::<O>(sweep, threads, terminal)
}

/// The benchmarks by name, each with its file: a sweep.
fn benchmarks() -> Result<Vec<(String, PathBuf)>> {
    let folder = root().join("configs/benchmarks");
    let read = || format!("cannot read {}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).with_context(read)? {
        let file = entry.with_context(read)?.path();
        let name = file.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
        if let Some(name) = name.filter(|_| file.extension().is_some_and(|end| end == "toml")) {
            found.push((name, file));
        }
    }
    found.sort();
    Ok(found)
}
