use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};

use super::argument::{fused, same};
use super::composed;
use super::storage::{cpu_slice, gradient, with_slices};
use crate::kernels::Convolution;
use crate::{Error, Result};

/// Filters of one width over a text, ReLU, and the maximum over time (Kim, 2014).
///
/// `y_f = max(0, max_t sum_(k, e) weight[f, 0, k, e] x[t + k, e] + bias_f)`, where `t` runs over the
/// windows that lie within the length of the row. A row shorter than the filter is filled up with
/// zeros and has one window. What lies in `x` beyond the length changes nothing and gets a zero
/// gradient. Of equal windows the first takes the gradient; a maximum at or below zero has none.
///
/// # Shapes
/// `x: [batch, time, embed]`, one length a row (at most `time`), `weight: [filters, 1, width,
/// embed]` as in PyTorch's `Conv2d(1, filters, (width, embed))`, `bias: [filters]`, to `[batch,
/// filters]`.
///
/// # Errors
/// If the shapes do not fit or a length exceeds `time`.
pub fn text_convolution(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    lengths: &[usize],
) -> Result<Tensor> {
    const NAME: &str = "text_convolution";
    let (&[batch, time, embed], &[filters, 1, width, window_embed]) = (x.dims(), weight.dims())
    else {
        let problem = format!(
            "x has shape {:?} and the weight {:?}, expected [batch, time, embed] and \
             [filters, 1, width, embed]",
            x.dims(),
            weight.dims()
        );
        return Err(Error::argument(NAME, problem));
    };
    same(NAME, "width of the embeddings and of the windows", embed, window_embed)?;
    same(NAME, "number of rows and of lengths", batch, lengths.len())?;
    if bias.dims() != [filters] {
        let problem = format!("the bias has shape {:?}, expected [{filters}]", bias.dims());
        return Err(Error::argument(NAME, problem));
    }
    if let Some(length) = lengths.iter().find(|&&length| length > time) {
        return Err(Error::argument(NAME, format!("a length is {length}, but time is {time}")));
    }
    if [batch, time, embed, filters, width].contains(&0) {
        let problem = format!("no size may be 0: {:?} and {:?}", x.dims(), weight.dims());
        return Err(Error::argument(NAME, problem));
    }
    if !fused(&[x, weight, bias]) {
        return composed::text_convolution(x, weight, bias, lengths);
    }
    let operation = TextConvolution {
        sizes: Convolution { time, embed, width, filters },
        lengths: lengths.to_vec(),
        winners: OnceLock::new(),
    };
    Ok(x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, operation)?)
}

struct TextConvolution {
    sizes: Convolution,
    lengths: Vec<usize>,
    /// `[batch, filters]`: the window that each maximum comes from.
    winners: OnceLock<Vec<u32>>,
}

impl CustomOp3 for TextConvolution {
    fn name(&self) -> &'static str {
        "text_convolution"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (batch, filters) = (self.lengths.len(), self.sizes.filters);
        let mut out = vec![0.0; batch * filters];
        let mut winners = vec![0; batch * filters];
        let (x, weight, bias) = (cpu_slice(s1, l1)?, cpu_slice(s2, l2)?, cpu_slice(s3, l3)?);
        self.sizes.forward(x, weight, bias, &self.lengths, &mut out, &mut winners);
        if self.winners.set(winners).is_err() {
            candle_core::bail!("text_convolution: the forward pass of one operation ran twice");
        }
        Ok((CpuStorage::F32(out), (batch, filters).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _out: &Tensor,
        d_out: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(winners) = self.winners.get() else {
            candle_core::bail!("text_convolution: backward without forward");
        };
        let (sizes, lengths) = (self.sizes, &self.lengths[..]);
        with_slices([x, weight, d_out], |[x_values, weight_values, d_out]| {
            let d_x = gradient(x, || {
                let mut d_x = vec![0.0; x_values.len()];
                sizes.backward_input(weight_values, lengths, winners, d_out, &mut d_x);
                d_x
            })?;
            if !(weight.track_op() || bias.track_op()) {
                return Ok((d_x, None, None));
            }
            let mut d_weight = vec![0.0; weight_values.len()];
            let mut d_bias = vec![0.0; sizes.filters];
            let (to_weight, to_bias) = (&mut d_weight, &mut d_bias);
            sizes.backward_weight(x_values, lengths, winners, d_out, to_weight, to_bias);
            Ok((d_x, gradient(weight, || d_weight)?, gradient(bias, || d_bias)?))
        })
    }
}
