use candle_core::Tensor;
use textgan_nn::kernels::{Packed, Strided};

use crate::generator::Conditioning;
use crate::{Placement, Result};

/// The numbers of a weight, row after row, wherever it lives.
pub(crate) fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

/// The linear layers `[out, in]` of one input, packed side by side.
pub(crate) fn pack(weights: &[&Tensor]) -> Result<Packed> {
    let mut stacked = Vec::new();
    let mut columns = 0;
    let mut depth = 0;
    for weight in weights {
        let (outputs, inputs) = weight.dims2()?;
        (columns, depth) = (columns + outputs, inputs);
        stacked.extend(values(weight)?);
    }
    Ok(Packed::new(Strided::transposed(&stacked, depth), depth, columns))
}

/// Projects noise and label into the vector that a generator adds.
pub(super) struct ConditionWeights {
    /// `[width, noise]`.
    noise: Vec<f32>,
    /// `[labels, width]`.
    labels: Vec<f32>,
    dimension: usize,
    placement: Placement,
}

impl ConditionWeights {
    pub fn new(conditioning: &Conditioning, placement: Placement) -> Result<Self> {
        let of = |tensor: &Option<Tensor>| tensor.as_ref().map_or(Ok(Vec::new()), values);
        Ok(Self {
            noise: of(&conditioning.noise)?,
            labels: of(&conditioning.labels)?,
            dimension: conditioning.noise_dimension,
            placement,
        })
    }

    pub fn noise_dimension(&self) -> usize {
        self.dimension
    }

    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// Adds the projection to `condition`.
    pub fn project(&self, noise: &[f32], label: Option<u32>, condition: &mut [f32]) {
        if self.dimension > 0 {
            for (c, weights) in condition.iter_mut().zip(self.noise.chunks_exact(self.dimension)) {
                *c += weights.iter().zip(noise).map(|(w, z)| w * z).sum::<f32>();
            }
        }
        if let Some(label) = label {
            let embedding = &self.labels[label as usize * condition.len()..];
            condition.iter_mut().zip(embedding).for_each(|(c, e)| *c += e);
        }
    }
}
