//! k-means.

use rayon::prelude::*;
use textgan_nn::kernels::matmul_nt;
use textgan_random::Key;

use super::Embeddings;
use crate::{Error, Result};

/// Rows that are compared with the centres at a time.
const BLOCK: usize = 1024;

/// The cluster of every row, from `0` to `clusters - 1`, by k-means (Lloyd, 1982) from distinct rows
/// that `key` draws, until no row changes its cluster or for `rounds`.
///
/// A cluster that lost all its rows takes the row that lies farthest from its own centre.
///
/// # Errors
/// No clusters, or fewer rows than clusters.
pub fn cluster(set: Embeddings<'_>, clusters: usize, rounds: usize, key: &Key) -> Result<Vec<u32>> {
    if clusters == 0 || set.rows() < clusters {
        return Err(Error::Clusters { rows: set.rows(), clusters });
    }
    let dimensions = set.dimensions();
    let mut order: Vec<usize> = (0..set.rows()).collect();
    key.stream().shuffle(&mut order);
    let mut centres: Vec<f32> =
        order[..clusters].iter().flat_map(|&row| set.row(row).iter().copied()).collect();
    let mut nearest = assign(set, &centres);
    for _ in 1..rounds {
        move_centres(set, &mut nearest, &mut centres, dimensions);
        let next = assign(set, &centres);
        let settled = next.iter().zip(&nearest).all(|(next, last)| next.0 == last.0);
        nearest = next;
        if settled {
            break;
        }
    }
    Ok(nearest.into_iter().map(|(cluster, _)| cluster).collect())
}

/// The nearest centre of every row, the first of several, and the squared distance to it but for
/// the row's own square.
fn assign(set: Embeddings<'_>, centres: &[f32]) -> Vec<(u32, f32)> {
    let dimensions = set.dimensions();
    let clusters = centres.len() / dimensions;
    let square = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>();
    let squares: Vec<f32> = centres.chunks_exact(dimensions).map(square).collect();
    let mut products = vec![0.0; BLOCK.min(set.rows()) * clusters];
    let mut nearest = Vec::with_capacity(set.rows());
    for rows in set.values.chunks(BLOCK * dimensions) {
        let count = rows.len() / dimensions;
        let products = &mut products[..count * clusters];
        matmul_nt(count, clusters, dimensions, rows, centres, products, false);
        let found = products.par_chunks_exact(clusters).map(|products| {
            let distances = products.iter().zip(&squares).map(|(x, square)| square - 2.0 * x);
            let first = (0, f32::INFINITY);
            (0..).zip(distances).fold(first, |best, here| if here.1 < best.1 { here } else { best })
        });
        nearest.par_extend(found);
    }
    nearest
}

/// Moves every centre to the mean of its rows.
fn move_centres(
    set: Embeddings<'_>,
    nearest: &mut [(u32, f32)],
    centres: &mut [f32],
    dimensions: usize,
) {
    let clusters = centres.len() / dimensions;
    let mut counts = vec![0usize; clusters];
    nearest.iter().for_each(|&(cluster, _)| counts[cluster as usize] += 1);
    for empty in 0..clusters {
        if counts[empty] > 0 {
            continue;
        }
        let apart = |row: usize| {
            let square: f32 = set.row(row).iter().map(|x| x * x).sum();
            square + nearest[row].1
        };
        // Rows that are alone in their cluster stay, and so does a row that was just moved.
        let movable = (0..nearest.len()).filter(|&row| counts[nearest[row].0 as usize] > 1);
        let Some(farthest) = movable.max_by(|&a, &b| apart(a).total_cmp(&apart(b))) else { break };
        counts[nearest[farthest].0 as usize] -= 1;
        counts[empty] = 1;
        nearest[farthest].0 = empty as u32;
    }
    let mut sums = vec![0.0f64; centres.len()];
    for (row, &(cluster, _)) in set.each().zip(nearest.iter()) {
        let sums = &mut sums[cluster as usize * dimensions..][..dimensions];
        sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    let means = sums.chunks_exact(dimensions).zip(&counts);
    for (centre, (sums, &count)) in centres.chunks_exact_mut(dimensions).zip(means) {
        if count > 0 {
            centre.iter_mut().zip(sums).for_each(|(x, sum)| *x = (sum / count as f64) as f32);
        }
    }
}
