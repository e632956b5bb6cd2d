//! Rows of logits: their loss and its gradient, and what sampling needs.

use super::dispatch::simd;
use super::math::{LANES, exp, ln, max, sum, total};

/// What a row of logits says of its target, in nats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct RowScore {
    pub(crate) log_prob: f32,
    pub(crate) entropy: f32,
}

simd! {
    /// Log-probability of `target` and entropy; the logits are left as `e^(x - max)`, and the second
    /// result is one over their sum.
    pub(crate) fn score_row(logits: &mut [f32], target: usize) -> (RowScore, f32) {
        let highest = max(logits);
        let target_logit = logits[target] - highest;
        let mut sums = [0.0; LANES];
        let mut products = [0.0; LANES];
        let mut blocks = logits.chunks_exact_mut(LANES);
        for block in &mut blocks {
            for i in 0..LANES {
                // Clamped, so that a logit of minus infinity adds zero and not NaN.
                let shifted = block[i] - highest;
                let shifted = if shifted > -1e4 { shifted } else { -1e4 };
                let e = exp(shifted);
                sums[i] += e;
                products[i] = e.mul_add(shifted, products[i]);
                block[i] = e;
            }
        }
        for (i, x) in blocks.into_remainder().iter_mut().enumerate() {
            let shifted = *x - highest;
            let shifted = if shifted > -1e4 { shifted } else { -1e4 };
            let e = exp(shifted);
            sums[i] += e;
            products[i] = e.mul_add(shifted, products[i]);
            *x = e;
        }
        let (sum, product) = (total(sums), total(products));
        let log_sum = ln(sum);
        let entropy = log_sum - product / sum;
        (RowScore { log_prob: target_logit - log_sum, entropy }, 1.0 / sum)
    }

    /// `e` holds `e^(x - max)` of a row and `inverse` one over their sum, so `p = e * inverse`.
    /// Leaves the gradient of `weight * nll`: `weight * (p - onehot(target))`.
    pub(crate) fn nll_gradient_row(e: &mut [f32], inverse: f32, target: usize, weight: f32) {
        let scale = weight * inverse;
        for x in e.iter_mut() {
            *x *= scale;
        }
        e[target] -= weight;
    }

    /// As [`nll_gradient_row`], of `weight * nll - entropy_weight * entropy`; the gradient of the
    /// entropy `H` is `-p (ln p + H)`.
    pub(crate) fn policy_gradient_row(
        e: &mut [f32],
        inverse: f32,
        target: usize,
        weight: f32,
        entropy: f32,
        entropy_weight: f32,
    ) {
        // The logarithm of what is nothing is a number, and times zero it is zero.
        let constant = weight + entropy_weight * (entropy + ln(inverse));
        for x in e.iter_mut() {
            let p = *x * inverse;
            *x = p * ln(*x).mul_add(entropy_weight, constant);
        }
        e[target] -= weight;
    }

    /// The largest number of a row; minus infinity for an empty one.
    pub fn row_max(row: &[f32]) -> f32 {
        max(row)
    }

    /// Writes `e^((x - highest) * scale)` and returns the sum: the weights of a categorical draw
    /// at temperature `1 / scale`, or `softmax` before it is divided.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn exp_sum(row: &[f32], highest: f32, scale: f32, out: &mut [f32]) -> f32 {
        assert_eq!(row.len(), out.len());
        for (out, x) in out.iter_mut().zip(row) {
            *out = exp((x - highest) * scale);
        }
        sum(out)
    }

    /// The first index whose cumulative weight exceeds `u`, which is uniform in `0..sum(weights)`;
    /// the last index with any weight if rounding leaves none.
    pub fn pick(weights: &[f32], u: f32) -> usize {
        const BLOCK: usize = 8 * LANES;
        let mut before = 0.0;
        for (block, first) in weights.chunks(BLOCK).zip((0..).step_by(BLOCK)) {
            let weight = sum(block);
            if before + weight > u {
                let mut before = before;
                for (i, weight) in block.iter().enumerate() {
                    before += weight;
                    if before > u {
                        return first + i;
                    }
                }
            }
            before += weight;
        }
        weights.iter().rposition(|&weight| weight > 0.0).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_scores_as_by_hand() {
        let logits: Vec<f32> = (0..37).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
        let exact: Vec<f64> = logits.iter().map(|&x| f64::from(x).exp()).collect();
        let sum: f64 = exact.iter().sum();
        let entropy: f64 = exact.iter().map(|e| -(e / sum) * (e / sum).ln()).sum();
        let mut row = logits.clone();
        let (score, inverse) = score_row(&mut row, 5);
        assert!((f64::from(score.log_prob) - (exact[5] / sum).ln()).abs() < 1e-5);
        assert!((f64::from(score.entropy) - entropy).abs() < 1e-5);
        assert!((f64::from(row[7] * inverse) - exact[7] / sum).abs() < 1e-6);
    }

    #[test]
    fn impossible_tokens_do_not_spoil_a_row() {
        let mut row = vec![0.0, f32::NEG_INFINITY, 0.0];
        let (score, _) = score_row(&mut row, 0);
        assert!((score.log_prob + 2f32.ln()).abs() < 1e-6);
        assert!((score.entropy - 2f32.ln()).abs() < 1e-6);
    }

    /// Products of subnormal numbers are slow, and a sharp model would have nothing else.
    #[test]
    fn gradients_are_zero_or_normal() {
        let logits: Vec<f32> = (0..97).map(|i| -1.3 * i as f32).collect();
        let ordinary = |row: &[f32]| row.iter().all(|x| *x == 0.0 || x.is_normal());
        let mut row = logits.clone();
        let (score, inverse) = score_row(&mut row, 96);
        assert!((score.log_prob - logits[96]).abs() < 1.0, "{score:?}");
        let mut policy = row.clone();
        nll_gradient_row(&mut row, inverse, 3, 1e-6);
        policy_gradient_row(&mut policy, inverse, 3, 1e-6, score.entropy, 1e-3);
        assert!(ordinary(&row) && ordinary(&policy), "{row:?} {policy:?}");
        assert!(row[96] == 0.0 && row[3] < 0.0 && row[30] > 0.0);
    }

    #[test]
    fn a_pick_follows_the_weights() {
        let weights: Vec<f32> = (0..300).map(|i| (i % 3) as f32).collect();
        let cumulative: Vec<f32> = weights
            .iter()
            .scan(0.0, |sum, w| {
                *sum += w;
                Some(*sum)
            })
            .collect();
        for u in 0..300 {
            let u = u as f32;
            let expected = cumulative.iter().position(|&c| c > u).unwrap();
            assert_eq!(pick(&weights, u), expected);
        }
        assert_eq!(pick(&weights, 1e9), 299);
        assert_eq!(pick(&[0.0, 1.0, 0.0], 1.0), 1);
    }
}
