use candle_core::Tensor;
use textgan_nn::{Builder, Init, ops};

use crate::sampler::check_labels;
use crate::{Context, Error, Placement, Result};

/// Noise and label as one vector of the model's width: `noise_projection z + label_embedding[y]`.
///
/// The projection has no bias: zero noise without a label changes nothing, and the model is the
/// plain one that others load.
pub(crate) struct Conditioning {
    /// `[width, noise]`; none for noise of dimension 0.
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
        noise: usize,
        labels: usize,
        std: f32,
    ) -> Result<Self> {
        let noise_init = Init::Normal { std: std / (noise.max(1) as f32).sqrt() };
        let mut get = |name: &str, shape: (usize, usize), init: Init| match shape {
            (0, _) | (_, 0) => Ok(None),
            _ => builder.child(name).get("weight", shape, init).map(Some),
        };
        Ok(Self {
            noise: get("noise_projection", (width, noise), noise_init)?,
            labels: get("label_embedding", (labels, width), Init::Normal { std })?,
            noise_dimension: noise,
        })
    }

    /// The vector of each row, `[batch, width]`; none when there is nothing to add.
    pub fn vector(&self, context: &Context<'_>, batch: usize) -> Result<Option<Tensor>> {
        if context.noise.dims() != [batch, self.noise_dimension] {
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
            vector = Some(ops::linear(context.noise, projection, None)?);
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
