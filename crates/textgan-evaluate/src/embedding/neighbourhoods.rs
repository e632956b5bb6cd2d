//! Precision, recall, density and coverage.

use rayon::prelude::*;

use super::{Embeddings, check};
use crate::{Error, Result};

/// Rows of each side that a task compares at a time, so that both stay in the cache.
const TILE: usize = 32;

/// How two sets lie among each other's nearest neighbours.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Neighbourhoods {
    /// Share of the generated that lie in the neighbourhood of a real one: quality.
    pub precision: f64,
    /// Share of the real that lie in the neighbourhood of a generated one: variety.
    pub recall: f64,
    /// Real neighbourhoods that a generated one lies in, over `k`: quality, less fooled by outliers.
    pub density: f64,
    /// Share of the real whose neighbourhood holds a generated one: variety, the same.
    pub coverage: f64,
}

/// Precision and recall (Kynkäänniemi et al., 2019), density and coverage (Naeem et al., 2020).
///
/// A neighbourhood is the ball around a row that reaches to its `k`-th nearest neighbour in its own
/// set, the edge left out. Time is quadratic in the rows.
///
/// # Errors
/// `k` of zero, not more than `k` rows, or sets of different widths.
pub fn neighbourhoods(
    real: Embeddings<'_>,
    generated: Embeddings<'_>,
    k: usize,
) -> Result<Neighbourhoods> {
    if k == 0 {
        return Err(Error::NoNeighbours);
    }
    check(real, generated, k + 1)?;
    let real_radii = radii(real, k);
    let generated_radii = radii(generated, k);
    // Of each generated row, the real neighbourhoods that it lies in.
    let within: Vec<u32> = by_row(generated, real, |distances| {
        distances.iter().zip(&real_radii).filter(|(distance, radius)| distance < radius).count()
            as u32
    });
    let of_real: Vec<(bool, f32)> = by_row(real, generated, |distances| {
        let covered =
            distances.iter().zip(&generated_radii).any(|(distance, radius)| distance < radius);
        (covered, distances.iter().copied().fold(f32::INFINITY, f32::min))
    });
    let share = |count: usize, set: Embeddings<'_>| count as f64 / set.rows() as f64;
    let covered = of_real.iter().zip(&real_radii).filter(|((_, nearest), radius)| nearest < radius);
    let total: u64 = within.iter().map(|&count| u64::from(count)).sum();
    Ok(Neighbourhoods {
        precision: share(within.iter().filter(|&&count| count > 0).count(), generated),
        recall: share(of_real.iter().filter(|(covered, _)| *covered).count(), real),
        density: total as f64 / k as f64 / generated.rows() as f64,
        coverage: share(covered.count(), real),
    })
}

/// Squared distances to the `k`-th nearest neighbour in the same set.
fn radii(set: Embeddings<'_>, k: usize) -> Vec<f32> {
    by_row(set, set, |distances| {
        // The nearest of all is the row itself, at zero.
        let mut distances = distances.to_vec();
        *distances.select_nth_unstable_by(k, f32::total_cmp).1
    })
}

/// What `summarise` says of the squared distances from each row of `a` to all rows of `b`.
fn by_row<T: Send>(
    a: Embeddings<'_>,
    b: Embeddings<'_>,
    summarise: impl Fn(&[f32]) -> T + Sync,
) -> Vec<T> {
    let (rows, others) = (a.rows(), b.rows());
    let tiles = (0..rows.div_ceil(TILE)).into_par_iter();
    tiles
        .flat_map_iter(|tile| {
            let here = tile * TILE..((tile + 1) * TILE).min(rows);
            let mut distances = vec![0.0; here.len() * others];
            for start in (0..others).step_by(TILE) {
                for (i, row) in here.clone().enumerate() {
                    for other in start..(start + TILE).min(others) {
                        distances[i * others + other] = squared(a.row(row), b.row(other));
                    }
                }
            }
            let summaries: Vec<T> = distances.chunks_exact(others).map(&summarise).collect();
            summaries
        })
        .collect()
}

/// The squared distance, by differences: equal rows are at exactly zero. In eight sums, which the
/// compiler keeps side by side.
fn squared(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = a.remainder().iter().zip(b.remainder());
    let rest: f32 = rest.map(|(x, y)| (x - y) * (x - y)).sum();
    for (a, b) in a.zip(b) {
        for (sum, (x, y)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += (x - y) * (x - y);
        }
    }
    sums.iter().sum::<f32>() + rest
}
