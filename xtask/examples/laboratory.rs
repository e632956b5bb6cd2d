//! The whole program, with an objective of another crate among its phases.
//!
//! The objective is that of `textgan-train`'s example `outside_objective`: here a config can ask for it by
//! its `kind`, and it has stages, resume, sweeps, evaluation and the report.
//!
//! ```text
//! cargo run -p xtask --example laboratory -- pipeline --config mine.toml
//! ```

use std::process::ExitCode;

#[path = "../../crates/textgan-train/examples/outside_objective.rs"]
#[allow(unused, reason = "it is a program of its own too")]
mod outside_objective;

fn main() -> ExitCode {
    xtask::main_with::<outside_objective::Mine>()
}
