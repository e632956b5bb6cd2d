//! RMSNorm over rows: `y = x s w` with `s = 1 / sqrt(mean(x^2) + epsilon)`.

use super::dispatch::simd;
use super::math::{LANES, dot, total};

simd! {
    /// Normalises rows of `weight.len()` numbers. See [`crate::ops::rms_norm`].
    ///
    /// # Panics
    /// If the rows of `x` and `y` differ in number.
    pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, y: &mut [f32]) {
        let width = weight.len();
        assert_eq!(x.len(), y.len());
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            let scale = 1.0 / (dot(x, x) / width as f32 + epsilon).sqrt();
            for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
                *y = x * scale * w;
            }
        }
    }

    /// Gradients: writes `dx`, adds to `dweight`. With `g = dy w` and `s` as above,
    /// `dx = s g - x s^3 mean(g x)` and `dw = sum dy x s`.
    pub(crate) fn rms_norm_backward(
        dy: &[f32],
        x: &[f32],
        weight: &[f32],
        epsilon: f32,
        dx: &mut [f32],
        dweight: &mut [f32],
    ) {
        let width = weight.len();
        let dweight = &mut dweight[..width];
        let rows = dy.chunks_exact(width).zip(x.chunks_exact(width));
        for ((dy, x), dx) in rows.zip(dx.chunks_exact_mut(width)) {
            let scale = 1.0 / (dot(x, x) / width as f32 + epsilon).sqrt();
            let mean = dot3(dy, weight, x) / width as f32;
            let along = scale * scale * scale * mean;
            for i in 0..width {
                dx[i] = (dy[i] * weight[i]).mul_add(scale, -x[i] * along);
                dweight[i] = (dy[i] * scale).mul_add(x[i], dweight[i]);
            }
        }
    }
}

/// `sum a_i b_i c_i`.
#[inline(always)]
fn dot3(a: &[f32], b: &[f32], c: &[f32]) -> f32 {
    let (b, c) = (&b[..a.len()], &c[..a.len()]);
    let mut lanes = [0.0; LANES];
    let whole = a.len() / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        let (a, b, c) = (&a[start..][..LANES], &b[start..][..LANES], &c[start..][..LANES]);
        for i in 0..LANES {
            lanes[i] = (a[i] * b[i]).mul_add(c[i], lanes[i]);
        }
    }
    for i in whole..a.len() {
        lanes[i - whole] = (a[i] * b[i]).mul_add(c[i], lanes[i - whole]);
    }
    total(lanes)
}
