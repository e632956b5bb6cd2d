//! The Fréchet distance.

use nalgebra::{DMatrix, DVector, SymmetricEigen};

use super::moments::moments;
use super::{Embeddings, check};
use crate::{Error, Result};

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
    FrechetTarget::new(a)?.distance(b)
}

/// A set that many others are compared with: its half of [`frechet_distance`], done once.
pub struct FrechetTarget {
    dimensions: usize,
    mean: DVector<f64>,
    trace: f64,
    root: DMatrix<f64>,
}

impl FrechetTarget {
    /// From the set.
    ///
    /// # Errors
    /// Fewer than two rows.
    pub fn new(set: Embeddings<'_>) -> Result<Self> {
        check(set, set, 2)?;
        let (mean, covariance) = moments(set);
        let (dimensions, trace) = (set.dimensions(), covariance.trace());
        Ok(Self { dimensions, mean, trace, root: root(covariance) })
    }

    /// The distance to another set; see [`frechet_distance`].
    ///
    /// # Errors
    /// Fewer than two rows, or another width.
    pub fn distance(&self, other: Embeddings<'_>) -> Result<f64> {
        check(other, other, 2)?;
        if other.dimensions() != self.dimensions {
            return Err(Error::EmbeddingWidths { a: self.dimensions, b: other.dimensions() });
        }
        let (mean, covariance) = moments(other);
        let traces = self.trace + covariance.trace();
        let between = &self.root * covariance * &self.root;
        let shared: f64 =
            between.symmetric_eigenvalues().iter().map(|value| value.max(0.0).sqrt()).sum();
        // Rounding can leave equal sets a little below zero.
        Ok(((&self.mean - mean).norm_squared() + traces - 2.0 * shared).max(0.0))
    }
}

/// The symmetric root of a covariance, whose eigenvalues are at least zero but for rounding.
fn root(covariance: DMatrix<f64>) -> DMatrix<f64> {
    let SymmetricEigen { eigenvectors, eigenvalues } = covariance.symmetric_eigen();
    let roots = eigenvalues.map(|value| value.max(0.0).sqrt());
    let mut scaled = eigenvectors.clone();
    scaled.column_iter_mut().zip(roots.iter()).for_each(|(mut column, root)| column *= *root);
    scaled * eigenvectors.transpose()
}
