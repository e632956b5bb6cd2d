use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokenizers::SplitDelimiterBehavior;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};

use crate::{Error, Result, special};

/// The `[tokenizer]` table: which vocabulary, and what becomes of long texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TokenizerConfig {
    /// How text is cut into tokens.
    pub kind: Kind,
    /// Size of the vocabulary, the four special tokens included. `word` and `character` keep at
    /// most so many (unset: all). `byte-bpe` and `unigram` learn exactly so many and fail when the
    /// data does not allow it (unset: up to 4,000, with a note when there are fewer).
    pub vocabulary_size: Option<usize>,
    /// What occurs less often in the train split stays out: words and characters (`word`,
    /// `character`), words to learn pieces from (`unigram`), pairs to merge (`byte-bpe`).
    pub min_frequency: u64,
    /// What is one token although it is several characters, as a regular expression; for
    /// `kind = "character"`, and only there. `'\[[^\]]*\]|Br|Cl|%\d\d'` cuts the SMILES of molecules
    /// into atoms, bonds, branches and ring closures.
    pub together: Option<String>,
    /// The `tokenizer.json` to adopt; for `kind = "file"`, and only there.
    pub path: Option<PathBuf>,
    /// The most tokens a text may have, begin and end not counted.
    pub max_length: usize,
    /// What becomes of a text with more tokens than `max_length`.
    pub overlong: Overlong,
}

/// How text is cut into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// Whatever whitespace separates; for text that is tokenised already.
    Word,
    /// Byte-level byte-pair encoding (Sennrich et al., 2016; Radford et al., 2019): no text is
    /// unknown.
    ByteBpe,
    /// Unigram language model over pieces (Kudo, 2018).
    Unigram,
    /// One token a character, whitespace included.
    Character,
    /// A `tokenizer.json` that exists already, given by `path`. Its ids are renumbered where
    /// needed, so that the special tokens come first.
    File,
}

/// The name that the configuration uses.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Word => "word",
            Self::ByteBpe => "byte-bpe",
            Self::Unigram => "unigram",
            Self::Character => "character",
            Self::File => "file",
        })
    }
}

/// What becomes of a text that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Overlong {
    /// Its first tokens are kept.
    Truncate,
    /// It is left out.
    Drop,
}

impl Default for TokenizerConfig {
    fn default() -> Self {
        Self {
            kind: Kind::Word,
            vocabulary_size: None,
            min_frequency: 1,
            together: None,
            path: None,
            max_length: 64,
            overlong: Overlong::Truncate,
        }
    }
}

impl TokenizerConfig {
    /// The size that `byte-bpe` and `unigram` aim at when none is asked for.
    pub(crate) const UNASKED_SIZE: usize = 4_000;

    /// Cuts a text into what `together` matches, and characters.
    pub(crate) fn cut_characters(together: &str) -> std::result::Result<Split, tokenizers::Error> {
        let pattern = SplitPattern::Regex(Self::pattern_of_characters(Some(together)));
        Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
    }

    pub(crate) fn pattern_of_characters(together: Option<&str>) -> String {
        together.map_or(r"[\s\S]".to_owned(), |together| format!(r"(?:{together})|[\s\S]"))
    }

    /// The local files that decide the result besides the texts.
    pub fn inputs(&self) -> Vec<PathBuf> {
        self.path.iter().cloned().collect()
    }

    /// Makes a relative path relative to `folder`, that of the configuration file.
    pub fn rebase(&mut self, folder: &Path) {
        if let Some(path) = &mut self.path {
            *path = folder.join(&path);
        }
    }

    /// Refuses what cannot work before any text is read.
    ///
    /// # Errors
    /// [`Error::Config`] names the key and the fix.
    pub fn validate(&self) -> Result<()> {
        let refuse = |key, message: String| Err(Error::Config { key, message });
        if self.max_length == 0 {
            return refuse("max_length", "0 leaves no token of any text; give at least 1".into());
        }
        match (self.kind, &self.path) {
            (Kind::File, None) => {
                return refuse("path", "kind = \"file\" needs path = \"…/tokenizer.json\"".into());
            }
            (Kind::File, Some(_)) if self.vocabulary_size.is_some() => {
                return refuse(
                    "vocabulary_size",
                    "kind = \"file\" takes the vocabulary as it is; remove this key".into(),
                );
            }
            (kind, Some(_)) if kind != Kind::File => {
                return refuse("path", "only kind = \"file\" reads a path; remove this key".into());
            }
            _ => {}
        }
        if let Some(together) = &self.together {
            if self.kind != Kind::Character {
                return refuse(
                    "together",
                    "only kind = \"character\" joins characters; remove this key".into(),
                );
            }
            if let Err(error) = Self::cut_characters(together) {
                return refuse(
                    "together",
                    format!("{together:?} is no regular expression: {error}"),
                );
            }
        }
        let least = match self.kind {
            // One token a byte comes before the first merge.
            Kind::ByteBpe => special::NAMES.len() + 256,
            _ => special::NAMES.len() + 1,
        };
        match self.vocabulary_size {
            Some(size) if size < least => refuse(
                "vocabulary_size",
                format!("{size} is too small; this kind needs at least {least}"),
            ),
            Some(size) if u32::try_from(size).is_err() => {
                refuse("vocabulary_size", format!("{size} does not fit 32-bit token ids"))
            }
            _ => Ok(()),
        }
    }
}
