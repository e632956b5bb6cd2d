//! The Fréchet distance.

use nalgebra::{DMatrix, SymmetricEigen};

use super::moments::moments;
use super::{Embeddings, check};
use crate::Result;

/// The squared Fréchet distance between the normal distributions that have the means and covariances
/// of the two sets (Dowson and Landau, 1982; Heusel et al., 2017):
/// `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`.
///
/// The trace of the root is the sum of the roots of the eigenvalues of `C1^(1/2) C2 C1^(1/2)`, which
/// is symmetric: no complex roots, and no offset for singular covariances. It is biased upward for
/// few rows: compare sets of one size only.
///
/// # Errors
/// Fewer than two rows, or sets of different widths.
pub fn frechet_distance(a: Embeddings<'_>, b: Embeddings<'_>) -> Result<f64> {
    check(a, b, 2)?;
    let (mean_a, covariance_a) = moments(a);
    let (mean_b, covariance_b) = moments(b);
    let traces = covariance_a.trace() + covariance_b.trace();
    let root = root(covariance_a);
    let between = &root * covariance_b * &root;
    let shared: f64 =
        between.symmetric_eigenvalues().iter().map(|value| value.max(0.0).sqrt()).sum();
    // Rounding can leave equal sets a little below zero.
    Ok(((mean_a - mean_b).norm_squared() + traces - 2.0 * shared).max(0.0))
}

/// The symmetric root of a covariance, whose eigenvalues are at least zero but for rounding.
fn root(covariance: DMatrix<f64>) -> DMatrix<f64> {
    let SymmetricEigen { eigenvectors, eigenvalues } = covariance.symmetric_eigen();
    let roots = eigenvalues.map(|value| value.max(0.0).sqrt());
    let mut scaled = eigenvectors.clone();
    scaled.column_iter_mut().zip(roots.iter()).for_each(|(mut column, root)| column *= *root);
    scaled * eigenvectors.transpose()
}
