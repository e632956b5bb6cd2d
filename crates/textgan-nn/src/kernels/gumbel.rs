//! Rows of logits under Gumbel noise whose arg max is given.
//!
//! With logits `l`, `A = ln sum e^l` and `u_i` uniform, the largest perturbed logit, at `sampled`, is
//! `M = A - ln(-ln u_sampled)`, and the others are Gumbel variables cut off at `M`:
//! `y_i = M - ln(1 - ln(u_i) e^(M - l_i))` (Maddison et al., 2014). Relative to `M` the largest is
//! zero, so the softmax at temperature `T` needs no second maximum.

use super::dispatch::simd;
use super::math::{LANES, dot, exp, ln, ln_1p, max, sum, total};

simd! {
    /// `logits` become `y - M`: zero at `sampled`, negative elsewhere. `uniform` holds one draw a
    /// logit. Returns `M`.
    pub(crate) fn perturb_row(logits: &mut [f32], uniform: &[f32], sampled: usize) -> f32 {
        let highest = max(logits);
        let mut sums = [0.0; LANES];
        let blocks = logits.chunks_exact(LANES);
        for (sum, x) in sums.iter_mut().zip(blocks.remainder()) {
            *sum = exp(x - highest);
        }
        for block in blocks {
            for (sum, x) in sums.iter_mut().zip(block) {
                *sum += exp(x - highest);
            }
        }
        let largest = highest + ln(total(sums)) - ln(-ln(uniform[sampled]));
        for (x, u) in logits.iter_mut().zip(uniform) {
            // Beyond this a token's share is zero in f32, and the product below stays finite.
            let distance = largest - *x;
            let distance = if distance < 80.0 { distance } else { 80.0 };
            *x = -ln_1p(-ln(*u) * exp(distance));
        }
        logits[sampled] = 0.0;
        largest
    }

    /// What [`perturb_row`] left becomes the relaxed sample, `softmax(y / temperature)`.
    pub(crate) fn relax_row(perturbed: &mut [f32], temperature: f32) {
        let scale = 1.0 / temperature;
        for x in perturbed.iter_mut() {
            *x = exp(*x * scale);
        }
        let inverse = 1.0 / sum(perturbed);
        for x in perturbed.iter_mut() {
            *x *= inverse;
        }
    }

    /// `d` holds the gradient of the relaxed sample `p`, and gets that of the logits:
    /// `p (d - sum p d) / temperature`.
    pub(crate) fn relax_row_backward(p: &[f32], d: &mut [f32], temperature: f32) {
        let mean = dot(p, d);
        let scale = 1.0 / temperature;
        for (d, p) in d.iter_mut().zip(p) {
            *d = p * (*d - mean) * scale;
        }
    }
}
