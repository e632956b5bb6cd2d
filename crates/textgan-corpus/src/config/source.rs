//! One source of documents.

use super::short::Short;
use crate::{Error, read};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use textgan_random::Key;
use textgan_synthetic::{Oracle, OracleSizes};

/// The name of the built-in corpus, as a short form of a source.
const BUILT_IN: &str = "textgan-synthetic";

/// Where documents come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Source {
    /// Files: on disk, at an address, or in a dataset on the Hugging Face hub.
    Files(Files),
    /// Samples of a grammar whose distribution is known exactly.
    Synthetic(Synthetic),
    /// Sequences of an LSTM whose parameters are known.
    Oracle(OracleSource),
}

/// Files of one layout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// One of
    /// - a file, a folder (searched for files of a known format, hidden ones left out, in the order
    ///   of their paths) or a glob such as `data/**/*.txt.gz`; relative to the working directory;
    /// - an `http://` or `https://` address (what comes before an `@` or after a `?` in it is used and
    ///   never stored or shown);
    /// - `s3://BUCKET/KEY`, an object, a folder of objects or a glob of them; likewise `gs://` and `az://` (needs the
    ///   feature `cloud`; who asks is said by the variables of the environment that the stores' tools have, such as
    ///   `AWS_ACCESS_KEY_ID`);
    /// - `hf://datasets/OWNER/NAME[@REVISION]/GLOB`, files of a dataset on the Hugging Face hub
    ///   (needs the feature `hub`). `@~parquet` is the branch where the hub keeps a Parquet copy.
    ///
    /// A `.tar` is read through: the files in it are sources like any others.
    #[serde(serialize_with = "public")]
    pub path: String,
    /// What the bytes are. Without it, by the ending of each name: `.txt`, `.text`, `.md`, `.jsonl`,
    /// `.ndjson`, `.json`, `.csv`, `.tsv`, `.parquet`, `.html`, `.htm`, `.tar`, before `.gz` or `.zst`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// How the bytes are packed.
    #[serde(default)]
    pub compression: Compression,
    /// What one document is, in text files and HTML pages.
    #[serde(default)]
    pub unit: Unit,
    /// The column or key of the text, in JSON, CSV and Parquet. In JSON, `post.body` is the key `body` of
    /// the object at `post`, where there is no key of that whole name; so for the label and metadata.
    #[serde(default = "default_text")]
    pub text: String,
    /// Where a document's label comes from; without it, documents have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// Columns or keys kept beside the text, as a JSON object in `metadata`.
    #[serde(default)]
    pub metadata: Vec<String>,
    /// Names of the columns of a CSV or TSV file that has no header line.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Whether fields of a CSV or TSV file may be in double quotes, and separators inside such fields are
    /// text. Without it: yes for CSV, no for TSV, where a quote is most often a quote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted: Option<bool>,
    /// The CSS selector of the parts of an HTML page that are text.
    #[serde(default = "default_selector")]
    pub selector: String,
    /// Read at most this many documents of this source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// The BLAKE3 hash (64 hexadecimal digits) that the file must have; for a source of one file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
}

/// An address without what may be secret in it.
fn public<S: serde::Serializer>(path: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&crate::public_address(path))
}

fn default_text() -> String {
    "text".into()
}

fn default_selector() -> String {
    "body".into()
}

impl Files {
    /// Files at `path`, every other knob at its default.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            format: None,
            compression: Compression::default(),
            unit: Unit::default(),
            text: default_text(),
            label: None,
            metadata: Vec::new(),
            columns: Vec::new(),
            quoted: None,
            selector: default_selector(),
            limit: None,
            blake3: None,
        }
    }
}

/// What the bytes of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Format {
    /// Plain text; `unit` says what a document is.
    Text,
    /// One JSON object a line.
    Jsonl,
    /// An array of JSON objects.
    Json,
    /// Comma-separated values, quoted with `"`.
    Csv,
    /// Tab-separated values.
    Tsv,
    /// Apache Parquet, with any of its compressions inside but LZO.
    Parquet,
    /// A web page: what a reader sees of it.
    Html,
    /// An archive of files of the other formats.
    Tar,
}

/// How the bytes of a file are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Compression {
    /// By the ending: `.gz` and `.tgz`, `.zst` and `.tzst`, else none.
    #[default]
    Auto,
    /// Not packed.
    None,
    /// gzip, of one member or several.
    Gzip,
    /// Zstandard, of one frame or several.
    Zstd,
}

/// What one document is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Unit {
    /// Each line that is not blank.
    #[default]
    Line,
    /// Lines up to a blank one.
    Paragraph,
    /// The whole file.
    File,
}

/// Where labels come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Label {
    /// From this column or key.
    Column(String),
    /// The same for all documents of the source.
    Constant(String),
    /// The name of the folder that the file is in.
    Folder,
}

/// Samples of a grammar of `textgan-synthetic`: sentence `i` is drawn from its own random stream,
/// so a longer corpus begins with the shorter one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Synthetic {
    /// How many sentences.
    pub documents: u64,
    /// A grammar file; without it, the built-in captions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grammar: Option<PathBuf>,
}

impl Default for Synthetic {
    fn default() -> Self {
        Self { documents: 20_000, grammar: None }
    }
}

/// Sequences of an [`Oracle`]: tokens are written as their numbers, separated by spaces. Sequence `i`
/// is drawn from its own random stream, so a longer corpus begins with the shorter one; each split
/// with a source of its own has other streams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OracleSource {
    /// How many sequences.
    pub documents: u64,
    /// Tokens of each.
    pub length: usize,
    /// The folder of the 15 arrays of a published oracle; without it, a random one of the same size
    /// (vocabulary 5,000, embedding and state 32).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Which random oracle: it names the parameters, whatever the seed of the run. Unused with
    /// `path`.
    pub seed: u64,
}

impl Default for OracleSource {
    fn default() -> Self {
        Self { documents: 10_000, length: 20, path: None, seed: 0 }
    }
}

impl OracleSource {
    /// The oracle itself.
    ///
    /// # Errors
    /// An array that cannot be read or does not fit the others.
    pub fn oracle(&self) -> Result<Oracle, Error> {
        match &self.path {
            Some(folder) => Ok(Oracle::load(folder)?),
            None => {
                let key = Key::root(self.seed).child("oracle");
                Ok(Oracle::random(OracleSizes::default(), &key))
            }
        }
    }

    /// The files that decide which oracle it is.
    pub fn files(&self) -> Vec<PathBuf> {
        self.path.as_deref().map(Oracle::files).unwrap_or_default()
    }

    fn validate(&self) -> Result<(), Error> {
        for (key, number) in [("documents", self.documents), ("length", self.length as u64)] {
            if number == 0 {
                let key = format!("corpus.sources.{key}");
                return Err(Error::config(key, "is 0; it must be at least 1"));
            }
        }
        Ok(())
    }
}

impl Short for Source {
    fn from_short(text: &str) -> Result<Self, serde::de::value::Error> {
        Ok(match text {
            BUILT_IN => Self::Synthetic(Synthetic::default()),
            path => Self::Files(Files::new(path)),
        })
    }
}

impl Source {
    pub(super) fn validate(&self) -> Result<(), Error> {
        match self {
            Self::Synthetic(synthetic) if synthetic.documents == 0 => {
                Err(Error::config("corpus.sources.documents", "is 0; it must be at least 1"))
            }
            Self::Synthetic(_) => Ok(()),
            Self::Oracle(oracle) => oracle.validate(),
            Self::Files(files) => files.validate(),
        }
    }

    /// The files of this machine that it reads.
    pub(crate) fn inputs(&self) -> Result<Vec<PathBuf>, Error> {
        match self {
            Self::Synthetic(synthetic) => Ok(synthetic.grammar.iter().cloned().collect()),
            Self::Oracle(oracle) => Ok(oracle.files()),
            Self::Files(files) => read::local_files(files),
        }
    }
}

impl Source {
    pub(super) fn rebase(&mut self, folder: &Path) {
        match self {
            Self::Synthetic(synthetic) => {
                if let Some(grammar) = &mut synthetic.grammar {
                    *grammar = folder.join(&grammar);
                }
            }
            Self::Oracle(oracle) => {
                if let Some(path) = &mut oracle.path {
                    *path = folder.join(&path);
                }
            }
            Self::Files(files) if !files.path.contains("://") => {
                files.path = folder.join(&files.path).to_string_lossy().into_owned();
            }
            Self::Files(_) => {}
        }
    }
}

impl Files {
    fn validate(&self) -> Result<(), Error> {
        if self.path.is_empty() {
            return Err(Error::config("corpus.sources.path", "is empty"));
        }
        if self.limit == Some(0) {
            return Err(Error::config(
                "corpus.sources.limit",
                "is 0; leave it out to read everything",
            ));
        }
        if let Some(hash) = &self.blake3
            && (hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            return Err(Error::config("corpus.sources.blake3", "is not 64 hexadecimal digits"));
        }
        if let Some(twice) =
            self.metadata.iter().enumerate().find(|(i, name)| self.metadata[..*i].contains(name))
        {
            return Err(Error::config(
                "corpus.sources.metadata",
                format!("names `{}` twice", twice.1),
            ));
        }
        read::check_selector(&self.selector)?;
        read::check_address(&self.path)
    }
}
