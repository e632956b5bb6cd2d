//! The program as a whole: bars of the README.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::artifact::Scratch;
use super::{Row, median_seconds};

pub const SECOND_RUN: Row = Row {
    name: "bar/second-run",
    unit: "s",
    bar: Some(2.0),
    what: "`pipeline` again, where nothing changed",
    slow: true,
    measure: || {
        let folder = Scratch::new("second-run")?;
        let run = folder.0.join("run");
        pipeline(&run)?;
        median_seconds(|| pipeline(&run))
    },
};

pub const QUICKSTART: Row = Row {
    name: "bar/quickstart",
    unit: "s",
    bar: Some(240.0),
    what: "`pipeline` from nothing",
    slow: true,
    measure: || {
        let folder = Scratch::new("quickstart")?;
        let begin = Instant::now();
        pipeline(&folder.0.join("run"))?;
        Ok(begin.elapsed().as_secs_f64())
    },
};

/// Runs this very program.
fn pipeline(run: &Path) -> Result<()> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let status = Command::new(program)
        .args(["pipeline", "--run"])
        .arg(run)
        .stderr(Stdio::null())
        .status()
        .context("cannot start this program")?;
    if !status.success() {
        bail!("the pipeline failed: {status}");
    }
    Ok(())
}
