//! What the progress bar says. Clocks stop here: nothing of this reaches a file.

use std::time::{Duration, Instant};

use crate::game::{Loss, Turn};

/// Facts worth a place beside a bar, with their short names.
const SHOWN: [(&str, &str); 7] = [
    ("nll", "loss"),
    ("kl", "kl"),
    ("generator_loss", "G"),
    ("return", "return"),
    ("discriminator_loss", "D"),
    ("accuracy_real", "right on real"),
    ("accuracy_fake", "right on generated"),
];

/// How much of the newest value a shown value takes.
const STEP: f64 = 0.1;

/// Rates and smoothed losses of the phase at hand.
pub(crate) struct Meter {
    start: Instant,
    steps: u64,
    tokens: u64,
    smoothed: [Option<f64>; SHOWN.len()],
}

impl Meter {
    /// Starts the clock.
    pub fn start() -> Self {
        Self { start: Instant::now(), steps: 0, tokens: 0, smoothed: Default::default() }
    }

    /// Takes note of an update.
    pub fn note(&mut self, turn: &Turn, loss: &Loss) {
        self.tokens += turn.real.tokens() as u64;
        for ((name, _), smoothed) in SHOWN.iter().zip(&mut self.smoothed) {
            if let Some((_, value)) = loss.facts.iter().find(|(fact, _)| fact == name) {
                *smoothed =
                    Some(smoothed.map_or(*value, |before| before + STEP * (value - before)));
            }
        }
    }

    /// The text beside the bar after one more step, with `left` still to come.
    pub fn line(&mut self, left: u64) -> String {
        self.steps += 1;
        let elapsed = self.start.elapsed().as_secs_f64().max(1e-9);
        let mut parts: Vec<String> = Vec::new();
        for ((name, short), value) in SHOWN.iter().zip(self.smoothed) {
            match value {
                Some(value) if name.starts_with("accuracy") => {
                    parts.push(format!("{short} {:.0} %", 100.0 * value))
                }
                Some(value) => parts.push(format!("{short} {value:.3}")),
                None => {}
            }
        }
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
