use std::path::PathBuf;

/// What can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration that describes no model.
    #[error("`{key}`: {message}")]
    Config {
        /// The key of the configuration, such as `generator.heads`.
        key: String,
        /// What is wrong with its value, and what would be right.
        message: String,
    },
    /// An argument whose size or content does not fit the model.
    #[error("{what}: {message}")]
    Argument {
        /// The argument.
        what: &'static str,
        /// What is wrong with it, and what would be right.
        message: String,
    },
    /// A file that could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of a model folder, or a word-vector file, whose content is not what it should be.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and how to mend it.
        message: String,
    },
    /// A failure below, in the layers and operations.
    #[error(transparent)]
    Nn(#[from] textgan_nn::Error),
    /// A failure below, in candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn config(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Config { key: key.into(), message: message.into() }
    }

    pub(crate) fn argument(what: &'static str, message: impl Into<String>) -> Self {
        Self::Argument { what, message: message.into() }
    }

    pub(crate) fn file(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self::File { path: path.into(), message: message.into() }
    }

    /// Names the file in an input or output failure: `.map_err(Error::io(path))`.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
