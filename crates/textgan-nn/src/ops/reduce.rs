use rayon::prelude::*;

use crate::kernels::pointwise::add;

/// Sums over tiles, computed in parallel and added up in the order of the tiles: the bits depend on
/// the tiles only.
pub(crate) fn partial_sums<T: Send>(
    len: usize,
    tiles: impl IndexedParallelIterator<Item = T>,
    sum_of: impl Fn(T, &mut [f32]) + Sync + Send,
) -> Vec<f32> {
    let partial = |tile| {
        let mut sum = vec![0.0; len];
        sum_of(tile, &mut sum);
        sum
    };
    let sums: Vec<Vec<f32>> = tiles.map(partial).collect();
    let mut total = vec![0.0; len];
    for sum in &sums {
        add(&mut total, sum);
    }
    total
}
