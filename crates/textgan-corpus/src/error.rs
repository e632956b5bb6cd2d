use crate::Split;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a corpus could not be made. Each message names the file or the key, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value of the config that its type cannot refuse.
    #[error("{key} {message}")]
    Config {
        /// The key, from the root of the config.
        key: String,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// A folder is not the shard that a merge needs.
    #[error("{}: {problem}", .folder.display())]
    Shard {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it, and what helps.
        problem: String,
    },
    /// A source names what is neither a file nor a folder.
    #[error(
        "{}: a pipe, device or socket, which may never end (in corpus.sources); write its text to a file, or let \
         `cargo xtask new FILE.toml --from -` do so",
        .path.display()
    )]
    NoFile {
        /// What it names.
        path: PathBuf,
    },
    /// A source names a file that does not exist.
    #[error("{}: no such file, folder or matching pattern (in corpus.sources)", .path.display())]
    Missing {
        /// The path or pattern.
        path: PathBuf,
    },
    /// A folder or pattern has files, but none of a known format.
    #[error(
        "{}: no file of a known format ({skipped} skipped); known endings are .txt, .jsonl, .csv, .tsv, .parquet, .html and .tar, each also with .gz or .zst; for others set `format`",
        .path.display()
    )]
    NoKnownFormat {
        /// The folder, pattern or archive.
        path: PathBuf,
        /// How many files were passed over.
        skipped: u64,
    },
    /// The name of a file does not tell its format.
    #[error(
        "{file}: cannot tell the format from the name; set `format` (text, jsonl, csv, tsv, parquet, html, tar){hint}"
    )]
    UnknownFormat {
        /// The file.
        file: String,
        /// What may help.
        hint: &'static str,
    },
    /// The operating system refused to read.
    #[error("{file}: cannot read: {source}")]
    Read {
        /// The file.
        file: String,
        /// The refusal.
        source: std::io::Error,
    },
    /// The operating system refused to write.
    #[error("{}: cannot write: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The refusal.
        source: std::io::Error,
    },
    /// A file is not the one that the config pins.
    #[error(
        "{file}: its BLAKE3 hash is {found}, the config wants {expected}: it is another version, or damaged; fetch it again or change `blake3`"
    )]
    HashMismatch {
        /// The file.
        file: String,
        /// The hash in the config.
        expected: String,
        /// The hash of the bytes.
        found: String,
    },
    /// Bytes that are not UTF-8.
    #[error(
        "{place}: byte {byte} of the file is not UTF-8{hint}; or convert the file, or set corpus.encoding = \"replace\", which puts U+FFFD for what is wrong"
    )]
    NotUtf8 {
        /// Where the document begins.
        place: Place,
        /// The offset of the first wrong byte in the (unpacked) file.
        byte: u64,
        /// What it looks like instead.
        hint: &'static str,
    },
    /// A document longer than the limit.
    #[error(
        "{place}: a {what} of more than {limit} bytes; if the file is what you think it is, raise corpus.limits.max_document_bytes (now {max_document_bytes}), or set corpus.limits.oversized = \"drop\""
    )]
    TooLong {
        /// Where it begins.
        place: Place,
        /// What it is: a line, a paragraph, ...
        what: &'static str,
        /// The bytes allowed to it.
        limit: u64,
        /// The setting.
        max_document_bytes: u64,
    },
    /// A packed file ends too early.
    #[error("{file}: ends in the middle of its {what}: the file is truncated; fetch it again")]
    Truncated {
        /// The file.
        file: String,
        /// Of what.
        what: &'static str,
    },
    /// A packed file is damaged.
    #[error(
        "{file}: cannot be unpacked as {what} ({message}): it is damaged, or not what its name says; fetch it again or set `compression` and `format`"
    )]
    Damaged {
        /// The file.
        file: String,
        /// As what it was read.
        what: &'static str,
        /// What the decoder found.
        message: String,
    },
    /// A packed file unpacks to suspiciously much.
    #[error(
        "{file}: {packed} bytes unpack to more than {unpacked}, over {max_expansion} times as much: this looks like a decompression bomb; if you trust the file, raise corpus.limits.max_expansion"
    )]
    Bomb {
        /// The file.
        file: String,
        /// Packed bytes read so far.
        packed: u64,
        /// Unpacked bytes so far.
        unpacked: u64,
        /// The setting.
        max_expansion: u64,
    },
    /// More bytes than one file may have.
    #[error("{file}: more than {limit} bytes; raise corpus.limits.{key} if this is right")]
    TooLarge {
        /// The file or address.
        file: String,
        /// The bytes allowed.
        limit: u64,
        /// The key of the limit.
        key: &'static str,
    },
    /// A name in an archive points outside of it.
    #[error(
        "{archive}: the entry `{entry}` points outside the archive; do not trust it, or repack it without absolute paths and `..`"
    )]
    UnsafePath {
        /// The archive.
        archive: String,
        /// The name in it.
        entry: String,
    },
    /// A column or key that is not there.
    #[error("{place}: no column `{column}`; there {}", listed(.present))]
    MissingColumn {
        /// The file, and the line where lines can differ.
        place: Place,
        /// The wanted column or key.
        column: String,
        /// The columns or keys that are there.
        present: Vec<String>,
    },
    /// A record that cannot be parsed.
    #[error("{place}: {message}")]
    Malformed {
        /// Where it begins.
        place: Place,
        /// What is wrong.
        message: String,
    },
    /// An address cannot be fetched.
    #[error("{url}: cannot be fetched: {message}")]
    Fetch {
        /// The address.
        url: String,
        /// What went wrong.
        message: String,
    },
    /// `hf://` without the feature `hub`.
    #[error(
        "this build cannot read `{repository}` from the Hugging Face hub; build with the feature `hub`, or download the files and name them"
    )]
    NoHub {
        /// The dataset.
        repository: String,
    },
    /// An object store without the feature `cloud`.
    #[error(
        "this build cannot read `{address}`; build with the feature `cloud`, or fetch the files and name them"
    )]
    NoCloud {
        /// The address.
        address: String,
    },
    /// A grammar that cannot be used.
    #[error("{}: {source}", .path.display())]
    Grammar {
        /// The grammar file.
        path: PathBuf,
        /// What is wrong in it.
        source: textgan_synthetic::Error,
    },
    /// An oracle that cannot be used.
    #[error(transparent)]
    Oracle(#[from] textgan_synthetic::Error),
    /// Nothing was read.
    #[error("the corpus is empty: {sources} {} no document; check corpus.sources", if .blank > &0 { "holds only blank lines," } else { "holds" })]
    Empty {
        /// The sources, as configured.
        sources: String,
        /// Blank lines that were read.
        blank: u64,
    },
    /// Too few documents to split.
    #[error(
        "the corpus has {documents} {}, which cannot be split into {splits}: add documents, set `unit` to what a document is (line, paragraph, file), or give corpus.valid and corpus.test files of their own",
        if .documents == &1 { "document" } else { "documents" }
    )]
    CannotSplit {
        /// Documents read.
        documents: u64,
        /// The splits wanted.
        splits: String,
    },
    /// A split in which nothing is left.
    #[error("the split `{split}` is empty{reason}; {fix}")]
    EmptySplit {
        /// The split.
        split: Split,
        /// Rows dropped from it.
        dropped: u64,
        /// How many rows were dropped and which step dropped most, or nothing.
        reason: String,
        /// What to do.
        fix: &'static str,
    },
    /// The caller asked to stop.
    #[error("ingestion was stopped; run it again to start over")]
    Interrupted,
    /// Reading or writing an artifact.
    #[error(transparent)]
    Artifact(#[from] textgan_artifact::Error),
}

impl Error {
    /// The place in a file that it speaks of, if it does of one.
    pub(crate) fn place_mut(&mut self) -> Option<&mut Place> {
        match self {
            Self::NotUtf8 { place, .. }
            | Self::TooLong { place, .. }
            | Self::MissingColumn { place, .. }
            | Self::Malformed { place, .. } => Some(place),
            _ => None,
        }
    }

    /// Whether the caller asked to stop, as opposed to something being wrong.
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::Interrupted)
    }

    pub(crate) fn config(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Config { key: key.into(), message: message.into() }
    }
}

/// A place in a file: its name, and the line (from 1) where lines mean something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file: a path, an address, or `archive.tar/entry`.
    pub file: Arc<str>,
    /// The line or record, from 1; 0 where there are none.
    pub line: u64,
}

impl Place {
    pub(crate) fn whole(file: &Arc<str>) -> Self {
        Self { file: Arc::clone(file), line: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file),
            line => write!(f, "{}, line {line}", self.file),
        }
    }
}

fn listed(columns: &[String]) -> String {
    const SHOWN: usize = 30;
    if columns.is_empty() {
        return "are none".into();
    }
    let more = columns.len().saturating_sub(SHOWN);
    let names = columns[..columns.len() - more].join("`, `");
    let verb = if columns.len() == 1 { "is" } else { "are" };
    match more {
        0 => format!("{verb} `{names}`"),
        _ => format!("{verb} `{names}` and {more} more"),
    }
}
