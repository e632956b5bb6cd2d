//! The parts of the page, each from its own artifacts to HTML.

pub(crate) mod config;
pub(crate) mod curves;
pub(crate) mod data;
mod meaning;
pub use meaning::{MEASURES, meaning};
pub(crate) mod memorisation;
pub(crate) mod run;
pub(crate) mod samples;
pub(crate) mod scores;
pub(crate) mod texts;
pub(crate) mod training;

/// A part of the page.
pub(crate) struct Section {
    /// The anchor.
    pub id: &'static str,
    pub title: &'static str,
    /// HTML, or what is absent and which stage writes it.
    pub body: Result<String, &'static str>,
}

/// A table; cells are HTML. Columns from `numbers` on are aligned as numbers.
pub(crate) fn table(head: &[&str], numbers: usize, rows: &[Vec<String>]) -> String {
    let class = |i: usize| if i >= numbers { " class=\"n\"" } else { "" };
    let mut out = String::from(
        "<div class=\"scroll\" role=\"group\" aria-label=\"Table\" tabindex=\"0\"><table><thead><tr>",
    );
    for (i, cell) in head.iter().enumerate() {
        out += &format!("<th scope=\"col\"{}>{cell}</th>", class(i));
    }
    out += "</tr></thead><tbody>";
    for row in rows {
        out += "<tr>";
        for (i, cell) in row.iter().enumerate() {
            out += &if i == 0 {
                format!("<th scope=\"row\">{cell}</th>")
            } else {
                // Text may be of any language; numbers are not.
                let direction = if i >= numbers { "" } else { " dir=\"auto\"" };
                format!("<td{}{direction}>{cell}</td>", class(i))
            };
        }
        out += "</tr>";
    }
    out + "</tbody></table></div>"
}
