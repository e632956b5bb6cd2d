//! A change and its interval beside zero, small enough for a table cell.

const WIDTH: f64 = 132.0;
const MIDDLE: f64 = WIDTH / 2.0;

/// `verdict` is a class of the style sheet: `better`, `worse` or `open`.
pub(crate) fn interval(change: f64, low: f64, high: f64, verdict: &str) -> String {
    let reach = low.abs().max(high.abs()).max(f64::MIN_POSITIVE);
    let at = |value: f64| MIDDLE + value / reach * (MIDDLE - 6.0);
    format!(
        "<svg class=\"interval {verdict}\" viewBox=\"0 0 {WIDTH} 18\" aria-hidden=\"true\"><line class=\"zero\" x1=\"{MIDDLE}\" x2=\"{MIDDLE}\" y1=\"1\" y2=\"17\"/><line class=\"span\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"9\" y2=\"9\"/><circle cx=\"{:.1}\" cy=\"9\" r=\"3.6\"/></svg>",
        at(low),
        at(high),
        at(change)
    )
}
