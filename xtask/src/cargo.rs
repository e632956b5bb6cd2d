//! Calls of cargo, for the commands that check the workspace.

use anyhow::{Context, Result};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::exit::Failed;

/// Runs cargo in the workspace's folder, its output in plain sight.
///
/// # Errors
/// It cannot be started, or it failed (and has said why).
pub fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    eprintln!("cargo {}", arguments.join(" "));
    let status = command()
        .args(arguments)
        .envs(environment.iter().copied())
        .status()
        .context("cannot start cargo")?;
    if status.success() { Ok(()) } else { Err(Failed.into()) }
}

/// As [`cargo`], with the nightly compiler.
///
/// # Errors
/// As [`cargo`].
pub fn nightly(arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    eprintln!("cargo +nightly {}", arguments.join(" "));
    // Whatever called this program chose a compiler of its own.
    let mut command = Command::new("cargo");
    command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").current_dir(root());
    command.arg("+nightly").args(arguments).envs(environment.iter().copied());
    let status = command.status().context("cannot start cargo +nightly")?;
    if status.success() { Ok(()) } else { Err(Failed.into()) }
}

/// Whether `cargo NAME` exists here.
pub fn has_subcommand(name: &str) -> bool {
    let quiet =
        command().args([name, "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// The workspace's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

fn command() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}
