use candle_core::{D, DType, Tensor};

use super::composed::{log_softmax, rounded};
use super::{GroupLoss, HeadInput, JudgeKind, LogRatios, PolicyLoss, RatioOptions, SampledTokens};
use crate::Result;
use crate::kernels::Precision;

/// Added to the logits of excluded tokens: their probability is zero, and the sum is a number in
/// every dtype, half precision too.
const EXCLUDED: f32 = -3e4;

/// `ln softmax(hidden head^T)` over all tokens but the excluded ones.
pub(super) fn log_probs(
    model: HeadInput<'_>,
    excluded: &[u32],
    precision: Precision,
) -> Result<Tensor> {
    let HeadInput { hidden, head } = model;
    let logits = rounded(hidden, precision)?.matmul(&rounded(head, precision)?.t()?)?;
    log_softmax(&without(&logits, excluded)?)
}

/// Logits `[rows, vocab]` of which the excluded ones are so low that their tokens have probability zero.
pub(super) fn without(logits: &Tensor, excluded: &[u32]) -> Result<Tensor> {
    if excluded.is_empty() {
        return Ok(logits.clone());
    }
    let mut mask = vec![0f32; logits.dim(1)?];
    for &id in excluded {
        mask[id as usize] = EXCLUDED;
    }
    let mask = Tensor::new(mask, logits.device())?.to_dtype(logits.dtype())?;
    Ok(logits.broadcast_add(&mask)?)
}

/// See [`super::head_target_log_probs`].
///
/// # Errors
/// If candle refuses.
pub fn head_target_log_probs(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    weights: &[f32],
    excluded: &[u32],
    precision: Precision,
) -> Result<Tensor> {
    let log_probs = log_probs(HeadInput { hidden, head }, excluded, precision)?;
    let targets = Tensor::from_slice(targets, (targets.len(), 1), hidden.device())?;
    let counts = weights.iter().map(|&weight| f32::from(u8::from(weight != 0.0))).collect();
    let counts = Tensor::from_vec(counts, weights.len(), hidden.device())?;
    Ok((log_probs.gather(&targets, 1)?.squeeze(1)? * counts.to_dtype(hidden.dtype())?)?)
}

/// See [`super::head_group_loss`]. Only the log-probabilities are differentiated, once.
///
/// # Errors
/// If candle refuses.
pub fn head_group_loss(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    weights: &[f32],
    group: usize,
    excluded: &[u32],
    precision: Precision,
    mut loss: impl FnMut(usize, &[f32], &mut [f32]) -> f32,
) -> Result<GroupLoss> {
    let log_probs = head_target_log_probs(hidden, head, targets, weights, excluded, precision)?;
    let values = log_probs.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    let mut derivatives = vec![0f32; values.len()];
    let mut value = 0f64;
    let groups = values.chunks(group).zip(derivatives.chunks_mut(group)).zip(weights.chunks(group));
    for (number, ((log_probs, derivatives), weights)) in groups.enumerate() {
        if weights.iter().any(|&weight| weight != 0.0) {
            value += f64::from(loss(number, log_probs, derivatives));
        }
    }
    let derivatives = Tensor::new(derivatives, hidden.device())?.to_dtype(hidden.dtype())?;
    let linear = (log_probs * derivatives)?.sum_all()?;
    let loss = ((&linear - linear.detach())? + value)?;
    Ok(GroupLoss { loss, log_probs: values })
}

/// See [`super::head_expected_policy_loss`].
///
/// # Errors
/// If candle refuses.
pub fn head_expected_policy_loss(
    policy: HeadInput<'_>,
    judge: HeadInput<'_>,
    weights: &[f32],
    sampled: Option<SampledTokens<'_>>,
    options: RatioOptions<'_>,
) -> Result<PolicyLoss> {
    let RatioOptions { judge: kind, bound, excluded, precision } = options;
    let (device, dtype) = (policy.hidden.device(), policy.hidden.dtype());
    let column = |values: &[f32]| -> candle_core::Result<Tensor> {
        Tensor::from_slice(values, values.len(), device)?.to_dtype(dtype)
    };
    let counts =
        |i: usize| weights[i] != 0.0 || sampled.is_some_and(|sampled| sampled.weights[i] != 0.0);
    let numbers = |x: &Tensor| -> Result<Vec<f32>> {
        let values = x.detach().to_dtype(DType::F32)?.to_vec1::<f32>()?;
        Ok(values.into_iter().enumerate().map(|(i, x)| if counts(i) { x } else { 0.0 }).collect())
    };
    let log_q = log_probs(policy, excluded, precision)?;
    let bound = f64::from(bound);
    let ratios = match kind {
        JudgeKind::LanguageModel => {
            (log_probs(judge, excluded, precision)?.detach() - log_q.detach())?
        }
        JudgeKind::Realness => {
            let (hidden, head) =
                (rounded(judge.hidden, precision)?, rounded(judge.head, precision)?);
            hidden.matmul(&head.t()?)?.detach()
        }
    };
    let ratios = ratios.clamp(-bound, bound)?;
    let expected = (log_q.exp()? * &ratios)?.sum(D::Minus1)?;
    let mut loss = (&expected * column(weights)?)?.sum_all()?.neg()?;
    let mut found =
        LogRatios { expected: numbers(&expected)?, sampled: Vec::new(), log_probs: Vec::new() };
    if let Some(SampledTokens { tokens, weights }) = sampled {
        let tokens = Tensor::from_slice(tokens, (tokens.len(), 1), device)?;
        let log_probs = log_q.gather(&tokens, 1)?.squeeze(1)?;
        loss = (loss - (&log_probs * column(weights)?)?.sum_all()?)?;
        found.sampled = numbers(&ratios.gather(&tokens, 1)?.squeeze(1)?)?;
        found.log_probs = numbers(&log_probs)?;
    }
    Ok(PolicyLoss { loss, ratios: found })
}
