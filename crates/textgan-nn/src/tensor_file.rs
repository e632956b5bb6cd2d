//! Named `f32` tensors in a safetensors file, with bytes that depend on nothing but the values.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use safetensors::{Dtype, SafeTensors, View};

use crate::{Error, Result};

/// A tensor outside of candle: its dimensions and its values in row-major order.
pub(crate) struct Stored {
    pub(crate) dims: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

impl View for &Stored {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.dims
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }
    fn data_len(&self) -> usize {
        4 * self.values.len()
    }
}

/// Writes the tensors and one entry of metadata, and waits until the disk has them.
///
/// One entry only: safetensors keeps metadata in a hash map, whose order would reach the bytes.
pub(crate) fn write(
    path: &Path,
    tensors: &BTreeMap<String, Stored>,
    (key, value): (&str, &str),
) -> Result<()> {
    let metadata = HashMap::from([(key.to_owned(), value.to_owned())]);
    let bytes = safetensors::serialize(tensors, Some(metadata))
        .map_err(|source| Error::Format { path: path.to_owned(), source })?;
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(path)?;
        file.write_all(&bytes)?;
        file.sync_all()
    };
    write().map_err(|source| Error::File { path: path.to_owned(), source })
}

/// Reads all tensors of a file, which must be `f32`, and the metadata entry `key` if there is one.
pub(crate) fn read(path: &Path, key: &str) -> Result<(BTreeMap<String, Stored>, Option<String>)> {
    let bytes =
        std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|source| Error::Format { path: path.to_owned(), source })?;
    let (_, header) = SafeTensors::read_metadata(&bytes)
        .map_err(|source| Error::Format { path: path.to_owned(), source })?;
    let value = header.metadata().as_ref().and_then(|metadata| metadata.get(key).cloned());
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(Error::ParameterMismatch {
                origin: path.display().to_string(),
                name,
                problem: format!("is {:?}, expected F32", view.dtype()),
            });
        }
        let values = view
            .data()
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            .collect();
        tensors.insert(name, Stored { dims: view.shape().to_vec(), values });
    }
    Ok((tensors, value))
}
