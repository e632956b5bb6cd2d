use std::path::PathBuf;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that is there cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file holds something else than its stage writes.
    #[error("{}{} is not what was expected: {message}; run the stage that wrote it again", path.display(), line.map_or(String::new(), |line| format!(", line {line},")))]
    Format {
        /// The file.
        path: PathBuf,
        /// The line, in files of one object a line.
        line: Option<usize>,
        /// What is wrong.
        message: String,
    },
    /// The run folder, or writing the report.
    #[error(transparent)]
    Artifact(#[from] textgan_artifact::Error),
}
