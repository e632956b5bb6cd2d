//! `--set train.batch_size=32`: one value, laid over the config.

use anyhow::Result;
use toml::de::DeValue;

use super::layer::{Entry, Node, Place};
use crate::exit::Refusal;

/// Applies one assignment: a dotted path (numbers for places in a list, from 0), `=`, and a TOML
/// value. What is not valid TOML is taken as a string, so `generator.kind=lstm` needs no quotes; nothing
/// takes the key away.
///
/// # Errors
/// No `=`, an empty name, or a place in a list that is not there.
pub fn set(config: &mut Entry, assignment: &str) -> Result<()> {
    let fail = |problem: String| Refusal::new(format!("--set {assignment}: {problem}"));
    let Some((path, value)) = assignment.split_once('=') else {
        return Err(fail("give it as key=value, such as train.batch_size=32".into()).into());
    };
    if value.trim().is_empty() {
        return Ok(unset(config, path).map_err(fail)?);
    }
    let place = Place { source: format!("--set {}", path.trim()).into(), line: None };
    Ok(lay(config, path, parse(value.trim(), &place)).map_err(fail)?)
}

/// Takes away what the files say at a dotted path, so that the default holds.
fn unset(config: &mut Entry, path: &str) -> Result<(), String> {
    let names: Vec<&str> = path.split('.').map(str::trim).collect();
    let (last, above) = names.split_last().ok_or("a name is missing before the `=`")?;
    let above = if above.is_empty() { Some(config) } else { at(config, above) };
    match above.map(|entry| &mut entry.node) {
        Some(Node::Table(entries)) => {
            entries.remove(*last);
            Ok(())
        }
        Some(Node::Array(items)) => match last.parse::<usize>() {
            Ok(place) if place < items.len() => {
                items.remove(place);
                Ok(())
            }
            _ => Err(format!("there is no place `{last}` to take away")),
        },
        _ => Ok(()),
    }
}

/// Lays `value` over what `config` has at a dotted path. A list at a place of a list stands there in its stead: so one phase
/// becomes several.
///
/// # Errors
/// An empty name, or a place in a list that is not there: what is wrong, without where.
pub fn lay(config: &mut Entry, path: &str, value: Entry) -> Result<(), String> {
    let names: Vec<&str> = path.split('.').map(str::trim).collect();
    if names == ["extends"] {
        return Err("`extends` is for files: name the config with --config".into());
    }
    if names.iter().any(|name| name.is_empty()) {
        return Err("a name is missing before the `=`".into());
    }

    // A table of the same shape, laid over: so that `kind` has its usual effect.
    let place = value.place.clone();
    let mut upper = value;
    for (depth, name) in names.iter().enumerate().rev() {
        let below = at(config, &names[..depth]);
        if let Some(Entry { node: Node::Array(items), .. }) = below {
            let Some(index) = name.parse().ok().filter(|index: &usize| *index < items.len()) else {
                let list = names[..depth].join(".");
                let known = match items.len() {
                    0 => "is empty".to_string(),
                    count => format!("has places 0 to {}", count - 1),
                };
                return Err(format!("there is no place `{name}` in `{list}`, which {known}"));
            };
            match upper.node {
                Node::Array(several) if !matches!(items[index].node, Node::Array(_)) => {
                    items.splice(index..=index, several);
                }
                node => items[index].overlay(Entry { node, ..upper }),
            }
            return Ok(());
        }
        upper =
            Entry { place: place.clone(), node: Node::Table([(name.to_string(), upper)].into()) };
    }
    config.overlay(upper);
    Ok(())
}

/// The entry at a path, if there is one.
fn at<'a>(config: &'a mut Entry, names: &[&str]) -> Option<&'a mut Entry> {
    names.iter().try_fold(config, |entry, name| match &mut entry.node {
        Node::Table(entries) => entries.get_mut(*name),
        Node::Array(items) => items.get_mut(name.parse::<usize>().ok()?),
        Node::Scalar(_) => None,
    })
}

fn parse(value: &str, place: &Place) -> Entry {
    let quoted = || Entry::scalar(place.clone(), toml::Value::from(value).to_string());
    match DeValue::parse(value) {
        Ok(_) => match Entry::parse(&place.source, &format!("value = {value}")) {
            Ok(Entry { node: Node::Table(mut entries), .. }) => match entries.remove("value") {
                Some(entry) => without_lines(entry, place),
                None => quoted(),
            },
            _ => quoted(),
        },
        Err(_) => quoted(),
    }
}

fn without_lines(entry: Entry, place: &Place) -> Entry {
    let node = match entry.node {
        Node::Scalar(source) => Node::Scalar(source),
        Node::Array(items) => {
            Node::Array(items.into_iter().map(|item| without_lines(item, place)).collect())
        }
        Node::Table(entries) => Node::Table(
            entries.into_iter().map(|(key, entry)| (key, without_lines(entry, place))).collect(),
        ),
    };
    Entry { place: place.clone(), node }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "seed = 1\n[generator]\nkind = 'a'\nwidth = 3\n[[phase]]\nsteps = 1\n[[phase]]\nsteps = 2\n";

    fn with(assignment: &str) -> Result<toml::Table> {
        let mut config = Entry::parse("c.toml", CONFIG)?;
        set(&mut config, assignment)?;
        Ok(toml::from_str(&config.print().text)?)
    }

    #[test]
    fn values_land_where_they_should() {
        for (assignment, path, expect) in [
            ("seed=7", "/seed", "7"),
            ("generator.width = 9", "/generator/width", "9"),
            ("generator.kind=b", "/generator", r#"{"kind":"b"}"#),
            ("phase.1.steps=5", "/phase/1/steps", "5"),
            ("new.table.key=[1, 'x']", "/new/table/key", r#"[1,"x"]"#),
            ("name=two words", "/name", r#""two words""#),
            ("path=../x.txt", "/path", r#""../x.txt""#),
            ("flag=true", "/flag", "true"),
            ("equal=a=b", "/equal", r#""a=b""#),
            (
                "phase.0=[{steps=3}, {steps=4}]",
                "/phase",
                r#"[{"steps":3},{"steps":4},{"steps":2}]"#,
            ),
            ("phase.0=[]", "/phase", r#"[{"steps":2}]"#),
        ] {
            let json = serde_json::to_value(with(assignment).unwrap()).unwrap();
            let found = json.pointer(path).map(ToString::to_string);
            assert_eq!(found.as_deref(), Some(expect), "{assignment}: {json}");
        }
    }

    #[test]
    fn bad_assignments_are_refused() {
        for (assignment, expect) in [
            ("seed", "key=value"),
            ("=3", "a name is missing"),
            ("a..b=3", "a name is missing"),
            ("phase.2.steps=3", "`phase`, which has places 0 to 1"),
            ("phase.last.steps=3", "no place `last`"),
        ] {
            let error = with(assignment).unwrap_err().to_string();
            assert!(error.contains(expect) && error.contains(assignment), "{assignment}: {error}");
        }
    }
}
