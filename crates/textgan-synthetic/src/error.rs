/// Why a grammar, or a question to one, was refused.
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
}

impl Error {
    pub(crate) fn entry(key: &str, message: impl Into<String>) -> Self {
        Self::Entry { key: key.to_owned(), message: message.into() }
    }
}
