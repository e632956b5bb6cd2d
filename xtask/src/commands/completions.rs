//! `completions`: for shells, and manual pages; of the program that `cargo install --path xtask` installs.

use anyhow::{Context, Result};
use clap::CommandFactory;
use std::fs;
use std::io::{Write, stdout};

use crate::args::{Cli, Completions};

/// The name of the program where it is installed.
const PROGRAM: &str = "xtask";

pub fn run(args: Completions) -> Result<()> {
    let mut command = Cli::command().name(PROGRAM).bin_name(PROGRAM);
    if let Some(folder) = &args.man {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        clap_mangen::generate_to(command.clone(), folder)
            .with_context(|| format!("cannot write to {}", folder.display()))?;
    }
    if let Some(shell) = args.shell {
        // Into memory first: what a closed reader does to standard output is told as an error.
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command, PROGRAM, &mut script);
        stdout().lock().write_all(&script)?;
    }
    Ok(())
}
