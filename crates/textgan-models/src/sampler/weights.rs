use candle_core::Tensor;
use textgan_nn::kernels::{Packed, Strided};

use crate::generator::{CODE_EPSILON, Conditioning};
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
    /// The layers that make a code of the noise, weight and bias.
    code: Vec<(Vec<f32>, Vec<f32>)>,
    /// `[width, noise or code]`.
    noise: Vec<f32>,
    /// `[labels, width]`.
    labels: Vec<f32>,
    dimension: usize,
    placement: Placement,
}

impl ConditionWeights {
    pub fn new(conditioning: &Conditioning, placement: Placement) -> Result<Self> {
        let of = |tensor: &Option<Tensor>| tensor.as_ref().map_or(Ok(Vec::new()), values);
        let code = conditioning.code.iter().flat_map(|network| &network.layers);
        let code = code.map(|layer| {
            let bias = layer.bias().map_or(Ok(Vec::new()), values)?;
            Ok((values(layer.weight())?, bias))
        });
        Ok(Self {
            code: code.collect::<Result<_>>()?,
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

    /// The code of some noise, where there is one.
    fn code(&self, noise: &[f32]) -> Option<Vec<f32>> {
        let mut x = None;
        for (weight, bias) in &self.code {
            let input: Vec<f32> = match x {
                None => noise.to_vec(),
                Some(x) => <Vec<f32>>::into_iter(x).map(|x| x.max(0.0)).collect(),
            };
            let rows = weight.chunks_exact(input.len()).zip(bias);
            let product = |(row, bias): (&[f32], &f32)| {
                row.iter().zip(&input).map(|(w, x)| w * x).sum::<f32>() + bias
            };
            x = Some(rows.map(product).collect());
        }
        let mut x: Vec<f32> = x?;
        let mean_square = x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32;
        let scale = 1.0 / (mean_square + CODE_EPSILON).sqrt();
        x.iter_mut().for_each(|x| *x *= scale);
        Some(x)
    }

    /// Adds the projection to `condition`.
    pub fn project(&self, noise: &[f32], label: Option<u32>, condition: &mut [f32]) {
        if self.dimension > 0 {
            let code = self.code(noise);
            let noise = code.as_deref().unwrap_or(noise);
            for (c, weights) in condition.iter_mut().zip(self.noise.chunks_exact(noise.len())) {
                *c += weights.iter().zip(noise).map(|(w, z)| w * z).sum::<f32>();
            }
        }
        if let Some(label) = label {
            let embedding = &self.labels[label as usize * condition.len()..];
            condition.iter_mut().zip(embedding).for_each(|(c, e)| *c += e);
        }
    }
}
