//! The weights of a file.

use std::collections::HashMap;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result};

/// The tensors of a safetensors file, by name.
pub struct Tensors {
    path: PathBuf,
    tensors: HashMap<String, Tensor>,
    /// What stands before every name: `bert.` where the encoder was saved as part of a larger model.
    prefix: &'static str,
}

impl Tensors {
    /// From the bytes of the file at `path`.
    ///
    /// # Errors
    /// No safetensors file.
    pub fn new(path: PathBuf, bytes: &[u8]) -> Result<Self> {
        match candle_core::safetensors::load_buffer(bytes, &Device::Cpu) {
            Ok(tensors) => {
                let part = tensors.keys().any(|name| name.starts_with("bert."));
                Ok(Self { path, tensors, prefix: if part { "bert." } else { "" } })
            }
            Err(source) => Err(Error::EncoderFile {
                path,
                problem: format!("is no safetensors file ({source}); fetch it again"),
            }),
        }
    }

    /// The values of a tensor in single precision, row after row.
    ///
    /// # Errors
    /// A tensor that is missing, of another shape, or has a number that is not finite.
    pub fn get(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>> {
        let name = format!("{}{name}", self.prefix);
        let wrong = |problem: String| Error::EncoderWeight {
            path: self.path.clone(),
            tensor: name.clone(),
            problem,
        };
        let tensor = self.tensors.get(&name).ok_or_else(|| wrong("is missing".into()))?;
        if tensor.dims() != dims {
            let found = tensor.dims();
            return Err(wrong(format!("has the shape {found:?}, config.json says {dims:?}")));
        }
        let values = || tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
        let values = values().map_err(|source| wrong(source.to_string()))?;
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(values),
            false => Err(wrong("has a number that is not finite".into())),
        }
    }
}
