//! MAUVE: how far two distributions diverge, over clusters of embeddings.

use nalgebra::SymmetricEigen;
use textgan_nn::kernels::matmul_nt;
use textgan_random::Key;

use super::moments::moments;
use super::{Embeddings, check, cluster};
use crate::{Error, Result};

/// The constants of the paper's program: points of the curve, scale of the divergences, share of the
/// variance that is clustered.
const POINTS: usize = 25;
const SCALE: f64 = 5.0;
const EXPLAINED: f64 = 0.9;
/// The most rounds of k-means; it settles long before.
const ROUNDS: usize = 500;

/// MAUVE of two sets (Pillutla et al., 2021).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Mauve {
    /// The area under the divergence curve, from 0 to 1; higher is closer.
    pub score: f64,
    /// The same of histograms with half a count more in each cluster, MAUVE* (Pillutla et al., 2023),
    /// which few samples distort less.
    pub smoothed: f64,
    /// Clusters, part of the protocol: the score depends on how many there are.
    pub clusters: usize,
}

/// MAUVE of two sets of embeddings: rows of length one, principal components that explain 90 % of
/// the variance, k-means, and then [`mauve_of_clusters`].
///
/// Without a number of `clusters` it is a tenth of the smaller set, and at least 2, as in the
/// paper's program. The clusters are not that program's, since k-means depends on its start; scores
/// agree as far as those of its own seeds do.
///
/// # Errors
/// Fewer than two rows, sets of different widths, or fewer rows than clusters.
pub fn mauve(
    real: Embeddings<'_>,
    generated: Embeddings<'_>,
    clusters: Option<usize>,
    key: &Key,
) -> Result<Mauve> {
    check(real, generated, 2)?;
    let tenth = (real.rows().min(generated.rows()) as f64 / 10.0).round() as usize;
    let clusters = clusters.unwrap_or(tenth.max(2));
    let (principal, dimensions) = principal_components(real, generated)?;
    let labels = cluster(Embeddings::new(&principal, dimensions)?, clusters, ROUNDS, key)?;
    let (real, generated) = labels.split_at(real.rows());
    mauve_of_clusters(real, generated, clusters)
}

/// MAUVE of the clusters, from `0` to `clusters - 1`, that the rows of two sets fall into.
///
/// The curve has the points `exp(-5 KL(q | r)), exp(-5 KL(p | r))` over mixtures
/// `r = w p + (1 - w) q`; the score is the mean of the areas under it, seen from both axes.
///
/// # Errors
/// An empty set, or a cluster that is out of range.
pub fn mauve_of_clusters(real: &[u32], generated: &[u32], clusters: usize) -> Result<Mauve> {
    let histogram = |labels: &[u32]| -> Result<Vec<f64>> {
        let mut counts = vec![0.0; clusters];
        if labels.is_empty() {
            return Err(Error::TooFewEmbeddings { rows: 0, least: 1 });
        }
        for &label in labels {
            let count = counts.get_mut(label as usize);
            *count.ok_or(Error::Label { label, clusters })? += 1.0;
        }
        Ok(counts)
    };
    let (p, q) = (histogram(real)?, histogram(generated)?);
    let score = |more: f64| {
        let shares = |counts: &[f64]| -> Vec<f64> {
            let total = counts.iter().sum::<f64>() + more * clusters as f64;
            counts.iter().map(|count| (count + more) / total).collect()
        };
        area(&shares(&p), &shares(&q))
    };
    Ok(Mauve { score: score(0.0), smoothed: score(0.5), clusters })
}

fn area(p: &[f64], q: &[f64]) -> f64 {
    let divergence = |p: &[f64], r: &[f64]| -> f64 {
        let terms = p.iter().zip(r).filter(|(p, _)| **p > 0.0).map(|(p, r)| p * (p / r).ln());
        terms.sum()
    };
    // Both ends: all of one and none of the other.
    let mut curve = vec![(0.0, 1.0), (1.0, 0.0)];
    for point in 0..POINTS {
        let (first, last) = (1e-6, 1.0 - 1e-6);
        let w = first + (last - first) * point as f64 / (POINTS - 1) as f64;
        let mixture: Vec<f64> = p.iter().zip(q).map(|(p, q)| w * p + (1.0 - w) * q).collect();
        let height = |p: &[f64]| (-SCALE * divergence(p, &mixture)).exp();
        curve.push((height(q), height(p)));
    }
    let turned = curve.iter().map(|&(x, y)| (y, x)).collect();
    0.5 * (trapezoids(curve) + trapezoids(turned))
}

/// The area under a falling curve.
fn trapezoids(mut curve: Vec<(f64, f64)>) -> f64 {
    curve.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    curve.windows(2).map(|pair| (pair[1].0 - pair[0].0) * (pair[1].1 + pair[0].1) / 2.0).sum()
}

/// Both sets, each row of length one, in the principal components of their union; the dimensions.
fn principal_components(a: Embeddings<'_>, b: Embeddings<'_>) -> Result<(Vec<f32>, usize)> {
    let dimensions = a.dimensions();
    let mut rows: Vec<f32> = Vec::with_capacity(a.values.len() + b.values.len());
    for row in a.each().chain(b.each()) {
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        let scale = if norm > 0.0 { norm.recip() } else { 0.0 };
        rows.extend(row.iter().map(|x| x * scale));
    }
    let (mean, covariance) = moments(Embeddings::new(&rows, dimensions)?);
    let SymmetricEigen { eigenvectors, eigenvalues } = covariance.symmetric_eigen();
    let mut order: Vec<usize> = (0..dimensions).collect();
    order.sort_by(|&i, &j| eigenvalues[j].total_cmp(&eigenvalues[i]));
    let total: f64 = eigenvalues.iter().sum();
    let mut explained = 0.0;
    let mut kept = Vec::new();
    for &i in &order {
        kept.extend(eigenvectors.column(i).iter().map(|&x| x as f32));
        explained += eigenvalues[i];
        if explained >= EXPLAINED * total {
            break;
        }
    }
    for row in rows.chunks_exact_mut(dimensions) {
        row.iter_mut().zip(mean.iter()).for_each(|(x, mean)| *x -= *mean as f32);
    }
    let (count, components) = (rows.len() / dimensions, kept.len() / dimensions);
    let mut projected = vec![0.0; count * components];
    matmul_nt(count, components, dimensions, &rows, &kept, &mut projected, false);
    Ok((projected, components))
}
