//! Quality against diversity, one dot a temperature.

use super::scale::Scale;
use super::{BOTTOM, HEIGHT, LEFT, RIGHT, WIDTH, grid, open};
use crate::html::Text;
use std::fmt::Write;

const TOP: f64 = 16.0;

pub(crate) struct Dot {
    pub x: f64,
    pub y: f64,
    pub text: String,
    pub chosen: bool,
}

/// Named groups of dots, each joined by a line in the order given.
pub(crate) fn scatter(title: &str, unit: &str, groups: &[(&str, Vec<Dot>)]) -> Option<String> {
    let dots = || groups.iter().flat_map(|(_, dots)| dots);
    let range = |f: fn(&Dot) -> f64| {
        let (low, high) = dots()
            .map(f)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let pad = (0.08 * (high - low)).max(0.01);
        (low - pad, high + pad)
    };
    dots().next()?;
    let ((low_x, high_x), (low_y, high_y)) = (range(|d| d.x), range(|d| d.y));
    let x = Scale { low: low_x, high: high_x, from: LEFT, to: WIDTH - RIGHT };
    let y = Scale { low: low_y, high: high_y, from: HEIGHT - BOTTOM, to: TOP };
    let mut svg = open(title, unit);
    grid(&mut svg, y);
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
    for (number, (name, dots)) in groups.iter().enumerate().filter(|(_, (_, d))| !d.is_empty()) {
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
            let _ = write!(
                svg,
                "<circle class=\"{class} c{number}\" cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"{}\"/><text class=\"note middle\" x=\"{at_x:.1}\" y=\"{:.1}\">{}</text>",
                if dot.chosen { 5.5 } else { 3.2 },
                at_y - 9.0,
                Text(&dot.text)
            );
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
