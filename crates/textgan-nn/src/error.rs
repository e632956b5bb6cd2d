use std::path::PathBuf;

/// What can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// candle refused an operation.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),

    /// The arguments of an operation do not fit together.
    #[error("{operation}: {problem}")]
    Argument {
        /// The operation that was called.
        operation: &'static str,
        /// What does not fit, with the sizes.
        problem: String,
    },

    /// Two parameters were given the same name.
    #[error("parameter `{name}` exists already; give each layer its own `Builder::child`")]
    DuplicateParameter {
        /// The full name.
        name: String,
    },

    /// A stored tensor does not match the parameter of that name.
    #[error("{origin}: tensor `{name}` {problem}")]
    ParameterMismatch {
        /// The file, or the description of the other store.
        origin: String,
        /// The full name of the parameter.
        name: String,
        /// What differs.
        problem: String,
    },

    /// A variable took no part in the loss, so training would silently leave it as it is.
    #[error(
        "parameter `{name}` received no gradient: the loss does not depend on it (or an operation \
         without a backward pass lies between)"
    )]
    NoGradient {
        /// The full name of the parameter.
        name: String,
    },

    /// The gradient has a NaN or an infinity; no weight was changed.
    #[error(
        "the gradient is not finite (norm {norm}, first seen in `{name}`); no weight was changed. \
         Lower the learning rate or clip the gradient"
    )]
    NonFinite {
        /// The norm over all parameters.
        norm: f32,
        /// The first parameter, by name, whose gradient is not finite.
        name: String,
    },

    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },

    /// A file is not a valid safetensors file.
    #[error("{path}: not a valid safetensors file: {source}")]
    Format {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: safetensors::SafeTensorError,
    },
}

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn argument(operation: &'static str, problem: impl Into<String>) -> Self {
        Self::Argument { operation, problem: problem.into() }
    }
}

/// Inside a custom operation candle wants its own error type.
impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Candle(error) => error,
            other => Self::wrap(other),
        }
    }
}
