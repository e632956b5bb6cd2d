//! Features bound: a plain probabilistic context-free grammar, checked to be finite.

use crate::Error;
use crate::source::{self, Reference, Source};
use std::collections::{BTreeMap, BTreeSet};

/// A context-free grammar without features, whose alternatives have probabilities.
pub(crate) struct Plain {
    pub symbols: Vec<Symbol>,
    pub words: Vec<String>,
    pub starts: Vec<Start>,
}

pub(crate) struct Symbol {
    pub name: String,
    pub alternatives: Vec<Alternative>,
}

pub(crate) struct Alternative {
    pub probability: f64,
    pub items: Vec<Item>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Item {
    Word(u32),
    Symbol(u32),
}

/// Where the sentences of one label begin.
pub(crate) struct Start {
    pub label: Option<String>,
    pub probability: f64,
    pub symbol: u32,
}

/// Which value each feature has inside a rule.
type Bindings = BTreeMap<String, String>;

struct Binder<'a> {
    source: &'a Source,
    symbols: Vec<Symbol>,
    /// Symbols whose alternatives are still to be bound.
    pending: Vec<u32>,
    instances: BTreeMap<(String, Vec<String>), u32>,
    words: BTreeMap<String, u32>,
    word_list: Vec<String>,
    used: BTreeSet<usize>,
}

pub(crate) fn bind(source: &Source) -> Result<Plain, Error> {
    let mut binder = Binder {
        source,
        symbols: Vec::new(),
        pending: Vec::new(),
        instances: BTreeMap::new(),
        words: BTreeMap::new(),
        word_list: Vec::new(),
        used: BTreeSet::new(),
    };
    let mut starts = Vec::new();
    match &source.label {
        None => starts.push(binder.start(None, 1.0)?),
        Some(label) => {
            for value in &source.features[label] {
                starts.push(binder.start(Some((label, &value.name)), value.probability)?);
            }
        }
    }
    while let Some(id) = binder.pending.pop() {
        binder.complete(id)?;
    }
    if let Some(entry) =
        source.entries.iter().enumerate().find(|(i, _)| !binder.used.contains(i)).map(|(_, e)| e)
    {
        return Err(Error::Unused { key: entry.key.clone() });
    }
    refuse_recursion(&binder.symbols)?;
    Ok(Plain { symbols: binder.symbols, words: binder.word_list, starts })
}

impl Binder<'_> {
    /// The start symbol of a label, as a nameless rule whose only item is `start`.
    fn start(&mut self, label: Option<(&str, &str)>, probability: f64) -> Result<Start, Error> {
        let bindings: Bindings =
            label.iter().map(|&(feature, value)| (feature.to_owned(), value.to_owned())).collect();
        let items = [source::Item::Symbol(self.source.start.clone())];
        let mut alternatives = Vec::new();
        self.expand("start", &items, &bindings, 1.0, &mut alternatives)?;
        let symbol = self.symbols.len() as u32;
        let label = label.map(|(_, value)| value.to_owned());
        let name = label.as_ref().map_or("start".to_owned(), |l| format!("start {l}"));
        self.symbols.push(Symbol { name, alternatives });
        Ok(Start { label, probability, symbol })
    }

    /// Fills in the alternatives of a symbol from every entry whose head matches it.
    fn complete(&mut self, id: u32) -> Result<(), Error> {
        let name = &self.symbols[id as usize].name;
        let mut parts = name.split(' ').map(str::to_owned);
        let name = parts.next().unwrap_or_default();
        let arguments: Vec<String> = parts.collect();
        let mut alternatives = Vec::new();
        for (index, entry) in self.source.entries.iter().enumerate() {
            if entry.name != name {
                continue;
            }
            let Some(bindings) = self.matching(entry, &arguments)? else { continue };
            self.used.insert(index);
            for alternative in &entry.alternatives {
                if let Some((feature, value)) = &alternative.only
                    && bindings.get(feature) != Some(value)
                {
                    continue;
                }
                self.expand(
                    &entry.key,
                    &alternative.items,
                    &bindings,
                    alternative.weight,
                    &mut alternatives,
                )?;
            }
        }
        if alternatives.is_empty() {
            let shown = [vec![name.clone()], arguments].concat().join(" ");
            return Err(Error::entry(&name, format!("no rule or word list gives `<{shown}>`")));
        }
        let total: f64 = alternatives.iter().map(|a| a.probability).sum();
        alternatives.iter_mut().for_each(|a| a.probability /= total);
        self.symbols[id as usize].alternatives = alternatives;
        Ok(())
    }

    /// The bindings under which a head gives these arguments, or `None` when it is for other ones.
    fn matching(
        &self,
        entry: &source::Entry,
        arguments: &[String],
    ) -> Result<Option<Bindings>, Error> {
        if entry.parameters.len() != arguments.len() {
            return Err(Error::entry(
                &entry.key,
                format!(
                    "has {} argument(s), but a rule refers to `<{} {}>`",
                    entry.parameters.len(),
                    entry.name,
                    arguments.join(" ")
                ),
            ));
        }
        let mut bindings = Bindings::new();
        for (parameter, value) in entry.parameters.iter().zip(arguments) {
            let feature = self.source.feature_of(value);
            if self.source.features.contains_key(parameter) {
                if feature != Some(parameter) {
                    return Err(Error::entry(
                        &entry.key,
                        format!("`{value}` is not a value of `{parameter}`"),
                    ));
                }
                bindings.insert(parameter.clone(), value.clone());
            } else if self.source.feature_of(parameter).is_none() {
                return Err(Error::entry(
                    &entry.key,
                    format!("`{parameter}` is neither a feature nor a value of one"),
                ));
            } else if parameter != value {
                return Ok(None);
            }
        }
        Ok(Some(bindings))
    }

    /// One alternative for every way to bind the features that the head left free.
    fn expand(
        &mut self,
        key: &str,
        items: &[source::Item],
        bindings: &Bindings,
        weight: f64,
        out: &mut Vec<Alternative>,
    ) -> Result<(), Error> {
        let free = items
            .iter()
            .filter_map(|item| match item {
                source::Item::Symbol(reference) => Some(&reference.arguments),
                source::Item::Word(_) => None,
            })
            .flatten()
            .find(|a| self.source.features.contains_key(*a) && !bindings.contains_key(*a));
        if let Some(feature) = free {
            let source = self.source;
            for value in &source.features[feature] {
                let mut bindings = bindings.clone();
                bindings.insert(feature.clone(), value.name.clone());
                self.expand(key, items, &bindings, weight * value.probability, out)?;
            }
            return Ok(());
        }
        let items = items
            .iter()
            .map(|item| match item {
                source::Item::Word(word) => Ok(Item::Word(self.word(word))),
                source::Item::Symbol(reference) => {
                    self.instance(key, reference, bindings).map(Item::Symbol)
                }
            })
            .collect::<Result<Vec<_>, Error>>()?;
        out.push(Alternative { probability: weight, items });
        Ok(())
    }

    fn instance(
        &mut self,
        key: &str,
        reference: &Reference,
        bindings: &Bindings,
    ) -> Result<u32, Error> {
        if !self.source.entries.iter().any(|entry| entry.name == reference.name) {
            return Err(Error::entry(
                key,
                format!("`<{}>` is not defined under [rules] or [words]", reference.name),
            ));
        }
        let mut values = Vec::new();
        for argument in &reference.arguments {
            let value = bindings.get(argument).unwrap_or(argument);
            if self.source.feature_of(value).is_none() {
                return Err(Error::entry(
                    key,
                    format!(
                        "`{argument}` in `<{}>` is neither a feature nor a value",
                        reference.name
                    ),
                ));
            }
            values.push(value.clone());
        }
        let identity = (reference.name.clone(), values);
        if let Some(&id) = self.instances.get(&identity) {
            return Ok(id);
        }
        let id = self.symbols.len() as u32;
        let name =
            std::iter::once(&identity.0).chain(&identity.1).cloned().collect::<Vec<_>>().join(" ");
        self.symbols.push(Symbol { name, alternatives: Vec::new() });
        self.pending.push(id);
        self.instances.insert(identity, id);
        Ok(id)
    }

    fn word(&mut self, word: &str) -> u32 {
        *self.words.entry(word.to_owned()).or_insert_with(|| {
            self.word_list.push(word.to_owned());
            self.word_list.len() as u32 - 1
        })
    }
}

/// Depth-first search for a loop among the symbols.
fn refuse_recursion(symbols: &[Symbol]) -> Result<(), Error> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let children = |id: usize| {
        let mut ids: Vec<usize> = symbols[id]
            .alternatives
            .iter()
            .flat_map(|a| &a.items)
            .filter_map(|item| match item {
                Item::Symbol(s) => Some(*s as usize),
                Item::Word(_) => None,
            })
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    let mut marks = vec![Mark::New; symbols.len()];
    for root in 0..symbols.len() {
        if marks[root] != Mark::New {
            continue;
        }
        marks[root] = Mark::Open;
        let mut path = vec![(root, children(root))];
        while let Some((id, rest)) = path.last_mut() {
            let id = *id;
            match rest.pop() {
                None => {
                    marks[id] = Mark::Done;
                    path.pop();
                }
                Some(child) if marks[child] == Mark::New => {
                    marks[child] = Mark::Open;
                    path.push((child, children(child)));
                }
                Some(child) if marks[child] == Mark::Open => {
                    let from = path.iter().position(|(id, _)| *id == child).unwrap_or(0);
                    let mut names: Vec<&str> =
                        path[from..].iter().map(|(id, _)| symbols[*id].name.as_str()).collect();
                    names.push(&symbols[child].name);
                    return Err(Error::Recursive { cycle: names.join(" -> ") });
                }
                Some(_) => {}
            }
        }
    }
    Ok(())
}
