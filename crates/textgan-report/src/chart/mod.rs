//! Charts as inline SVG: colours come from the page's style sheet, so they follow light and dark.

mod bars;
mod interval;
mod lines;
mod scale;
mod scatter;

pub(crate) use bars::bars;
pub(crate) use interval::interval;
pub(crate) use lines::{Chart, Mark, Phase, Point, Series};
pub(crate) use scatter::{Dot, scatter};

/// Width of a chart's coordinate system; the page scales it.
const WIDTH: f64 = 640.0;
/// Height of a chart's coordinate system.
const HEIGHT: f64 = 270.0;
/// Room for the tick texts on the left.
const LEFT: f64 = 52.0;
/// Room on the right.
const RIGHT: f64 = 14.0;
/// Room for the axis below.
const BOTTOM: f64 = 34.0;

/// Opens an SVG of the usual size with its accessible name and description.
fn open(title: &str, description: &str) -> String {
    use crate::html::Text;
    format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\"><desc>{}</desc>",
        Text(title),
        Text(description)
    )
}

/// Horizontal grid lines and the texts of the vertical axis.
fn grid(svg: &mut String, y: scale::Scale) {
    for (value, text) in y.ticks(5) {
        let at = y.at(value);
        svg.push_str(&format!(
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
            WIDTH - RIGHT,
            LEFT - 7.0,
            at + 4.0
        ));
    }
}
