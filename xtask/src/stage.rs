//! What a stage is.

use anyhow::Result;
use std::path::{Path, PathBuf};
use textgan_artifact::{Fingerprint, Progress, RunDir};

/// Something that a stage reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Everything that an earlier stage published.
    Stage(&'static str),
    /// A file from outside the run, or one that the run began with.
    File(PathBuf),
}

/// One stage of a run: artifacts in, artifacts out. It keeps nothing between calls; what it does is
/// a function of a library crate.
pub trait Stage {
    /// Its name, and that of its folder.
    fn name(&self) -> &'static str;

    /// What it reads.
    ///
    /// # Errors
    /// A file that is not there.
    fn inputs(&self, run: &RunDir) -> Result<Vec<Input>>;

    /// What decides its output besides the inputs: config, seed, format version.
    fn fingerprint(&self) -> Fingerprint;

    /// Writes into `out`, an existing folder, which the runner publishes on success.
    ///
    /// # Errors
    /// Whatever fails; `out` is thrown away then, unless the stage can go on from it.
    fn run(&self, run: &RunDir, out: &Path, progress: &dyn Progress) -> Result<()>;

    /// Whether a later call of [`run`](Self::run) can go on from what an earlier one left in
    /// `partial`.
    fn can_resume(&self, _partial: &Path) -> bool {
        false
    }

    /// Makes `partial` such that [`run`](Self::run) goes on from `finished`, its output under another
    /// config; `false` for a stage that can only be made again.
    ///
    /// # Errors
    /// What stands in the way.
    fn extend(&self, _finished: &Path, _partial: &Path) -> Result<bool> {
        Ok(false)
    }

    /// Whether all processes of a team [run](Self::run) it together; else the one who leads does alone.
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether its output took long to make: what another config would replace is set aside then,
    /// instead of being removed.
    fn is_precious(&self) -> bool {
        false
    }
}
