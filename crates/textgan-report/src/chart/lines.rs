//! Curves over training steps, with the phases side by side.

use super::scale::Scale;
use super::{BOTTOM, HEIGHT, LEFT, RIGHT, WIDTH, axis_titles, grid, open};
use crate::html::{Text, value};
use std::fmt::Write;

/// The least share of the width a phase gets, however short it was beside the others.
const LEAST_SHARE: f64 = 0.25;
/// Points of a curve in one phase; more are averaged.
const MOST_POINTS: usize = 240;
/// Curves with so few points show them.
const FEW_POINTS: usize = 40;
const TOP: f64 = 26.0;

pub(crate) struct Chart<'a> {
    pub title: &'a str,
    /// What the vertical axis shows.
    pub unit: &'a str,
    pub series: Vec<Series>,
    /// All phases of the training; those without a point are left out.
    pub phases: &'a [Phase],
    pub marks: &'a [Mark],
    /// Fixed ends of the vertical axis, instead of those of the data.
    pub range: Option<(f64, f64)>,
    /// A value worth a line of its own.
    pub level: Option<(f64, &'a str)>,
}

/// A curve.
pub(crate) struct Series {
    pub name: String,
    pub points: Vec<Point>,
}

#[derive(Clone, Copy)]
pub(crate) struct Point {
    pub phase: usize,
    pub step: f64,
    pub value: f64,
}

/// A phase and the steps it spans.
pub(crate) struct Phase {
    pub kind: String,
    pub from: f64,
    pub to: f64,
}

/// Something that happened at a step.
pub(crate) struct Mark {
    pub phase: usize,
    pub step: f64,
    pub text: String,
}

impl Chart<'_> {
    /// The chart as a figure, or `None` when no curve has a point.
    pub fn figure(&self) -> Option<String> {
        let curves: Vec<&Series> = self.series.iter().filter(|s| !s.points.is_empty()).collect();
        let values = || curves.iter().flat_map(|s| &s.points).map(|p| p.value);
        let (low, high) =
            values().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            return None;
        }
        let (low, high) = self.range.unwrap_or_else(|| padded(low, high));
        let y = Scale { low, high, from: HEIGHT - BOTTOM, to: TOP };
        let strips = self.strips(&curves);
        let description = format!(
            "{} over training steps: {}",
            self.unit,
            curves.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ")
        );
        let mut svg = open(self.title, &description);
        grid(&mut svg, y);
        axis_titles(&mut svg, "step", self.unit);
        self.frame(&mut svg, &strips);
        if let Some((level, text)) = self.level.filter(|(level, _)| (low..=high).contains(level)) {
            let at = y.at(level);
            // Writing into a String cannot fail.
            let _ = write!(
                svg,
                "<line class=\"level\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"note\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                WIDTH - RIGHT,
                LEFT + 6.0,
                at + 14.0,
                Text(text)
            );
        }
        for (number, curve) in curves.iter().enumerate() {
            for (phase, x) in &strips {
                draw(&mut svg, number, curve, *phase, *x, y);
            }
        }
        svg.push_str("<g class=\"hover\"></g></svg>");
        Some(self.wrap(&curves, &svg))
    }

    /// The phases that have points, each with its own stretch of the horizontal axis.
    fn strips(&self, curves: &[&Series]) -> Vec<(usize, Scale)> {
        let used: Vec<usize> = (0..self.phases.len())
            .filter(|&i| curves.iter().any(|s| s.points.iter().any(|p| p.phase == i)))
            .collect();
        let steps = |i: usize| (self.phases[i].to - self.phases[i].from).max(1.0);
        let total: f64 = used.iter().map(|&i| steps(i)).sum();
        let least = LEAST_SHARE.min(1.0 / used.len().max(1) as f64);
        let shares: Vec<f64> = used.iter().map(|&i| (steps(i) / total).max(least)).collect();
        let sum: f64 = shares.iter().sum();
        let gap = 10.0;
        let room = WIDTH - LEFT - RIGHT - gap * (used.len().max(1) - 1) as f64;
        let mut from = LEFT;
        used.into_iter()
            .zip(shares)
            .map(|(i, share)| {
                let to = from + room * share / sum;
                let Phase { from: low, to: high, .. } = self.phases[i];
                let scale = Scale { low, high, from, to };
                from = to + gap;
                (i, scale)
            })
            .collect()
    }

    /// Phase names, their shading, the horizontal axis and the marks.
    fn frame(&self, svg: &mut String, strips: &[(usize, Scale)]) {
        let bottom = HEIGHT - BOTTOM;
        let mut free = f64::NEG_INFINITY;
        for (place, (phase, x)) in strips.iter().enumerate() {
            let width = x.to - x.from;
            let _ = write!(
                svg,
                "<rect class=\"strip s{}\" x=\"{:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{:.1}\"/>",
                place % 2,
                x.from,
                bottom - TOP
            );
            let kind = &self.phases[*phase].kind;
            // About 7.1 units a letter at this size; a name that does not fit is cut.
            let fits = ((width / 7.1) as usize).max(4);
            let shown: String = if kind.chars().count() <= fits {
                kind.clone()
            } else {
                kind.chars().take(fits - 1).chain(['\u{2026}']).collect()
            };
            let _ = write!(
                svg,
                "<text class=\"phase\" x=\"{:.1}\" y=\"{:.1}\"><title>{}</title>{}</text>",
                x.from,
                TOP - 9.0,
                Text(kind),
                Text(&shown)
            );
            for (step, text) in x.ticks((width / 90.0) as usize + 1) {
                let at = x.at(step);
                // As large as on a phone, where the texts of a chart are drawn larger.
                let half = 5.8 * text.len() as f64;
                if at - half < free {
                    continue; // it would run into the text of the phase before
                }
                free = at + half + 4.0;
                let _ = write!(
                    svg,
                    "<line class=\"axis\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{bottom}\" y2=\"{:.1}\"/><text class=\"tick middle\" x=\"{at:.1}\" y=\"{:.1}\">{text}</text>",
                    bottom + 4.0,
                    bottom + 17.0
                );
            }
            for mark in self.marks.iter().filter(|mark| mark.phase == *phase) {
                let at = x.at(mark.step);
                let _ = write!(
                    svg,
                    "<line class=\"mark\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"><title>{}</title></line>",
                    Text(&mark.text)
                );
            }
        }
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{bottom}\" y2=\"{bottom}\"/>",
            WIDTH - RIGHT
        );
    }

    fn wrap(&self, curves: &[&Series], svg: &str) -> String {
        let mut out = format!(
            "<figure class=\"plot\"><figcaption><b>{}</b> <span class=\"unit\">{}</span><ul class=\"legend\">",
            Text(self.title),
            Text(self.unit)
        );
        for (number, curve) in curves.iter().enumerate() {
            let last = curve.points.last().map_or(String::new(), |p| value(p.value));
            let _ = write!(
                out,
                "<li class=\"c{number}\"><span class=\"key\"></span>{} <span class=\"last\" data-series=\"{number}\">{last}</span></li>",
                Text(&curve.name)
            );
        }
        let _ = write!(out, "</ul></figcaption>{svg}</figure>");
        out
    }
}

/// One curve in one phase.
fn draw(svg: &mut String, number: usize, curve: &Series, phase: usize, x: Scale, y: Scale) {
    let points: Vec<Point> = curve.points.iter().filter(|p| p.phase == phase).copied().collect();
    let few = points.len() <= FEW_POINTS;
    let points = thin(&points);
    let places: Vec<String> = points
        .iter()
        .map(|p| format!("{:.1},{:.1}", x.at(p.step), y.at(p.value.clamp(y.low, y.high))))
        .collect();
    if places.is_empty() {
        return;
    }
    let values: Vec<String> =
        points.iter().map(|p| format!("{}:{}", p.step.round(), value(p.value))).collect();
    let _ = write!(
        svg,
        "<polyline class=\"line c{number}\" points=\"{}\" data-series=\"{number}\" data-values=\"{}\"/>",
        places.join(" "),
        values.join(" ")
    );
    if few {
        for (place, point) in places.iter().zip(&points) {
            let (at_x, at_y) = place.split_once(',').unwrap_or_default();
            let _ = write!(
                svg,
                "<circle class=\"dot c{number}\" cx=\"{at_x}\" cy=\"{at_y}\" r=\"2.6\"><title>{}, step {}: {}</title></circle>",
                Text(&curve.name),
                point.step.round(),
                value(point.value)
            );
        }
    }
}

/// At most [`MOST_POINTS`]: runs of equal length, averaged.
fn thin(points: &[Point]) -> Vec<Point> {
    let run = points.len().div_ceil(MOST_POINTS).max(1);
    points
        .chunks(run)
        .map(|run| {
            let mean = |f: fn(&Point) -> f64| run.iter().map(f).sum::<f64>() / run.len() as f64;
            Point { phase: run[0].phase, step: mean(|p| p.step), value: mean(|p| p.value) }
        })
        .collect()
}

fn padded(low: f64, high: f64) -> (f64, f64) {
    let pad = if high > low { 0.06 * (high - low) } else { 0.1 * high.abs().max(0.1) };
    // An axis that would start just above zero starts at zero.
    let bottom = if low >= 0.0 && low - pad < 0.25 * high { 0.0 } else { low - pad };
    (bottom, high + pad)
}
