//! The command line of textgan: experiments from one config file, run as a list of stages.
//!
//! The program is `cargo xtask`. This library is its insides, so that tests can reach them.
//!
//! - [`config`]: the experiment's file: `extends`, `--set`, complaints that name the line; and a sweep's.
//! - [`stage`], [`stages`]: what a stage is, and the six there are.
//! - [`runner`]: skips what is fresh, resumes what was killed, takes what a sibling has, publishes what
//!   is finished.
//! - [`exit`]: how the program ends.

mod args;
mod bench;
mod cargo;
mod commands;
pub mod config;
pub mod exit;
mod overview;
pub mod runner;
mod signals;
pub mod stage;
pub mod stages;
mod team;
mod terminal;
mod trained;

use clap::Parser;
use std::process::ExitCode;

/// The program: reads the command line, obeys, and says how it went.
pub fn main() -> ExitCode {
    main_with::<textgan_train::BuiltIn>()
}

/// The same with other objectives, of the crate that calls it: `O` is what a `[[phase]]` may be, usually
/// an enum of that crate's own and of [`textgan_train::BuiltIn`]. The example `laboratory` is such a
/// program.
pub fn main_with<O: config::PhaseKind>() -> ExitCode {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // It becomes an error that names the file.
        if !textgan_artifact::table::is_guarded() {
            usual(panic);
        }
    }));
    exit::report(commands::run::<O>(args::Cli::parse()))
}

/// The guides, whose programs are tested with the documentation.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../guides/own-text.md")]
    struct OwnText;
    #[doc = include_str!("../guides/write-an-objective.md")]
    struct WriteAnObjective;
    #[doc = include_str!("../guides/reproduce-a-paper.md")]
    struct ReproduceAPaper;
    #[doc = include_str!("../guides/read-the-curves.md")]
    struct ReadTheCurves;
    #[doc = include_str!("../guides/what-noise-does.md")]
    struct WhatNoiseDoes;
}
