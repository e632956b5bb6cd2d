use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::argument::{fused, same_shape};
use super::composed;
use super::storage::{cpu_slice, tensor, with_slices};
use crate::Result;
use crate::kernels::pointwise as kernels;

/// Numbers that one task computes.
const TILE: usize = 16 * 1024;

/// `y = silu(gate) * up` with `silu(x) = x sigmoid(x)` (Shazeer, 2020).
///
/// # Shapes
/// Both arguments and the result have the same shape.
///
/// # Errors
/// If the shapes differ.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    same_shape("swiglu", "shapes of gate and up", gate, up)?;
    if !fused(&[gate, up]) {
        return composed::swiglu(gate, up);
    }
    Ok(gate.contiguous()?.apply_op2(&up.contiguous()?, Swiglu)?)
}

/// `y = ln(1 + exp(x))`, without overflow; its derivative is the sigmoid.
///
/// `softplus(-x)` is `-ln sigmoid(x)`: the two halves of every logistic GAN loss.
///
/// # Shapes
/// The result has the shape of `x`.
///
/// # Errors
/// If candle refuses.
pub fn softplus(x: &Tensor) -> Result<Tensor> {
    if !fused(&[x]) {
        return composed::softplus(x);
    }
    Ok(x.contiguous()?.apply_op1(Softplus)?)
}

/// The **mean** binary cross-entropy of logits, `mean(softplus(x) - x t)`, finite for any finite
/// logit (candle's own gives NaN near 120).
///
/// # Shapes
/// `logits` and `targets` (probabilities in `[0, 1]`) have the same shape; the result is a scalar.
///
/// # Errors
/// If the shapes differ.
pub fn bce_with_logits(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    same_shape("bce_with_logits", "shapes of logits and targets", logits, targets)?;
    Ok((softplus(logits)? - (logits * targets)?)?.mean_all()?)
}

struct Swiglu;

impl CustomOp2 for Swiglu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (gate, up) = (cpu_slice(gate, gate_layout)?, cpu_slice(up, up_layout)?);
        let mut y = vec![0.0; gate.len()];
        let inputs = gate.par_chunks(TILE).zip(up.par_chunks(TILE));
        inputs.zip(y.par_chunks_mut(TILE)).for_each(|((gate, up), y)| kernels::swiglu(gate, up, y));
        Ok((CpuStorage::F32(y), gate_layout.shape().clone()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let shape = gate.shape();
        with_slices([gate, up, dy], |[gate, up, dy]| {
            let (mut dgate, mut dup) = (vec![0.0; dy.len()], vec![0.0; dy.len()]);
            dy.par_chunks(TILE)
                .zip(gate.par_chunks(TILE).zip(up.par_chunks(TILE)))
                .zip(dgate.par_chunks_mut(TILE).zip(dup.par_chunks_mut(TILE)))
                .for_each(|((dy, (gate, up)), (dgate, dup))| {
                    kernels::swiglu_backward(dy, gate, up, dgate, dup);
                });
            Ok((Some(tensor(dgate, shape)?), Some(tensor(dup, shape)?)))
        })
    }
}

struct Softplus;

impl CustomOp1 for Softplus {
    fn name(&self) -> &'static str {
        "softplus"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = cpu_slice(x, layout)?;
        let mut y = vec![0.0; x.len()];
        kernels::softplus(x, &mut y);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let shape = x.shape();
        with_slices([x, dy], |[x, dy]| {
            let mut dx = vec![0.0; x.len()];
            kernels::softplus_backward(dy, x, &mut dx);
            Ok(Some(tensor(dx, shape)?))
        })
    }
}
