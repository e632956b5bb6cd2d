use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::argument::fused;
use super::composed;
use super::storage::{cpu_slice, tensor, with_slices};
use crate::kernels::{Noise, pointwise};
use crate::{Error, Mode, Result};

/// In training sets each number to zero with probability `p` and scales the others by
/// `1 / (1 - p)`; the identity in evaluation (Srivastava et al., 2014).
///
/// The draw belongs to the key of `mode` and to `name`: another name, another mask; the same two,
/// the same mask.
///
/// # Shapes
/// The result has the shape of `x`.
///
/// # Errors
/// If `p` is not in `[0, 1)`.
pub fn dropout(x: &Tensor, p: f32, mode: Mode<'_>, name: &str) -> Result<Tensor> {
    if !(0.0..1.0).contains(&p) {
        return Err(Error::argument("dropout", format!("p is {p}, expected 0 <= p < 1")));
    }
    let Some(key) = mode.key(name).filter(|_| p > 0.0) else {
        return Ok(x.clone());
    };
    if !fused(&[x]) {
        return composed::dropout(x, p, &key);
    }
    Ok(x.contiguous()?.apply_op1(Dropout { p, noise: Noise::new(&key) })?)
}

/// Numbers that one row of the noise decides about.
pub(crate) const TILE: usize = 4096;

struct Dropout {
    p: f32,
    noise: Noise,
}

impl Dropout {
    /// The mask is its own gradient.
    fn apply(&self, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        let tiles = x.par_chunks(TILE).zip(y.par_chunks_mut(TILE)).enumerate();
        tiles.for_each(|(tile, (x, y))| {
            let mut uniform = [0.0; TILE];
            let uniform = &mut uniform[..x.len()];
            self.noise.uniform_open(tile as u64, uniform);
            pointwise::dropout(x, uniform, self.p, y);
        });
        y
    }
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(self.apply(cpu_slice(x, layout)?)), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let dx = with_slices([dy], |[dy]| Ok(self.apply(dy)))?;
        Ok(Some(tensor(dx, x.shape())?))
    }
}
