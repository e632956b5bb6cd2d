use std::collections::HashMap;
use std::path::Path;

use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{ModelWrapper, PreTokenizerWrapper, SplitDelimiterBehavior};

use crate::pattern::Pattern;
use crate::{Error, Result, special};

/// A vocabulary and the way to use it: text to token ids and back.
///
/// Encoding and decoding take `&self` and may run in parallel.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    size: usize,
    /// Where tokens are whole units, how they are cut, and their ids: an order of magnitude faster.
    units: Option<(Cut, HashMap<String, u32>)>,
}

/// How a text is cut into whole units.
#[derive(Clone, Debug)]
enum Cut {
    Whitespace,
    Pattern(Pattern),
}

impl Tokenizer {
    /// Reads a `tokenizer.json` written by this crate, or any whose ids `0..4` are the
    /// [`special`] tokens. [`Tokenizer::adopt`] takes the others.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read, [`Error::Format`] when it is something else.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = read(path)?;
        Self::from_json(&bytes)
            .map_err(|error| Error::Format { path: path.to_owned(), message: error.to_string() })
    }

    /// Reads any Hugging Face `tokenizer.json` and renumbers it so that the [`special`] tokens come
    /// first. Its own unknown token becomes ours; its other special tokens stay as ordinary ones.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read, [`Error::Format`] when it is no tokenizer.
    pub fn adopt(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        crate::adopt::renumber(&read(path)?)
            .and_then(|json| Self::from_json(json.as_bytes()))
            .map_err(|error| Error::Format { path: path.to_owned(), message: error.to_string() })
    }

    /// The tokenizer that these bytes describe, in the format of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Tokenizers`] when they describe none, or one with other special tokens.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        const ACTION: &str = "not a tokenizer.json";
        crate::bounds::check(json)?;
        let mut inner =
            tokenizers::Tokenizer::from_bytes(json).map_err(Error::tokenizers(ACTION))?;
        for (id, name) in (0..).zip(special::NAMES) {
            if inner.token_to_id(name) != Some(id) {
                return Err(Error::Tokenizers {
                    action: "special tokens",
                    message: format!(
                        "{name} must have id {id}, but {}; adopt the file with kind = \"file\", \
                         which renumbers it",
                        match inner.token_to_id(name) {
                            Some(other) => format!("it has id {other}"),
                            None => "it is missing".to_owned(),
                        }
                    ),
                });
            }
        }
        // A text that contains "<s>" contains these characters, not the beginning of a text.
        inner.set_encode_special_tokens(true);
        // Length is the caller's business.
        inner.with_padding(None).with_truncation(None).map_err(Error::tokenizers(ACTION))?;
        let ids = inner.get_vocab(true);
        let size = ids.len();
        // Networks have a row for each of the ids `0..size`.
        if let Some((token, id)) = ids.iter().find(|&(_, &id)| id as usize >= size) {
            return Err(Error::Tokenizers {
                action: ACTION,
                message: format!(
                    "{token:?} has id {id}, but there are {size} tokens: ids must be 0 to {} without a hole",
                    size - 1
                ),
            });
        }
        if size <= special::NAMES.len() {
            let message = "there is no token in it but the special ones".to_owned();
            return Err(Error::Tokenizers { action: ACTION, message });
        }
        let units = cut(&inner).map(|cut| (cut, inner.get_vocab(false)));
        Ok(Self { inner, size, units })
    }

    /// The bytes of its `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Tokenizers`] when the crate below cannot write it.
    pub fn to_json(&self) -> Result<String> {
        self.inner.to_string(true).map_err(Error::tokenizers("writing a tokenizer.json"))
    }

    /// The token ids of `text`; no begin, no end.
    ///
    /// # Errors
    /// [`Error::Tokenizers`] when an adopted tokenizer cannot represent the text and has no unknown
    /// token.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let Some((cut, ids)) = &self.units else { return self.encode_any(text) };
        let id = |unit| content(ids.get(unit).copied().unwrap_or(special::UNKNOWN));
        Ok(match cut {
            Cut::Whitespace => text.split_whitespace().map(id).collect(),
            Cut::Pattern(pattern) => {
                let mut tokens = Vec::with_capacity(text.len());
                pattern.cut(text, |unit| tokens.push(id(unit)));
                tokens
            }
        })
    }

    fn encode_any(&self, text: &str) -> Result<Vec<u32>> {
        let encoding =
            self.inner.encode_fast(text, false).map_err(Error::tokenizers("encoding a text"))?;
        Ok(encoding.get_ids().iter().copied().map(content).collect())
    }

    /// The text of `tokens`; padding, begin and end are left out, unknown tokens stay visible.
    /// Words are joined with spaces.
    ///
    /// # Errors
    /// [`Error::UnknownId`] for an id that is not in the vocabulary.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        if let Some(&id) = tokens.iter().find(|&&id| id as usize >= self.size) {
            return Err(Error::UnknownId { id, size: self.size });
        }
        let content: Vec<u32> =
            tokens.iter().copied().filter(|&id| !special::is_control(id)).collect();
        self.inner.decode(&content, false).map_err(Error::tokenizers("decoding tokens"))
    }

    /// The number of tokens, special ones included; ids are `0..vocab_size()`.
    pub fn vocab_size(&self) -> usize {
        self.size
    }

    /// The name of a token, as the vocabulary spells it.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The id of a token, as the vocabulary spells it.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }
}

/// A text says no padding, begin or end.
fn content(id: u32) -> u32 {
    if special::is_control(id) { special::UNKNOWN } else { id }
}

/// How a text is cut, if encoding is no more than cutting it and looking the units up.
fn cut(tokenizer: &tokenizers::Tokenizer) -> Option<Cut> {
    let whole_units = matches!(tokenizer.get_model(), ModelWrapper::WordLevel(_))
        && tokenizer.get_normalizer().is_none()
        && tokenizer.get_added_vocabulary().len() == special::NAMES.len();
    match tokenizer.get_pre_tokenizer().filter(|_| whole_units)? {
        PreTokenizerWrapper::WhitespaceSplit(_) => Some(Cut::Whitespace),
        PreTokenizerWrapper::Split(Split {
            pattern: SplitPattern::Regex(expression),
            behavior: SplitDelimiterBehavior::Isolated,
            invert: false,
            ..
        }) => Pattern::new(expression).map(Cut::Pattern),
        _ => None,
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let file = |source| Error::File { path: path.to_owned(), source };
    if !std::fs::metadata(path).map_err(file)?.is_file() {
        return Err(Error::Format { path: path.to_owned(), message: "not a file".to_owned() });
    }
    std::fs::read(path).map_err(file)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Kind, TokenizerConfig, Trainer};

    fn words() -> Tokenizer {
        let mut trainer = Trainer::new(&TokenizerConfig::default()).unwrap();
        trainer.feed(&["a b ab é . ,"]).unwrap();
        trainer.finish().unwrap().0
    }

    proptest! {
        #[test]
        fn looking_words_up_is_what_the_general_way_does(
            text in "([ab.,é<>/s]|<unk>|<s>|[ \t\u{a0}\u{2003}\n]){0,20}"
        ) {
            let tokenizer = words();
            prop_assert!(tokenizer.units.is_some());
            prop_assert_eq!(tokenizer.encode(&text).unwrap(), tokenizer.encode_any(&text).unwrap());
        }

        #[test]
        fn cutting_by_a_pattern_is_what_the_general_way_does(
            text in "([Clcé1%<>/s\\[\\]]|Cl|<s>|\n| ){0,20}",
            together in proptest::sample::select(vec!["", "Cl|%\\d", "\\[[^\\]]*\\]|Cl", "C*", "s+|1"])
        ) {
            let together = Some(together.to_owned());
            let kind = Kind::Character;
            let config = TokenizerConfig { kind, together, ..TokenizerConfig::default() };
            let mut trainer = Trainer::new(&config).unwrap();
            trainer.feed(&["Clc1cC[Cl]%1ss é"]).unwrap();
            let tokenizer = trainer.finish().unwrap().0;
            prop_assert!(tokenizer.units.is_some());
            prop_assert_eq!(tokenizer.encode(&text).unwrap(), tokenizer.encode_any(&text).unwrap());
        }
    }
}
