use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::argument::{fused, ids_in_range, matrix, same};
use super::composed;
use super::storage::{cpu_slice, tensor, with_slices};
use crate::Result;
use crate::kernels::pointwise::{add, add_scaled};

/// Rows of a table by id.
///
/// # Shapes
/// `table: [vocab, width]`, `ids` in the given `shape`, to `[shape.., width]`.
///
/// # Errors
/// If an id is not in the table, or the ids do not fill the shape.
pub fn embedding(table: &Tensor, ids: &[u32], shape: impl Into<Shape>) -> Result<Tensor> {
    let shape = shape.into();
    let (vocab, _) = matrix("embedding", "the table", table)?;
    same("embedding", "number of ids and of places", ids.len(), shape.elem_count())?;
    ids_in_range("embedding", ids, vocab)?;
    if !fused(&[table]) {
        return composed::embedding(table, ids, &shape);
    }
    Ok(table.contiguous()?.apply_op1(Embedding { ids: ids.to_vec(), shape })?)
}

/// Weighted sums of rows of a table: what is `embedding` times `weights`, summed over places, without
/// the rows between.
///
/// # Shapes
/// `table: [vocab, width]`, `ids` and `weights` `[bags, places]`, to `[bags, width]`.
///
/// # Errors
/// If an id is not in the table, or ids and weights do not fill `bags` rows.
pub fn embedding_bag(table: &Tensor, ids: &[u32], weights: &[f32], bags: usize) -> Result<Tensor> {
    let (vocab, _) = matrix("embedding_bag", "the table", table)?;
    same("embedding_bag", "number of ids and of weights", ids.len(), weights.len())?;
    let places = ids.len() / bags.max(1);
    same("embedding_bag", "number of ids and of places", ids.len(), bags * places)?;
    ids_in_range("embedding_bag", ids, vocab)?;
    if !fused(&[table]) {
        return composed::embedding_bag(table, ids, weights, bags);
    }
    let op = EmbeddingBag { ids: ids.to_vec(), weights: weights.to_vec(), bags };
    Ok(table.contiguous()?.apply_op1(op)?)
}

struct EmbeddingBag {
    ids: Vec<u32>,
    weights: Vec<f32>,
    bags: usize,
}

impl EmbeddingBag {
    /// The id and the weight of each place of a bag, in order.
    fn bag(&self, bag: usize) -> impl Iterator<Item = (usize, f32)> {
        let places = self.ids.len() / self.bags.max(1);
        let range = bag * places..(bag + 1) * places;
        self.ids[range.clone()]
            .iter()
            .map(|&id| id as usize)
            .zip(self.weights[range].iter().copied())
    }
}

impl CustomOp1 for EmbeddingBag {
    fn name(&self) -> &'static str {
        "embedding-bag"
    }

    fn cpu_fwd(
        &self,
        table: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (table, (_, width)) = (cpu_slice(table, layout)?, layout.shape().dims2()?);
        let mut sums = vec![0.0; self.bags * width];
        for (bag, sum) in sums.chunks_exact_mut(width.max(1)).enumerate() {
            for (id, weight) in self.bag(bag).filter(|&(_, weight)| weight != 0.0) {
                add_scaled(sum, &table[id * width..][..width], weight);
            }
        }
        Ok((CpuStorage::F32(sums), (self.bags, width).into()))
    }

    fn bwd(
        &self,
        table: &Tensor,
        _sums: &Tensor,
        d: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        let (vocab, width) = table.dims2()?;
        let mut dtable = vec![0.0; vocab * width];
        if width > 0 {
            with_slices([d], |[d]| {
                for (bag, d) in d.chunks_exact(width).enumerate() {
                    for (id, weight) in self.bag(bag).filter(|&(_, weight)| weight != 0.0) {
                        add_scaled(&mut dtable[id * width..][..width], d, weight);
                    }
                }
                Ok(())
            })?;
        }
        Ok(Some(tensor(dtable, (vocab, width))?))
    }
}

struct Embedding {
    ids: Vec<u32>,
    shape: Shape,
}

/// The rows of the table whose gradients one task adds up.
const TABLE_TILE: usize = 512;

impl CustomOp1 for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(
        &self,
        table: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (table, (_, width)) = (cpu_slice(table, layout)?, layout.shape().dims2()?);
        let mut rows = Vec::with_capacity(self.ids.len() * width);
        for &id in &self.ids {
            rows.extend_from_slice(&table[id as usize * width..][..width]);
        }
        Ok((CpuStorage::F32(rows), self.shape.clone().extend(&[width])))
    }

    fn bwd(
        &self,
        table: &Tensor,
        _rows: &Tensor,
        d: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        let (vocab, width) = table.dims2()?;
        let mut dtable = vec![0.0; vocab * width];
        if width > 0 {
            with_slices([d], |[d]| {
                add_rows_by_id(&self.ids, d, width, &mut dtable);
                Ok(())
            })?;
        }
        Ok(Some(tensor(dtable, (vocab, width))?))
    }
}

/// Adds row `i` of `rows` to row `ids[i]` of `table`, in the order of `i`. Tasks own pieces of the
/// table.
pub(crate) fn add_rows_by_id(ids: &[u32], rows: &[f32], width: usize, table: &mut [f32]) {
    table.par_chunks_mut(TABLE_TILE * width).enumerate().for_each(|(tile, table)| {
        let first = tile * TABLE_TILE;
        let owned = first..first + table.len() / width;
        for (&id, row) in ids.iter().zip(rows.chunks_exact(width)) {
            if owned.contains(&(id as usize)) {
                add(&mut table[(id as usize - first) * width..][..width], row);
            }
        }
    });
}
