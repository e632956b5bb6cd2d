//! What moves over a phase: the learning rate and the temperature of the relaxation.

use crate::config::{Decay, ScheduleConfig, Temperature};

impl ScheduleConfig {
    /// Whether the rate of a step depends on how many there will be.
    pub fn follows_length(&self) -> bool {
        self.decay != Decay::Constant || self.warmup_share > 0.0
    }

    /// The fraction of the full learning rate at `step` (from 0) of a phase of `steps`.
    pub fn fraction(&self, step: u64, steps: u64) -> f64 {
        let warmup = self.warmup_steps.max((self.warmup_share * steps as f64) as u64);
        if step < warmup {
            return (step + 1) as f64 / (warmup + 1) as f64;
        }
        let way = position(step - warmup, steps.saturating_sub(warmup));
        let left = match self.decay {
            Decay::Constant => return 1.0,
            Decay::Linear => 1.0 - way,
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * way).cos()),
        };
        self.final_fraction + (1.0 - self.final_fraction) * left
    }
}

impl Temperature {
    /// The temperature at `step` (from 0) of a phase of `steps`.
    pub fn at(&self, step: u64, steps: u64) -> f32 {
        self.start * (self.end / self.start).powf(position(step, steps) as f32)
    }
}

/// 0 at the first of `steps`, 1 at the last.
fn position(step: u64, steps: u64) -> f64 {
    match steps {
        0 | 1 => 0.0,
        _ => (step as f64 / (steps - 1) as f64).min(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warm_up_may_be_a_share() {
        let schedule = ScheduleConfig { warmup_share: 0.1, ..ScheduleConfig::default() };
        let rates: Vec<f64> = (0..4).map(|step| schedule.fraction(step, 30)).collect();
        assert_eq!(rates, [0.25, 0.5, 0.75, 1.0]);
        // A phase of nothing but warm-up would learn at no full rate: a share never reaches its end.
        assert_eq!(schedule.fraction(0, 5), 1.0);
        let both = ScheduleConfig { warmup_steps: 1, ..schedule };
        assert_eq!(both.fraction(0, 5), 0.5);
    }

    #[test]
    fn rates_rise_and_fall() {
        let schedule = |decay| ScheduleConfig {
            warmup_steps: 4,
            warmup_share: 0.0,
            decay,
            final_fraction: 0.1,
        };
        let linear = schedule(Decay::Linear);
        let fractions: Vec<f64> = (0..4).map(|step| linear.fraction(step, 24)).collect();
        assert_eq!(fractions, [0.2, 0.4, 0.6, 0.8]);
        for (decay, step, expected) in [
            (Decay::Constant, 4, 1.0),
            (Decay::Constant, 23, 1.0),
            (Decay::Linear, 4, 1.0),
            (Decay::Linear, 23, 0.1),
            (Decay::Cosine, 4, 1.0),
            (Decay::Cosine, 23, 0.1),
            // An extended run may go past the end that was planned.
            (Decay::Cosine, 99, 0.1),
        ] {
            let got = schedule(decay).fraction(step, 24);
            assert!((got - expected).abs() < 1e-12, "{decay:?} at {step}: {got}");
        }
    }

    #[test]
    fn temperatures_fall_geometrically() {
        let temperature = Temperature { start: 1.0, end: 0.01 };
        for (step, expected) in [(0, 1.0), (50, 0.1), (100, 0.01)] {
            assert!((temperature.at(step, 101) / expected - 1.0).abs() < 1e-5);
        }
        assert_eq!(temperature.at(0, 1), 1.0);
    }
}
