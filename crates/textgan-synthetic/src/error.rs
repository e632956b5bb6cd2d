use std::path::PathBuf;

/// Why a grammar or an oracle, or a question to one, was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is not TOML, or has unknown or missing keys.
    #[error("the grammar is not valid: {0}")]
    Toml(#[from] toml::de::Error),
    /// A key, a weight, a word list or a reference that cannot be read.
    #[error("in `{key}`: {message}")]
    Entry {
        /// The TOML key.
        key: String,
        /// What is wrong, and what to write instead.
        message: String,
    },
    /// A symbol leads back to itself: its sentences have no longest one, and nothing here is exact then.
    #[error(
        "`{cycle}` is recursive: a grammar must be finite; write the depth you want as separate rules"
    )]
    Recursive {
        /// The symbols of the loop, joined by arrows.
        cycle: String,
    },
    /// No sentence ever uses this entry.
    #[error("`{key}` is never used: refer to it as `<{key}>` or remove it")]
    Unused {
        /// The TOML key.
        key: String,
    },
    /// The automaton of the grammar does not fit.
    #[error("the grammar expands to more than {limit} arcs: use fewer nested rules")]
    TooLarge {
        /// The largest number of arcs accepted.
        limit: usize,
    },
    /// A label that the grammar does not have.
    #[error("there is no label `{label}`: the labels are {known}")]
    UnknownLabel {
        /// What was asked for.
        label: String,
        /// The labels there are, joined by commas.
        known: String,
    },
    /// The exact entropy of sentences is that of derivations, and this sentence has two.
    #[error(
        "the entropy is not computable exactly: `{sentence}` has two derivations; use `estimate_entropy`"
    )]
    Ambiguous {
        /// A shortest sentence with two derivations (or with two labels).
        sentence: String,
    },
    /// A statistic over nothing.
    #[error("there are no samples to measure")]
    NoSamples,
    /// An array of an oracle cannot be read.
    #[error(
        "{}: cannot read: {source}; an oracle is a folder with embedding.npy, wo.npy, bo.npy and, for each gate of i, f, og and c, w<gate>.npy, u<gate>.npy and b<gate>.npy",
        .path.display()
    )]
    ReadArray {
        /// The file.
        path: PathBuf,
        /// The refusal.
        source: std::io::Error,
    },
    /// An array of an oracle that is not what it should be.
    #[error("{} {message}", .path.display())]
    Array {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the fix.
        message: String,
    },
    /// A token that the oracle does not have.
    #[error("the oracle has no token {token}: its tokens are 0 to {}", .vocabulary - 1)]
    UnknownToken {
        /// What was asked for.
        token: u32,
        /// The number of tokens.
        vocabulary: usize,
    },
}

impl Error {
    pub(crate) fn entry(key: &str, message: impl Into<String>) -> Self {
        Self::Entry { key: key.to_owned(), message: message.into() }
    }

    pub(crate) fn array(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self::Array { path: path.into(), message: message.into() }
    }
}
