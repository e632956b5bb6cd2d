//! Cutting a text where a regular expression says, many times faster than the general way.

use regex::Regex;

/// What matches is a unit, and so is what lies between two matches.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    /// `None` for an expression with look-around or back-references, which only the general way knows.
    pub(crate) fn new(expression: &str) -> Option<Self> {
        Regex::new(expression).ok().map(Self)
    }

    /// Calls `add` with each unit of `text`, in order.
    pub(crate) fn cut<'a>(&self, text: &'a str, mut add: impl FnMut(&'a str)) {
        let mut end = 0;
        for found in self.0.find_iter(text) {
            for unit in [&text[end..found.start()], found.as_str()] {
                if !unit.is_empty() {
                    add(unit);
                }
            }
            end = found.end();
        }
        if end < text.len() {
            add(&text[end..]);
        }
    }
}
