use candle_core::Tensor;
use textgan_nn::layers::{Linear, LinearConfig};
use textgan_nn::{Builder, Init, ops};

use crate::sampler::check_labels;
use crate::{CodeConfig, Context, Error, NoiseConfig, Placement, Result};

/// Noise and label as one vector of the model's width: `noise_projection z + label_embedding[y]`, with a
/// code in the place of `z` where there is one.
///
/// The projection has no bias: zero noise without a label changes nothing, and the model is the
/// plain one that others load. A code is never zero, so with codes it is not.
pub(crate) struct Conditioning {
    /// Makes a code of the noise.
    pub code: Option<CodeNetwork>,
    /// `[width, noise or code]`; none for noise of dimension 0.
    pub noise: Option<Tensor>,
    /// `[labels, width]`; none for a generator without labels.
    pub labels: Option<Tensor>,
    pub noise_dimension: usize,
}

impl Conditioning {
    /// The parameters `noise_projection.weight` and `label_embedding.weight`, so small that the
    /// result has a standard deviation of about `std`.
    pub fn new(
        builder: &mut Builder<'_>,
        width: usize,
        noise: &NoiseConfig,
        labels: usize,
        std: f32,
    ) -> Result<Self> {
        noise.validate()?;
        let entering = noise.width();
        let noise_init = Init::Normal { std: std / (entering.max(1) as f32).sqrt() };
        let mut get = |name: &str, shape: (usize, usize), init: Init| match shape {
            (0, _) | (_, 0) => Ok(None),
            _ => builder.child(name).get("weight", shape, init).map(Some),
        };
        Ok(Self {
            noise: get("noise_projection", (width, entering), noise_init)?,
            labels: get("label_embedding", (labels, width), Init::Normal { std })?,
            noise_dimension: noise.dimension,
            code: match &noise.code {
                Some(config) => Some(CodeNetwork::new(builder, config, noise.dimension)?),
                None => None,
            },
        })
    }

    /// The codes of some noise, `[batch, code]`, where the generator makes codes.
    pub fn codes(&self, noise: &Tensor) -> Result<Option<Tensor>> {
        self.code.as_ref().map(|network| network.forward(noise)).transpose()
    }

    /// The vector of each row, `[batch, width]`; none when there is nothing to add.
    pub fn vector(&self, context: &Context<'_>, batch: usize) -> Result<Option<Tensor>> {
        let given = context.noise.dims();
        let is_code = |network: &CodeNetwork| given == [batch, network.width];
        let is_code = self.code.as_ref().is_some_and(is_code);
        if given != [batch, self.noise_dimension] && !is_code {
            let message = format!(
                "its shape is {:?}, not [{batch}, {}]",
                context.noise.dims(),
                self.noise_dimension
            );
            return Err(Error::argument("noise", message));
        }
        let count = self.labels.as_ref().map_or(0, |table| table.dims()[0]);
        check_labels(context.labels, batch, count)?;

        let mut vector = None;
        if let Some(projection) = &self.noise {
            let codes = if is_code { None } else { self.codes(context.noise)? };
            vector = Some(ops::linear(codes.as_ref().unwrap_or(context.noise), projection, None)?);
        }
        if let (Some(table), Some(labels)) = (&self.labels, context.labels) {
            let label = ops::embedding(table, labels, batch)?;
            vector = Some(match vector {
                Some(noise) => (noise + label)?,
                None => label,
            });
        }
        Ok(vector)
    }
}

/// See [`CodeConfig`]. Its parameters begin with [`PARAMETERS`](CodeNetwork::PARAMETERS).
pub(crate) struct CodeNetwork {
    pub layers: Vec<Linear>,
    width: usize,
}

impl CodeNetwork {
    /// The first part of the names of its parameters.
    pub const PARAMETERS: &str = "noise_code";

    fn new(builder: &mut Builder<'_>, config: &CodeConfig, noise: usize) -> Result<Self> {
        let mut builder = builder.child(Self::PARAMETERS);
        let mut layers = Vec::with_capacity(config.layers + 1);
        for layer in 0..=config.layers {
            let input = if layer == 0 { noise } else { config.hidden };
            let output = if layer == config.layers { config.width } else { config.hidden };
            let linear = LinearConfig::new(input, output);
            layers.push(Linear::new(&mut builder.child(&layer.to_string()), &linear)?);
        }
        Ok(Self { layers, width: config.width })
    }

    /// `[batch, noise]` to `[batch, code]`.
    fn forward(&self, noise: &Tensor) -> Result<Tensor> {
        let mut x = noise.clone();
        for (index, layer) in self.layers.iter().enumerate() {
            x = match index {
                0 => layer.forward(&x)?,
                _ => layer.forward(&x.relu()?)?,
            };
        }
        unit_rows(&x)
    }
}

/// Added to the mean square of a code, or of a goal, before it divides.
pub(crate) const CODE_EPSILON: f32 = 1e-5;

/// The rows of `x: [.., code]` with a root mean square of 1, in which [codes](crate::CodeConfig) are told.
///
/// # Errors
/// Of tensor operations.
pub fn unit_rows(x: &Tensor) -> Result<Tensor> {
    let ones = Tensor::ones(x.dim(candle_core::D::Minus1)?, x.dtype(), x.device())?;
    Ok(ops::rms_norm(x, &ones, CODE_EPSILON)?)
}

/// Standard deviation of the vector that noise and label make for a recurrent network: its state is of the order of a
/// half, its embeddings have a deviation of their own.
pub(crate) fn state_std(placement: Placement, embedding_std: f32) -> f32 {
    match placement {
        Placement::Begin => 0.5,
        Placement::Every => embedding_std,
    }
}

/// Adds `vector`, `[batch, width]`, to the embeddings `[tokens, width]` of texts without padding: to
/// the first position of each text or to every one.
pub(crate) fn add(
    embeddings: &Tensor,
    vector: &Tensor,
    lengths: &[usize],
    placement: Placement,
) -> Result<Tensor> {
    let rows = 0..lengths.len() as u32;
    match placement {
        Placement::Every => {
            let rows =
                rows.zip(lengths).flat_map(|(row, &length)| std::iter::repeat_n(row, length));
            let rows = Tensor::from_iter(rows, embeddings.device())?;
            Ok((embeddings + vector.index_select(&rows, 0)?)?)
        }
        Placement::Begin => {
            let mut next = 0;
            let firsts = lengths.iter().map(|&length| {
                next += length as u32;
                next - length as u32
            });
            let firsts = Tensor::from_iter(firsts, embeddings.device())?;
            Ok(embeddings.index_add(&firsts, vector, 0)?)
        }
    }
}
