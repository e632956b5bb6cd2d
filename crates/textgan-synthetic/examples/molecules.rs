//! Says of each line of stdin whether it is a molecule: `1`, or `0` and what is wrong with it.
//!
//! ```text
//! cargo run -p textgan-synthetic --example molecules < samples.txt
//! ```

use std::io::{BufRead, Write, stdin, stdout};

use textgan_synthetic::Rules;

fn main() -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(stdout().lock());
    for line in stdin().lock().lines() {
        match Rules::Smiles.explain(&line?) {
            Ok(()) => writeln!(out, "1")?,
            Err(fault) => writeln!(out, "0\t{fault}")?,
        }
    }
    out.flush()
}
