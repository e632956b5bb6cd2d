//! `fuzz`: hostile files for the readers of outside bytes, until the time is over or one of them fails.
//!
//! The targets are crates of their own, in a folder `fuzz` of the crate that they test: they need a nightly
//! compiler and `cargo-fuzz`, which nothing else here does.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

use crate::args::Fuzz;
use crate::cargo::{has_subcommand, nightly, root};
use crate::exit::Refusal;

/// The folder of a Linux system whose files are in memory.
const IN_MEMORY: &str = "/dev/shm";

/// A fuzz target: its name, and the folder of its crate from the workspace's on.
struct Target {
    name: String,
    folder: String,
}

pub fn run(args: Fuzz) -> Result<()> {
    let targets = targets()?;
    let Some(name) = &args.name else {
        for Target { name, folder } in &targets {
            println!("{name:16} {folder}");
        }
        return Ok(());
    };
    let Some(target) = targets.iter().find(|target| target.name == *name) else {
        let known: Vec<&str> = targets.iter().map(|target| &*target.name).collect();
        return Err(
            Refusal::new(format!("no fuzz target {name}; there are {}", known.join(", "))).into()
        );
    };
    if !has_subcommand("fuzz") {
        let message = "cargo-fuzz is not installed: cargo install cargo-fuzz, and rustup toolchain install nightly";
        return Err(Refusal::new(message).into());
    }
    let Target { name, folder } = target;
    let corpus = format!("target/fuzz/corpus/{name}");
    fs::create_dir_all(root().join(&corpus)).with_context(|| format!("cannot make {corpus}"))?;
    let seeds = format!("{folder}/seeds/{name}");
    let seconds = format!("-max_total_time={}", args.seconds);
    let runs = args.runs.map_or_else(|| "-runs=-1".to_owned(), |runs| format!("-runs={runs}"));
    // By itself as the program is built, which has no checks of the compiler; with a sanitizer, with all there are.
    let build = if args.sanitizer == "none" { "--release" } else { "--debug-assertions" };
    let arguments = [
        "fuzz",
        "run",
        build,
        "--fuzz-dir",
        folder,
        "--target-dir",
        "target/fuzz",
        "--sanitizer",
        &args.sanitizer,
        name,
        &corpus,
        &seeds,
        "--",
        &seconds,
        &runs,
        "-timeout=10",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
    ];
    // An input is a file, and there are thousands a second: in memory, where the system has a folder for that.
    let in_memory = Path::new(IN_MEMORY).is_dir();
    nightly(&arguments, if in_memory { &[("TMPDIR", IN_MEMORY)] } else { &[] })
}

fn targets() -> Result<Vec<Target>> {
    let mut crates: Vec<PathBuf> = vec![PathBuf::from("xtask")];
    for entry in fs::read_dir(root().join("crates")).context("cannot read crates/")? {
        crates.push(Path::new("crates").join(entry.context("cannot read crates/")?.file_name()));
    }
    let mut targets = Vec::new();
    for folder in crates.into_iter().map(|folder| folder.join("fuzz")) {
        let Ok(entries) = fs::read_dir(root().join(&folder).join("fuzz_targets")) else { continue };
        for entry in entries {
            let file = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
            if let Some(name) = file.file_stem().and_then(|name| name.to_str()) {
                let folder = folder.display().to_string();
                targets.push(Target { name: name.to_owned(), folder });
            }
        }
    }
    targets.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(targets)
}
