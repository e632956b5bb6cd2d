//! How whole numbers, such as lengths, are distributed, and how far two distributions lie apart.

use crate::Error;

/// Where the values of a set lie.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The smallest value that at least half of the values do not exceed.
    pub median: usize,
    /// The smallest value that at least 90 % of the values do not exceed.
    pub p90: usize,
    /// The smallest value that at least 99 % of the values do not exceed.
    pub p99: usize,
    /// The largest.
    pub max: usize,
}

/// Where values lie.
///
/// # Errors
/// No values.
pub fn spread(values: &[usize]) -> Result<Spread, Error> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let Some(&max) = sorted.last() else { return Err(Error::Nothing { set: "values" }) };
    let at = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100) - 1];
    let mean = sorted.iter().sum::<usize>() as f64 / sorted.len() as f64;
    Ok(Spread { mean, median: at(50), p90: at(90), p99: at(99), max })
}

/// The distance between two distributions: how far, on average, a value must move to turn one
/// into the other (the first Wasserstein distance, the area between the distribution functions).
///
/// # Errors
/// No values on a side.
pub fn earth_movers_distance(a: &[usize], b: &[usize]) -> Result<f64, Error> {
    if a.is_empty() || b.is_empty() {
        return Err(Error::Nothing { set: "values" });
    }
    let sorted = |values: &[usize]| {
        let mut values = values.to_vec();
        values.sort_unstable();
        values
    };
    let (a, b) = (sorted(a), sorted(b));
    let (mut i, mut j, mut last, mut area) = (0, 0, a[0].min(b[0]), 0.0);
    while i < a.len() || j < b.len() {
        let next = match (a.get(i), b.get(j)) {
            (Some(&x), Some(&y)) => x.min(y),
            (Some(&x), None) | (None, Some(&x)) => x,
            (None, None) => break,
        };
        let apart = i as f64 / a.len() as f64 - j as f64 / b.len() as f64;
        area += apart.abs() * (next - last) as f64;
        last = next;
        i += a[i..].iter().take_while(|&&x| x == next).count();
        j += b[j..].iter().take_while(|&&x| x == next).count();
    }
    Ok(area)
}

/// The [`earth_movers_distance`] between the sentence lengths of two sets, in tokens.
///
/// # Errors
/// No samples or references.
pub fn length_distance<S, R>(samples: &[S], references: &[R]) -> Result<f64, Error>
where
    S: AsRef<[u32]>,
    R: AsRef<[u32]>,
{
    if samples.is_empty() {
        return Err(Error::Nothing { set: "samples" });
    }
    if references.is_empty() {
        return Err(Error::Nothing { set: "references" });
    }
    let samples: Vec<usize> = samples.iter().map(|s| s.as_ref().len()).collect();
    let references: Vec<usize> = references.iter().map(|r| r.as_ref().len()).collect();
    earth_movers_distance(&samples, &references)
}
