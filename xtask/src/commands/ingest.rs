//! `ingest`: the corpus by itself; or one shard of it, or all of them merged.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use textgan_artifact::{Progress, RunDir};
use textgan_corpus::Shard;

use super::pipeline::{resolve, summarise, write_config};
use super::stage;
use crate::args::{Ingest, OneStage, ShardChoice};
use crate::config::{self, PhaseKind};
use crate::exit::Refusal;
use crate::runner::{Inspection, Runner, Selection};
use crate::stages::{self, IngestShard};
use crate::team;
use crate::terminal::Terminal;

pub fn run<O: PhaseKind>(args: Ingest, terminal: &Terminal) -> Result<()> {
    let Ingest { stage, shard, merge } = args;
    match (shard, merge) {
        (Some(choice), _) => make_shard::<O>(&stage, choice.shard()?, terminal),
        (None, Some(count)) => merge_shards::<O>(&stage, count, terminal),
        (None, None) => stage::run::<O>(stages::INGEST, stage, terminal),
    }
}

/// A shard is a run of one stage in a folder of its own, below that of the run: so several processes, on one machine or
/// many, each have a lock, and what is finished is not made again.
fn make_shard<O: PhaseKind>(args: &OneStage, shard: Shard, terminal: &Terminal) -> Result<()> {
    let (loaded, run) = resolve::<O>(&args.target)?;
    let only = IngestShard::new(&loaded.config, shard)?;
    RunDir::create(&run)?;
    // Once, for whoever merges; others may be making shards now. The config of a run that has stages stays.
    let has_stages = run.join(stages::INGEST).exists();
    if shard.number() == 1 && !has_stages {
        write_config(&loaded.written, &run)?;
    }
    let folder = folder(&run, shard);
    let mut runner = Runner::open(&folder, vec![Box::new(only)], terminal)?
        .by_config(config::resolved(&loaded.written, &folder)?);
    let selection = Selection { force: args.force, ..Selection::default() };
    let outcome = runner.bring_up_to_date(&selection)?;
    summarise(&outcome, &folder, terminal);
    Ok(())
}

fn merge_shards<O: PhaseKind>(args: &OneStage, count: u32, terminal: &Terminal) -> Result<()> {
    let (loaded, run) = resolve::<O>(&args.target)?;
    let mut shards = Vec::new();
    for number in 1..=count {
        let shard = Shard::new(number, count).map_err(Refusal::new)?;
        let folder = folder(&run, shard);
        let stage = IngestShard::new(&loaded.config, shard)?;
        let make = format!("`cargo xtask ingest --shard {shard}` with this config and run");
        if !RunDir::is_run(&folder) {
            let folder = folder.display();
            return Err(
                Refusal::new(format!("{folder}: no shard {shard} yet; make it by {make}")).into()
            );
        }
        let mut inspection = Inspection::open(&folder, vec![Box::new(stage)])?;
        let why = inspection.why_stale();
        let why =
            why.with_context(|| format!("shard {shard}: make it again by {make}, and --force"))?;
        if let Some(why) = why {
            let folder = folder.display();
            let problem =
                format!("{folder}: shard {shard} is out of date ({why}); make it by {make}");
            return Err(Refusal::new(problem).into());
        }
        shards.push(folder.join(stages::INGEST_SHARD));
    }
    let merged = stages::merged(&loaded, shards);
    let mut runner =
        Runner::open(&run, merged, terminal)?.by_config(config::resolved(&loaded.written, &run)?);
    write_config(&loaded.written, runner.run_dir().path())?;
    let selection =
        Selection { only: Some(stages::INGEST), force: args.force, ..Selection::default() };
    let outcome = runner.bring_up_to_date(&selection)?;
    summarise(&outcome, &run, terminal);
    if !outcome.ran.is_empty() {
        let shards = run.join(SHARDS);
        terminal.message(&format!("the shards in {} are needed no more", shards.display()));
    }
    Ok(())
}

/// The folder of a run's shards.
const SHARDS: &str = "shards";

fn folder(run: &Path, shard: Shard) -> PathBuf {
    run.join(SHARDS).join(format!("{:05}-of-{:05}", shard.number(), shard.count()))
}

impl ShardChoice {
    /// The shard, by the variables of whoever started this process if it is not named.
    fn shard(self) -> Result<Shard> {
        match self {
            Self::Named(shard) => Ok(shard),
            Self::Auto => Ok(shard_of(|name| std::env::var(name).ok()).map_err(Refusal::new)?),
        }
    }
}

/// The task of a Slurm array, else the rank among those that `srun` or an MPI started.
fn shard_of(variable: impl Fn(&str) -> Option<String>) -> std::result::Result<Shard, String> {
    let number = |name: &str| variable(name)?.parse::<u32>().ok();
    if let Some(id) = number("SLURM_ARRAY_TASK_ID") {
        let [first, last, count] = ["MIN", "MAX", "COUNT"]
            .map(|of| number(&format!("SLURM_ARRAY_TASK_{of}")).unwrap_or_default());
        // A part of an array would be taken for the whole.
        let (index, whole) = match first {
            0 => (id, count == last + 1),
            1 => (id - 1, count == last),
            _ => (id, false),
        };
        return match whole {
            true => Shard::new(index + 1, count),
            false => Err(format!(
                "--shard auto: this Slurm array is not 1-N, so it does not say how many shards there are; \
                 name them by --shard $SLURM_ARRAY_TASK_ID/N (now {id})"
            )),
        };
    }
    let by_mpi = team::started(&variable).map(|(rank, size)| (rank as u32, size as u32));
    let rank = by_mpi.or_else(|| Some((number("SLURM_PROCID")?, number("SLURM_NTASKS")?)));
    let Some((rank, size)) = rank else {
        return Err("--shard auto: no variable of a Slurm array, of `srun` or of `mpirun` says which; name it, such as \
                    --shard 2/4"
            .to_owned());
    };
    Shard::new(rank.saturating_add(1), size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_starts_processes_says_which_shard() {
        let of = |variables: &[(&str, &str)]| {
            let found = shard_of(|name| {
                let found = variables.iter().find(|(other, _)| *other == name)?;
                Some(found.1.to_owned())
            });
            found.map_or_else(|problem| problem, |shard| shard.to_string())
        };
        let array = |id, min, max, count| {
            of(&[
                ("SLURM_ARRAY_TASK_ID", id),
                ("SLURM_ARRAY_TASK_MIN", min),
                ("SLURM_ARRAY_TASK_MAX", max),
                ("SLURM_ARRAY_TASK_COUNT", count),
                ("SLURM_PROCID", "0"),
                ("SLURM_NTASKS", "1"),
            ])
        };
        assert_eq!(array("3", "1", "4", "4"), "3/4");
        assert_eq!(array("3", "0", "3", "4"), "4/4");
        // One task of an array again, and some of one.
        for (min, max, count) in [("3", "3", "1"), ("2", "4", "3"), ("1", "7", "3")] {
            assert!(array("3", min, max, count).contains("--shard $SLURM_ARRAY_TASK_ID/N (now 3)"));
        }
        assert_eq!(of(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "1")]), "1/1");
        assert_eq!(of(&[("OMPI_COMM_WORLD_RANK", "3"), ("OMPI_COMM_WORLD_SIZE", "4")]), "4/4");
        assert!(of(&[("PMI_RANK", "4"), ("PMI_SIZE", "4")]).contains("no shard 5 of 4"));
        assert!(of(&[]).contains("name it"));
    }
}
