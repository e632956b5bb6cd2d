//! What can go wrong with artifacts, each with the path it happened to.

use std::io;
use std::path::{Path, PathBuf};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, where, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried: "read", "create", ...
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No room, or a quota reached.
    #[error("the disk is full: cannot {action} {path}; free space there and run again")]
    DiskFull {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
    },
    /// Another process holds the run.
    #[error(
        "the run folder {path} is in use{holder}; wait for it to end, or choose another with --run"
    )]
    InUse {
        /// The run folder.
        path: PathBuf,
        /// " by process N", or nothing when unknown.
        holder: String,
    },
    /// The folder exists and holds something else.
    #[error(
        "{path} is not a textgan run (it has files, but no `lock` file); choose a new or empty folder with --run"
    )]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// A name that would leave the folder it belongs to.
    #[error("{name:?} would leave the folder {base}; only plain relative names are allowed here")]
    Escapes {
        /// The folder.
        base: PathBuf,
        /// The name as given.
        name: String,
    },
    /// A stage folder without a manifest.
    #[error(
        "{path} has no manifest.json: it was not finished, or not made by this program; make it again"
    )]
    NoManifest {
        /// The stage's folder.
        path: PathBuf,
    },
    /// A manifest that cannot be understood.
    #[error("{path} is damaged: {message}; delete its folder and run again")]
    BadManifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A file that is not what its manifest says.
    #[error("{path} {problem} since stage `{stage}` wrote it; run again with `--from {stage}`, or delete {folder}",
        folder = path_parent(.path).display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// "was changed" or "is missing".
        problem: &'static str,
        /// The stage that wrote it.
        stage: String,
    },
    /// A table without a column that is needed.
    #[error("{path} has no column `{column}` of type {expected}; its columns are: {}", .present.join(", "))]
    MissingColumn {
        /// The table.
        path: PathBuf,
        /// The column's name.
        column: String,
        /// The type it should have.
        expected: String,
        /// The names that the table has.
        present: Vec<String>,
    },
    /// A column of another type.
    #[error("column `{column}` of {path} has type {found}, but {expected} is needed")]
    ColumnType {
        /// The table.
        path: PathBuf,
        /// The column's name.
        column: String,
        /// The type it should have.
        expected: String,
        /// The type it has.
        found: String,
    },
    /// A table that cannot be read or written.
    #[error("cannot {action} the table {path}: {message}")]
    Table {
        /// "read" or "write".
        action: &'static str,
        /// The table.
        path: PathBuf,
        /// What the Parquet or Arrow library said.
        message: String,
    },
    /// One row too large for a table.
    #[error("row {row} for {path} takes {bytes} bytes; at most {limit} fit in a table row")]
    RowTooLarge {
        /// The table.
        path: PathBuf,
        /// The row's position.
        row: u64,
        /// Its size.
        bytes: usize,
        /// The largest size.
        limit: usize,
    },
    /// The shards of a split are absent or incomplete.
    #[error("{directory} {problem} for split `{split}`")]
    Shards {
        /// The folder.
        directory: PathBuf,
        /// The split.
        split: String,
        /// What is wrong.
        problem: String,
    },
    /// Another process that works on the same run cannot go on.
    #[error("process {rank} of this run failed: {problem}")]
    Teammate {
        /// Its number, from 0.
        rank: usize,
        /// In its own words.
        problem: String,
    },
    /// A value that has no JSON form.
    #[error("cannot express {what} as JSON: {message}")]
    Json {
        /// Which value.
        what: String,
        /// What the JSON library said.
        message: String,
    },
}

impl Error {
    /// Wraps an error of the operating system; a full disk gets its own variant.
    pub fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { action, path }
            }
            _ => Self::Io { action, path, source },
        }
    }
}

impl Error {
    /// Says which table a column's error belongs to; columns do not know.
    pub(crate) fn at(mut self, table: &Path) -> Self {
        if let Self::MissingColumn { path, .. }
        | Self::ColumnType { path, .. }
        | Self::Table { path, .. } = &mut self
        {
            *path = table.to_path_buf();
        }
        self
    }
}

fn path_parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
