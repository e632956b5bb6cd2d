//! What the progress bar says. Clocks stop here: nothing of this reaches a file.

use std::time::{Duration, Instant};

use crate::metric::{Metric, Unit};

/// How much of the newest value a shown value takes.
const STEP: f64 = 0.1;

/// Rates and smoothed values of the phase at hand.
pub(crate) struct Meter {
    start: Instant,
    steps: u64,
    tokens: u64,
    /// Name, unit and smoothed value of what stands beside the bar, in the order of its appearance.
    shown: Vec<(&'static str, Unit, f64)>,
}

impl Meter {
    /// Starts the clock.
    pub fn start() -> Self {
        Self { start: Instant::now(), steps: 0, tokens: 0, shown: Vec::new() }
    }

    /// Counts tokens of real text that were read.
    pub fn read(&mut self, tokens: usize) {
        self.tokens += tokens as u64;
    }

    /// Takes note of a number, if it is one to be shown.
    pub fn show(&mut self, metric: &Metric) {
        let Some(name) = metric.live else { return };
        match self.shown.iter_mut().find(|(shown, _, _)| *shown == name) {
            Some((_, _, value)) => *value += STEP * (metric.value - *value),
            None => self.shown.push((name, metric.kind.unit, metric.value)),
        }
    }

    /// The text beside the bar after one more step, with `left` still to come.
    pub fn line(&mut self, left: u64) -> String {
        self.steps += 1;
        let elapsed = self.start.elapsed().as_secs_f64().max(1e-9);
        let show = |&(name, unit, value): &(&str, Unit, f64)| match unit {
            Unit::Share => format!("{name} {:.0} %", 100.0 * value),
            _ => format!("{name} {value:.3}"),
        };
        let mut parts: Vec<String> = self.shown.iter().map(show).collect();
        parts.push(format!("{:.1} k tokens/s", self.tokens as f64 / elapsed / 1000.0));
        parts.push(format!(
            "{} left",
            words(Duration::from_secs_f64(elapsed / self.steps as f64 * left as f64))
        ));
        parts.join(", ")
    }
}

/// A duration for a reader: `45 s`, `12 min`, `3 h 20 min`.
pub(crate) fn words(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round() as u64;
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) if minutes < 10 => format!("{minutes} min {seconds} s"),
        (0, minutes, _) => format!("{minutes} min"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        for (seconds, expected) in [
            (0.4, "0 s"),
            (59.6, "1 min 0 s"),
            (61.0, "1 min 1 s"),
            (1500.0, "25 min"),
            (12_000.0, "3 h 20 min"),
        ] {
            assert_eq!(words(Duration::from_secs_f64(seconds)), expected);
        }
    }
}
