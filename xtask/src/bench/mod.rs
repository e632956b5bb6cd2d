//! What is timed. Each row measures the code that runs, on inputs that are the same every time.

mod artifact;
pub mod captions;
pub mod duel;
mod gans;
mod pipeline;
mod ratio;
mod scaling;
mod streaming;
mod text;
mod works;

use anyhow::Result;
use std::time::Instant;

pub use works::operations;

/// One row of the table.
pub struct Row {
    /// Its name, by what it measures: `artifact/hash`.
    pub name: &'static str,
    /// The unit of its value.
    pub unit: &'static str,
    /// The most that it may be, or nothing.
    pub bar: Option<f64>,
    /// What is measured.
    pub what: &'static str,
    /// Whether it takes minutes.
    pub slow: bool,
    /// Measures it.
    pub measure: fn() -> Result<f64>,
}

/// All rows of one value, in the order of the table.
pub const ROWS: &[Row] = &[
    artifact::HASH,
    artifact::WRITE,
    artifact::READ,
    text::GRAMMAR,
    captions::SELF_BLEU,
    captions::COPIES,
    pipeline::SECOND_RUN,
    pipeline::QUICKSTART,
    streaming::STREAMING,
    scaling::SCALING,
];

/// Times of one call are noisy, so each row is the median of this many.
const ROUNDS: usize = 5;

/// The median seconds of a call.
fn median_seconds(mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut seconds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        call()?;
        seconds.push(begin.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[ROUNDS / 2])
}
