//! Curves over temperatures: quality against diversity, beside every rival.

use super::Section;
use crate::chart::{Dot, scatter};
use crate::html::{Text, title};
use crate::record::{Evaluation, Pair, Point, PublishedCurve, Sweep};

/// What a chart of a sweep shows.
struct Curve {
    title: &'static str,
    /// Upward; a measure.
    up: &'static str,
    /// To the right; a measure, or the temperature itself.
    right: Right,
    /// What a reader should know.
    note: &'static str,
}

#[derive(Clone, Copy)]
enum Right {
    Measure(&'static str),
    Temperature,
}

const CURVES: [Curve; 4] = [
    Curve {
        title: "Quality against diversity",
        up: "bleu-4",
        right: Right::Measure("self-bleu-4"),
        note: "more is better up, less is better to the right",
    },
    Curve {
        title: "Fluency against coverage",
        up: "reverse-lm-score",
        right: Right::Measure("lm-score"),
        note: "nats per token of two language models, less is better in both",
    },
    Curve {
        title: "Quality against diversity, exactly",
        up: "nll-test",
        right: Right::Measure("nll-oracle"),
        note: "less is better in both",
    },
    Curve {
        title: "Distance from real text",
        up: "frechet",
        right: Right::Temperature,
        note: "less is better",
    },
];

pub(crate) fn section(evaluation: Option<&Evaluation>) -> Section {
    let body = evaluation
        .and_then(|evaluation| Some(curves(evaluation, evaluation.model.sweep.as_ref()?)))
        .ok_or("No curves: `evaluate.sweep` asks for several temperatures.");
    Section { id: "curves", title: "Quality against diversity", body }
}

/// The measures of a sweep against each other, for the model, its baseline, controls and what was published.
fn curves(evaluation: &Evaluation, sweep: &Sweep) -> String {
    let baseline = evaluation.baseline.as_ref().and_then(|scores| scores.sweep.as_ref());
    let controls = evaluation.controls.iter().map(|control| (&*control.name, Some(&control.sweep)));
    let sides: Vec<(&str, Option<&Sweep>)> =
        [("Trained model", Some(sweep)), ("Maximum likelihood", baseline)]
            .into_iter()
            .chain(controls)
            .collect();
    let mut plots = decided(evaluation, &sides);
    let (mut notes, mut protocols) = (String::new(), String::new());
    for curve in &CURVES {
        let mut groups: Vec<(&str, Vec<Dot>)> = sides
            .iter()
            .take(2)
            .filter_map(|&(name, sweep)| Some((name, dots(sweep?, curve))))
            .collect();
        let published: Vec<&PublishedCurve> =
            sweep.published.iter().filter(|theirs| curve.has(theirs)).collect();
        let names: Vec<String> =
            published.iter().map(|theirs| format!("Published: {}", theirs.name)).collect();
        for (name, theirs) in names.iter().zip(&published) {
            groups.push((name, theirs.points.iter().map(|point| curve.published(point)).collect()));
            notes +=
                &format!("<li>Published {}: {}.</li>", Text(&theirs.name), Text(&theirs.source));
        }
        let right = match curve.right {
            Right::Measure(right) => title(right),
            Right::Temperature => "temperature".to_owned(),
        };
        let axes = [&*right, &title(curve.up)];
        let Some(plot) = scatter(curve.title, curve.note, axes, &groups) else { continue };
        plots += &plot;
        for measure in curve.measures().filter_map(|name| sweep.get(name)) {
            protocols += &format!("<li>{}</li>", Text(&measure.protocol));
        }
    }
    if !notes.is_empty() {
        notes = format!("<ul>{notes}</ul>");
    }
    if !protocols.is_empty() {
        notes += &format!(
            "<details><summary>How these curves were measured</summary><ul class=\"small muted\">{protocols}</ul></details>"
        );
    }
    format!(
        "<p>Each curve is one generator over temperatures, or over another way to trade quality for diversity. A \
        generator is better where its curve lies outside all others.</p><div class=\"plots\">{plots}</div>{notes}"
    )
}

/// The curves that the verdict compares: means of batches, with intervals of 95 %.
fn decided(evaluation: &Evaluation, sides: &[(&str, Option<&Sweep>)]) -> String {
    let findings = evaluation.judgement.iter().flat_map(|judgement| &judgement.findings);
    let chart = |pair: &Pair| {
        let names: Vec<String> = sides.iter().map(|(name, _)| title(name)).collect();
        let groups = sides.iter().zip(&names).filter_map(|((_, sweep), name)| {
            Some((&**name, batched((*sweep)?, &pair.diversity, &pair.quality)?))
        });
        let groups: Vec<(&str, Vec<Dot>)> = groups.collect();
        let (right, up) = (title(&pair.diversity), title(&pair.quality));
        let heading = format!("{up} against {}", right.to_lowercase());
        let note =
            "what the verdict compares: means of disjoint batches of samples, with 95 % intervals";
        scatter(&heading, note, [&*right, &up], &groups).unwrap_or_default()
    };
    findings.map(|finding| chart(&finding.pair)).collect()
}

/// A dot for each value of a sweep's knob: the means over batches of two measures.
pub(crate) fn batched(sweep: &Sweep, right: &str, up: &str) -> Option<Vec<Dot>> {
    let (right, up) = (&sweep.get(right)?.batches, &sweep.get(up)?.batches);
    let dots = right.iter().zip(up).zip(&sweep.temperatures).map(|((right, up), knob)| {
        let ((x, reach_x), (y, reach_y)) = (estimate(right)?, estimate(up)?);
        Some(Dot { text: knob.to_string(), reach: Some([reach_x, reach_y]), ..Dot::at(x, y) })
    });
    dots.collect()
}

/// The mean and half of its 95 % interval, by Student's t.
fn estimate(values: &[f64]) -> Option<(f64, f64)> {
    let count = values.len() as f64;
    if values.len() < 2 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    Some((mean, quantile(count - 1.0) * (variance / count).sqrt()))
}

/// The 97.5 % quantile of Student's t at one degree of freedom or more, to 1 % (Abramowitz and Stegun, 26.7.5).
fn quantile(freedom: f64) -> f64 {
    // Few degrees of freedom are beyond the expansion.
    if let Some(exact) = [12.706, 4.303, 3.182].get(freedom as usize - 1) {
        return *exact;
    }
    let z = 1.959_964f64;
    let (first, second) =
        ((z.powi(3) + z) / 4.0, (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0);
    let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
    z + first / freedom + second / freedom.powi(2) + third / freedom.powi(3)
}

impl Curve {
    fn measures(&self) -> impl Iterator<Item = &'static str> {
        let right = match self.right {
            Right::Measure(name) => Some(name),
            Right::Temperature => None,
        };
        std::iter::once(self.up).chain(right)
    }

    fn has(&self, theirs: &PublishedCurve) -> bool {
        let pair = [&*theirs.quality, &*theirs.diversity];
        matches!(self.right, Right::Measure(right) if pair == [right, self.up])
    }

    fn published(&self, point: &Point) -> Dot {
        dot(point.quality, point.diversity, point.temperature)
    }
}

fn dots(sweep: &Sweep, curve: &Curve) -> Vec<Dot> {
    let values = |name| sweep.get(name).map_or(&[][..], |measure| &measure.values);
    let up = values(curve.up).iter();
    let temperatures = sweep.temperatures.iter().copied();
    let right: Vec<Option<f64>> = match curve.right {
        Right::Measure(name) => values(name).to_vec(),
        Right::Temperature => temperatures.clone().map(Some).collect(),
    };
    let places = right.into_iter().zip(up).zip(temperatures);
    places.filter_map(|((x, &y), temperature)| Some(dot(x?, y?, temperature))).collect()
}

fn dot(x: f64, y: f64, temperature: f64) -> Dot {
    Dot { text: temperature.to_string(), ..Dot::at(x, y) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_students() {
        for (freedom, expected) in
            [(1.0, 12.706), (3.0, 3.182), (4.0, 2.776), (9.0, 2.262), (30.0, 2.042)]
        {
            assert!(
                (quantile(freedom) / expected - 1.0).abs() < 0.01,
                "{freedom}: {}",
                quantile(freedom)
            );
        }
        let (mean, reach) = estimate(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert_eq!(mean, 3.0);
        assert!((reach - 2.776 * 0.5f64.sqrt()).abs() < 0.02, "{reach}");
        assert!(estimate(&[1.0]).is_none());
    }
}
