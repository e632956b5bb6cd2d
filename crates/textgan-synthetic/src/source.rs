//! The grammar as its author wrote it: TOML to weighted alternatives with features still in them.

use crate::Error;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The only `format` there is so far.
const FORMAT: u32 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    name: String,
    start: String,
    label: Option<String>,
    #[serde(default = "default_rank_offset")]
    rank_offset: f64,
    #[serde(default)]
    features: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    words: BTreeMap<String, Vec<String>>,
    rules: BTreeMap<String, Vec<String>>,
}

fn default_rank_offset() -> f64 {
    3.0
}

/// A grammar whose rules still speak of features.
pub(crate) struct Source {
    pub name: String,
    pub start: Reference,
    pub label: Option<String>,
    pub features: BTreeMap<String, Vec<Value>>,
    pub entries: Vec<Entry>,
}

/// A value of a feature and the share it gets where a rule leaves the feature free.
pub(crate) struct Value {
    pub name: String,
    pub probability: f64,
}

/// The alternatives under one TOML key.
pub(crate) struct Entry {
    pub key: String,
    pub name: String,
    /// Feature names (bound by the caller) or feature values (a pattern), in order.
    pub parameters: Vec<String>,
    pub alternatives: Vec<Alternative>,
}

pub(crate) struct Alternative {
    pub weight: f64,
    pub items: Vec<Item>,
    /// Only for this value of this feature: how a word list keeps `man / men` apart.
    pub only: Option<(String, String)>,
}

#[derive(Clone)]
pub(crate) enum Item {
    Word(String),
    Symbol(Reference),
}

/// `<name argument ...>`, without the brackets.
#[derive(Clone)]
pub(crate) struct Reference {
    pub name: String,
    pub arguments: Vec<String>,
}

impl Source {
    pub fn parse(text: &str) -> Result<Self, Error> {
        let file: File = toml::from_str(text)?;
        if file.format != FORMAT {
            return Err(Error::entry(
                "format",
                format!("this version reads format {FORMAT}, not {}", file.format),
            ));
        }
        if !(file.rank_offset.is_finite() && file.rank_offset > -1.0) {
            return Err(Error::entry("rank_offset", "must be a number above -1"));
        }
        let features = features(&file.features)?;
        let mut entries = Vec::new();
        for (key, list) in &file.words {
            entries.push(word_list(key, list, &features, file.rank_offset)?);
        }
        for (key, list) in &file.rules {
            entries.push(rule(key, list, &features)?);
        }
        let start = reference(&file.start, "start")?;
        if let Some(label) = &file.label
            && !(features.contains_key(label) && start.arguments.contains(label))
        {
            return Err(Error::entry(
                "label",
                format!("`{label}` must be a feature that `start` names as an argument"),
            ));
        }
        Ok(Self { name: file.name, start, label: file.label, features, entries })
    }

    /// The feature that a value belongs to.
    pub fn feature_of(&self, value: &str) -> Option<&str> {
        self.features
            .iter()
            .find(|(_, values)| values.iter().any(|v| v.name == value))
            .map(|(name, _)| name.as_str())
    }
}

fn features(raw: &BTreeMap<String, Vec<String>>) -> Result<BTreeMap<String, Vec<Value>>, Error> {
    let mut taken: BTreeSet<&str> = raw.keys().map(String::as_str).collect();
    let mut features = BTreeMap::new();
    for (name, list) in raw {
        let key = format!("features.{name}");
        let mut values = Vec::new();
        for text in list {
            let (weight, value) = weighted(text, &key)?;
            if value.is_empty() || value.contains(char::is_whitespace) {
                return Err(Error::entry(&key, format!("`{text}` must be one word")));
            }
            if !taken.insert(value) {
                return Err(Error::entry(&key, format!("the name `{value}` is already in use")));
            }
            values.push(Value { name: value.to_owned(), probability: weight });
        }
        let total: f64 = values.iter().map(|v| v.probability).sum();
        if values.is_empty() {
            return Err(Error::entry(&key, "a feature needs at least one value"));
        }
        values.iter_mut().for_each(|v| v.probability /= total);
        features.insert(name.clone(), values);
    }
    Ok(features)
}

/// `[words]`: entries in rank order, the weight of rank `r` being `1 / (r + offset)`.
fn word_list(
    key: &str,
    list: &[String],
    features: &BTreeMap<String, Vec<Value>>,
    offset: f64,
) -> Result<Entry, Error> {
    let (name, parameters) = head(key)?;
    let mut variables = parameters.iter().filter_map(|p| features.get_key_value(p));
    let variable = variables.next();
    if variables.next().is_some() {
        return Err(Error::entry(key, "a word list can vary with one feature only"));
    }
    let mut alternatives = Vec::new();
    for (rank, text) in list.iter().enumerate() {
        let weight = 1.0 / (rank as f64 + 1.0 + offset);
        let forms: Vec<&str> = text.split('/').map(str::trim).collect();
        let wanted = variable.map_or(1, |(_, values)| values.len());
        if forms.len() != wanted || forms.iter().any(|f| f.is_empty()) {
            return Err(Error::entry(
                key,
                format!(
                    "`{text}` has {} of the {wanted} form(s) it needs, separated by `/`",
                    forms.len()
                ),
            ));
        }
        for (i, form) in forms.iter().enumerate() {
            let items = items(form, key)?;
            if items.iter().any(|item| matches!(item, Item::Symbol(_))) {
                return Err(Error::entry(
                    key,
                    format!("`{text}`: a word list holds words, not `<...>`"),
                ));
            }
            let only = variable.map(|(name, values)| (name.clone(), values[i].name.clone()));
            alternatives.push(Alternative { weight, items, only });
        }
    }
    finish(key, name, parameters, alternatives)
}

fn rule(
    key: &str,
    list: &[String],
    features: &BTreeMap<String, Vec<Value>>,
) -> Result<Entry, Error> {
    let (name, parameters) = head(key)?;
    if features.contains_key(&name) {
        return Err(Error::entry(key, format!("`{name}` is a feature: name the rule otherwise")));
    }
    let alternatives = list
        .iter()
        .map(|text| {
            let (weight, body) = weighted(text, key)?;
            Ok(Alternative { weight, items: items(body, key)?, only: None })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    finish(key, name, parameters, alternatives)
}

fn finish(
    key: &str,
    name: String,
    parameters: Vec<String>,
    alternatives: Vec<Alternative>,
) -> Result<Entry, Error> {
    if alternatives.is_empty() {
        return Err(Error::entry(key, "needs at least one alternative"));
    }
    Ok(Entry { key: key.to_owned(), name, parameters, alternatives })
}

fn head(key: &str) -> Result<(String, Vec<String>), Error> {
    let Reference { name, arguments } = reference(key, key)?;
    Ok((name, arguments))
}

fn reference(text: &str, key: &str) -> Result<Reference, Error> {
    let mut parts = text.split_whitespace().map(str::to_owned);
    let name = parts.next().ok_or_else(|| Error::entry(key, "a symbol needs a name"))?;
    Ok(Reference { name, arguments: parts.collect() })
}

/// Splits `3: text` into its weight and the rest; without a number in front the weight is 1.
fn weighted<'a>(text: &'a str, key: &str) -> Result<(f64, &'a str), Error> {
    let Some((weight, rest)) =
        text.split_once(':').and_then(|(w, rest)| Some((w.trim().parse::<f64>().ok()?, rest)))
    else {
        return Ok((1.0, text.trim()));
    };
    if !(weight.is_finite() && weight > 0.0) {
        return Err(Error::entry(key, format!("`{text}`: a weight must be a number above zero")));
    }
    Ok((weight, rest.trim()))
}

/// Words and `<symbols>` of one alternative.
fn items(text: &str, key: &str) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(open) = rest.strip_prefix('<') {
            let (inside, after) = open
                .split_once('>')
                .ok_or_else(|| Error::entry(key, format!("`{text}`: a `<` is never closed")))?;
            items.push(Item::Symbol(reference(inside, key)?));
            rest = after.trim_start();
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if word.contains(['<', '>']) {
                return Err(Error::entry(key, format!("`{text}`: put spaces around `{word}`")));
            }
            items.push(Item::Word(word.to_owned()));
            rest = after.trim_start();
        }
    }
    Ok(items)
}
