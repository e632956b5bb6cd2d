//! What a reader of a config file is told when a key or value is wrong.

use super::layer::Printed;
use std::ops::Range;

/// Turns an error of the TOML deserializer into one that names the file, the line, the key, and the
/// nearest name that would have been right.
pub fn explain(printed: &Printed, error: &toml::de::Error) -> String {
    let message = error.message().trim();
    let whole = 0..printed.text.len();
    let span = error.span().unwrap_or(whole.clone());
    let part = printed.at(span.start);
    // Tagged tables are read through a buffer, which widens the span to the whole table: the key
    // that the message names is then somewhere inside.
    let range = part.map_or(whole, |part| part.range.clone());
    if let Some((field, known)) = parse(message, "unknown field `") {
        return unknown_key(printed, &field, &known, &range);
    }
    let prefix = part.map_or(String::new(), |part| format!("{}: `{}`: ", part.place, part.path));
    if let Some((variant, known)) = parse(message, "unknown variant `") {
        let mut text = format!("{prefix}`{variant}` is not known here");
        text += &suggestion(&variant, &known);
        return text;
    }
    format!("{prefix}{message}")
}

fn unknown_key(printed: &Printed, field: &str, known: &[String], range: &Range<usize>) -> String {
    let mut text = match printed.named(field, range) {
        Some(part) => format!("{}: unknown key `{}`", part.place, part.path),
        None => format!("unknown key `{field}`"),
    };
    text += &suggestion(field, known);
    text
}

/// Reads "unknown field `x`, expected one of `a`, `b`": the name, and those that are known.
fn parse(message: &str, start: &str) -> Option<(String, Vec<String>)> {
    let rest = message.split_once(start)?.1;
    let (name, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).map(str::to_string).collect();
    Some((name.to_string(), known))
}

/// "; did you mean `a`? (known: `a`, `b`)"
fn suggestion(name: &str, known: &[String]) -> String {
    let mut text = String::new();
    if let Some(near) = nearest(name, known) {
        text += &format!("; did you mean `{near}`?");
    }
    if known.is_empty() {
        text += "; no keys belong here";
    } else {
        text += &format!("; known are {}", known.join(", "));
    }
    text
}

/// The known name that `name` was probably meant to be.
pub fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::layer::Entry;
    use super::*;
    use serde::Deserialize;

    // These are only read into.
    #[allow(dead_code)]
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        batch_size: usize,
        inner: Inner,
        phase: Vec<Phase>,
    }

    #[allow(dead_code)]
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        width: usize,
        colour: Colour,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Colour {
        #[default]
        DarkRed,
        Green,
    }

    #[allow(dead_code)]
    #[derive(Debug, Deserialize)]
    #[serde(tag = "kind", rename_all = "kebab-case")]
    enum Phase {
        Long(Inner),
        Short(Inner),
    }

    fn complaint(text: &str) -> String {
        let printed = Entry::parse("c.toml", text).unwrap().print();
        explain(&printed, &toml::from_str::<Config>(&printed.text).unwrap_err())
    }

    #[test]
    fn complaints_name_line_key_and_fix() {
        for (text, expect) in [
            (
                "batch_sise = 3",
                &["c.toml:1: unknown key `batch_sise`; did you mean `batch_size`?"][..],
            ),
            (
                "\n[inner]\nwidht = 3",
                &["c.toml:3: unknown key `inner.widht`; did you mean `width`?"],
            ),
            (
                "[inner]\n\nzebra = 3",
                &["c.toml:3: unknown key `inner.zebra`; known are width, colour"],
            ),
            ("[inner]\nwidth = 'x'", &["c.toml:2: `inner.width`: ", "expected usize"]),
            ("[inner]\nwidth = -1", &["c.toml:2: `inner.width`: ", "-1"]),
            (
                "[inner]\ncolour = 'dark-rod'",
                &["c.toml:2: `inner.colour`: `dark-rod`", "`dark-red`"],
            ),
            (
                "[[phase]]\nkind = 'long'\n[[phase]]\nkind = 'short'\nwith = 1",
                &["c.toml:5: unknown key `phase.1.with`; did you mean `width`?"],
            ),
            ("[[phase]]\nkind = 'shrt'", &["c.toml:2: `phase.0.kind`", "did you mean `short`"]),
            ("[[phase]]\nwidth = 1", &["c.toml:1", "missing field `kind`"]),
        ] {
            let complaint = complaint(text);
            for expect in expect {
                assert!(complaint.contains(expect), "{text:?}: {complaint}");
            }
        }
    }
}
