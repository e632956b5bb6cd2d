use candle_core::Tensor;

use super::argument::{fused, ids_in_range, same};
use super::composed;
use super::head::{self, HeadRows, Known, Wanted};
use super::storage::with_slices;
use crate::Result;
use crate::kernels::Precision;
use crate::kernels::softmax::{RowScore, nll_gradient_row, policy_gradient_row, score_row};

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
    loss(hidden, head, &Rows { targets, weights, entropy_weights: None, excluded: &[] }, precision)
}

/// [`head_cross_entropy`] with an entropy bonus: `- sum_i u_i H_i` is added to the loss, `H_i` being
/// the entropy of row `i` in nats and `u` the `entropy_weights`, one a row. A row is skipped when
/// both of its weights are zero. `excluded` are tokens that have probability zero, because the sampler
/// whose choices these are never takes them.
///
/// # Shapes
/// As [`head_cross_entropy`].
///
/// # Errors
/// As [`head_cross_entropy`]; a row that counts has an excluded target, or every token is excluded.
pub fn head_policy_loss(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    weights: &[f32],
    entropy_weights: &[f32],
    excluded: &[u32],
    precision: Precision,
) -> Result<HeadLoss> {
    const NAME: &str = "head_policy_loss";
    check(NAME, hidden, head, targets, weights)?;
    same(NAME, "number of rows and of entropy weights", targets.len(), entropy_weights.len())?;
    let rows = Rows { targets, weights, entropy_weights: Some(entropy_weights), excluded };
    let vocab = head.dim(0)?;
    head::check_excluded(NAME, excluded, vocab, targets, |row| rows.counts(row))?;
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
    let rows = Rows { targets, weights, entropy_weights: None, excluded: &[] };
    Ok(loss(&hidden.detach(), &head.detach(), &rows, precision)?.scores)
}

fn check(
    operation: &'static str,
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    weights: &[f32],
) -> Result<()> {
    let (rows, vocab) = head::check(operation, hidden, head)?;
    same(operation, "number of rows and of targets", rows, targets.len())?;
    same(operation, "number of rows and of weights", rows, weights.len())?;
    ids_in_range(operation, targets, vocab)
}

/// What each row is asked, and what it counts for.
struct Rows<'a> {
    targets: &'a [u32],
    weights: &'a [f32],
    entropy_weights: Option<&'a [f32]>,
    /// Tokens that have probability zero.
    excluded: &'a [u32],
}

impl Rows<'_> {
    fn entropy_weight(&self, row: usize) -> f32 {
        self.entropy_weights.map_or(0.0, |weights| weights[row])
    }

    fn counts(&self, row: usize) -> bool {
        self.weights[row] != 0.0 || self.entropy_weight(row) != 0.0
    }

    /// The rows that count.
    fn counted(&self) -> Vec<usize> {
        (0..self.targets.len()).filter(|&row| self.counts(row)).collect()
    }
}

fn loss(hidden: &Tensor, head: &Tensor, rows: &Rows<'_>, precision: Precision) -> Result<HeadLoss> {
    if !fused(&[hidden, head]) {
        let Rows { targets, weights, entropy_weights, excluded } = *rows;
        return composed::head_cross_entropy(
            hidden,
            head,
            targets,
            weights,
            entropy_weights,
            excluded,
            precision,
        );
    }
    let (hidden, head) = (hidden.contiguous()?, head.contiguous()?);
    let wanted = Wanted::of(&hidden, &head);
    let (all, width) = hidden.dims2()?;
    let counted = rows.counted();
    let (value, scores, gradients) = with_slices([&hidden, &head], |[x, matrix]| {
        let asked = HeadRows::new(x, matrix, width, &counted, all, precision);
        let (said, gradients) = asked.run(wanted, |logits, first, said: &mut [RowScore]| {
            let each = logits.chunks_exact_mut(asked.vocab).zip(&counted[first..]).zip(said);
            for ((logits, &row), said) in each {
                *said = finish_row(logits, rows, row, wanted);
            }
        });
        let mut value = 0f64;
        for (&row, said) in counted.iter().zip(&said) {
            value -= f64::from(rows.weights[row] * said.log_prob);
            value -= f64::from(rows.entropy_weight(row) * said.entropy);
        }
        let scores = HeadScores {
            log_probs: asked.spread(&said, |said| said.log_prob),
            entropies: asked.spread(&said, |said| said.entropy),
        };
        Ok((value as f32, scores, gradients))
    })?;
    let gradients = gradients.tensors(wanted, &hidden, &head)?;
    let operation = Known { name: "head_cross_entropy", value, gradients };
    Ok(HeadLoss { loss: hidden.apply_op2(&head, operation)?, scores })
}

/// Scores a row of logits and leaves the gradient in their place if anybody wants it.
fn finish_row(logits: &mut [f32], rows: &Rows<'_>, row: usize, wanted: Wanted) -> RowScore {
    let (target, weight) = (rows.targets[row] as usize, rows.weights[row]);
    head::exclude(logits, rows.excluded);
    let (score, inverse) = score_row(logits, target);
    if wanted.any() {
        match rows.entropy_weight(row) {
            0.0 => nll_gradient_row(logits, inverse, target, weight),
            bonus => policy_gradient_row(logits, inverse, target, weight, score.entropy, bonus),
        }
        head::exclude_gradient(logits, rows.excluded);
    }
    score
}
