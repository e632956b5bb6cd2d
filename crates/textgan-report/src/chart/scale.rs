//! From numbers to places.

use crate::html;

/// A linear scale.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub low: f64,
    pub high: f64,
    pub from: f64,
    pub to: f64,
}

impl Scale {
    pub fn at(&self, value: f64) -> f64 {
        let width = self.high - self.low;
        let share = if width > 0.0 { (value - self.low) / width } else { 0.5 };
        self.from + share * (self.to - self.from)
    }

    /// Round numbers inside the scale, about `count` of them, with their texts.
    pub fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        let step = nice((self.high - self.low) / count.max(1) as f64);
        if step <= 0.0 {
            return vec![(self.low, html::value(self.low))];
        }
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let mut tick = (self.low / step - 1e-9).ceil();
        let mut ticks = Vec::new();
        while tick * step <= self.high + step * 1e-6 {
            let value = tick * step;
            ticks.push((value, tick_text(value, decimals)));
            tick += 1.0;
        }
        ticks
    }
}

fn tick_text(value: f64, decimals: usize) -> String {
    let size = value.abs();
    let text = match size {
        _ if size == 0.0 => return "0".to_owned(),
        _ if decimals > 4 => format!("{size:.0e}"),
        _ if decimals == 0 => html::count(size.round() as u64),
        _ => format!("{size:.decimals$}"),
    };
    if value < 0.0 { format!("\u{2212}{text}") } else { text }
}

/// The smallest of 1, 2, 5 times a power of ten that is at least `step`.
fn nice(step: f64) -> f64 {
    if !(step > 0.0 && step.is_finite()) {
        return 0.0;
    }
    let power = 10f64.powf(step.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|d| d * power >= step * (1.0 - 1e-9));
    digit.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let texts = |low, high, count| -> Vec<String> {
            let scale = Scale { low, high, from: 0.0, to: 100.0 };
            scale.ticks(count).into_iter().map(|(_, text)| text).collect()
        };
        assert_eq!(texts(0.0, 1.0, 5), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(-3.2, 4.1, 4), ["\u{2212}2", "0", "2", "4"]);
        assert_eq!(texts(0.0, 5_300.0, 4), ["0", "2,000", "4,000"]);
        assert_eq!(texts(2.0, 2.0, 4), ["2.000"]);
    }
}
