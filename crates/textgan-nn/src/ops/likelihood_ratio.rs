use candle_core::Tensor;

use super::argument::{fused, ids_in_range, same};
use super::head::{self, HeadRows, Known, Wanted};
use super::storage::with_slices;
use super::{composed, head_target_log_probs};
use crate::kernels::buffer::Buffer;
use crate::kernels::ratio::{Answer, Question, expected_policy_row};
use crate::kernels::{Packed, Precision};
use crate::{Error, Result};

/// What a language model's head reads, and the head: the logits of row `i` are
/// `hidden_i head^T`.
#[derive(Clone, Copy, Debug)]
pub struct HeadInput<'a> {
    /// `[rows, width]`.
    pub hidden: &'a Tensor,
    /// `[vocab, width]`.
    pub head: &'a Tensor,
}

/// Tokens that a policy took, for the score-function part of its loss.
#[derive(Clone, Copy, Debug)]
pub struct SampledTokens<'a> {
    /// One a row.
    pub tokens: &'a [u32],
    /// `s_i`, what `-ln q_i(token_i)` counts for, one a row; zeros where only the facts are wanted.
    pub weights: &'a [f32],
}

/// What the logits of a judge say of a word `v` at place `i`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JudgeKind {
    /// They are a language model's: `d_i(v) = ln M_i(v) - ln q_i(v)`.
    #[default]
    LanguageModel,
    /// How real the word is: `d_i(v)` itself, of a discriminator with a logit for every next word.
    Realness,
}

/// How a judge and a policy are compared.
#[derive(Clone, Copy, Debug)]
pub struct RatioOptions<'a> {
    /// What the judge's logits are.
    pub judge: JudgeKind,
    /// Log-ratios are clamped to `-bound..=bound`. Positive; infinity clamps nothing.
    pub bound: f32,
    /// Tokens that no sampler takes. They have probability zero in both models, whose softmaxes are
    /// those of all others.
    pub excluded: &'a [u32],
    /// Of the products of both heads; all else is `f32`.
    pub precision: Precision,
}

/// The result of [`head_expected_policy_loss`].
#[derive(Clone, Debug)]
pub struct PolicyLoss {
    /// The loss, a scalar with a gradient for the policy's `hidden` and `head`.
    pub loss: Tensor,
    /// What was found in each row.
    pub ratios: LogRatios,
}

/// Log-ratios `d_i` of a judge's probabilities and a policy's, in nats, one a row; skipped rows have
/// zeros.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRatios {
    /// `sum_v q_i(v) d_i(v)`: an estimate of `-KL(q_i || M_i)`, exact where nothing was clamped.
    pub expected: Vec<f32>,
    /// `d_i` of the sampled token; empty if none were given.
    pub sampled: Vec<f32>,
    /// `ln q_i` of the sampled token; empty if none were given.
    pub log_probs: Vec<f32>,
}

/// The expected policy gradient of a language model against a likelihood-ratio discriminator.
///
/// A second language model `M`, the judge, says how real a word `v` is at place `i`:
/// `d_i(v) = clamp(ln M_i(v) - ln q_i(v), -bound, bound)`, `q` being the policy; where `M` is the
/// distribution of real text that is the optimal discriminator's logit. The policy gradient with
/// reward `d` is taken over the whole vocabulary instead of one sampled word (Ciosek and Whiteson,
/// 2018), so it has no variance at its place:
///
/// `loss = -sum_i w_i sum_v q_i(v) d_i(v) - sum_i s_i ln q_i(token_i)`,
///
/// in which only `q_i(v)` and `ln q_i(token_i)` are differentiated: `d` is a reward, a constant. The
/// gradient of the first sum for the policy's logit `v` is `-w_i q_i(v) (d_i(v) - sum_u q_i(u)
/// d_i(u))`. Rewards of later words enter through `s_i`, as in REINFORCE; they can be computed from
/// [`head_log_ratios`], or from the facts of this operation and a
/// [`head_target_log_probs`] of the policy alone.
///
/// A judge of another [kind](JudgeKind) says `d` outright.
///
/// Rows whose weights are both zero cost nothing. Neither model's logits ever exist as a whole; the
/// gradients are computed on the way forward. The judge gets none.
///
/// # Shapes
/// `policy` has `[rows, width]` and `[vocab, width]`, `judge` has `[rows, judge_width]` and `[vocab,
/// judge_width]`; `weights`, and those of `sampled`, one a row.
///
/// # Errors
/// If the shapes do not fit, an id is outside of the vocabulary, a row that counts sampled an
/// excluded token, every token is excluded, or the bound is not positive.
pub fn head_expected_policy_loss(
    policy: HeadInput<'_>,
    judge: HeadInput<'_>,
    weights: &[f32],
    sampled: Option<SampledTokens<'_>>,
    options: RatioOptions<'_>,
) -> Result<PolicyLoss> {
    const NAME: &str = "head_expected_policy_loss";
    let (rows, vocab) = check(NAME, policy, judge, options)?;
    same(NAME, "number of rows and of weights", rows, weights.len())?;
    let sampled_weight = |row: usize| sampled.map_or(0.0, |sampled| sampled.weights[row]);
    let counts = |row: usize| weights[row] != 0.0 || sampled_weight(row) != 0.0;
    if let Some(SampledTokens { tokens, weights }) = sampled {
        same(NAME, "number of rows and of sampled tokens", rows, tokens.len())?;
        same(NAME, "number of rows and of sampled weights", rows, weights.len())?;
        ids_in_range(NAME, tokens, vocab)?;
        head::check_excluded(NAME, options.excluded, vocab, tokens, counts)?;
    }
    let judge_hidden = judge.hidden.detach();
    let judge_head = judge.head.detach();
    let judge = HeadInput { hidden: &judge_hidden, head: &judge_head };
    if !fused(&[policy.hidden, policy.head, judge.hidden, judge.head]) {
        return composed::head_expected_policy_loss(policy, judge, weights, sampled, options);
    }
    let counted: Vec<usize> = (0..rows).filter(|&row| counts(row)).collect();
    let (hidden, head) = (policy.hidden.contiguous()?, policy.head.contiguous()?);
    let wanted = Wanted::of(&hidden, &head);
    let question = |row: usize| Question {
        bound: options.bound,
        weight: weights[row],
        sampled: sampled.map_or(0, |sampled| sampled.tokens[row] as usize),
        sampled_weight: sampled_weight(row),
        gradient: wanted.any(),
        realness: options.judge == JudgeKind::Realness,
    };
    let (_, width) = hidden.dims2()?;
    let (_, judge_width) = judge.hidden.dims2()?;
    let tensors = [&hidden, &head, judge.hidden, judge.head];
    let (value, ratios, gradients) = with_slices(tensors, |[x, matrix, judge_x, judge_matrix]| {
        let precision = options.precision;
        let judge = HeadRows::new(judge_x, judge_matrix, judge_width, &counted, rows, precision);
        let judge_outward = judge.outward();
        let policy = HeadRows::new(x, matrix, width, &counted, rows, precision);
        let (said, gradients) = policy.run(wanted, |logits, first, said: &mut [Answer]| {
            let judge = (&judge, &judge_outward);
            answer(logits, first, said, judge, options.excluded, |i| question(counted[i]));
        });
        let mut value = 0f64;
        for (&row, said) in counted.iter().zip(&said) {
            value -= f64::from(weights[row] * said.expected);
            value -= f64::from(sampled_weight(row) * said.log_prob);
        }
        let of_sampled = |part: fn(Answer) -> f32| match sampled {
            Some(_) => policy.spread(&said, part),
            None => Vec::new(),
        };
        let ratios = LogRatios {
            expected: policy.spread(&said, |said| said.expected),
            sampled: of_sampled(|said| said.sampled),
            log_probs: of_sampled(|said| said.log_prob),
        };
        Ok((value as f32, ratios, gradients))
    })?;
    let gradients = gradients.tensors(wanted, &hidden, &head)?;
    let loss = hidden.apply_op2(&head, Known { name: NAME, value, gradients })?;
    Ok(PolicyLoss { loss, ratios })
}

/// Rows of a tile whose logits of the judge exist at the same time: a megabyte of a large
/// vocabulary would push those of the policy out of the nearest caches.
const JUDGED: usize = 24;

/// Answers a tile of rows, the first of which is `first` of those that count.
fn answer(
    logits: &mut [f32],
    first: usize,
    said: &mut [Answer],
    (judge, outward): (&HeadRows<'_>, &Packed),
    excluded: &[u32],
    question: impl Fn(usize) -> Question,
) {
    let vocab = judge.vocab;
    let mut judge_logits = Buffer::new(JUDGED.min(said.len()) * vocab);
    let parts = logits.chunks_mut(JUDGED * vocab).zip(said.chunks_mut(JUDGED));
    for (part, (logits, said)) in parts.enumerate() {
        let first = first + part * JUDGED;
        let judge_logits = &mut judge_logits[..logits.len()];
        judge.logits(outward, first, judge_logits);
        let both = logits.chunks_exact_mut(vocab).zip(judge_logits.chunks_exact_mut(vocab));
        for (i, ((logits, judge_logits), said)) in both.zip(said).enumerate() {
            head::exclude(logits, excluded);
            head::exclude(judge_logits, excluded);
            let question = question(first + i);
            *said = expected_policy_row(logits, judge_logits, question);
            if question.gradient {
                head::exclude_gradient(logits, excluded);
            }
        }
    }
}

/// The log-ratio of every target, `d_i(target_i)` of [`head_expected_policy_loss`] for two language
/// models, whatever the options say of the judge, without a gradient: what later words earn has to be known before the loss is. Rows with weight zero are
/// skipped and have zeros; the weights have no other effect.
///
/// # Shapes
/// As [`head_expected_policy_loss`]; `targets` and `weights`: one a row.
///
/// # Errors
/// As [`head_expected_policy_loss`].
pub fn head_log_ratios(
    policy: HeadInput<'_>,
    judge: HeadInput<'_>,
    targets: &[u32],
    weights: &[f32],
    options: RatioOptions<'_>,
) -> Result<Vec<f32>> {
    const NAME: &str = "head_log_ratios";
    let RatioOptions { bound, excluded, precision, .. } = options;
    check(NAME, policy, judge, options)?;
    let log_probs = |model: HeadInput<'_>| -> Result<Vec<f32>> {
        let (hidden, head) = (model.hidden.detach(), model.head.detach());
        let log_probs =
            head_target_log_probs(&hidden, &head, targets, weights, excluded, precision)?;
        Ok(log_probs.to_dtype(candle_core::DType::F32)?.to_vec1()?)
    };
    let (policy, judge) = (log_probs(policy)?, log_probs(judge)?);
    let ratio = |(policy, judge): (&f32, &f32)| (judge - policy).clamp(-bound, bound);
    Ok(policy.iter().zip(&judge).map(ratio).collect())
}

/// Checks both models; returns rows and vocabulary.
fn check(
    operation: &'static str,
    policy: HeadInput<'_>,
    judge: HeadInput<'_>,
    options: RatioOptions<'_>,
) -> Result<(usize, usize)> {
    let (rows, vocab) = head::check(operation, policy.hidden, policy.head)?;
    let (judge_rows, judge_vocab) = head::check(operation, judge.hidden, judge.head)?;
    same(operation, "number of rows of the policy and of the judge", rows, judge_rows)?;
    same(operation, "vocabulary of the policy and of the judge", vocab, judge_vocab)?;
    head::check_excluded(operation, options.excluded, vocab, &[], |_| false)?;
    match options.bound > 0.0 {
        true => Ok((rows, vocab)),
        false => {
            let problem = format!("the bound is {}, expected a positive number", options.bound);
            Err(Error::argument(operation, problem))
        }
    }
}
