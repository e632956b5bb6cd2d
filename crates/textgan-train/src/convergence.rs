//! When a phase has stopped getting better.

use serde::{Deserialize, Serialize};

/// What a phase has reached so far. Higher scores are better.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Convergence {
    /// The best score and the phase's step that had it.
    pub best: Option<(f64, u64)>,
    /// Evaluations since then.
    pub stale: u32,
}

impl Convergence {
    /// Takes note of an evaluation; true if it is the best so far, by more than
    /// `min_improvement`.
    pub fn observe(&mut self, step: u64, score: f64, min_improvement: f64) -> bool {
        let improved = self.best.is_none_or(|(best, _)| score > best + min_improvement);
        if improved {
            self.best = Some((score, step));
            self.stale = 0;
        } else {
            self.stale += 1;
        }
        improved
    }

    /// Whether `patience` evaluations have brought nothing; a patience of 0 is endless.
    pub fn is_over(&self, patience: u32) -> bool {
        patience > 0 && self.stale >= patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_counts_evaluations_without_improvement() {
        let mut convergence = Convergence::default();
        let improved: Vec<bool> = [1.0, 1.05, 1.2, 1.2, 1.3, 1.0]
            .iter()
            .zip(1..)
            .map(|(&score, step)| convergence.observe(step, score, 0.1))
            .collect();
        // 1.3 is no improvement on 1.2 by more than 0.1.
        assert_eq!(improved, [true, false, true, false, false, false]);
        assert_eq!(convergence, Convergence { best: Some((1.2, 3)), stale: 3 });
        assert!(convergence.is_over(3) && !convergence.is_over(4) && !convergence.is_over(0));
    }
}
