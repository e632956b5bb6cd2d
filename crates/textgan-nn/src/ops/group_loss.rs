use std::ops::Range;

use candle_core::Tensor;
use rayon::prelude::*;

use super::argument::{fused, ids_in_range, same};
use super::composed;
use super::head::{self, CHUNK, HeadRows, Known, TILE, Wanted};
use super::storage::with_slices;
use crate::kernels::Precision;
use crate::kernels::softmax::{nll_gradient_row, score_row};
use crate::{Error, Result};

/// The result of [`head_group_loss`].
#[derive(Clone, Debug)]
pub struct GroupLoss {
    /// The loss, a scalar with a gradient for `hidden` and `head`.
    pub loss: Tensor,
    /// `ln p_i(target_i)` in nats, one a row; zero where the weight is zero.
    pub log_probs: Vec<f32>,
}

/// A loss that looks at whole texts: `sum_g f_g(log-probabilities of the targets of group g)`.
///
/// Rows are taken in groups of `group` that lie side by side, as the places of a text do, or those
/// of a pair of texts. For every group of which any row counts, in order, `loss` is called with its
/// number, the log-probabilities of its targets and as many zeros; it returns its value and leaves
/// its derivative by each log-probability in the place of the zeros. A logistic loss on the
/// log-ratio of a text, a preference between two, a clipped ratio of probabilities: all have this
/// form.
///
/// Since no group needs to know of another, the gradients are computed on the way forward as those
/// of [`head_cross_entropy`](super::head_cross_entropy) are, with three products with the head
/// where [`head_target_log_probs`](super::head_target_log_probs) has four. Rows whose weight is zero
/// cost nothing; their log-probability is zero, and their derivative is not read. The weights have
/// no other effect. `excluded` are tokens that have probability zero.
///
/// # Shapes
/// `hidden: [groups * group, width]`, `head: [vocab, width]`, `targets` and `weights`: one a row.
///
/// # Errors
/// As [`head_target_log_probs`](super::head_target_log_probs), and if the rows are no whole number
/// of groups.
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
    const NAME: &str = "head_group_loss";
    let (rows, vocab) = head::check(NAME, hidden, head)?;
    same(NAME, "number of rows and of targets", rows, targets.len())?;
    same(NAME, "number of rows and of weights", rows, weights.len())?;
    ids_in_range(NAME, targets, vocab)?;
    head::check_excluded(NAME, excluded, vocab, targets, |row| weights[row] != 0.0)?;
    if group == 0 || !rows.is_multiple_of(group) {
        let problem = format!("{rows} rows are no whole number of groups of {group}");
        return Err(Error::argument(NAME, problem));
    }
    if !fused(&[hidden, head]) {
        return composed::head_group_loss(
            hidden, head, targets, weights, group, excluded, precision, loss,
        );
    }
    let (hidden, head) = (hidden.contiguous()?, head.contiguous()?);
    let wanted = Wanted::of(&hidden, &head);
    let (_, width) = hidden.dims2()?;
    let counted: Vec<usize> = (0..rows).filter(|&row| weights[row] != 0.0).collect();
    let mut log_probs = vec![0.0; rows];
    let mut derivatives = vec![0.0; rows];
    let mut value = 0f64;
    let score = |logits: &mut [f32], first: usize, said: &mut [Scored]| {
        let each = logits.chunks_exact_mut(vocab).zip(&counted[first..]).zip(said);
        for ((logits, &row), said) in each {
            head::exclude(logits, excluded);
            let (score, inverse) = score_row(logits, targets[row] as usize);
            *said = Scored { log_prob: score.log_prob, inverse };
        }
    };
    let weigh = |logits: &mut [f32], first: usize, said: &[Scored]| {
        let counted = &counted[first..][..said.len()];
        for (&row, said) in counted.iter().zip(said) {
            log_probs[row] = said.log_prob;
        }
        for rows in by_group(counted, group) {
            let number = rows[0] / group;
            let places = number * group..(number + 1) * group;
            let derivatives = &mut derivatives[places.clone()];
            value += f64::from(loss(number, &log_probs[places], derivatives));
        }
        if wanted.any() {
            let tiles = logits.par_chunks_mut(TILE * vocab).zip(counted.par_chunks(TILE));
            tiles.zip(said.par_chunks(TILE)).for_each(|((logits, counted), said)| {
                let each = logits.chunks_exact_mut(vocab).zip(counted).zip(said);
                for ((logits, &row), said) in each {
                    let target = targets[row] as usize;
                    nll_gradient_row(logits, said.inverse, target, -derivatives[row]);
                    head::exclude_gradient(logits, excluded);
                }
            });
        }
    };
    let gradients = with_slices([&hidden, &head], |[x, matrix]| {
        let asked = HeadRows::new(x, matrix, width, &counted, rows, precision);
        Ok(asked.run_chunks(&chunks(&counted, group), wanted, score, weigh).1)
    })?;
    let gradients = gradients.tensors(wanted, &hidden, &head)?;
    let operation = Known { name: NAME, value: value as f32, gradients };
    Ok(GroupLoss { loss: hidden.apply_op2(&head, operation)?, log_probs })
}

/// What is kept of a row until it is known what it weighs.
#[derive(Clone, Copy, Default)]
struct Scored {
    log_prob: f32,
    /// One over the sum of what the logits were left as.
    inverse: f32,
}

/// The rows of each group of which any counts.
fn by_group(counted: &[usize], group: usize) -> impl Iterator<Item = &[usize]> {
    counted.chunk_by(move |a, b| a / group == b / group)
}

/// As many whole groups as fit a chunk; one alone if it does not.
fn chunks(counted: &[usize], group: usize) -> Vec<Range<usize>> {
    let mut chunks: Vec<Range<usize>> = Vec::new();
    for rows in by_group(counted, group) {
        match chunks.last_mut() {
            Some(chunk) if chunk.len() + rows.len() <= CHUNK => chunk.end += rows.len(),
            last => {
                let start = last.map_or(0, |chunk| chunk.end);
                chunks.push(start..start + rows.len());
            }
        }
    }
    chunks
}
