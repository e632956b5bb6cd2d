//! Config files as trees that remember where each value was written, so that several can be laid
//! over each other and a complaint still names the file and line.

use anyhow::Result;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::exit::Refusal;

/// Where a value was written.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file, or the option of the command line.
    pub source: Rc<str>,
    /// The line, from 1, when it is a file.
    pub line: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.source),
            None => f.write_str(&self.source),
        }
    }
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub struct Entry {
    pub place: Place,
    pub node: Node,
}

/// A value: a scalar kept as TOML source, or a container.
#[derive(Clone, Debug)]
pub enum Node {
    Scalar(String),
    Array(Vec<Entry>),
    Table(BTreeMap<String, Entry>),
}

/// The key that says which variant a table is. Tables of different kinds share no keys, so one
/// replaces the other instead of being merged with it.
pub(super) const KIND: &str = "kind";

impl Entry {
    /// Reads a TOML file's text.
    ///
    /// # Errors
    /// A syntax error, with the line.
    pub fn parse(source: &str, text: &str) -> Result<Self> {
        let table = DeTable::parse(text).map_err(|error| {
            let line = error.span().map(|span| line_of(text, span.start));
            let place = Place { source: source.into(), line };
            Refusal::new(format!("{place}: {}", error.message()))
        })?;
        let source = Rc::from(source);
        Ok(Self::table(table.get_ref(), text, &source, 1))
    }

    /// A scalar, as if written in a file.
    pub fn scalar(place: Place, toml: String) -> Self {
        Self { place, node: Node::Scalar(toml) }
    }

    fn table(table: &DeTable<'_>, text: &str, source: &Rc<str>, line: usize) -> Self {
        let entries = table
            .iter()
            .map(|(key, value)| {
                let line = line_of(text, key.span().start);
                (key.get_ref().to_string(), Self::value(value, text, source, line))
            })
            .collect();
        let place = Place { source: source.clone(), line: Some(line) };
        Self { place, node: Node::Table(entries) }
    }

    fn value(value: &Spanned<DeValue<'_>>, text: &str, source: &Rc<str>, line: usize) -> Self {
        let place = Place { source: source.clone(), line: Some(line) };
        let node = match value.get_ref() {
            DeValue::Table(table) => return Self::table(table, text, source, line),
            DeValue::Array(items) => Node::Array(
                items
                    .iter()
                    .map(|item| Self::value(item, text, source, line_of(text, item.span().start)))
                    .collect(),
            ),
            _ => Node::Scalar(text[value.span()].to_string()),
        };
        Self { place, node }
    }

    /// Lays `upper` over this one: tables are merged key by key, unless their `kind` differs;
    /// everything else, lists included, is replaced.
    pub fn overlay(&mut self, upper: Entry) {
        let (Node::Table(ours), Node::Table(theirs)) = (&mut self.node, &upper.node) else {
            *self = upper;
            return;
        };
        if let (Some(old), Some(new)) = (ours.get(KIND), theirs.get(KIND))
            && old.text() != new.text()
        {
            *self = upper;
            return;
        }
        let Node::Table(theirs) = upper.node else { return };
        for (key, value) in theirs {
            match ours.get_mut(&key) {
                Some(old) => old.overlay(value),
                None => {
                    ours.insert(key, value);
                }
            }
        }
    }

    /// The tree without the key of this path, if a table has it.
    pub fn without(&self, path: &str) -> Option<Entry> {
        let mut tree = self.clone();
        let mut at = &mut tree;
        let (above, key) = path.rsplit_once('.').unwrap_or(("", path));
        for key in above.split('.').filter(|key| !key.is_empty()) {
            at = match &mut at.node {
                Node::Table(entries) => entries.get_mut(key)?,
                Node::Array(items) => items.get_mut(key.parse::<usize>().ok()?)?,
                Node::Scalar(_) => return None,
            };
        }
        let Node::Table(entries) = &mut at.node else { return None };
        entries.remove(key)?;
        Some(tree)
    }

    /// The string that this is, if it is one.
    pub fn text(&self) -> Option<String> {
        let Node::Scalar(source) = &self.node else { return None };
        DeValue::parse(source).ok()?.get_ref().as_str().map(str::to_string)
    }

    /// The tree as TOML on one line, and what each part of it is.
    pub fn print(&self) -> Printed {
        let mut printed = Printed { text: String::new(), parts: Vec::new() };
        if let Node::Table(entries) = &self.node {
            for (key, entry) in entries {
                printed.key(key, entry, "");
                printed.text.push('\n');
            }
        }
        printed
    }
}

/// A tree as TOML, with the origin of every part.
#[derive(Debug)]
pub struct Printed {
    pub text: String,
    pub parts: Vec<Part>,
}

/// A piece of printed TOML.
#[derive(Debug)]
pub struct Part {
    /// Where it stands in the printed text: the key, ` = ` and the value.
    pub range: Range<usize>,
    /// Whether it is a list or a table.
    pub is_container: bool,
    /// Its key, with those above it: `train.batch_size`.
    pub path: String,
    /// The last part of its path.
    pub key: String,
    /// Where it was written.
    pub place: Place,
}

impl Printed {
    fn key(&mut self, key: &str, entry: &Entry, above: &str) {
        let start = self.text.len();
        self.text += &toml::Value::from(key).to_string();
        self.text += " = ";
        let path = if above.is_empty() { key.to_string() } else { format!("{above}.{key}") };
        self.entry(key, path, start, entry);
    }

    fn entry(&mut self, key: &str, path: String, start: usize, entry: &Entry) {
        match &entry.node {
            Node::Scalar(source) => self.text += source,
            Node::Array(items) => {
                self.text += "[";
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}.{index}");
                    let start = self.text.len();
                    self.entry(&index.to_string(), path, start, item);
                    self.text += ", ";
                }
                self.text += "]";
            }
            Node::Table(entries) => {
                self.text += "{";
                for (index, (key, entry)) in entries.iter().enumerate() {
                    if index > 0 {
                        self.text += ", ";
                    }
                    self.key(key, entry, &path);
                }
                self.text += "}";
            }
        }
        let range = start..self.text.len();
        let is_container = !matches!(entry.node, Node::Scalar(_));
        let (key, place) = (key.to_string(), entry.place.clone());
        self.parts.push(Part { range, is_container, path, key, place });
    }

    /// The innermost part that contains `offset`.
    pub fn at(&self, offset: usize) -> Option<&Part> {
        let around = self.parts.iter().filter(|part| part.range.contains(&offset));
        around.min_by_key(|part| part.range.len())
    }

    /// The first part named `key` within `range`.
    pub fn named(&self, key: &str, range: &Range<usize>) -> Option<&Part> {
        self.parts
            .iter()
            .filter(|part| part.key == key)
            .filter(|part| range.start <= part.range.start && part.range.end <= range.end)
            .min_by_key(|part| part.range.start)
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(lower: &str, upper: &str) -> toml::Table {
        let mut entry = Entry::parse("lower", lower).unwrap();
        entry.overlay(Entry::parse("upper", upper).unwrap());
        toml::from_str(&entry.print().text).unwrap()
    }

    #[test]
    fn upper_values_win_key_by_key() {
        let merged = merged(
            "seed = 1\n[train]\nbatch_size = 4\nlog_every = 2\n",
            "[train]\nbatch_size = 8\n[noise]\ndimension = 3\n",
        );
        let expect = toml::toml! {
            seed = 1
            [noise]
            dimension = 3
            [train]
            batch_size = 8
            log_every = 2
        };
        assert_eq!(merged, expect);
    }

    #[test]
    fn lists_and_other_kinds_are_replaced_whole() {
        let lower = "list = [1, 2]\n[g]\nkind = 'a'\nwidth = 1\n[h]\nkind = 'a'\nwidth = 1\n";
        let upper = "list = [3]\n[g]\nkind = \"b\"\n[h]\nkind = \"a\"\nother = 2\n";
        let expect = toml::toml! {
            list = [3]
            g = { kind = "b" }
            h = { kind = "a", width = 1, other = 2 }
        };
        assert_eq!(merged(lower, upper), expect);
    }

    #[test]
    fn every_kind_of_value_survives_printing() {
        let text = r#"
            a = 'lit\eral'
            "odd key" = """multi
            line"""
            c = [1_000, 0x1f, 1e-5, inf, true, 2020-01-01]
            [[d]]
            x = {y = [{z = "é"}]}
            [[d]]
        "#;
        let printed = Entry::parse("file", text).unwrap().print();
        let again: toml::Table = toml::from_str(&printed.text).unwrap();
        let once: toml::Table = toml::from_str(text).unwrap();
        assert_eq!(again.to_string(), once.to_string());
    }

    #[test]
    fn parts_know_their_lines() {
        let printed =
            Entry::parse("f.toml", "a = 1\n\n[b]\nc = [\n  2,\n  3,\n]\n").unwrap().print();
        let place = |path: &str| {
            printed.parts.iter().find(|part| part.path == path).unwrap().place.to_string()
        };
        assert_eq!(place("a"), "f.toml:1");
        assert_eq!(place("b"), "f.toml:3");
        assert_eq!(place("b.c"), "f.toml:4");
        assert_eq!(place("b.c.1"), "f.toml:6");
    }

    #[test]
    fn syntax_errors_name_the_line() {
        let error = Entry::parse("f.toml", "a = 1\nb = \n").unwrap_err().to_string();
        assert!(error.starts_with("f.toml:2: "), "{error}");
    }
}
