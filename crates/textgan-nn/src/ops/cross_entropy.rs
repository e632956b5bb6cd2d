use std::borrow::Cow;

use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::argument::{fused, ids_in_range, matrix, same};
use super::composed;
use super::storage::{tensor, with_slices};
use crate::Result;
use crate::kernels::buffer::Buffer;
use crate::kernels::softmax::{RowScore, nll_gradient_row, policy_gradient_row, score_row};
use crate::kernels::{Packed, Precision, Start, Strided};

/// The result of [`head_cross_entropy`].
#[derive(Clone, Debug)]
pub struct HeadLoss {
    /// The loss, a scalar with a gradient for `hidden` and `head`.
    pub loss: Tensor,
    /// What each row said of its target.
    pub scores: HeadScores,
}

/// What each row of a head says of its target; skipped rows have zeros.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadScores {
    /// `ln p_i(target_i)` in nats, one a row.
    pub log_probs: Vec<f32>,
    /// Entropy of the row's distribution in nats.
    pub entropies: Vec<f32>,
}

/// A language model's head and its loss in one:
/// `loss = sum_i w_i * (-ln softmax(hidden_i head^T)[target_i])`.
///
/// Maximum likelihood has `w_i = 1 / tokens`; a policy gradient has an advantage there, so every
/// such loss is this one operation. Rows whose weight is zero (padding) cost nothing. The logits
/// `[rows, vocab]` never exist as a whole: rows are taken in chunks, and the gradients are computed
/// on the way forward. Products are of numbers of `precision`; all else is `f32`.
///
/// # Shapes
/// `hidden: [rows, width]`, `head: [vocab, width]`, `targets` and `weights`: one a row.
///
/// # Errors
/// If the shapes do not fit or a target is outside of the vocabulary.
pub fn head_cross_entropy(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    weights: &[f32],
    precision: Precision,
) -> Result<HeadLoss> {
    check("head_cross_entropy", hidden, head, targets, weights)?;
    loss(hidden, head, &Rows { targets, weights, entropy_weights: None }, precision)
}

/// [`head_cross_entropy`] with an entropy bonus: `- sum_i u_i H_i` is added to the loss, `H_i` being
/// the entropy of row `i` in nats and `u` the `entropy_weights`, one a row. A row is skipped when
/// both of its weights are zero.
///
/// # Shapes
/// As [`head_cross_entropy`].
///
/// # Errors
/// As [`head_cross_entropy`].
pub fn head_policy_loss(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    weights: &[f32],
    entropy_weights: &[f32],
    precision: Precision,
) -> Result<HeadLoss> {
    const NAME: &str = "head_policy_loss";
    check(NAME, hidden, head, targets, weights)?;
    same(NAME, "number of rows and of entropy weights", targets.len(), entropy_weights.len())?;
    let rows = Rows { targets, weights, entropy_weights: Some(entropy_weights) };
    loss(hidden, head, &rows, precision)
}

/// The scores of [`head_cross_entropy`] alone, without a gradient. Rows with weight zero are
/// skipped; the weights have no other effect.
///
/// # Shapes
/// As [`head_cross_entropy`].
///
/// # Errors
/// As [`head_cross_entropy`].
pub fn head_log_probs(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    weights: &[f32],
    precision: Precision,
) -> Result<HeadScores> {
    check("head_log_probs", hidden, head, targets, weights)?;
    let rows = Rows { targets, weights, entropy_weights: None };
    Ok(loss(&hidden.detach(), &head.detach(), &rows, precision)?.scores)
}

fn check(
    operation: &'static str,
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    weights: &[f32],
) -> Result<()> {
    let (rows, width) = matrix(operation, "hidden", hidden)?;
    let (vocab, head_width) = matrix(operation, "the head", head)?;
    same(operation, "width of hidden and of the head", width, head_width)?;
    same(operation, "number of rows and of targets", rows, targets.len())?;
    same(operation, "number of rows and of weights", rows, weights.len())?;
    ids_in_range(operation, targets, vocab)
}

/// What each row is asked, and what it counts for.
struct Rows<'a> {
    targets: &'a [u32],
    weights: &'a [f32],
    entropy_weights: Option<&'a [f32]>,
}

impl Rows<'_> {
    fn entropy_weight(&self, row: usize) -> f32 {
        self.entropy_weights.map_or(0.0, |weights| weights[row])
    }

    /// The rows that count.
    fn counted(&self) -> Vec<usize> {
        let counts = |&i: &usize| self.weights[i] != 0.0 || self.entropy_weight(i) != 0.0;
        (0..self.targets.len()).filter(counts).collect()
    }
}

fn loss(hidden: &Tensor, head: &Tensor, rows: &Rows<'_>, precision: Precision) -> Result<HeadLoss> {
    if !fused(&[hidden, head]) {
        let Rows { targets, weights, entropy_weights } = *rows;
        return composed::head_cross_entropy(
            hidden,
            head,
            targets,
            weights,
            entropy_weights,
            precision,
        );
    }
    let (hidden, head) = (hidden.contiguous()?, head.contiguous()?);
    let wanted = Wanted { hidden: hidden.track_op(), head: head.track_op() };
    let (_, width) = hidden.dims2()?;
    let outcome = with_slices([&hidden, &head], |[hidden, head]| {
        Ok(compute(hidden, head, width, rows, precision, wanted))
    })?;
    let operation = Known {
        value: outcome.value,
        dhidden: wanted.hidden.then(|| tensor(outcome.dhidden, hidden.shape())).transpose()?,
        dhead: wanted.head.then(|| tensor(outcome.dhead, head.shape())).transpose()?,
    };
    Ok(HeadLoss { loss: hidden.apply_op2(&head, operation)?, scores: outcome.scores })
}

/// Which gradients anybody asks for.
#[derive(Clone, Copy)]
struct Wanted {
    hidden: bool,
    head: bool,
}

struct Outcome {
    value: f32,
    scores: HeadScores,
    /// `[rows, width]`, or empty.
    dhidden: Vec<f32>,
    /// `[vocab, width]`, or empty.
    dhead: Vec<f32>,
}

/// Rows that one task scores.
const TILE: usize = 48;
/// Rows whose logits exist at the same time.
const CHUNK: usize = 16 * TILE;

fn compute(
    hidden: &[f32],
    head: &[f32],
    width: usize,
    rows: &Rows<'_>,
    precision: Precision,
    wanted: Wanted,
) -> Outcome {
    let row_count = rows.targets.len();
    let vocab = head.len() / width.max(1);
    let counted = rows.counted();
    let packed = gather(hidden, &counted, row_count, width);

    let mut scores = vec![RowScore::default(); counted.len()];
    let mut dpacked = vec![0.0; if wanted.hidden { packed.len() } else { 0 }];
    let mut dhead = vec![0.0; if wanted.head { head.len() } else { 0 }];
    let mut logits = Buffer::new(CHUNK.min(counted.len()) * vocab);
    let pack = |matrix, depth, columns| Packed::with_precision(precision, matrix, depth, columns);
    let outward = pack(Strided::transposed(head, width), width, vocab);
    let inward = wanted.hidden.then(|| pack(Strided::rows(head, width), vocab, width));
    for (chunk, (counted, scores)) in
        counted.chunks(CHUNK).zip(scores.chunks_mut(CHUNK)).enumerate()
    {
        let first = chunk * CHUNK;
        let packed = &packed[first * width..][..counted.len() * width];
        let logits = &mut logits[..counted.len() * vocab];
        logits
            .par_chunks_mut(TILE * vocab)
            .zip(packed.par_chunks(TILE * width))
            .zip(counted.par_chunks(TILE).zip(scores.par_chunks_mut(TILE)))
            .for_each(|((logits, hidden), (counted, scores))| {
                let hidden = Strided::rows(hidden, width);
                outward.multiply(counted.len(), hidden, Start::Zero, logits, vocab);
                for ((logits, &row), score) in
                    logits.chunks_exact_mut(vocab).zip(counted).zip(scores)
                {
                    *score = finish_row(logits, rows, row, wanted);
                }
            });
        if let Some(inward) = &inward {
            let dpacked = &mut dpacked[first * width..][..counted.len() * width];
            let gradients = Strided::rows(logits, vocab);
            inward.multiply_on_all_threads(counted.len(), gradients, Start::Zero, dpacked, width);
        }
        if wanted.head {
            let hidden = pack(Strided::rows(packed, width), counted.len(), width);
            let gradients = Strided::transposed(logits, vocab);
            hidden.multiply_on_all_threads(vocab, gradients, Start::Output, &mut dhead, width);
        }
    }

    let mut value = 0f64;
    let mut all = HeadScores { log_probs: vec![0.0; row_count], entropies: vec![0.0; row_count] };
    for (&row, score) in counted.iter().zip(&scores) {
        value -= f64::from(rows.weights[row] * score.log_prob);
        value -= f64::from(rows.entropy_weight(row) * score.entropy);
        all.log_probs[row] = score.log_prob;
        all.entropies[row] = score.entropy;
    }
    let dhidden = match wanted.hidden {
        true => scatter(dpacked, &counted, row_count, width),
        false => Vec::new(),
    };
    Outcome { value: value as f32, scores: all, dhidden, dhead }
}

/// Scores a row of logits and leaves the gradient in their place if anybody wants it.
fn finish_row(logits: &mut [f32], rows: &Rows<'_>, row: usize, wanted: Wanted) -> RowScore {
    let (target, weight) = (rows.targets[row] as usize, rows.weights[row]);
    let (score, inverse) = score_row(logits, target);
    if wanted.hidden || wanted.head {
        match rows.entropy_weight(row) {
            0.0 => nll_gradient_row(logits, inverse, target, weight),
            bonus => policy_gradient_row(logits, inverse, target, weight, score.entropy, bonus),
        }
    }
    score
}

fn gather<'a>(x: &'a [f32], rows: &[usize], all: usize, width: usize) -> Cow<'a, [f32]> {
    if rows.len() == all {
        return Cow::Borrowed(x);
    }
    Cow::Owned(rows.iter().flat_map(|&row| &x[row * width..][..width]).copied().collect())
}

fn scatter(packed: Vec<f32>, rows: &[usize], all: usize, width: usize) -> Vec<f32> {
    if rows.len() == all {
        return packed;
    }
    let mut x = vec![0.0; all * width];
    for (&row, packed) in rows.iter().zip(packed.chunks_exact(width)) {
        x[row * width..][..width].copy_from_slice(packed);
    }
    x
}

/// A scalar function of a hidden state and a head whose value and gradients are known already.
struct Known {
    value: f32,
    dhidden: Option<Tensor>,
    dhead: Option<Tensor>,
}

impl CustomOp2 for Known {
    fn name(&self) -> &'static str {
        "head_cross_entropy"
    }

    fn cpu_fwd(
        &self,
        _hidden: &CpuStorage,
        _hidden_layout: &Layout,
        _head: &CpuStorage,
        _head_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![self.value]), Shape::from(())))
    }

    fn bwd(
        &self,
        _hidden: &Tensor,
        _head: &Tensor,
        _loss: &Tensor,
        dloss: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let scale = f64::from(dloss.to_scalar::<f32>()?);
        let scaled = |gradient: &Option<Tensor>| match gradient {
            Some(gradient) if scale == 1.0 => Ok(Some(gradient.clone())),
            Some(gradient) => (gradient * scale).map(Some),
            None => Ok(None),
        };
        Ok((scaled(&self.dhidden)?, scaled(&self.dhead)?))
    }
}
