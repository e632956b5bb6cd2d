//! Mean and covariance.

use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use super::Embeddings;

/// Mean and unbiased covariance, in double precision.
pub fn moments(set: Embeddings<'_>) -> (DVector<f64>, DMatrix<f64>) {
    let (rows, dimensions) = (set.rows(), set.dimensions());
    let mut mean = DVector::zeros(dimensions);
    for row in set.each() {
        mean.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    mean /= rows as f64;
    let centred: Vec<f64> = set
        .each()
        .flat_map(|row| row.iter().zip(mean.iter()).map(|(&value, mean)| f64::from(value) - mean))
        .collect();
    // Each row of the matrix is summed by one task, over the embeddings in order.
    let mut covariance = vec![0.0; dimensions * dimensions];
    covariance.par_chunks_mut(dimensions).enumerate().for_each(|(i, sums)| {
        for row in centred.chunks_exact(dimensions) {
            let factor = row[i];
            sums[i..].iter_mut().zip(&row[i..]).for_each(|(sum, value)| *sum += factor * value);
        }
    });
    let scale = 1.0 / (rows - 1) as f64;
    let at = |i: usize, j: usize| covariance[i.min(j) * dimensions + i.max(j)] * scale;
    (mean, DMatrix::from_fn(dimensions, dimensions, at))
}
