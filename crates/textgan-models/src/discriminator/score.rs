use candle_core::Tensor;
use textgan_nn::layers::{Linear, LinearConfig};
use textgan_nn::{Builder, Init, ops};

use crate::sampler::check_labels;
use crate::{Result, Sizes};

/// From features to a logit, with a label or without: `w . f + b + v_y . f`, the projection
/// discriminator (Miyato and Koyama, 2018). Parameters `score.weight`, `score.bias` and, where there
/// are labels, `label_embedding.weight`, zero at first.
#[derive(Debug)]
pub(super) struct Score {
    linear: Linear,
    /// `[labels, features]`.
    labels: Option<Tensor>,
}

impl Score {
    pub fn new(builder: &mut Builder<'_>, features: usize, sizes: &Sizes) -> Result<Self> {
        let linear = Linear::new(&mut builder.child("score"), &LinearConfig::new(features, 1))?;
        let labels = match sizes.labels {
            0 => None,
            labels => Some(builder.child("label_embedding").get(
                "weight",
                (labels, features),
                Init::Zeros,
            )?),
        };
        Ok(Self { linear, labels })
    }

    /// `features: [batch, time, features]`, one label a row, to `[batch, time]`.
    pub fn forward(&self, features: &Tensor, labels: Option<&[u32]>) -> Result<Tensor> {
        let (batch, _, _) = features.dims3()?;
        let count = self.labels.as_ref().map_or(0, |table| table.dims()[0]);
        check_labels(labels, batch, count)?;
        let logits = self.linear.forward(features)?.squeeze(2)?;
        match (&self.labels, labels) {
            (Some(table), Some(labels)) => {
                let label = ops::embedding(table, labels, (batch, 1))?;
                Ok((logits + features.broadcast_mul(&label)?.sum(2)?)?)
            }
            _ => Ok(logits),
        }
    }
}
