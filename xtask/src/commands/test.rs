//! `test`: every test of the workspace, with the profile that everything else is built with.

use anyhow::Result;

use crate::args::Forwarded;
use crate::cargo::cargo;

pub fn run(args: Forwarded) -> Result<()> {
    let mut arguments = vec!["test".to_string(), "--workspace".to_string()];
    arguments.extend(args.arguments);
    cargo(&arguments, &[])
}
