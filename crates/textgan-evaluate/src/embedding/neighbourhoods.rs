//! Precision, recall, density and coverage.

use rayon::prelude::*;
use textgan_nn::kernels::matmul_nt;

use super::{Embeddings, check};
use crate::{Error, Result};

/// Rows that are compared with all others at a time.
const BLOCK: usize = 256;

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
    let within: Vec<u32> = by_row(generated, real, |row| {
        (0..real.rows()).filter(|&other| row.is_nearer(other, real_radii[other])).count() as u32
    });
    // Of each real row, whether it lies in a generated neighbourhood, and whether its own holds one.
    let of_real: Vec<(bool, bool)> = by_row(real, generated, |row| {
        let mut all = 0..generated.rows();
        let covered = all.clone().any(|other| row.is_nearer(other, real_radii[row.number]));
        (all.any(|other| row.is_nearer(other, generated_radii[other])), covered)
    });
    let share = |count: usize, set: Embeddings<'_>| count as f64 / set.rows() as f64;
    let total: u64 = within.iter().map(|&count| u64::from(count)).sum();
    Ok(Neighbourhoods {
        precision: share(within.iter().filter(|&&count| count > 0).count(), generated),
        recall: share(of_real.iter().filter(|(recalled, _)| *recalled).count(), real),
        density: total as f64 / k as f64 / generated.rows() as f64,
        coverage: share(of_real.iter().filter(|(_, covered)| *covered).count(), real),
    })
}

/// Squared distances to the `k`-th nearest neighbour in the same set.
fn radii(set: Embeddings<'_>, k: usize) -> Vec<f32> {
    by_row(set, set, |row| {
        let mut about = row.about.to_vec();
        let reach = *about.select_nth_unstable_by(k, f32::total_cmp).1;
        let slack = row.slack.iter().copied().fold(0.0, f32::max);
        let near = (0..row.about.len()).filter(|&other| row.about[other] <= reach + 2.0 * slack);
        let mut distances: Vec<f32> = near.map(|other| row.exactly(other)).collect();
        // The nearest of all is the row itself, at zero.
        *distances.select_nth_unstable_by(k, f32::total_cmp).1
    })
}

/// A row and the squared distances from it to all rows of a set: about, by a matrix product, which
/// is fast; and exactly where that decides.
struct Row<'a> {
    number: usize,
    row: &'a [f32],
    others: Embeddings<'a>,
    about: &'a [f32],
    /// How far off each may be.
    slack: &'a [f32],
}

impl Row<'_> {
    fn is_nearer(&self, other: usize, radius: f32) -> bool {
        let beyond = self.about[other] - radius;
        if beyond.abs() > self.slack[other] { beyond < 0.0 } else { self.exactly(other) < radius }
    }

    fn exactly(&self, other: usize) -> f32 {
        squared(self.row, self.others.row(other))
    }
}

/// What `summarise` says of each row of `a` among all rows of `b`.
fn by_row<T: Send>(
    a: Embeddings<'_>,
    b: Embeddings<'_>,
    summarise: impl Fn(Row<'_>) -> T + Sync,
) -> Vec<T> {
    let (dimensions, others) = (a.dimensions(), b.rows());
    let square = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>();
    let squares: Vec<f32> = b.each().map(square).collect();
    // The rounding of a sum of as many products, at worst.
    let share = (dimensions + 8) as f32 * f32::EPSILON;
    let mut products = vec![0.0; BLOCK.min(a.rows()) * others];
    let mut summaries = Vec::with_capacity(a.rows());
    for (block, rows) in a.values.chunks(BLOCK * dimensions).enumerate() {
        let count = rows.len() / dimensions;
        let products = &mut products[..count * others];
        matmul_nt(count, others, dimensions, rows, b.values, products, false);
        let rows = rows.par_chunks_exact(dimensions).zip(products.par_chunks_exact_mut(others));
        summaries.par_extend(rows.enumerate().map(|(i, (row, about))| {
            let own = square(row);
            let slack: Vec<f32> = squares.iter().map(|other| share * (own + other)).collect();
            about.iter_mut().zip(&squares).for_each(|(x, other)| *x = own + other - 2.0 * *x);
            summarise(Row { number: block * BLOCK + i, row, others: b, about, slack: &slack })
        }));
    }
    summaries
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
