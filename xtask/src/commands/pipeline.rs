//! `pipeline`: brings a run up to date.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use textgan_artifact::{Progress, write_atomic};

use crate::args::{Pipeline, Target};
use crate::config::{self, Loaded, PhaseKind, RootConfig};
use crate::exit::Refusal;
use crate::runner::{Outcome, Runner, Selection};
use crate::stages;
use crate::team;
use crate::terminal::Terminal;

/// The file of a run that keeps its config.
const CONFIG: &str = "config.toml";

pub fn run<O: PhaseKind>(args: Pipeline, terminal: &Terminal) -> Result<()> {
    let prepare = || {
        let mut target = args.target;
        if args.quick {
            target.experiment.assignments.push("quick=true".to_owned());
        }
        resolve::<O>(&target)
    };
    in_team(prepare, terminal, |runner| {
        runner.bring_up_to_date(&Selection {
            from: args.from.as_deref(),
            until: args.until.as_deref(),
            force: args.force,
            extend: args.extend,
            only: None,
        })
    })
}

/// Has the run that `prepare` tells of be made as `make` says, by this process and those that were started with it.
pub fn in_team<O: PhaseKind>(
    prepare: impl FnOnce() -> Result<(Loaded<O>, PathBuf)>,
    terminal: &Terminal,
    make: impl FnOnce(&mut Runner<'_>) -> Result<Outcome>,
) -> Result<()> {
    let team = team::join()?;
    let told = |told: &(Loaded<O>, PathBuf)| config::resolved(&told.0.written, &told.1);
    let (loaded, folder) = team::agree(&team, prepare(), told)?;
    let stages = stages::all(&loaded, &team);
    if !team.leads() {
        return team::follow(&team, &folder, &stages, terminal);
    }
    team::lead(&team, || {
        let mut runner = Runner::open(&folder, stages, terminal)?
            .with_team(&team)
            .by_config(config::resolved(&loaded.written, &folder)?);
        let kept = runner.run_dir().path().join(CONFIG);
        let before = fs::read(&kept).ok();
        write_config(&loaded.written, runner.run_dir().path())?;
        let outcome = make(&mut runner).inspect_err(|error| {
            // What was refused is no config of the run.
            if error.downcast_ref::<Refusal>().is_some() {
                let _ = match &before {
                    Some(before) => write_atomic(&kept, before).is_ok(),
                    None => fs::remove_file(&kept).is_ok(),
                };
            }
        })?;
        summarise(&outcome, &folder, terminal);
        if loaded.config.quick {
            terminal.message(
                "this was a try, of a few texts and steps: it says that all works, its numbers say nothing",
            );
        }
        Ok(())
    })
}

/// The config, and the folder of its run.
pub fn resolve<O: PhaseKind>(target: &Target) -> Result<(Loaded<O>, PathBuf)> {
    let experiment = &target.experiment;
    // A run remembers its config: its folder alone is enough.
    let own = target.run.as_ref().map(|run| run.join(CONFIG)).filter(|file| file.is_file());
    let file = experiment.config.clone().or(own);
    let loaded: Loaded<O> = config::load(file.as_deref(), &experiment.assignments)?;
    loaded.validate()?;
    let folder = target.run.clone().unwrap_or_else(|| {
        const ENDING: &str = "-quick";
        let has_ending = !loaded.config.quick || loaded.name.ends_with(ENDING);
        let ending = if has_ending { "" } else { ENDING };
        Path::new("runs").join(format!("{}{ending}", loaded.name))
    });
    Ok((loaded, folder))
}

/// Writes the resolved config into the run, unless it is there already.
pub fn write_config<O: PhaseKind>(config: &RootConfig<O>, run: &Path) -> Result<()> {
    if config_is_kept(config, run)? {
        return Ok(());
    }
    let text = config::resolved(config, run)?;
    write_atomic(run.join(CONFIG), text.as_bytes())
        .with_context(|| "cannot keep the config in the run")
}

/// Whether the resolved config is in the run already.
pub fn config_is_kept<O: PhaseKind>(config: &RootConfig<O>, run: &Path) -> Result<bool> {
    let text = config::resolved(config, run)?;
    Ok(fs::read_to_string(run.join(CONFIG)).is_ok_and(|old| old == text))
}

/// Says what there is now, and where.
pub fn summarise(outcome: &Outcome, folder: &Path, progress: &dyn Progress) {
    let folder = folder.display();
    if outcome.ran.is_empty() && outcome.taken.is_empty() {
        let fresh = outcome.fresh.join(", ");
        progress.message(&format!("nothing to do: {fresh} in {folder} up to date"));
    } else if !outcome.fresh.is_empty() {
        progress.message(&format!("unchanged: {}", outcome.fresh.join(", ")));
    }
    if outcome.ran.contains(&stages::REPORT) {
        progress.message(&format!("the report: {folder}/report/report.html"));
    }
}
