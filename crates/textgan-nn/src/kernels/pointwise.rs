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

    /// `y += scale x`.
    pub(crate) fn add_scaled(y: &mut [f32], x: &[f32], scale: f32) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = x.mul_add(scale, *y);
        }
    }

    /// `y = kept y + (1 - kept) x`.
    pub(crate) fn approach(y: &mut [f32], x: &[f32], kept: f32) {
        let fresh = 1.0 - kept;
        for (y, x) in y.iter_mut().zip(x) {
            *y = y.mul_add(kept, x * fresh);
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

    /// GELU (Hendrycks and Gimpel, 2016) in place: `x Phi(x)`, `Phi` the normal distribution.
    ///
    /// That is `max(x, 0) - |x| Phi(-|x|)`, with `Phi` from Hastings' approximation of the error
    /// function (Abramowitz and Stegun, 1964, 7.1.26): within `4e-7` for any `x`.
    pub fn gelu(x: &mut [f32]) {
        for x in x.iter_mut() {
            let size = x.abs();
            let t = 1.0 / size.mul_add(0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2, 1.0);
            let mut p = 1.061_405_4_f32;
            p = p.mul_add(t, -1.453_152);
            p = p.mul_add(t, 1.421_413_8);
            p = p.mul_add(t, -0.284_496_74);
            p = p.mul_add(t, 0.254_829_6);
            let tail = 0.5 * p * t * exp(-0.5 * size * size);
            let positive = if *x > 0.0 { *x } else { 0.0 };
            *x = size.mul_add(-tail, positive);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `Phi` by the trapezoidal rule from far below, in double precision.
    fn normal_distribution(x: f64) -> f64 {
        const STEPS: usize = 20_000;
        let (from, step) = (-12.0, (x + 12.0) / STEPS as f64);
        let density = |z: f64| (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt();
        let inner: f64 = (1..STEPS).map(|i| density(from + i as f64 * step)).sum();
        step * (inner + 0.5 * (density(from) + density(x)))
    }

    #[test]
    fn gelu_is_x_times_the_normal_distribution() {
        let inputs: Vec<f32> = (-160..=160).map(|i| i as f32 * 0.05).collect();
        let mut found = inputs.clone();
        gelu(&mut found);
        for (&x, &found) in inputs.iter().zip(&found) {
            let expected = f64::from(x) * normal_distribution(f64::from(x));
            assert!((f64::from(found) - expected).abs() < 4e-7, "{x}: {found}, {expected}");
        }
        let mut ends = [-1e30, 1e30, f32::NAN];
        gelu(&mut ends);
        assert_eq!(ends[..2], [0.0, 1e30]);
        assert!(ends[2].is_nan());
    }
}
