//! The operations of [`super`] as compositions of candle's own, differentiable any number of times
//! and on any device.
//!
//! Only candle operations whose gradient is right are used (its fused norms, softmax and rotary
//! embeddings have none). Arguments are as in the fused forms; shapes are candle's to refuse.

use candle_core::{D, DType, Shape, Tensor};
use textgan_random::Key;

pub use super::composed_convolution::text_convolution;
pub use super::composed_head::{head_expected_policy_loss, head_group_loss, head_target_log_probs};
use super::composed_head::{log_probs, without};
pub use super::composed_memory::relational_memory;
pub use super::composed_recurrent::recurrent_sequence;
use super::{
    BlockOptions, BlockWeights, GumbelOptions, HeadInput, HeadLoss, HeadScores, Relaxation,
};
use crate::Result;
use crate::kernels::{Noise, Precision, Rotary};

/// See [`super::linear`].
///
/// # Errors
/// If candle refuses.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = matmul(x, &weight.t()?)?;
    Ok(match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    })
}

/// See [`super::matmul`].
///
/// # Errors
/// If candle refuses.
pub fn matmul(x: &Tensor, matrix: &Tensor) -> Result<Tensor> {
    let mut dims = x.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = matrix.dim(1)?;
    }
    Ok(x.reshape(((), matrix.dim(0)?))?.matmul(matrix)?.reshape(dims)?)
}

/// See [`super::rms_norm`].
///
/// # Errors
/// If candle refuses.
pub fn rms_norm(x: &Tensor, weight: &Tensor, epsilon: f32) -> Result<Tensor> {
    let mean_square = x.sqr()?.mean_keepdim(D::Minus1)?;
    let scale = (mean_square + f64::from(epsilon))?.sqrt()?;
    Ok(x.broadcast_div(&scale)?.broadcast_mul(weight)?)
}

/// See [`super::swiglu`].
///
/// # Errors
/// If candle refuses.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    Ok((gate.silu()? * up)?)
}

/// See [`super::softplus`]. `max(x, 0) + ln(1 + exp(-|x|))`, whose exponent never overflows.
///
/// # Errors
/// If candle refuses.
pub fn softplus(x: &Tensor) -> Result<Tensor> {
    // At 0 the two terms must share the derivative evenly: `(x + |x|) / 2` does, `relu` does not.
    let magnitude = x.abs()?;
    let positive = ((x + &magnitude)? * 0.5)?;
    Ok((positive + (magnitude.neg()?.exp()? + 1.0)?.log()?)?)
}

/// See [`super::embedding_bag`].
///
/// # Errors
/// If candle refuses.
pub fn embedding_bag(table: &Tensor, ids: &[u32], weights: &[f32], bags: usize) -> Result<Tensor> {
    let places = ids.len() / bags.max(1);
    let rows = embedding(table, ids, &(bags, places).into())?;
    let weights = Tensor::from_slice(weights, (bags, places, 1), table.device())?;
    Ok(rows.broadcast_mul(&weights)?.sum(1)?)
}

/// See [`super::embedding`].
///
/// # Errors
/// If candle refuses.
pub fn embedding(table: &Tensor, ids: &[u32], shape: &Shape) -> Result<Tensor> {
    let ids = Tensor::new(ids, table.device())?;
    let mut dims = shape.dims().to_vec();
    dims.push(table.dim(1)?);
    Ok(table.index_select(&ids, 0)?.reshape(dims)?)
}

/// See [`super::dropout`], in training with the key of the layer.
///
/// # Errors
/// If candle refuses.
pub fn dropout(x: &Tensor, p: f32, key: &Key) -> Result<Tensor> {
    dropout_by_rows(x, p, key, super::dropout::TILE)
}

/// Each row of the noise decides about `width` numbers.
fn dropout_by_rows(x: &Tensor, p: f32, key: &Key, width: usize) -> Result<Tensor> {
    let mut uniform = vec![0.0; x.elem_count()];
    Noise::new(key).table(width, &mut uniform);
    let scale = 1.0 / (1.0 - p);
    let mask = uniform.into_iter().map(|u| if u < p { 0.0 } else { scale }).collect();
    Ok((x * Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(x.dtype())?)?)
}

/// See [`super::transformer_block`]; `keys` are those of the two dropouts.
///
/// # Errors
/// If candle refuses.
pub fn transformer_block(
    stream: &Tensor,
    weights: BlockWeights<'_>,
    lengths: &[usize],
    options: BlockOptions<'_>,
    keys: [Option<Key>; 2],
) -> Result<Tensor> {
    let (tokens, width) = stream.dims2()?;
    let batch = lengths.len();
    let time = lengths.iter().copied().max().unwrap_or(0);
    if tokens == 0 {
        return Ok(stream.clone());
    }
    let places: Vec<u32> = (0..batch)
        .flat_map(|row| (0..lengths[row]).map(move |t| (row * time + t) as u32))
        .collect();
    let places = Tensor::from_vec(places, tokens, stream.device())?;
    let padded = |x: &Tensor| -> Result<Tensor> {
        let zeros = Tensor::zeros((batch * time, width), x.dtype(), x.device())?;
        Ok(zeros.index_add(&places, x, 0)?.reshape((batch, time, width))?)
    };
    let dropped = |x: Tensor, key: Option<Key>| match key {
        Some(key) => dropout_by_rows(&x, options.dropout, &key, width),
        None => Ok(x),
    };
    let [attention_key, mlp_key] = keys;

    let linear = |x: &Tensor, weight: &Tensor| -> Result<Tensor> {
        linear(&rounded(x, options.precision)?, &rounded(weight, options.precision)?, None)
    };

    let normed = rms_norm(stream, weights.attention_norm, options.epsilon)?;
    let attended = causal_attention(
        &padded(&linear(&normed, weights.query)?)?,
        &padded(&linear(&normed, weights.key)?)?,
        &padded(&linear(&normed, weights.value)?)?,
        options.heads,
        options.rotary,
    )?;
    let attended = attended.reshape((batch * time, width))?.index_select(&places, 0)?;
    let added = linear(&attended, weights.output)?;
    let stream = (stream + dropped(added, attention_key)?)?;

    let normed = rms_norm(&stream, weights.feed_forward_norm, options.epsilon)?;
    let (gate, up) = (linear(&normed, weights.gate)?, linear(&normed, weights.up)?);
    let added = linear(&swiglu(&gate, &up)?, weights.down)?;
    Ok((&stream + dropped(added, mlp_key)?)?)
}

/// `x` as a product of that precision multiplies it. The gradient passes as if nothing had been
/// rounded.
pub(super) fn rounded(x: &Tensor, precision: Precision) -> Result<Tensor> {
    match precision {
        Precision::F32 => Ok(x.clone()),
        Precision::Bf16 => {
            let rounded = x.detach().to_dtype(DType::BF16)?.to_dtype(x.dtype())?;
            Ok((x + (rounded - x.detach())?)?)
        }
    }
}

/// Causal self-attention with rotary positions, which queries and keys, `[batch, time, width]`, are
/// turned to inside. Position `t` attends to `0..=t`, so padding at the end needs no mask.
fn causal_attention(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    heads: usize,
    rotary: &Rotary,
) -> Result<Tensor> {
    let (batch, time, width) = query.dims3()?;
    let head_dim = width / heads;
    let split = |x: &Tensor| -> Result<Tensor> {
        Ok(x.reshape((batch, time, heads, head_dim))?.transpose(1, 2)?.contiguous()?)
    };
    let (query, key) = (rotate(&split(query)?, rotary)?, rotate(&split(key)?, rotary)?);
    let scores = (query.matmul(&key.t()?)? * (1.0 / (head_dim as f64).sqrt()))?;
    let mask: Vec<f32> =
        (0..time * time).map(|i| if i % time > i / time { -1e30 } else { 0.0 }).collect();
    let mask = Tensor::from_vec(mask, (time, time), query.device())?.to_dtype(query.dtype())?;
    let weights = log_softmax(&scores.broadcast_add(&mask)?)?.exp()?;
    Ok(weights.matmul(&split(value)?)?.transpose(1, 2)?.reshape((batch, time, width))?)
}

/// `x: [batch, heads, time, head_dim]`.
fn rotate(x: &Tensor, rotary: &Rotary) -> Result<Tensor> {
    let (_, _, time, head_dim) = x.dims4()?;
    let half = head_dim / 2;
    let table = |row: fn(&Rotary, usize) -> &[f32]| -> Result<Tensor> {
        let values: Vec<f32> = (0..time).flat_map(|t| row(rotary, t).to_vec()).collect();
        Ok(Tensor::from_vec(values, (time, half), x.device())?.to_dtype(x.dtype())?)
    };
    let (cosines, sines) = (table(Rotary::cosines)?, table(Rotary::sines)?);
    let (first, second) = (x.narrow(3, 0, half)?, x.narrow(3, half, half)?);
    let turned_first = (first.broadcast_mul(&cosines)? - second.broadcast_mul(&sines)?)?;
    let turned_second = (second.broadcast_mul(&cosines)? + first.broadcast_mul(&sines)?)?;
    let rest = x.narrow(3, 2 * half, head_dim - 2 * half)?;
    let parts = [&turned_first, &turned_second, &rest];
    Ok(Tensor::cat(&parts[..if head_dim % 2 == 0 { 2 } else { 3 }], 3)?)
}

/// `x - ln sum exp x` over the last dimension.
///
/// # Errors
/// If candle refuses.
pub fn log_softmax(x: &Tensor) -> Result<Tensor> {
    let shifted = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?;
    let log_sum = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    Ok(shifted.broadcast_sub(&log_sum)?)
}

/// See [`super::head_cross_entropy`] and [`super::head_policy_loss`].
///
/// # Errors
/// If candle refuses.
pub fn head_cross_entropy(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    weights: &[f32],
    entropy_weights: Option<&[f32]>,
    excluded: &[u32],
    precision: Precision,
) -> Result<HeadLoss> {
    let rows = targets.len();
    let (device, dtype) = (hidden.device(), hidden.dtype());
    let column = |values: &[f32]| -> Result<Tensor> {
        Ok(Tensor::from_slice(values, (rows, 1), device)?.to_dtype(dtype)?)
    };
    let log_probs = log_probs(HeadInput { hidden, head }, excluded, precision)?;
    let entropies = (&log_probs * log_probs.exp()?)?.sum_keepdim(1)?.neg()?;
    let targets = Tensor::from_slice(targets, (rows, 1), device)?;
    let target_log_probs = log_probs.gather(&targets, 1)?;
    let mut loss = (&target_log_probs * column(weights)?)?.sum_all()?.neg()?;
    if let Some(entropy_weights) = entropy_weights {
        loss = (loss - (&entropies * column(entropy_weights)?)?.sum_all()?)?;
    }
    let counted = |i: usize| weights[i] != 0.0 || entropy_weights.is_some_and(|u| u[i] != 0.0);
    let scores = |x: &Tensor| -> Result<Vec<f32>> {
        let values = x.detach().to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(values.into_iter().enumerate().map(|(i, x)| if counted(i) { x } else { 0.0 }).collect())
    };
    let scores =
        HeadScores { log_probs: scores(&target_log_probs)?, entropies: scores(&entropies)? };
    Ok(HeadLoss { loss, scores })
}

/// See [`super::gumbel_head`]. Here the noise of all rows exists at once.
///
/// # Errors
/// If candle refuses.
pub fn gumbel_head(
    hidden: &Tensor,
    head: &Tensor,
    embedding: &Tensor,
    sampled: &[u32],
    options: GumbelOptions<'_>,
    key: &Key,
) -> Result<Tensor> {
    let GumbelOptions { relaxation, temperature, excluded } = options;
    let logits = without(&hidden.matmul(&head.t()?)?, excluded)?;
    let (rows, vocab) = logits.dims2()?;
    let values = logits.detach().to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let mut noise = conditional_gumbel(&values, vocab, sampled, &Noise::new(key));
    for row in noise.chunks_exact_mut(vocab.max(1)) {
        excluded.iter().for_each(|&id| row[id as usize] = 0.0);
    }
    let noise =
        Tensor::from_vec(noise, (rows, vocab), hidden.device())?.to_dtype(hidden.dtype())?;
    let soft = log_softmax(&((logits + noise)? * (1.0 / f64::from(temperature)))?)?.exp()?;
    let weights = match relaxation {
        Relaxation::Soft => soft,
        Relaxation::StraightThrough => {
            let mut hard = vec![0f32; rows * vocab];
            for (row, &id) in hard.chunks_exact_mut(vocab.max(1)).zip(sampled) {
                row[id as usize] = 1.0;
            }
            let hard =
                Tensor::from_vec(hard, (rows, vocab), hidden.device())?.to_dtype(hidden.dtype())?;
            ((hard - soft.detach())? + soft)?
        }
    };
    Ok(weights.matmul(embedding)?)
}

/// Gumbel noise `g` given that `logits + g` is largest at `sampled` (Maddison et al., 2014): with
/// `u` uniform, the largest is `M = ln sum exp(logits) - ln(-ln u)`, and every other is
/// `-ln(exp(-M) - ln(u) exp(-logit))`, a Gumbel variable cut off at `M`.
fn conditional_gumbel(logits: &[f32], vocab: usize, sampled: &[u32], noise: &Noise) -> Vec<f32> {
    let mut out = vec![0f32; logits.len()];
    noise.table(vocab.max(1), &mut out);
    let rows = out.chunks_exact_mut(vocab.max(1)).zip(logits.chunks_exact(vocab.max(1)));
    for ((noise, logits), &sampled) in rows.zip(sampled) {
        let sampled = sampled as usize;
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let log_sum = highest + logits.iter().map(|x| (x - highest).exp()).sum::<f32>().ln();
        let largest = log_sum - (-noise[sampled].ln()).ln();
        for (i, (noise, &logit)) in noise.iter_mut().zip(logits).enumerate() {
            *noise = match i == sampled {
                true => largest - logit,
                false => {
                    // Beyond this its share is zero in f32, and the exponential stays finite.
                    let distance = (largest - logit).min(80.0);
                    distance - (-noise.ln() * distance.exp()).ln_1p()
                }
            };
        }
    }
    out
}
