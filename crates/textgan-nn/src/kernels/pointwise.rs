//! Kernels that treat every number alike.

use super::dispatch::simd;
use super::math::{exp, ln_1p, sigmoid};

simd! {
    /// `y += x`.
    pub(crate) fn add(y: &mut [f32], x: &[f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y += x;
        }
    }

    /// Adds `bias` to every row of `bias.len()` numbers.
    pub(crate) fn add_to_rows(y: &mut [f32], bias: &[f32]) {
        for row in y.chunks_exact_mut(bias.len()) {
            for (y, b) in row.iter_mut().zip(bias) {
                *y += b;
            }
        }
    }

    /// Adds every row of `x` to `total`.
    pub(crate) fn add_rows(x: &[f32], total: &mut [f32]) {
        for row in x.chunks_exact(total.len()) {
            for (total, x) in total.iter_mut().zip(row) {
                *total += x;
            }
        }
    }

    /// `y = silu(gate) * up`. See [`crate::ops::swiglu`].
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn swiglu(gate: &[f32], up: &[f32], y: &mut [f32]) {
        assert!(gate.len() == up.len() && up.len() == y.len());
        for ((y, g), u) in y.iter_mut().zip(gate).zip(up) {
            *y = g * sigmoid(*g) * u;
        }
    }

    /// Gradients of [`swiglu`]: with `s = sigmoid(g)`, `dg = dy u s (1 + g (1 - s))`, `du = dy g s`.
    pub(crate) fn swiglu_backward(
        dy: &[f32],
        gate: &[f32],
        up: &[f32],
        dgate: &mut [f32],
        dup: &mut [f32],
    ) {
        let n = dy.len();
        let (gate, up) = (&gate[..n], &up[..n]);
        let (dgate, dup) = (&mut dgate[..n], &mut dup[..n]);
        for i in 0..n {
            let s = sigmoid(gate[i]);
            let silu = gate[i] * s;
            dup[i] = dy[i] * silu;
            dgate[i] = dy[i] * up[i] * silu.mul_add(1.0 - s, s);
        }
    }

    /// `y = ln(1 + e^x)`.
    pub(crate) fn softplus(x: &[f32], y: &mut [f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            let positive = if x > 0.0 { x } else { 0.0 };
            *y = positive + ln_1p(exp(-x.abs()));
        }
    }

    /// `dx = dy sigmoid(x)`.
    pub(crate) fn softplus_backward(dy: &[f32], x: &[f32], dx: &mut [f32]) {
        for ((dx, dy), x) in dx.iter_mut().zip(dy).zip(x) {
            *dx = dy * sigmoid(*x);
        }
    }

    /// `y = x` where `uniform >= p`, scaled by `1 / (1 - p)`, and zero elsewhere.
    pub(crate) fn dropout(x: &[f32], uniform: &[f32], p: f32, y: &mut [f32]) {
        let scale = 1.0 / (1.0 - p);
        for ((y, x), &u) in y.iter_mut().zip(x).zip(uniform) {
            *y = if u < p { 0.0 } else { x * scale };
        }
    }

    /// `y = x + dropout(y)`, with the masks of [`dropout`].
    pub(crate) fn add_dropped(y: &mut [f32], x: &[f32], uniform: &[f32], p: f32) {
        let scale = 1.0 / (1.0 - p);
        for ((y, x), &u) in y.iter_mut().zip(x).zip(uniform) {
            *y = if u < p { *x } else { y.mul_add(scale, *x) };
        }
    }
}
