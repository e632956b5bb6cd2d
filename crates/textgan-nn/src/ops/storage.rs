//! Between candle's tensors and slices.

use candle_core::{CpuStorage, Device, Layout, Result, Shape, Storage, Tensor};

/// The numbers of a contiguous `f32` tensor on the CPU, inside of a custom operation.
pub(crate) fn cpu_slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("a fused operation needs a contiguous tensor"),
    }
}

/// Calls `f` with the numbers of `f32` tensors on the CPU in row-major order; a tensor that has
/// another order is copied.
pub(crate) fn with_slices<const N: usize, R>(
    tensors: [&Tensor; N],
    f: impl FnOnce([&[f32]; N]) -> Result<R>,
) -> Result<R> {
    let tensors = tensors.into_iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
    let guards: Vec<_> = tensors.iter().map(Tensor::storage_and_layout).collect();
    let mut slices: [&[f32]; N] = [&[]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&guards) {
        *slice = match &**storage {
            Storage::Cpu(storage) => cpu_slice(storage, layout)?,
            _ => candle_core::bail!("a fused operation needs a tensor on the CPU"),
        };
    }
    f(slices)
}

/// A tensor on the CPU.
pub(crate) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &Device::Cpu)
}

/// The shape of `[.., width]` with another width.
pub(crate) fn with_width(shape: &Shape, width: usize) -> Shape {
    let mut dims = shape.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = width;
    }
    dims.into()
}

/// The gradient of `argument`, unless nobody asked for it: frozen weights cost nothing.
pub(crate) fn gradient(
    argument: &Tensor,
    compute: impl FnOnce() -> Vec<f32>,
) -> Result<Option<Tensor>> {
    match argument.track_op() {
        true => Ok(Some(tensor(compute(), argument.shape())?)),
        false => Ok(None),
    }
}
