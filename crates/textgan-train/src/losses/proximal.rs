//! Proximal policy optimisation: how far a generator may move on samples that it wrote before.

/// The weight of each action's `-grad ln p` in the clipped surrogate of Schulman et al. (2017, equation
/// 7), `min(r A, clip(r, 1 - clip, 1 + clip) A)` with `r = exp(new - old)`: `r A`, or 0 where moving on
/// would gain no more. Also the share of the actions that are so clipped.
///
/// `advantages`, and the log-probabilities `old` and `new`, are `[text][action]`.
pub(crate) fn surrogate(
    advantages: &[Vec<f32>],
    old: &[Vec<f32>],
    new: &[Vec<f32>],
    clip: f32,
) -> (Vec<Vec<f32>>, f64) {
    let (mut actions, mut clipped) = (0usize, 0usize);
    let mut weight = |advantage: f32, old: f32, new: f32| {
        let ratio = (new - old).exp();
        let gone = if advantage > 0.0 { ratio > 1.0 + clip } else { ratio < 1.0 - clip };
        actions += 1;
        clipped += usize::from(gone);
        if gone { 0.0 } else { ratio * advantage }
    };
    let weights = advantages.iter().zip(old).zip(new).map(|((advantages, old), new)| {
        let actions = advantages.iter().zip(old).zip(new);
        actions.map(|((&advantage, &old), &new)| weight(advantage, old, new)).collect()
    });
    let weights = weights.collect();
    (weights, clipped as f64 / actions.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The weight is the derivative of the surrogate by the new log-probability.
    #[test]
    fn weights_are_the_derivative_of_the_clipped_surrogate() {
        let clip = 0.2;
        let objective = |advantage: f64, old: f64, new: f64| {
            let ratio = (new - old).exp();
            (ratio * advantage).min(ratio.clamp(1.0 - clip, 1.0 + clip) * advantage)
        };
        let mut seen = 0.0;
        for advantage in [-1.5, 0.7] {
            for (old, new) in [(-2.0, -2.0), (-2.0, -1.9), (-2.0, -1.5), (-1.0, -1.4), (-1.0, -1.1)]
            {
                let step = 1e-5;
                let expected = (objective(advantage, old, new + step)
                    - objective(advantage, old, new - step))
                    / (2.0 * step);
                let (weights, clipped) = surrogate(
                    &[vec![advantage as f32]],
                    &[vec![old as f32]],
                    &[vec![new as f32]],
                    clip as f32,
                );
                assert!(
                    (f64::from(weights[0][0]) - expected).abs() < 1e-4,
                    "{advantage} {old} {new}"
                );
                assert_eq!(clipped, f64::from(u8::from(expected == 0.0)));
                seen += clipped;
            }
        }
        assert_eq!(seen, 2.0, "one of each sign is clipped");
    }
}
