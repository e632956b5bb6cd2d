use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong; every message names the file or key, and the fix.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option cannot work.
    #[error("[generate] {key}: {message}")]
    Option {
        /// The option.
        key: &'static str,
        /// What is wrong, and the fix.
        message: String,
    },
    /// The vocabulary of the folder is not the one of its model.
    #[error(
        "{folder}: tokenizer.json has {tokenizer} tokens but the model {model}; they belong to \
         different runs"
    )]
    Vocabulary {
        /// The model folder.
        folder: PathBuf,
        /// Tokens of the tokenizer.
        tokenizer: usize,
        /// Tokens of the model.
        model: usize,
    },
    /// A file could not be written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The tokenizer failed.
    #[error(transparent)]
    Tokenizer(#[from] textgan_tokenizer::Error),
    /// A model failed.
    #[error(transparent)]
    Model(#[from] textgan_models::Error),
    /// candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// The artifact floor failed.
    #[error(transparent)]
    Artifact(#[from] textgan_artifact::Error),
    /// The user asked to stop.
    #[error("interrupted while generating")]
    Interrupted,
}

impl Error {
    /// Whether the user asked to stop, rather than something having failed.
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::Interrupted)
    }
}
