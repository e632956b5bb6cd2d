//! Run folders, manifests, fingerprints, atomic publication and typed Parquet tables.
//!
//! A *run* is a folder; each stage of a pipeline writes one folder in it. A stage works in
//! `<stage>.partial/`, which [`publish`] moves into place whole when the stage has succeeded. The
//! [`Manifest`] inside names every file with its hash, and the [`Fingerprint`] of what decided
//! them, so a later run can tell what is fresh and a reader can tell what was changed.
//!
//! Nothing here knows what the stages do.
//!
//! ```
//! use textgan_artifact::table::{self, TableWriter, TokenRow};
//! use textgan_artifact::{Fingerprint, Header, Manifest, RunDir, publish};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("run");
//! let run = RunDir::create(&path)?;
//! let _lock = run.lock()?; // a second process is refused
//!
//! let partial = run.partial_dir("tokenize")?;
//! std::fs::create_dir_all(&partial)?;
//! let mut writer = TableWriter::create(partial.join("train.parquet"))?;
//! writer.push(TokenRow { id: 0, label: None, tokens: vec![4, 9, 7], cut: false })?;
//! writer.finish()?;
//!
//! let fingerprint = Fingerprint::new("tokenize", 1).field("max_length", &32).finish()?;
//! let header = Header::new("tokenize", 1, fingerprint);
//! Manifest::write(&partial, header)?;
//! publish(&partial, &run.stage_dir("tokenize")?)?;
//!
//! let published = run.stage_dir("tokenize")?;
//! Manifest::read(&published)?.verify(&published)?;
//! let rows: Vec<TokenRow> = table::read(&published.join("train.parquet"))?;
//! assert_eq!(rows[0].tokens, [4, 9, 7]);
//! # Ok(())
//! # }
//! ```

mod error;
mod fingerprint;
mod hash;
mod manifest;
mod path;
mod plain;
mod progress;
mod publish;
mod run;
pub mod table;
mod team;

pub use error::{Error, Result};
pub use fingerprint::{Fingerprint, canonical_json};
pub use hash::{HashCache, hash_bytes, hash_file};
pub use manifest::{FileEntry, Header, MANIFEST, Manifest, instruction_set};
pub use path::safe_join;
pub use plain::{open_plain, plain_folder};
pub use progress::{Progress, Quiet};
pub use publish::{
    copy_atomic, make_folder, publish, recover, remove_folder, replace_file, write_atomic,
};
pub use run::{RunDir, RunLock};
pub use team::{ALONE, Team, Wire};

/// The blocks of the README, which are tested with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
