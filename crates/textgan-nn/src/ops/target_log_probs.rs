use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};

use super::argument::{fused, ids_in_range, same};
use super::composed;
use super::head::{self, HeadRows, Wanted};
use super::storage::{tensor, with_slices};
use crate::Result;
use crate::kernels::Precision;
use crate::kernels::ratio::{log_prob_gradient_row, log_sum_exp};

/// The log-probability of every target, for losses of any shape:
/// `ln softmax(hidden_i head^T)[target_i]` in nats, `[rows]`, differentiable; zero where the weight
/// is zero. The weights have no other effect.
///
/// The logits, which never exist as a whole, are made once to score the rows and again when it is
/// known what each row weighs; rows whose gradient is zero cost nothing then. Where the weights are
/// known beforehand [`head_cross_entropy`](super::head_cross_entropy) makes them once, and where
/// they follow from the texts one by one [`head_group_loss`](super::head_group_loss) does.
///
/// `excluded` are tokens that have probability zero, because no sampler takes them; the softmax is
/// that of all others. Products are of numbers of `precision`; all else is `f32`.
///
/// # Shapes
/// `hidden: [rows, width]`, `head: [vocab, width]`, `targets` and `weights`: one a row, to `[rows]`.
///
/// # Errors
/// If the shapes do not fit, an id is outside of the vocabulary, a row that counts has an excluded
/// target, or every token is excluded.
pub fn head_target_log_probs(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    weights: &[f32],
    excluded: &[u32],
    precision: Precision,
) -> Result<Tensor> {
    const NAME: &str = "head_target_log_probs";
    let (rows, vocab) = head::check(NAME, hidden, head)?;
    same(NAME, "number of rows and of targets", rows, targets.len())?;
    same(NAME, "number of rows and of weights", rows, weights.len())?;
    ids_in_range(NAME, targets, vocab)?;
    head::check_excluded(NAME, excluded, vocab, targets, |row| weights[row] != 0.0)?;
    if !fused(&[hidden, head]) {
        return composed::head_target_log_probs(
            hidden, head, targets, weights, excluded, precision,
        );
    }
    let (hidden, head) = (hidden.contiguous()?, head.contiguous()?);
    let counted: Vec<usize> = (0..rows).filter(|&row| weights[row] != 0.0).collect();
    let (_, width) = hidden.dims2()?;
    let (log_probs, log_sums) = with_slices([&hidden, &head], |[x, matrix]| {
        let asked = HeadRows::new(x, matrix, width, &counted, rows, precision);
        let (said, _) = asked.run(Wanted::NOTHING, |logits, first, said: &mut [[f32; 2]]| {
            let each = logits.chunks_exact_mut(vocab).zip(&counted[first..]).zip(said);
            for ((logits, &row), said) in each {
                head::exclude(logits, excluded);
                let log_sum = log_sum_exp(logits);
                *said = [logits[targets[row] as usize] - log_sum, log_sum];
            }
        });
        Ok((asked.spread(&said, |said| said[0]), asked.spread(&said, |said| said[1])))
    })?;
    if !Wanted::of(&hidden, &head).any() {
        return Ok(tensor(log_probs, rows)?);
    }
    let operation = TargetLogProbs {
        targets: targets.to_vec(),
        excluded: excluded.to_vec(),
        precision,
        counted,
        log_probs,
        log_sums,
    };
    Ok(hidden.apply_op2(&head, operation)?)
}

struct TargetLogProbs {
    targets: Vec<u32>,
    excluded: Vec<u32>,
    precision: Precision,
    counted: Vec<usize>,
    /// The result.
    log_probs: Vec<f32>,
    /// `ln sum e^logit` of every row.
    log_sums: Vec<f32>,
}

impl CustomOp2 for TargetLogProbs {
    fn name(&self) -> &'static str {
        "head_target_log_probs"
    }

    fn cpu_fwd(
        &self,
        _hidden: &CpuStorage,
        _hidden_layout: &Layout,
        _head: &CpuStorage,
        _head_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(self.log_probs.clone()), Shape::from(self.log_probs.len())))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        head: &Tensor,
        _log_probs: &Tensor,
        dlog_probs: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let wanted = Wanted::of(hidden, head);
        let (all, width) = hidden.dims2()?;
        let gradients = with_slices([hidden, head, dlog_probs], |[x, matrix, weights]| {
            let counts = |row: &usize| weights[*row] != 0.0;
            let counted: Vec<usize> = self.counted.iter().copied().filter(counts).collect();
            let asked = HeadRows::new(x, matrix, width, &counted, all, self.precision);
            let (_, gradients) = asked.run(wanted, |logits, first, said: &mut [()]| {
                let rows = &counted[first..][..said.len()];
                for (logits, &row) in logits.chunks_exact_mut(asked.vocab).zip(rows) {
                    head::exclude(logits, &self.excluded);
                    let target = self.targets[row] as usize;
                    log_prob_gradient_row(logits, self.log_sums[row], target, weights[row]);
                    head::exclude_gradient(logits, &self.excluded);
                }
            });
            Ok(gradients)
        })?;
        gradients.tensors(wanted, hidden, head)
    }
}
