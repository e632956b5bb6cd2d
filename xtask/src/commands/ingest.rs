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
    RunDir::create(&run)?;
    let folder = folder(&run, shard);
    let only = IngestShard { config: &loaded.config, shard };
    let mut runner = Runner::open(&folder, vec![Box::new(only)], terminal)?
        .by_config(config::resolved(&loaded.config, &folder)?);
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
        let stage = IngestShard { config: &loaded.config, shard };
        let is_fresh = || -> Result<bool> {
            Ok(Inspection::open(&folder, vec![Box::new(stage)])?.left_to_do()?.is_empty())
        };
        let again = || {
            format!("make it by `cargo xtask ingest --shard {shard}` with the same config and run")
        };
        if !is_fresh().with_context(|| format!("shard {shard}: {}", again()))? {
            return Err(Refusal::new(format!(
                "shard {shard} in {} is not what this config and its files make: {}",
                folder.display(),
                again()
            ))
            .into());
        }
        shards.push(folder.join(stages::INGEST_SHARD));
    }
    let merged = stages::merged(&loaded, shards);
    let mut runner =
        Runner::open(&run, merged, terminal)?.by_config(config::resolved(&loaded.config, &run)?);
    write_config(&loaded.config, runner.run_dir().path())?;
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
            Self::Auto => shard_of(|name| std::env::var(name).ok()).ok_or_else(|| {
                let problem = "--shard auto: no variable of a Slurm array, `srun` or `mpirun` says which; \
                               name it, such as --shard 2/4";
                Refusal::new(problem).into()
            }),
        }
    }
}

/// The task of a Slurm array, else the rank among those that `srun` or an MPI started.
fn shard_of(variable: impl Fn(&str) -> Option<String>) -> Option<Shard> {
    let number = |name: &str| variable(name)?.parse::<u32>().ok();
    let array = || {
        let id = number("SLURM_ARRAY_TASK_ID")?;
        let first = number("SLURM_ARRAY_TASK_MIN")?;
        let step = number("SLURM_ARRAY_TASK_STEP").filter(|&step| step > 0).unwrap_or(1);
        Some((id.checked_sub(first)? / step, number("SLURM_ARRAY_TASK_COUNT")?))
    };
    let ranks = [
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
        ("PMI_RANK", "PMI_SIZE"),
        ("SLURM_PROCID", "SLURM_NTASKS"),
    ];
    let rank = || ranks.iter().find_map(|(rank, size)| Some((number(rank)?, number(size)?)));
    let (index, count) = array().or_else(rank)?;
    Shard::new(index.checked_add(1)?, count).ok()
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
            found.map(|shard| shard.to_string())
        };
        let array = [
            ("SLURM_ARRAY_TASK_ID", "6"),
            ("SLURM_ARRAY_TASK_MIN", "2"),
            ("SLURM_ARRAY_TASK_STEP", "2"),
            ("SLURM_ARRAY_TASK_COUNT", "4"),
            ("SLURM_PROCID", "0"),
            ("SLURM_NTASKS", "1"),
        ];
        assert_eq!(of(&array).as_deref(), Some("3/4"));
        assert_eq!(of(&array[4..]).as_deref(), Some("1/1"));
        let mpi = [("OMPI_COMM_WORLD_RANK", "3"), ("OMPI_COMM_WORLD_SIZE", "4")];
        assert_eq!(of(&mpi).as_deref(), Some("4/4"));
        assert_eq!(of(&[("PMI_RANK", "4"), ("PMI_SIZE", "4")]), None);
        assert_eq!(of(&[]), None);
    }
}
