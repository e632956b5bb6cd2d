//! `test`: every test of the workspace, with the profile that everything else is built with,
//! and with the features that are off by default.

use anyhow::Result;

use crate::args::Forwarded;
use crate::cargo::cargo;

pub fn run(args: Forwarded) -> Result<()> {
    let mut arguments =
        vec!["test", "--workspace", "--features", "xtask/cloud,xtask/hub,xtask/tui"];
    arguments.extend(args.arguments.iter().map(String::as_str));
    cargo(&arguments, &[])
}
