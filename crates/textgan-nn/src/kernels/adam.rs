//! Adam's update and the sum of squares that clipping needs.

use super::dispatch::simd;
use super::math::dot;

/// The numbers of one update; see [`crate::Optimizer`].
#[derive(Clone, Copy)]
pub(crate) struct Update {
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    pub(crate) epsilon: f32,
    /// The gradient is multiplied by this: one, or less where it is clipped.
    pub(crate) gradient_scale: f32,
    /// `learning_rate / (1 - beta1^t)`.
    pub(crate) step_size: f32,
    /// `1 / (1 - beta2^t)`.
    pub(crate) second_scale: f32,
    /// `1 - learning_rate * weight_decay`.
    pub(crate) kept: f32,
}

simd! {
    /// One step of Adam on a piece of a parameter.
    pub(crate) fn adam(
        update: &Update,
        gradient: &[f32],
        weight: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        let n = gradient.len();
        let (weight, first, second) = (&mut weight[..n], &mut first[..n], &mut second[..n]);
        let (fresh1, fresh2) = (1.0 - update.beta1, 1.0 - update.beta2);
        for i in 0..n {
            let g = gradient[i] * update.gradient_scale;
            let m = first[i].mul_add(update.beta1, g * fresh1);
            let v = second[i].mul_add(update.beta2, g * g * fresh2);
            let root = (v * update.second_scale).sqrt() + update.epsilon;
            first[i] = m;
            second[i] = v;
            weight[i] = weight[i].mul_add(update.kept, -update.step_size * m / root);
        }
    }

    /// `sum x_i^2`.
    pub(crate) fn sum_of_squares(x: &[f32]) -> f32 {
        dot(x, x)
    }
}
