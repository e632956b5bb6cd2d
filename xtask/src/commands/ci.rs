//! `ci`: what a change must pass besides the tests.

use anyhow::Result;

use crate::cargo::{cargo, has_subcommand};
use crate::exit::Failed;

const CHECKS: [(&str, &str); 4] = [
    ("format", "fmt --all --check"),
    (
        "lints",
        "clippy --workspace --all-targets --features xtask/cloud,xtask/hub,xtask/tui -- --deny warnings",
    ),
    ("documentation", "doc --workspace --no-deps --features xtask/cloud,xtask/hub,xtask/tui"),
    ("dependencies", "deny check bans licenses sources"),
];

pub fn run() -> Result<()> {
    let mut failed = Vec::new();
    for (name, arguments) in CHECKS {
        if arguments.starts_with("deny") && !has_subcommand("deny") {
            eprintln!("{name}: skipped, `cargo deny` is not installed");
            continue;
        }
        let arguments: Vec<&str> = arguments.split(' ').collect();
        if cargo(&arguments, &[("RUSTDOCFLAGS", "--deny warnings")]).is_err() {
            failed.push(name);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    eprintln!("failed: {}", failed.join(", "));
    Err(Failed.into())
}
