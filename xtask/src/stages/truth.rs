//! What is known exactly of the text of an experiment.

use anyhow::{Context, Result};
use textgan_corpus::{Source, Synthetic};
use textgan_evaluate::Truth;
use textgan_synthetic::{Grammar, Oracle, Rules};

use crate::config::RootConfig;

/// The source of which all of the corpus is drawn, if there is one with a known distribution.
pub fn source<O>(config: &RootConfig<O>) -> Option<&Source> {
    let [source] = &config.corpus.sources[..] else { return None };
    matches!(source, Source::Synthetic(_) | Source::Oracle(_)).then_some(source)
}

/// Says whether a text is well-formed.
pub type Judge<'a> = Box<dyn Fn(&str) -> bool + Sync + 'a>;

/// What is known: a distribution that was read or drawn, or rules.
pub enum Known {
    BuiltIn,
    Grammar(Box<Grammar>),
    Oracle(Box<Oracle>),
    Rules(Rules),
}

impl Known {
    /// Reads what is known of the text of an experiment.
    pub fn of<O>(config: &RootConfig<O>) -> Result<Option<Self>> {
        let Some(source) = source(config) else { return Ok(config.rules.map(Self::Rules)) };
        Ok(match source {
            // Of files, and of sources that there may be later, nothing is known.
            Source::Oracle(source) => Some(Self::Oracle(Box::new(source.oracle()?))),
            Source::Synthetic(Synthetic { grammar: None, .. }) => Some(Self::BuiltIn),
            Source::Synthetic(Synthetic { grammar: Some(path), .. }) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                let grammar =
                    Grammar::from_toml(&text).with_context(|| path.display().to_string())?;
                Some(Self::Grammar(Box::new(grammar)))
            }
            _ => None,
        })
    }

    /// As the evaluation takes it.
    pub fn truth(&self) -> Truth<'_> {
        match self {
            Self::BuiltIn => Truth::Grammar(Grammar::embedded()),
            Self::Grammar(grammar) => Truth::Grammar(grammar),
            Self::Oracle(oracle) => Truth::Oracle(oracle),
            Self::Rules(rules) => Truth::Rules(rules),
        }
    }

    /// Whether a text is well-formed, where there is such a thing.
    pub fn judge(&self) -> Option<Judge<'_>> {
        match self {
            Self::BuiltIn => Some(Box::new(|text| Grammar::embedded().grammatical(text))),
            Self::Grammar(grammar) => Some(Box::new(|text| grammar.grammatical(text))),
            Self::Oracle(_) => None,
            Self::Rules(rules) => Some(Box::new(|text| rules.well_formed(text))),
        }
    }
}
