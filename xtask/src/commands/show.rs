//! `show`: one run.

use anyhow::Result;
use textgan_artifact::RunDir;

use crate::args::Show;
use crate::overview::{self, Overview};
use crate::terminal::size;

pub fn run(args: Show) -> Result<()> {
    let path = overview::path(args.run);
    let overview = Overview::of(&RunDir::open(&path)?)?;
    println!("{}  {}", path.display(), size(overview.bytes));
    println!();
    println!("{:10}  {:>9}  {:>5}  {:12}", "stage", "size", "files", "fingerprint");
    for stage in &overview.stages {
        println!(
            "{:10}  {:>9}  {:>5}  {:12}",
            stage.name,
            size(stage.bytes),
            stage.files,
            &stage.fingerprint.get(..12).unwrap_or(&stage.fingerprint)
        );
    }
    for name in &overview.half_done {
        println!("{name:10}  half done; `cargo xtask pipeline` goes on from there");
    }
    if !overview.numbers.is_empty() {
        println!();
        for (name, value) in &overview.numbers {
            println!("{name:28} {value}");
        }
    }
    Ok(())
}
