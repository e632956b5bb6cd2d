//! An oracle, a few of its sequences, and what its own sequences cost it.
//!
//! `cargo run -p textgan-synthetic --example oracle [-- FOLDER]`, where FOLDER holds the 15 arrays;
//! without it, a random oracle of the same size.

use std::path::Path;
use std::time::Instant;
use textgan_random::Key;
use textgan_synthetic::{Error, Oracle, OracleSizes};

const ROWS: u64 = 5_000;

fn main() -> Result<(), Error> {
    let oracle = match std::env::args().nth(1) {
        Some(folder) => Oracle::load(Path::new(&folder))?,
        None => Oracle::random(OracleSizes::default(), &Key::root(1)),
    };
    let key = Key::root(2);
    for length in [20, 40] {
        let began = Instant::now();
        let rows = oracle.sample_rows(0..ROWS, length, &key);
        let drawn = began.elapsed().as_secs_f64();
        println!("{}", oracle.text(&rows[0]));
        let costs: Vec<f64> = oracle
            .log_probs(&rows)?
            .iter()
            .map(|row| -row.iter().sum::<f64>() / length as f64)
            .collect();
        let n = costs.len() as f64;
        let mean = costs.iter().sum::<f64>() / n;
        let variance = costs.iter().map(|cost| (cost - mean).powi(2)).sum::<f64>() / (n - 1.0);
        println!(
            "{}: length {length}, {mean:.4} +- {:.4} nats a token over {ROWS} of its own sequences, \
             {:.0} tokens/s",
            oracle.name(),
            (variance / n).sqrt(),
            n * length as f64 / drawn
        );
    }
    Ok(())
}
