//! `show`: one run.

use anyhow::Result;
use std::io::{Write, stdout};
use textgan_artifact::Manifest;

use crate::args::Show;
use crate::exit::Failed;
use crate::overview::{self, Overview};
use crate::terminal::{one_line, size};

pub fn run(args: Show) -> Result<()> {
    let run = overview::open(args.run)?;
    let path = run.path();
    let overview = Overview::of(&run)?;
    let mut out = stdout().lock();
    writeln!(out, "{}  {}", one_line(&path.display().to_string()), size(overview.bytes))?;
    writeln!(out)?;
    writeln!(out, "{:10}  {:>9}  {:>5}  {:12}", "stage", "size", "files", "fingerprint")?;
    let mut damaged = false;
    for stage in &overview.stages {
        let fingerprint = stage.fingerprint.get(..12).unwrap_or(&stage.fingerprint);
        let mut line = format!(
            "{:10}  {:>9}  {:>5}  {fingerprint:12}",
            stage.name,
            size(stage.bytes),
            stage.files
        );
        if let Some(earlier) = &stage.stale {
            line += &format!("  stale: {earlier} was made again since");
        }
        if args.verify {
            let folder = run.stage_dir(&stage.name)?;
            line += &match Manifest::read(&folder).and_then(|manifest| manifest.verify(&folder)) {
                Ok(()) => "  as it was written".to_owned(),
                Err(error) => {
                    damaged = true;
                    format!("  {error}")
                }
            };
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    for name in &overview.half_done {
        let run = one_line(&path.display().to_string());
        writeln!(
            out,
            "{name:10}  half done; `cargo xtask pipeline --run {run}` goes on from there"
        )?;
    }
    for (name, bytes) in &overview.aside {
        let folder = path.join(overview::ASIDE).join(name);
        let folder = one_line(&folder.display().to_string());
        writeln!(
            out,
            "{name:10}  {:>9}  of another config; it is yours to remove: {folder}",
            size(*bytes)
        )?;
    }
    if !overview.numbers.is_empty() {
        writeln!(out)?;
        for (name, value) in &overview.numbers {
            writeln!(out, "{name:28} {value}")?;
        }
    }
    if damaged { Err(Failed.into()) } else { Ok(()) }
}
