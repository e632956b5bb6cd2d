use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::argument::{fused, rows_and_width};
use super::composed;
use super::reduce::partial_sums;
use super::storage::{cpu_slice, tensor, with_slices};
use crate::kernels::gemm::TILE;
use crate::kernels::norm;
use crate::{Error, Result};

/// `y = x / sqrt(mean(x^2) + epsilon) * weight` over the last dimension (Zhang and Sennrich, 2019).
///
/// # Shapes
/// `x: [.., width]`, `weight: [width]`, to the shape of `x`.
///
/// # Errors
/// If the widths differ or are zero.
pub fn rms_norm(x: &Tensor, weight: &Tensor, epsilon: f32) -> Result<Tensor> {
    let (_, width) = rows_and_width("rms_norm", x)?;
    if weight.dims() != [width] || width == 0 {
        let problem = format!("the weight has shape {:?}, expected [{width}]", weight.dims());
        return Err(Error::argument("rms_norm", problem));
    }
    if !fused(&[x, weight]) {
        return composed::rms_norm(x, weight, epsilon);
    }
    Ok(x.contiguous()?.apply_op2(&weight.contiguous()?, RmsNorm { epsilon })?)
}

struct RmsNorm {
    epsilon: f32,
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, weight) = (cpu_slice(x, x_layout)?, cpu_slice(weight, weight_layout)?);
        let tile = TILE * weight.len();
        let mut y = vec![0.0; x.len()];
        x.par_chunks(tile)
            .zip(y.par_chunks_mut(tile))
            .for_each(|(x, y)| norm::rms_norm(x, weight, self.epsilon, y));
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let shape = x.shape();
        with_slices([x, weight, dy], |[x, weight, dy]| {
            let tile = TILE * weight.len();
            let mut dx = vec![0.0; x.len()];
            let tiles = dy.par_chunks(tile).zip(x.par_chunks(tile)).zip(dx.par_chunks_mut(tile));
            let dweight = partial_sums(weight.len(), tiles, |((dy, x), dx), dweight| {
                norm::rms_norm_backward(dy, x, weight, self.epsilon, dx, dweight);
            });
            Ok((Some(tensor(dx, shape)?), Some(tensor(dweight, weight.len())?)))
        })
    }
}
