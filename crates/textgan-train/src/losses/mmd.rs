//! The maximum mean discrepancy of two sets of features (Gretton et al., 2012).

use candle_core::{D, Tensor};

use crate::Result;

/// Widths of the Gaussian kernels, as multiples of the mean squared distance: their sum is the kernel.
const WIDTHS: [f64; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];

/// `mean k(a, a') + mean k(b, b') - 2 mean k(a, b)` over all pairs, `a: [n, width]`, `b: [m, width]`: not
/// negative, and zero for equal sets. `k(x, y) = sum_w exp(-|x - y|^2 / (w s)) / 5` with `s` the mean
/// squared distance between the two sets, without a gradient of its own.
pub(crate) fn squared_mmd(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let across = squared_distances(a, b)?;
    let scale = f64::from(across.mean_all()?.to_scalar::<f32>()?).max(1e-12);
    let kernel = |distances: &Tensor| -> Result<Tensor> {
        let mut sum = (distances * (-1.0 / (WIDTHS[0] * scale)))?.exp()?;
        for width in &WIDTHS[1..] {
            sum = (sum + (distances * (-1.0 / (width * scale)))?.exp()?)?;
        }
        Ok((sum.mean_all()? * (1.0 / WIDTHS.len() as f64))?)
    };
    let within = (kernel(&squared_distances(a, a)?)? + kernel(&squared_distances(b, b)?)?)?;
    Ok((within - (kernel(&across)? * 2.0)?)?)
}

/// `|a_i - b_j|^2`, `[n, m]`.
fn squared_distances(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let squares = |x: &Tensor| x.sqr()?.sum_keepdim(D::Minus1);
    let both = squares(a)?.broadcast_add(&squares(b)?.t()?)?;
    // Rounding may leave a distance to oneself below zero.
    Ok((both - (a.matmul(&b.t()?)? * 2.0)?)?.relu()?)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn it_is_the_formula_and_its_gradient() -> Result<()> {
        let (a, b) = ([[0.0f32, 1.0], [2.0, -1.0], [0.5, 0.5]], [[1.0f32, 1.0], [0.0, 0.0]]);
        let distance = |x: &[f32; 2], y: &[f32; 2]| {
            f64::from(x[0] - y[0]).powi(2) + f64::from(x[1] - y[1]).powi(2)
        };
        let mean = |a: &[[f32; 2]], b: &[[f32; 2]], of: &dyn Fn(f64) -> f64| {
            let pairs = a.iter().flat_map(|x| b.iter().map(move |y| of(distance(x, y))));
            pairs.sum::<f64>() / (a.len() * b.len()) as f64
        };
        let value = |a: &[[f32; 2]], scale: f64| {
            let kernel = |distance: f64| {
                WIDTHS.iter().map(|width| (-distance / (width * scale)).exp()).sum::<f64>() / 5.0
            };
            mean(a, a, &kernel) + mean(&b, &b, &kernel) - 2.0 * mean(a, &b, &kernel)
        };
        let scale = mean(&a, &b, &|distance| distance);
        let variable = Var::from_tensor(&Tensor::new(&a, &Device::Cpu)?)?;
        let found = squared_mmd(variable.as_tensor(), &Tensor::new(&b, &Device::Cpu)?)?;
        let expected = value(&a, scale);
        assert!((f64::from(found.to_scalar::<f32>()?) - expected).abs() < 1e-6, "{expected}");
        let gradients = found.backward()?;
        let Some(gradient) = gradients.get(&variable) else { panic!("a gradient") };
        let gradient = gradient.to_vec2::<f32>()?;
        for i in 0..3 {
            for j in 0..2 {
                let moved = |by: f32| {
                    let mut a = a;
                    a[i][j] += by;
                    value(&a, scale)
                };
                let expected = (moved(1e-3) - moved(-1e-3)) / 2e-3;
                assert!((f64::from(gradient[i][j]) - expected).abs() < 1e-4, "{i} {j}: {expected}");
            }
        }
        let same = squared_mmd(variable.as_tensor(), variable.as_tensor())?;
        assert!(same.to_scalar::<f32>()?.abs() < 1e-6);
        Ok(())
    }
}
