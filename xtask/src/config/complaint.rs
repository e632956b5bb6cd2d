//! What a reader of a config file is told when a key or value is wrong.

use super::layer::{Entry, Part, Printed};
use crate::exit::Refusal;
use serde::de::DeserializeOwned;
use std::ops::Range;

/// Reads a tree as what it should be.
///
/// # Errors
/// What is wrong: the file, the line, the key, and the nearest name that would have been right.
pub fn read<T: DeserializeOwned>(tree: &Entry) -> Result<T, Refusal> {
    let printed = tree.print();
    toml::from_str(&printed.text).map_err(|error| {
        let blamed = blame::<T>(tree, &printed, &error);
        Refusal::new(match blamed {
            Some(part) => format!("{}: `{}`: {}", part.place, part.path, error.message().trim()),
            None => explain(&printed, &error),
        })
    })
}

/// The part that a message is about that names no key: tagged tables are read through a buffer, so its place is only
/// known to be somewhere in a list of them.
fn blame<'p, T: DeserializeOwned>(
    tree: &Entry,
    printed: &'p Printed,
    error: &toml::de::Error,
) -> Option<&'p Part> {
    let message = error.message();
    if message.contains("unknown field") || message.contains("unknown variant") {
        return None;
    }
    if let Some((field, _)) = parse(message, "missing field `") {
        // The first item that has it not, where the message is about a list of tables.
        let list = printed.at(error.span()?.start)?;
        let item = |number: usize| {
            let path = format!("{}.{number}", list.path);
            printed.parts.iter().find(|part| part.path == path && part.is_container)
        };
        let has = |path: &str| printed.parts.iter().any(|part| part.path == path);
        let lacks = |part: &&Part| !has(&format!("{}.{field}", part.path));
        return (0..).map_while(item).find(lacks);
    }
    // A tree that is large is a list of numbers; it would take long.
    const MOST: usize = 2_000;
    if printed.parts.len() > MOST {
        return None;
    }
    // That without which there is nothing wrong, or else something other.
    let without = |part: &Part| {
        let rest = tree.without(&part.path)?;
        match toml::from_str::<T>(&rest.print().text) {
            Ok(_) => Some(None),
            Err(error) => Some(Some(error.message().to_owned())),
        }
    };
    let scalars = || printed.parts.iter().filter(|part| !part.is_container);
    let other = |left: &str| left != message && !left.contains("missing field");
    scalars().find(|part| without(part) == Some(None)).or_else(|| {
        scalars().find(|part| matches!(without(part), Some(Some(left)) if other(&left)))
    })
}

/// Turns an error of the TOML deserializer into one that names the file, the line, the key, and the
/// nearest name that would have been right.
fn explain(printed: &Printed, error: &toml::de::Error) -> String {
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
    use super::*;
    use serde::Deserialize;

    // These are only read into.
    #[allow(dead_code)]
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        batch_size: usize,
        list: Vec<u8>,
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
        read::<Config>(&Entry::parse("c.toml", text).unwrap()).unwrap_err().to_string()
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
            (
                "list = [1, 2]\n[[phase]]\nkind = 'long'\n[[phase]]\nwidth = 1",
                &["c.toml:4: `phase.1`: missing field `kind`"],
            ),
            (
                "[[phase]]\nkind = 'long'\n[[phase]]\nkind = 'short'\ncolour = 'green'\nwidth = 'many'",
                &["c.toml:6: `phase.1.width`: invalid type: string \"many\", expected usize"],
            ),
            (
                "[[phase]]\nkind = 'long'\nwidth = -3\n[[phase]]\nkind = 'short'\nwidth = 'many'",
                &["c.toml:3: `phase.0.width`: ", "-3"],
            ),
        ] {
            let complaint = complaint(text);
            for expect in expect {
                assert!(complaint.contains(expect), "{text:?}: {complaint}");
            }
        }
    }
}
