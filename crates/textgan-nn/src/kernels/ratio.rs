//! Rows of logits whose targets were asked for, and rows of two heads side by side: what a
//! likelihood-ratio discriminator is computed from.

use super::dispatch::simd;
use super::math::{LANES, exp, ln, max, total};

/// What a row is asked by [`expected_policy_row`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    /// Log-ratios are clamped to `-bound..=bound`.
    pub(crate) bound: f32,
    /// The weight of the row.
    pub(crate) weight: f32,
    /// The token that was sampled.
    pub(crate) sampled: usize,
    /// The weight of its log-probability.
    pub(crate) sampled_weight: f32,
    /// Whether the gradient is wanted.
    pub(crate) gradient: bool,
    /// Whether the judge's logits are `d` themselves instead of those of a language model.
    pub(crate) realness: bool,
}

/// What a row answers, in nats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    /// `sum_v q(v) d(v)`.
    pub(crate) expected: f32,
    /// `d(sampled)`.
    pub(crate) sampled: f32,
    /// `ln q(sampled)`.
    pub(crate) log_prob: f32,
}

/// `x` within `-bound..=bound`; NaN stays NaN.
#[inline(always)]
fn clamp(x: f32, bound: f32) -> f32 {
    let x = if x > bound { bound } else { x };
    if x < -bound { -bound } else { x }
}

simd! {
    /// `ln sum e^x`.
    pub(crate) fn log_sum_exp(row: &[f32]) -> f32 {
        let highest = max(row);
        let mut sums = [0.0; LANES];
        let (blocks, rest) = row.as_chunks::<LANES>();
        for (sum, x) in sums.iter_mut().zip(rest) {
            *sum = exp(x - highest);
        }
        for block in blocks {
            for (sum, x) in sums.iter_mut().zip(block) {
                *sum += exp(x - highest);
            }
        }
        highest + ln(total(sums))
    }

    /// The gradient of `weight * ln p(target)` in place of the logits, whose `ln sum e^x` is known:
    /// `weight * (onehot(target) - p)`.
    pub(crate) fn log_prob_gradient_row(
        logits: &mut [f32],
        log_sum: f32,
        target: usize,
        weight: f32,
    ) {
        for x in logits.iter_mut() {
            *x = exp(*x - log_sum) * -weight;
        }
        logits[target] += weight;
    }

    /// With `q` and `M` the softmaxes of both rows and `d = clamp(ln M - ln q)`, a constant: the
    /// gradient of `-weight sum_v q(v) d(v) - sampled_weight ln q(sampled)` in place of the logits
    /// of the policy: `-weight q (d - sum q d) + sampled_weight (q - onehot(sampled))`. The judge's
    /// logits are lost. Where the judge speaks of realness, `d` is its logits, clamped.
    pub(crate) fn expected_policy_row(
        policy: &mut [f32],
        judge: &mut [f32],
        question: Question,
    ) -> Answer {
        let Question { bound, weight, sampled, sampled_weight, gradient, realness } = question;
        let highest = max(policy);
        let sampled_logit = policy[sampled] - highest;
        let mut sums = [0.0; LANES];
        // The policy's row becomes `e^(x - max)`; `d` is the judge's row, plus a shift.
        let judge_log_sum = match realness {
            true => {
                let (blocks, rest) = policy.as_chunks_mut::<LANES>();
                for block in blocks {
                    for i in 0..LANES {
                        block[i] = exp(block[i] - highest);
                        sums[i] += block[i];
                    }
                }
                for (i, x) in rest.iter_mut().enumerate() {
                    *x = exp(*x - highest);
                    sums[i] += *x;
                }
                None
            }
            false => {
                let judge_highest = max(judge);
                let mut judge_sums = [0.0; LANES];
                let (blocks, rest) = policy.as_chunks_mut::<LANES>();
                let (judge_blocks, judge_rest) = judge.as_chunks_mut::<LANES>();
                for (block, judge_block) in blocks.iter_mut().zip(judge_blocks) {
                    for i in 0..LANES {
                        let e = exp(block[i] - highest);
                        sums[i] += e;
                        judge_sums[i] += exp(judge_block[i] - judge_highest);
                        judge_block[i] -= block[i];
                        block[i] = e;
                    }
                }
                for (i, (x, y)) in rest.iter_mut().zip(judge_rest).enumerate() {
                    let e = exp(*x - highest);
                    sums[i] += e;
                    judge_sums[i] += exp(*y - judge_highest);
                    *y -= *x;
                    *x = e;
                }
                Some(judge_highest + ln(total(judge_sums)))
            }
        };
        let sum = total(sums);
        let (log_sum, inverse) = (ln(sum), 1.0 / sum);
        let shift = judge_log_sum.map_or(0.0, |judge_log_sum| highest + log_sum - judge_log_sum);

        let mut products = [0.0; LANES];
        let (blocks, rest) = policy.as_chunks::<LANES>();
        let (judge_blocks, judge_rest) = judge.as_chunks::<LANES>();
        for (block, judge_block) in blocks.iter().zip(judge_blocks) {
            for i in 0..LANES {
                products[i] = block[i].mul_add(clamp(judge_block[i] + shift, bound), products[i]);
            }
        }
        for (i, (e, y)) in rest.iter().zip(judge_rest).enumerate() {
            products[i] = e.mul_add(clamp(y + shift, bound), products[i]);
        }
        let expected = total(products) * inverse;

        if gradient {
            let constant = weight.mul_add(expected, sampled_weight);
            for (x, y) in policy.iter_mut().zip(judge.iter()) {
                *x *= inverse * clamp(y + shift, bound).mul_add(-weight, constant);
            }
            policy[sampled] -= sampled_weight;
        }
        Answer {
            expected,
            sampled: clamp(judge[sampled] + shift, bound),
            log_prob: sampled_logit - log_sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits(n: usize, speed: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * speed).sin() * 3.0).collect()
    }

    fn log_softmax(row: &[f32]) -> Vec<f64> {
        let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
        row.iter().map(|&x| f64::from(x) - sum.ln()).collect()
    }

    #[test]
    fn rows_of_any_length_as_by_hand() {
        for n in [1, 5, 16, 37, 64] {
            let (policy, judge) = (logits(n, 0.7), logits(n, 1.3));
            let (q, m) = (log_softmax(&policy), log_softmax(&judge));
            let (sampled, weight, sampled_weight, bound) = (n / 2, 0.7, -0.4, 1.5);

            assert!((f64::from(policy[0] - log_sum_exp(&policy)) - q[0]).abs() < 1e-5);
            let mut row = policy.clone();
            log_prob_gradient_row(&mut row, log_sum_exp(&policy), sampled, 0.3);
            for (v, x) in row.iter().enumerate() {
                let onehot = f64::from(u8::from(v == sampled));
                assert!((f64::from(*x) - 0.3 * (onehot - q[v].exp())).abs() < 1e-6);
            }

            for realness in [false, true] {
                let d = |v: usize| match realness {
                    false => (m[v] - q[v]).clamp(-bound, bound),
                    true => f64::from(judge[v]).clamp(-bound, bound),
                };
                let expected: f64 = (0..n).map(|v| q[v].exp() * d(v)).sum();
                let question = Question {
                    bound: bound as f32,
                    weight: weight as f32,
                    sampled,
                    sampled_weight: sampled_weight as f32,
                    gradient: true,
                    realness,
                };
                let mut row = policy.clone();
                let answer = expected_policy_row(&mut row, &mut judge.clone(), question);
                assert!((f64::from(answer.expected) - expected).abs() < 1e-5);
                assert!((f64::from(answer.sampled) - d(sampled)).abs() < 1e-5);
                assert!((f64::from(answer.log_prob) - q[sampled]).abs() < 1e-5);
                for (v, x) in row.iter().enumerate() {
                    let onehot = f64::from(u8::from(v == sampled));
                    let gradient = -weight * q[v].exp() * (d(v) - expected)
                        + sampled_weight * (q[v].exp() - onehot);
                    assert!((f64::from(*x) - gradient).abs() < 1e-6, "{x}, expected {gradient}");
                }
            }
        }
    }
}
