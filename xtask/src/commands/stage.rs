//! `ingest`, `tokenize`, `train`, `evaluate`, `report`: one stage alone.

use anyhow::Result;

use super::pipeline::{resolve, summarise, write_config};
use crate::args::OneStage;
use crate::config::{self, PhaseKind};
use crate::runner::{Runner, Selection};
use crate::stages;
use crate::terminal::Terminal;

pub fn run<O: PhaseKind>(name: &'static str, args: OneStage, terminal: &Terminal) -> Result<()> {
    let (loaded, folder) = resolve::<O>(&args.target)?;
    let mut runner = Runner::open(&folder, stages::all(&loaded), terminal)?
        .by_config(config::resolved(&loaded.config, &folder)?);
    write_config(&loaded.config, runner.run_dir().path())?;
    runner.check_earlier(name)?;
    let selection = Selection { only: Some(name), force: args.force, ..Selection::default() };
    let outcome = runner.bring_up_to_date(&selection)?;
    summarise(&outcome, &folder, terminal);
    Ok(())
}
