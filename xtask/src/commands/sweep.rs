//! `sweep`: the runs of a grid or a list of settings, over seeds, and one table of them.

mod left;
mod make;
mod markdown;
mod names;
mod plan;
mod print;
mod slurm;
mod table;

use anyhow::{Result, anyhow};
use std::io::{self, Write};
use textgan_artifact::{Progress, write_atomic};

use self::make::Ending;
use self::plan::Plan;
use self::table::Table;
use crate::args::{Backend, Sweep};
use crate::config::PhaseKind;
use crate::exit::Refusal;
use crate::terminal::Terminal;

/// The file of the table, in the folder of the sweep.
const FILE: &str = "sweep.json";
/// The same to read, beside it.
const PAGE: &str = "table.md";

/// `threads` are those of a task, where it is one.
pub fn run<O: PhaseKind>(args: Sweep, threads: Option<usize>, terminal: &Terminal) -> Result<()> {
    if args.on.backend == Backend::Local && !args.on.sbatch.is_empty() {
        return Err(Refusal::new("--sbatch is for --backend slurm").into());
    }
    if args.on.jobs == 0 {
        return Err(Refusal::new("--jobs 0: give at least 1").into());
    }
    let plan: Plan<O> = Plan::read(&args.file, args.folder.clone())?;
    if let Some(line) = args.task {
        return slurm::task(&plan, &args, line, terminal);
    }
    if args.dry_run {
        return left::print(&plan);
    }
    let endings = match args.on.backend {
        Backend::Local => make::all(&plan, args.on.jobs, terminal)?,
        Backend::Slurm => slurm::all(&plan, &args, threads.unwrap_or(1), terminal)?,
    };
    if terminal.stop_requested() {
        let done = endings.iter().filter(|ending| matches!(ending, Ending::Done)).count();
        return Err(anyhow!(
            "stopped with {done} of {} runs up to date; the same command goes on from here",
            endings.len()
        ));
    }
    let table = Table::of(&plan, &endings)?;
    let mut text = serde_json::to_string_pretty(&table)?;
    text.push('\n');
    let path = plan.folder.join(FILE);
    write_atomic(&path, text.as_bytes())?;
    let page = plan.folder.join(PAGE);
    write_atomic(&page, markdown::page(&table).as_bytes())?;
    print::print(&table, terminal);
    terminal.message(&format!("the table: {} and {}", path.display(), page.display()));
    if args.json {
        io::stdout().write_all(text.as_bytes())?;
    }
    failures(&plan, &endings)?;
    unknown(&table)
}

/// What failed, in one message.
fn failures<O: PhaseKind>(plan: &Plan<O>, endings: &[Ending]) -> Result<()> {
    let failed: Vec<String> = plan
        .runs()
        .zip(endings)
        .filter_map(|(run, ending)| match ending {
            Ending::Failed(why) => Some(format!("{}: {why}", run.name)),
            Ending::Done | Ending::Stopped => None,
        })
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    let (count, all) = (failed.len(), endings.len());
    Err(anyhow!("{count} of {all} runs failed: {}", failed.join("; ")))
}

/// Complains of measures that were asked for and that no evaluation has.
fn unknown(table: &Table) -> Result<()> {
    let Some(name) = table.lacking.first() else { return Ok(()) };
    let known = table.known.join(", ");
    Err(anyhow!("no evaluation has the measure `{name}` on this corpus; they have {known}"))
}
