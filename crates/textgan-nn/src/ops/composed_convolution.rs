//! Text convolutions as one candle operation after the other.

use candle_core::Tensor;

use super::composed::linear;
use crate::Result;

/// See [`super::text_convolution`].
///
/// # Errors
/// If candle refuses.
pub fn text_convolution(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    lengths: &[usize],
) -> Result<Tensor> {
    let (batch, time, embed) = x.dims3()?;
    let (filters, _, width, _) = weight.dims4()?;
    let mask = |place: &dyn Fn(usize, usize) -> bool, columns: usize| -> Result<Tensor> {
        let values: Vec<f32> = lengths
            .iter()
            .flat_map(|&length| (0..columns).map(move |t| if place(length, t) { 1.0 } else { 0.0 }))
            .collect();
        Ok(Tensor::from_vec(values, (batch, columns, 1), x.device())?.to_dtype(x.dtype())?)
    };
    let valid = mask(&|length, t| t < length, time)?;
    let x = x.broadcast_mul(&valid)?;
    let x = if time < width { x.pad_with_zeros(1, 0, width - time)? } else { x };
    let windows = x.dim(1)? + 1 - width;
    let shifted = (0..width).map(|k| Ok(x.narrow(1, k, windows)?)).collect::<Result<Vec<_>>>()?;
    let weight = weight.reshape((filters, width * embed))?;
    let scores = linear(&Tensor::cat(&shifted, 2)?, &weight, Some(bias))?;

    // The gradient of candle's `max` is shared between ties; the first window is picked instead.
    let counted = mask(&|length, t| t + width <= length.max(width), windows)?;
    let lowered = scores.detach().broadcast_add(&((counted - 1.0)? * 1e30)?)?;
    let winners = lowered.transpose(1, 2)?.contiguous()?.argmax_keepdim(2)?;
    let best = scores.transpose(1, 2)?.contiguous()?.gather(&winners, 2)?.squeeze(2)?;
    let positive = best.gt(&best.zeros_like()?)?.to_dtype(best.dtype())?;
    Ok((best * positive)?)
}
