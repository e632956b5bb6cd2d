//! Counts by a whole number, such as sentence lengths.

use super::scale::Scale;
use super::{BOTTOM, HEIGHT, LEFT, RIGHT, WIDTH, axis_titles, grid, open};
use crate::html::{Text, count};
use std::fmt::Write;

const TOP: f64 = 10.0;
/// More bars than this are put together.
const MOST_BARS: usize = 64;

/// A bar chart of `counts[n]` over `n`, or `None` when all are zero; `axes` are what lies to the right, and up.
pub(crate) fn bars(title: &str, unit: &str, axes: [&str; 2], counts: &[u64]) -> Option<String> {
    let first = counts.iter().position(|&c| c > 0)?;
    let last = counts.iter().rposition(|&c| c > 0)?;
    let run = (last - first + 1).div_ceil(MOST_BARS);
    let groups: Vec<u64> = counts[first..=last].chunks(run).map(|c| c.iter().sum()).collect();
    let most = groups.iter().copied().max().unwrap_or(1) as f64;
    let y = Scale { low: 0.0, high: most * 1.04, from: HEIGHT - BOTTOM, to: TOP };
    let end = first + groups.len() * run;
    let x =
        Scale { low: first as f64 - 0.5, high: end as f64 - 0.5, from: LEFT, to: WIDTH - RIGHT };
    let mut svg = open(title, &format!("{unit}, from {first} to {last}"));
    grid(&mut svg, y);
    axis_titles(&mut svg, axes[0], axes[1]);
    let bottom = HEIGHT - BOTTOM;
    for (i, &height) in groups.iter().enumerate() {
        let low = first + i * run;
        let (from, to) = (x.at(low as f64 - 0.5) + 1.0, x.at((low + run) as f64 - 0.5) - 1.0);
        let top = y.at(height as f64);
        let range = if run == 1 { low.to_string() } else { format!("{low} to {}", low + run - 1) };
        // Writing into a String cannot fail.
        let _ = write!(
            svg,
            "<rect class=\"bar\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{range}: {}</title></rect>",
            (to - from).max(0.5),
            bottom - top,
            count(height)
        );
    }
    for (value, text) in x.ticks(10).into_iter().filter(|(v, _)| v.fract() == 0.0) {
        let _ = write!(
            svg,
            "<text class=\"tick middle\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
            x.at(value),
            bottom + 17.0
        );
    }
    let _ = write!(
        svg,
        "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{bottom}\" y2=\"{bottom}\"/></svg>",
        WIDTH - RIGHT
    );
    Some(format!(
        "<figure class=\"plot\"><figcaption><b>{}</b> <span class=\"unit\">{}</span></figcaption>{svg}</figure>",
        Text(title),
        Text(unit)
    ))
}
