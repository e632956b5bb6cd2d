//! `config`: every knob, its value and what it does.

use anyhow::Result;
use std::io::{Write, stdout};

use crate::args::ShowConfig;
use crate::config::{self, Loaded, PhaseKind};

pub fn run<O: PhaseKind>(args: ShowConfig) -> Result<()> {
    let text = if args.schema {
        serde_json::to_string_pretty(&config::schema::<O>())? + "\n"
    } else {
        let experiment = &args.experiment;
        let loaded: Loaded<O> =
            config::load(experiment.config.as_deref(), &experiment.assignments)?;
        loaded.validate()?;
        config::documented(&loaded.written)?
    };
    stdout().write_all(text.as_bytes())?;
    Ok(())
}
