//! Quality against diversity, one dot a temperature.

use super::scale::Scale;
use super::{BOTTOM, HEIGHT, LEFT, RIGHT, WIDTH, axis_titles, grid, open};
use crate::html::{Text, value};
use std::fmt::Write;

const TOP: f64 = 16.0;

pub(crate) struct Dot {
    pub x: f64,
    pub y: f64,
    pub text: String,
    pub chosen: bool,
    /// Half of the interval to the right and upward.
    pub reach: Option<[f64; 2]>,
}

impl Dot {
    /// A dot without text.
    pub fn at(x: f64, y: f64) -> Self {
        Self { x, y, text: String::new(), chosen: false, reach: None }
    }

    /// Where it ends on an axis, its interval included.
    fn ends(&self, axis: usize) -> [f64; 2] {
        let (at, reach) = ([self.x, self.y][axis], self.reach.map_or(0.0, |reach| reach[axis]));
        [at - reach, at + reach]
    }
}

/// Groups whose dots have their texts written beside them; those of others are told on pointing.
const WRITTEN: usize = 2;
/// Colours of the style sheet.
const COLOURS: usize = 9;

/// Named groups of dots, each joined by a line in the order given; `axes` are what lies to the right, and up.
pub(crate) fn scatter(
    title: &str,
    unit: &str,
    axes: [&str; 2],
    groups: &[(&str, Vec<Dot>)],
) -> Option<String> {
    let dots = || groups.iter().flat_map(|(_, dots)| dots);
    let range = |f: fn(&Dot) -> [f64; 2]| {
        let (low, high) = dots()
            .flat_map(f)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let pad = (0.08 * (high - low)).max(0.01);
        (low - pad, high + pad)
    };
    dots().next()?;
    let ((low_x, high_x), (low_y, high_y)) = (range(|d| d.ends(0)), range(|d| d.ends(1)));
    let x = Scale { low: low_x, high: high_x, from: LEFT, to: WIDTH - RIGHT };
    let y = Scale { low: low_y, high: high_y, from: HEIGHT - BOTTOM, to: TOP };
    let mut svg = open(title, &format!("{} over {}; {unit}", axes[1], axes[0]));
    grid(&mut svg, y);
    axis_titles(&mut svg, axes[0], axes[1]);
    let bottom = HEIGHT - BOTTOM;
    for (value, text) in x.ticks(6) {
        // Writing into a String cannot fail.
        let _ = write!(
            svg,
            "<text class=\"tick middle\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
            x.at(value),
            bottom + 17.0
        );
    }
    let mut legend = String::new();
    let mut written: Vec<[f64; 3]> = Vec::new();
    for (place, (name, dots)) in groups.iter().enumerate().filter(|(_, (_, d))| !d.is_empty()) {
        // More than there are colours begin again.
        let number = place % COLOURS;
        let places: Vec<String> =
            dots.iter().map(|d| format!("{:.1},{:.1}", x.at(d.x), y.at(d.y))).collect();
        let _ = write!(
            svg,
            "<polyline class=\"line thin c{number}\" points=\"{}\"/>",
            places.join(" ")
        );
        for dot in dots {
            let (at_x, at_y) = (x.at(dot.x), y.at(dot.y));
            let class = if dot.chosen { "dot chosen" } else { "dot" };
            if let Some([right, up]) = dot.reach {
                let _ = write!(
                    svg,
                    "<path class=\"reach c{number}\" d=\"M{:.1} {at_y:.1}H{:.1}M{at_x:.1} {:.1}V{:.1}\"/>",
                    x.at(dot.x - right),
                    x.at(dot.x + right),
                    y.at(dot.y - up),
                    y.at(dot.y + up)
                );
            }
            let _ = write!(
                svg,
                "<circle class=\"{class} c{number}\" cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"{}\"><title>{} {}: {}, {}</title></circle>",
                if dot.chosen { 5.5 } else { 3.2 },
                Text(name),
                Text(&dot.text),
                value(dot.x),
                value(dot.y)
            );
            // A text that would run into another one is told on pointing only.
            let (line, half) = (at_y - 9.0, 3.8 * dot.text.chars().count() as f64);
            let apart = |&[there, its_line, its_half]: &[f64; 3]| {
                (there - at_x).abs() > half + its_half + 3.0 || (its_line - line).abs() > 12.0
            };
            let fits = dot.chosen || written.iter().all(apart);
            if place < WRITTEN && !dot.text.is_empty() && fits {
                written.push([at_x, line, half]);
                let _ = write!(
                    svg,
                    "<text class=\"note middle\" x=\"{at_x:.1}\" y=\"{line:.1}\">{}</text>",
                    Text(&dot.text)
                );
            }
        }
        let _ = write!(
            legend,
            "<li class=\"c{number}\"><span class=\"key\"></span>{}</li>",
            Text(name)
        );
    }
    let _ = write!(
        svg,
        "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{bottom}\" y2=\"{bottom}\"/></svg>",
        WIDTH - RIGHT
    );
    Some(format!(
        "<figure class=\"plot\"><figcaption><b>{}</b> <span class=\"unit\">{}</span><ul class=\"legend\">{legend}</ul></figcaption>{svg}</figure>",
        Text(title),
        Text(unit)
    ))
}
