use std::path::PathBuf;

/// What can go wrong while training. Nothing is half-written when one of these comes back: the
/// output folder holds the last complete checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting of `[train]` that cannot work.
    #[error("[train]: {problem}")]
    Train {
        /// What is wrong and how to put it right.
        problem: String,
    },
    /// A `[[phase]]` that cannot work.
    #[error("phase.{number} ({kind}): {problem}")]
    Phase {
        /// Place in the list, from 0, as keys of a config count.
        number: usize,
        /// Its `kind`.
        kind: &'static str,
        /// What is wrong and how to put it right.
        problem: String,
    },
    /// A split without sentences.
    #[error(
        "the {split} split has no sentences; training needs some: give the corpus more text or a larger share for {split}"
    )]
    EmptySplit {
        /// Its name.
        split: &'static str,
    },
    /// A row that the model cannot read.
    #[error(
        "{split} split, row {row}: {problem}; tokenize the corpus again with this run's tokenizer"
    )]
    Row {
        /// The split.
        split: &'static str,
        /// The row, from 0.
        row: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// More memory than the machine has.
    #[error(
        "training needs about {needed_mib} MiB of memory and this machine has {machine_mib} MiB: \
         lower train.batch_size, the models' widths, or the tokenizer's max_length or vocabulary"
    )]
    Memory {
        /// The estimate.
        needed_mib: u64,
        /// What there is.
        machine_mib: u64,
    },
    /// A loss or a gradient that is not a number. The optimizer was not called.
    #[error(
        "{what} is not finite at step {step} (phase.{phase}, {kind}); the weights were not touched. \
         The last good checkpoint is {}; lower the learning rate or clip_norm and start again from there",
        checkpoint.display()
    )]
    NonFinite {
        /// The quantity.
        what: String,
        /// Steps made over all phases.
        step: u64,
        /// The phase, from 0.
        phase: usize,
        /// Its `kind`.
        kind: &'static str,
        /// The folder of the last good checkpoint.
        checkpoint: PathBuf,
    },
    /// Stopped on request, after a checkpoint.
    #[error("stopped at step {step}; everything is saved in {}, and the same command goes on from there", checkpoint.display())]
    Interrupted {
        /// Steps made over all phases.
        step: u64,
        /// The folder of the checkpoint.
        checkpoint: PathBuf,
    },
    /// Checkpoints of a run with other phases.
    #[error(
        "{} belongs to another configuration: {difference}. Train into an empty folder, or restore the configuration",
        folder.display()
    )]
    OtherRun {
        /// The output folder.
        folder: PathBuf,
        /// What is different.
        difference: String,
    },
    /// Weights of another run that do not fit this one.
    #[error("cannot begin from {}: {problem}", folder.display())]
    InitFrom {
        /// The model folder.
        folder: PathBuf,
        /// What does not fit.
        problem: String,
    },
    /// A checkpoint, or a file that grows with the run, that cannot be gone on from.
    #[error("{}: {problem}; delete the unfinished training and start it again", path.display())]
    Checkpoint {
        /// File or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Replicas of a step that have not all made the same updates.
    #[error(
        "the replicas of this step did not all make the same updates: whether it makes one depends on what they drew; \
         train it whole, with train.replicas = 1"
    )]
    Apart,
    /// A file or folder that cannot be read, written or published.
    #[error(transparent)]
    Artifact(#[from] textgan_artifact::Error),
    /// A model.
    #[error(transparent)]
    Models(#[from] textgan_models::Error),
    /// A measure of samples.
    #[error(transparent)]
    Metrics(#[from] textgan_metrics::Error),
    /// A layer or an optimizer.
    #[error(transparent)]
    Nn(#[from] textgan_nn::Error),
    /// A tensor operation.
    #[error("tensor operation: {0}")]
    Tensor(#[from] candle_core::Error),
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether this is the answer to a request to stop, and the run can go on later.
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::Interrupted { .. })
    }
}

/// Puts what was tried, and on which path, beside an input-output error.
pub(crate) fn io(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.into();
    move |source| textgan_artifact::Error::io(action, path, source).into()
}
