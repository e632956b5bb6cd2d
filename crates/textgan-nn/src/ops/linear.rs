use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::argument::{fused, matrix, rows_and_width, same};
use super::composed;
use super::reduce::partial_sums;
use super::storage::{cpu_slice, gradient, with_slices, with_width};
use crate::kernels::gemm::TILE;
use crate::kernels::pointwise::{add_rows, add_to_rows};
use crate::kernels::{matmul_nn, matmul_nt, matmul_tn};
use crate::{Error, Result};

/// `y = x W^T + b`.
///
/// # Shapes
/// `x: [.., in]`, `weight: [out, in]`, `bias: [out]`, to `[.., out]`.
///
/// # Errors
/// If the shapes do not fit.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (_, input) = rows_and_width("linear", x)?;
    let (output, width) = matrix("linear", "the weight", weight)?;
    same("linear", "width of the input and of the weight", input, width)?;
    if let Some(bias) = bias.filter(|bias| bias.dims() != [output]) {
        let problem = format!("the bias has shape {:?}, expected [{output}]", bias.dims());
        return Err(Error::argument("linear", problem));
    }
    if !fused(&[x, weight]) || bias.is_some_and(|bias| !fused(&[bias])) {
        return composed::linear(x, weight, bias);
    }
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    Ok(match bias {
        None => x.apply_op2(&weight, Linear)?,
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, Linear)?,
    })
}

/// `y = x M`: a product whose bits do not depend on the number of threads (candle's may).
///
/// # Shapes
/// `x: [.., inner]`, `matrix: [inner, out]`, to `[.., out]`.
///
/// # Errors
/// If the shapes do not fit.
pub fn matmul(x: &Tensor, matrix: &Tensor) -> Result<Tensor> {
    let (_, input) = rows_and_width("matmul", x)?;
    let (inner, _) = self::matrix("matmul", "the right side", matrix)?;
    same("matmul", "inner dimensions", input, inner)?;
    if !fused(&[x, matrix]) {
        return composed::matmul(x, matrix);
    }
    Ok(x.contiguous()?.apply_op2(&matrix.contiguous()?, Product)?)
}

struct Linear;

impl Linear {
    fn forward(
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        layout: (&Layout, &Layout),
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (output, input) = layout.1.shape().dims2()?;
        let rows = layout.0.shape().elem_count() / input.max(1);
        let mut y = vec![0.0; rows * output];
        matmul_nt(rows, output, input, x, weight, &mut y, false);
        if let Some(bias) = bias.filter(|bias| !bias.is_empty()) {
            y.par_chunks_mut(TILE * output).for_each(|y| add_to_rows(y, bias));
        }
        Ok((CpuStorage::F32(y), with_width(layout.0.shape(), output)))
    }

    fn backward(
        x: &Tensor,
        weight: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (output, input) = weight.dims2()?;
        let rows = x.elem_count() / input.max(1);
        let [x_wanted, weight_wanted] = [x, weight];
        with_slices([x, weight, dy], |[x, weight, dy]| {
            let dx = || {
                let mut dx = vec![0.0; rows * input];
                matmul_nn(rows, input, output, dy, weight, &mut dx, false);
                dx
            };
            let dweight = || {
                let mut dweight = vec![0.0; output * input];
                matmul_tn(output, input, rows, dy, x, &mut dweight, false);
                dweight
            };
            let (dx, dweight) =
                rayon::join(|| gradient(x_wanted, dx), || gradient(weight_wanted, dweight));
            Ok((dx?, dweight?))
        })
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, weight) = (cpu_slice(x, x_layout)?, cpu_slice(weight, weight_layout)?);
        Self::forward(x, weight, None, (x_layout, weight_layout))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        Self::backward(x, weight, dy)
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear with bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, weight) = (cpu_slice(x, x_layout)?, cpu_slice(weight, weight_layout)?);
        let bias = cpu_slice(bias, bias_layout)?;
        Self::forward(x, weight, Some(bias), (x_layout, weight_layout))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dweight) = Self::backward(x, weight, dy)?;
        let output = bias.elem_count();
        let dbias = with_slices([dy], |[dy]| {
            let tiles = || dy.par_chunks((TILE * output).max(1));
            gradient(bias, || partial_sums(output, tiles(), add_rows))
        })?;
        Ok((dx, dweight, dbias))
    }
}

struct Product;

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        matrix: &CpuStorage,
        matrix_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, matrix) = (cpu_slice(x, x_layout)?, cpu_slice(matrix, matrix_layout)?);
        let (inner, output) = matrix_layout.shape().dims2()?;
        let rows = x.len() / inner.max(1);
        let mut y = vec![0.0; rows * output];
        matmul_nn(rows, output, inner, x, matrix, &mut y, false);
        Ok((CpuStorage::F32(y), with_width(x_layout.shape(), output)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        matrix: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (inner, output) = matrix.dims2()?;
        let rows = x.elem_count() / inner.max(1);
        let [x_wanted, matrix_wanted] = [x, matrix];
        with_slices([x, matrix, dy], |[x, matrix, dy]| {
            let dx = gradient(x_wanted, || {
                let mut dx = vec![0.0; rows * inner];
                matmul_nt(rows, inner, output, dy, matrix, &mut dx, false);
                dx
            })?;
            let dmatrix = gradient(matrix_wanted, || {
                let mut dmatrix = vec![0.0; inner * output];
                matmul_tn(inner, output, rows, x, dy, &mut dmatrix, false);
                dmatrix
            })?;
            Ok((dx, dmatrix))
        })
    }
}
