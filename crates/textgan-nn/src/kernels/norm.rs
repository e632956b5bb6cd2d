//! Norms over rows. RMSNorm: `y = x s w` with `s = 1 / sqrt(mean(x^2) + epsilon)`.

use super::dispatch::simd;
use super::math::{LANES, dot, sum, total};

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

    /// Adds `added` to `x` and normalises rows of `weight.len()` numbers of the sum (layer norm; Ba
    /// et al., 2016): `(x - mean) / sqrt(variance + epsilon) * weight + bias`.
    ///
    /// # Panics
    /// If `x` and `added`, or `weight` and `bias`, differ in length.
    pub fn add_layer_norm(
        x: &mut [f32],
        added: &[f32],
        weight: &[f32],
        bias: &[f32],
        epsilon: f32,
    ) {
        let width = weight.len();
        assert!(x.len() == added.len() && width == bias.len());
        for (x, added) in x.chunks_exact_mut(width).zip(added.chunks_exact(width)) {
            for (x, added) in x.iter_mut().zip(added) {
                *x += added;
            }
            let mean = sum(x) / width as f32;
            for x in x.iter_mut() {
                *x -= mean;
            }
            let scale = 1.0 / (dot(x, x) / width as f32 + epsilon).sqrt();
            for ((x, w), b) in x.iter_mut().zip(weight).zip(bias) {
                *x = (*x * scale).mul_add(*w, *b);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_norm_is_that_of_its_formula() {
        const WIDTH: usize = 37;
        let numbers = |seed: usize, count: usize| -> Vec<f32> {
            (0..count).map(|i| ((i * 31 + seed * 57) % 101) as f32 / 25.0 - 1.5).collect()
        };
        let (weight, bias) = (numbers(1, WIDTH), numbers(2, WIDTH));
        let (mut x, added) = (numbers(3, 3 * WIDTH), numbers(4, 3 * WIDTH));
        let sums: Vec<f64> = x.iter().zip(&added).map(|(x, added)| f64::from(x + added)).collect();
        add_layer_norm(&mut x, &added, &weight, &bias, 0.25);
        for (row, sums) in x.chunks(WIDTH).zip(sums.chunks(WIDTH)) {
            let mean = sums.iter().sum::<f64>() / WIDTH as f64;
            let variance = sums.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / WIDTH as f64;
            for (i, &found) in row.iter().enumerate() {
                let normal = (sums[i] - mean) / (variance + 0.25).sqrt();
                let expected = normal * f64::from(weight[i]) + f64::from(bias[i]);
                assert!((f64::from(found) - expected).abs() < 2e-6, "{found} {expected}");
            }
        }
    }
}
