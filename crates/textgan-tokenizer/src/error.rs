use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong; every message names the file or key, and the fix.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A key of the configuration cannot work.
    #[error("[tokenizer] {key}: {message}")]
    Config {
        /// The key.
        key: &'static str,
        /// What is wrong, and the fix.
        message: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A `tokenizer.json` that is none, or that has no place for the special tokens.
    #[error("{path}: {message}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Nothing in the texts can become a token.
    #[error(
        "no text to learn a vocabulary from: {counted} distinct units were seen, none often enough; \
         lower [tokenizer] min_frequency ({min_frequency}) or give more text"
    )]
    NothingToLearn {
        /// Distinct units seen.
        counted: usize,
        /// The configured bound.
        min_frequency: u64,
    },
    /// The data has fewer pieces than asked for.
    #[error(
        "[tokenizer] vocabulary_size: {requested} tokens were asked for, but this text allows only \
         {reached}; set vocabulary_size = {reached} or less, remove the key to take what there is, \
         or give more text"
    )]
    VocabularyTooLarge {
        /// Tokens asked for.
        requested: usize,
        /// Tokens that the data allows.
        reached: usize,
    },
    /// The alphabet alone is larger than the vocabulary.
    #[error(
        "[tokenizer] vocabulary_size: {requested} tokens cannot hold the {characters} characters of \
         this text and four special tokens; set at least {needed}, raise min_frequency, or use \
         kind = \"byte-bpe\""
    )]
    VocabularyTooSmall {
        /// Tokens asked for.
        requested: usize,
        /// Distinct characters.
        characters: usize,
        /// The smallest size that works.
        needed: usize,
    },
    /// A split without a single sequence.
    #[error(
        "the {split} split in {folder} has no sequences: {documents} documents, {dropped} dropped \
         here; give it more text, or raise [tokenizer] max_length or set overlong = \"truncate\""
    )]
    EmptySplit {
        /// `train`, `valid` or `test`.
        split: &'static str,
        /// Where its documents are.
        folder: PathBuf,
        /// Documents read.
        documents: u64,
        /// Documents dropped as empty or too long.
        dropped: u64,
    },
    /// A text without a label that can be learned.
    #[error(
        "{split} split, document {document} of {source_file}: it {problem}; give each a label that the training text has, \
         leave such documents out, or leave `label` out of corpus.sources to train without labels"
    )]
    Label {
        /// The split.
        split: &'static str,
        /// The document's number in the corpus.
        document: u64,
        /// The file that it came from.
        source_file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Labels that are not categories.
    #[error(
        "more than {limit} distinct labels, the last one {example:?}: this looks like an identifier, \
         not a category; leave the label column out of the ingested data"
    )]
    TooManyLabels {
        /// The most labels that are accepted.
        limit: usize,
        /// A label.
        example: String,
    },
    /// A token id that the vocabulary does not have.
    #[error("token id {id} is outside the vocabulary of {size} tokens")]
    UnknownId {
        /// The id.
        id: u32,
        /// The number of tokens.
        size: usize,
    },
    /// The `tokenizers` crate refused; `action` says what was tried.
    #[error("{action}: {message}")]
    Tokenizers {
        /// What was tried.
        action: &'static str,
        /// Its message.
        message: String,
    },
    /// The artifact floor failed: a table, a folder.
    #[error(transparent)]
    Artifact(#[from] textgan_artifact::Error),
    /// The user asked to stop.
    #[error("interrupted while tokenizing")]
    Interrupted,
}

impl Error {
    /// Whether the user asked to stop, rather than something having failed.
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::Interrupted)
    }

    /// Wraps an error of the `tokenizers` crate, which are boxed and untyped.
    pub(crate) fn tokenizers(
        action: &'static str,
    ) -> impl Fn(Box<dyn std::error::Error + Send + Sync>) -> Self {
        move |source| Self::Tokenizers { action, message: source.to_string() }
    }
}
