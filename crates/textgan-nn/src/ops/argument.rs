//! Checks that public operations share, so that a wrong shape is named before any work is done.

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result};

/// Whether the fused form applies: everything on the CPU, in `f32`.
pub(crate) fn fused(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|t| matches!(t.device(), Device::Cpu) && t.dtype() == DType::F32)
}

/// Rows and width of `[.., width]`.
pub(crate) fn rows_and_width(operation: &'static str, x: &Tensor) -> Result<(usize, usize)> {
    match x.dims() {
        [rows @ .., width] => Ok((rows.iter().product(), *width)),
        [] => Err(Error::argument(operation, "a scalar has no last dimension")),
    }
}

/// The two dimensions of a matrix.
pub(crate) fn matrix(
    operation: &'static str,
    name: &str,
    tensor: &Tensor,
) -> Result<(usize, usize)> {
    match tensor.dims() {
        [rows, columns] => Ok((*rows, *columns)),
        dims => {
            Err(Error::argument(operation, format!("{name} has shape {dims:?}, expected a matrix")))
        }
    }
}

/// Fails unless two sizes agree.
pub(crate) fn same(operation: &'static str, what: &str, left: usize, right: usize) -> Result<()> {
    if left == right {
        return Ok(());
    }
    Err(Error::argument(operation, format!("{what} differ: {left} and {right}")))
}

/// Fails unless two shapes agree.
pub(crate) fn same_shape(
    operation: &'static str,
    what: &str,
    left: &Tensor,
    right: &Tensor,
) -> Result<()> {
    if left.dims() == right.dims() {
        return Ok(());
    }
    let problem = format!("{what} differ: {:?} and {:?}", left.dims(), right.dims());
    Err(Error::argument(operation, problem))
}

/// Fails unless every id is a row of a table of `vocab` rows.
pub(crate) fn ids_in_range(operation: &'static str, ids: &[u32], vocab: usize) -> Result<()> {
    match ids.iter().find(|&&id| id as usize >= vocab) {
        None => Ok(()),
        Some(id) => Err(Error::argument(
            operation,
            format!("id {id} is outside of a vocabulary of {vocab}"),
        )),
    }
}
