//! `[corpus]`: where documents come from, how they are cleaned, how they are split.

mod short;
mod source;
mod step;

pub(crate) use step::validate as validate_steps;

pub use source::{Compression, Files, Format, Label, OracleSource, Source, Synthetic, Unit};
pub use step::{
    CrossSplit, Language, Length, NearDuplicates, Sentences, SharedAction, Shingle, Step,
    StopWords, UnicodeForm, Whitespace,
};

use crate::{Error, Split};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use short::Many;
use std::path::{Path, PathBuf};

/// The `[corpus]` table: everything that decides what a corpus contains.
///
/// ```
/// use textgan_corpus::{CorpusConfig, Source, Step};
///
/// let config: CorpusConfig = serde_json::from_value(serde_json::json!({
///     "sources": ["captions/*.txt.gz", { "kind": "files", "path": "more.jsonl", "text": "caption" }],
///     "steps": ["nfc", "whitespace", { "step": "length", "max_words": 40 }, "exact-duplicates"],
///     "test": { "sources": "captions-test.txt" },
/// }))?;
/// assert_eq!(config.sources.len(), 2);
/// assert_eq!(config.steps[3], Step::ExactDuplicates {});
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CorpusConfig {
    /// The documents, read in this order: one source or a list. A source is a table (`kind =
    /// "files"`, `"synthetic"` or `"oracle"`) or short a string: a path, folder or glob, an `http(s)://` or
    /// `hf://` address, or `textgan-synthetic` for the built-in caption grammar.
    #[serde(deserialize_with = "short::many")]
    #[schemars(with = "Many<Source>")]
    pub sources: Vec<Source>,
    /// The cleaning steps, applied to `sources` in this order. A step is a table with the key
    /// `step`, or short its name where every parameter has a default. The default rewrites
    /// Unicode, control characters and whitespace, only counts what splits share, and removes
    /// nothing but documents without any text.
    #[serde(deserialize_with = "short::many")]
    #[schemars(with = "Many<Step>")]
    pub steps: Vec<Step>,
    /// The validation split, when it has files of its own. Without it, `split.valid` of `sources`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid: Option<OwnSplit>,
    /// The test split, when it has files of its own. Without it, `split.test` of `sources`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<OwnSplit>,
    /// What part of `sources` is held out for the splits that have no files of their own.
    pub split: Fractions,
    /// Names the draws of the corpus: what a synthetic source says, what is held out. Unset: the
    /// seed of the run. Set it where runs of several seeds shall learn from the same corpus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What the bytes of text are: `strict` UTF-8, `replace` for UTF-8 with faults, or the name of an
    /// encoding, such as `latin-1`.
    #[schemars(with = "String")]
    pub encoding: Encoding,
    /// Bounds on what is read, against broken and hostile files.
    pub limits: Limits,
    /// Rows in one Parquet file; a split with more is written in several.
    pub rows_per_shard: usize,
}

impl Default for CorpusConfig {
    fn default() -> Self {
        Self {
            sources: vec![Source::Synthetic(Synthetic::default())],
            steps: vec![
                Step::Unicode { form: UnicodeForm::Nfc },
                Step::Control {},
                Step::Whitespace(Whitespace::default()),
                Step::CrossSplit(CrossSplit { action: SharedAction::Count }),
            ],
            valid: None,
            test: None,
            split: Fractions::default(),
            seed: None,
            encoding: Encoding::default(),
            limits: Limits::default(),
            rows_per_shard: 500_000,
        }
    }
}

/// A split read from files of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnSplit {
    /// Where its documents come from, as in `corpus.sources`.
    #[serde(deserialize_with = "short::many")]
    #[schemars(with = "Many<Source>")]
    pub sources: Vec<Source>,
    /// Which of `corpus.steps` are applied to it. A published test set is comparable only when
    /// nobody touched it, so the default is none.
    #[serde(default)]
    pub clean: Clean,
}

/// Which cleaning steps a split with its own files goes through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Clean {
    /// None: every document stays as it was read.
    #[default]
    AsIs,
    /// The steps that rewrite text (Unicode, control characters, whitespace, lower case,
    /// sentences, stop words): documents change, none is removed unless nothing is left of it.
    Text,
    /// All of them, filters and duplicate removal included.
    All,
}

/// The parts of `sources` that are held out, drawn by the seed.
///
/// Held-out documents are drawn evenly along the corpus, one from each stretch of
/// `1 / (valid + test)` documents, so that small corpora get the counts they asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fractions {
    /// Part of `sources` for validation, in `0..1`; 0 makes no validation split. Unused when
    /// `corpus.valid` is given.
    pub valid: f64,
    /// Part of `sources` for testing, in `0..1`; 0 makes no test split. Unused when `corpus.test`
    /// is given.
    pub test: f64,
    /// What is drawn: whole documents, so that sentences of one stay together, or sentences.
    #[serde(skip_serializing_if = "SplitBy::is_document")]
    pub by: SplitBy,
}

/// What the held-out splits are drawn of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SplitBy {
    /// `document`: before any step, so that no sentence is held out whose neighbours are trained on.
    #[default]
    Document,
    /// `sentence`: what the step `sentences` makes of documents, for a corpus of a few long ones. Then held-out
    /// sentences may stand beside trained ones, and are easier than those of a document that was never seen.
    Sentence,
}

impl SplitBy {
    fn is_document(&self) -> bool {
        *self == Self::Document
    }
}

impl Default for Fractions {
    fn default() -> Self {
        Self { valid: 0.05, test: 0.05, by: SplitBy::Document }
    }
}

/// What the bytes of text are. A byte order mark of UTF-16 is believed in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Encoding {
    /// `strict`: UTF-8; anything else is refused, naming file, line and byte.
    #[default]
    Strict,
    /// `replace`: UTF-8, with U+FFFD in place of what is not; how many there are is counted.
    Replace,
    /// Any name that web pages may have for one, such as `latin-1`, `windows-1252`, `utf-16le`,
    /// `shift_jis` or `gb18030`; U+FFFD stands for what it does not have.
    Named(&'static encoding_rs::Encoding),
}

impl Encoding {
    /// The encoding, if it is named.
    pub(crate) fn named(self) -> Option<&'static encoding_rs::Encoding> {
        match self {
            Self::Named(encoding) => Some(encoding),
            Self::Strict | Self::Replace => None,
        }
    }
}

impl TryFrom<String> for Encoding {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let label = if name.eq_ignore_ascii_case("latin-1") { "latin1" } else { &name };
        Ok(match name.as_str() {
            "strict" => Self::Strict,
            "replace" => Self::Replace,
            _ => match encoding_rs::Encoding::for_label(label.as_bytes()) {
                Some(encoding) => Self::Named(encoding),
                None => {
                    return Err(format!(
                        "`{name}` is no encoding: `strict`, `replace`, or a name such as `latin-1`, \
                         `windows-1252` or `utf-16le`"
                    ));
                }
            },
        })
    }
}

impl From<Encoding> for String {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Strict => "strict".to_owned(),
            Encoding::Replace => "replace".to_owned(),
            Encoding::Named(encoding) => encoding.name().to_ascii_lowercase(),
        }
    }
}

/// Bounds on what is read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The longest document, in bytes of text. A JSON line, a CSV record or an HTML page may be 8
    /// times as long, since only part of it is text. A longer one is never read into memory.
    pub max_document_bytes: u64,
    /// What to do with a longer document.
    pub oversized: Oversized,
    /// The largest ratio of unpacked to packed bytes of a compressed file, tested from 8 MiB
    /// unpacked on. Text packs 2 to 20 times; a decompression bomb 1,000 times and more.
    pub max_expansion: u64,
    /// The most bytes that are unpacked from, or spooled for, one file.
    pub max_file_bytes: u64,
    /// The most bytes that are downloaded for one address.
    pub max_download_bytes: u64,
    /// The most seconds that one download may take: a server that sends a byte a minute is as good as none.
    pub max_download_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_document_bytes: 1 << 20,
            oversized: Oversized::default(),
            max_expansion: 100,
            max_file_bytes: 1 << 40,
            max_download_bytes: 1 << 36,
            max_download_seconds: 6 * 3600,
        }
    }
}

impl Limits {
    /// The longest record around a document: markup and other fields included.
    pub(crate) fn max_record_bytes(&self) -> u64 {
        self.max_document_bytes.saturating_mul(8)
    }
}

/// What to do with a document above `max_document_bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Oversized {
    /// Refuse the corpus: most often the file is not what the config takes it for.
    #[default]
    Refuse,
    /// Drop it, with its beginning and a reason in `dropped.parquet`.
    Drop,
}

impl CorpusConfig {
    /// Checks what types cannot: ranges, names of languages, patterns. [`crate::ingest`] does this
    /// first; a program that reads many configs can do it early.
    ///
    /// # Errors
    /// [`Error::Config`] with the key, what is wrong and what would be right.
    pub fn validate(&self) -> Result<(), Error> {
        if self.sources.is_empty() {
            return Err(Error::config(
                "corpus.sources",
                "is empty; name at least one file or `textgan-synthetic`",
            ));
        }
        for (split, own) in [("valid", &self.valid), ("test", &self.test)] {
            if own.as_ref().is_some_and(|own| own.sources.is_empty()) {
                return Err(Error::config(
                    format!("corpus.{split}.sources"),
                    "is empty; name at least one file, or leave the table out to draw the split from corpus.sources",
                ));
            }
        }
        for source in self.all_sources() {
            source.validate()?;
        }
        for (key, part) in [("valid", self.split.valid), ("test", self.split.test)] {
            if !(0.0..1.0).contains(&part) {
                return Err(Error::config(
                    format!("corpus.split.{key}"),
                    format!("is {part}; it must be in 0..1"),
                ));
            }
        }
        let held_out = self.held_out();
        if held_out.valid + held_out.test >= 1.0 {
            return Err(Error::config(
                "corpus.split",
                "valid and test together leave nothing to train on",
            ));
        }
        if self.rows_per_shard == 0 {
            return Err(Error::config("corpus.rows_per_shard", "is 0; it must be at least 1"));
        }
        if self.limits.max_document_bytes == 0 || self.limits.max_expansion == 0 {
            return Err(Error::config(
                "corpus.limits",
                "max_document_bytes and max_expansion must be at least 1",
            ));
        }
        let cuts = self.steps.iter().any(|step| matches!(step, Step::Sentences(_)));
        if self.split.by == SplitBy::Sentence && !cuts {
            return Err(Error::config(
                "corpus.split.by",
                "is \"sentence\", which needs the step \"sentences\" in corpus.steps; add it, or take \"document\"",
            ));
        }
        validate_steps(&self.steps)
    }

    /// The local files that decide the corpus, sorted, without duplicates: the inputs of the stage.
    /// Addresses (`https://`, `hf://`) and the built-in grammar are not among them.
    ///
    /// # Errors
    /// A path, folder or pattern where there is no file.
    pub fn inputs(&self) -> Result<Vec<PathBuf>, Error> {
        let mut files = Vec::new();
        for source in self.all_sources() {
            files.append(&mut source.inputs()?);
        }
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// Takes relative local paths as relative to `folder`, where the config was found, say.
    pub fn rebase(&mut self, folder: &Path) {
        let own = [&mut self.test, &mut self.valid]
            .into_iter()
            .flatten()
            .flat_map(|own| &mut own.sources);
        for source in own.chain(&mut self.sources) {
            source.rebase(folder);
        }
    }

    fn all_sources(&self) -> impl Iterator<Item = &Source> {
        let own = [&self.test, &self.valid].into_iter().flatten().flat_map(|own| &own.sources);
        own.chain(&self.sources)
    }

    /// The fractions that are in force: zero for a split with files of its own.
    pub(crate) fn held_out(&self) -> Fractions {
        Fractions {
            valid: if self.valid.is_some() { 0.0 } else { self.split.valid },
            test: if self.test.is_some() { 0.0 } else { self.split.test },
            by: self.split.by,
        }
    }

    /// The splits that this config makes.
    pub(crate) fn splits(&self) -> Vec<Split> {
        let held_out = self.held_out();
        let mut splits = vec![Split::Train];
        if self.valid.is_some() || held_out.valid > 0.0 {
            splits.push(Split::Valid);
        }
        if self.test.is_some() || held_out.test > 0.0 {
            splits.push(Split::Test);
        }
        splits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(value: Value) -> Result<CorpusConfig, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn one_source_may_stand_without_a_list() {
        let short = read(json!({ "sources": "a.txt" })).unwrap();
        let long = read(json!({ "sources": [{ "kind": "files", "path": "a.txt" }] })).unwrap();
        let table = read(json!({ "sources": { "kind": "files", "path": "a.txt" } })).unwrap();
        assert_eq!(short, long);
        assert_eq!(short, table);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let config = read(json!({
            "sources": ["textgan-synthetic", "x.csv"],
            "steps": ["nfkc", "control", "whitespace", "lower-case", "sentences", "length",
                { "step": "language", "keep": ["eng"] }, { "step": "stop-words", "language": "en" },
                "exact-duplicates", "near-duplicates", "cross-split"],
            "test": { "sources": "t.txt", "clean": "text" },
        }))
        .unwrap();
        config.validate().unwrap();
        let again: CorpusConfig =
            serde_json::from_value(serde_json::to_value(&config).unwrap()).unwrap();
        assert_eq!(config, again);
    }

    #[test]
    fn unknown_names_are_refused_with_the_known_ones() {
        for (value, expect) in [
            (json!({ "source": "a.txt" }), "unknown field `source`"),
            (json!({ "steps": ["lowercase"] }), "lower-case"),
            (json!({ "steps": [{ "step": "length", "max_wrods": 3 }] }), "max_words"),
            (json!({ "steps": [{ "step": "control", "x": 3 }] }), "unknown field `x`"),
            (
                json!({ "sources": [{ "kind": "files", "path": "a", "colum": 1 }] }),
                "unknown field `colum`",
            ),
            (json!({ "sources": [{ "kind": "file", "path": "a" }] }), "files"),
            (json!({ "sources": 3 }), "a string, a table or a list"),
            (json!({ "steps": ["language"] }), "keep"),
        ] {
            let message = read(value.clone()).unwrap_err().to_string();
            assert!(message.contains(expect), "{value}: {message}");
        }
    }

    #[test]
    fn ranges_are_checked_by_name() {
        for (value, expect) in [
            (json!({ "sources": [] }), "corpus.sources"),
            (json!({ "split": { "valid": 1.0 } }), "corpus.split.valid"),
            (json!({ "split": { "valid": 0.5, "test": 0.5 } }), "corpus.split"),
            (json!({ "rows_per_shard": 0 }), "corpus.rows_per_shard"),
            (json!({ "steps": [{ "step": "language", "keep": ["english"] }] }), "eng"),
            (json!({ "steps": [{ "step": "stop-words", "language": "english" }] }), "en"),
            (
                json!({ "steps": [{ "step": "length", "min_words": 5, "max_words": 4 }] }),
                "max_words",
            ),
            (json!({ "steps": [{ "step": "near-duplicates", "threshold": 1.5 }] }), "threshold"),
            (json!({ "steps": ["cross-split", "cross-split"] }), "cross-split"),
            (json!({ "sources": "hf://datasets/only-owner" }), "hf://datasets/"),
            (
                json!({ "sources": { "kind": "files", "path": "a.html", "selector": "p >" } }),
                "selector",
            ),
        ] {
            let message = read(value.clone()).unwrap().validate().unwrap_err().to_string();
            assert!(message.contains(expect), "{value}: {message}");
        }
    }

    #[test]
    fn the_schema_allows_short_forms() {
        let schema = serde_json::to_value(schemars::schema_for!(CorpusConfig)).unwrap();
        assert!(schema["properties"]["sources"]["anyOf"].is_array(), "{schema}");
    }
}
