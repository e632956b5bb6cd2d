//! `ingest`, `tokenize`, `train`, `evaluate`, `report`: one stage alone.

use anyhow::Result;

use super::pipeline::{in_team, resolve};
use crate::args::OneStage;
use crate::config::PhaseKind;
use crate::runner::Selection;
use crate::terminal::Terminal;

pub fn run<O: PhaseKind>(name: &'static str, args: OneStage, terminal: &Terminal) -> Result<()> {
    in_team(
        || resolve::<O>(&args.target),
        terminal,
        |runner| {
            runner.check_earlier(name)?;
            let selection =
                Selection { only: Some(name), force: args.force, ..Selection::default() };
            runner.bring_up_to_date(&selection)
        },
    )
}
