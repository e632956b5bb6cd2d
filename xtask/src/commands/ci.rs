//! `ci`: what a change must pass besides the tests.

use anyhow::Result;

use crate::cargo::{cargo, has_subcommand};
use crate::exit::Failed;

pub fn run() -> Result<()> {
    let mut checks: Vec<(&str, Vec<&str>, &[(&str, &str)])> = vec![
        ("format", vec!["fmt", "--all", "--check"], &[]),
        ("lints", vec!["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"], &[]),
        (
            "documentation",
            vec!["doc", "--workspace", "--no-deps"],
            &[("RUSTDOCFLAGS", "--deny warnings")],
        ),
    ];
    if has_subcommand("deny") {
        checks.push(("dependencies", vec!["deny", "check"], &[]));
    } else {
        eprintln!("dependencies: skipped, `cargo deny` is not installed");
    }
    let mut failed = Vec::new();
    for (name, arguments, environment) in checks {
        let arguments: Vec<String> = arguments.into_iter().map(str::to_string).collect();
        if cargo(&arguments, environment).is_err() {
            failed.push(name);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    eprintln!("failed: {}", failed.join(", "));
    Err(Failed.into())
}
