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
const HEIGHT: f64 = 286.0;
/// Room for the tick texts on the left.
const LEFT: f64 = 68.0;
/// Room on the right.
const RIGHT: f64 = 14.0;
/// Room for the axis below.
const BOTTOM: f64 = 48.0;

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

/// What the axes show: below the horizontal one, beside the vertical one.
fn axis_titles(svg: &mut String, right: &str, up: &str) {
    use crate::html::Text;
    let (middle_x, middle_y) = ((LEFT + WIDTH - RIGHT) / 2.0, (HEIGHT - BOTTOM) / 2.0);
    svg.push_str(&format!(
        "<text class=\"axis-title middle\" x=\"{middle_x:.1}\" y=\"{:.1}\">{}</text><text class=\"axis-title middle\" x=\"0\" y=\"0\" transform=\"translate(13 {middle_y:.1}) rotate(-90)\">{}</text>",
        HEIGHT - 8.0,
        Text(right),
        Text(up)
    ));
}
