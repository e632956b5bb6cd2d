//! Cleaning steps, applied to batches of rows in order.

mod cross_split;
mod distinct;
mod local;
mod minhash;
mod pipeline;
mod sentences;
mod stop_words;
mod text;

pub(crate) use cross_split::Registry;
pub use local::{Cleaner, Rejected};
pub(crate) use pipeline::{Extent, Pipeline};

use crate::Split;
use std::sync::Arc;

/// The step that reading itself is, in reasons.
pub(crate) const READ: &str = "read";

/// A document, or what a step made of it, on its way through the steps.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) text: String,
    pub(crate) label: Option<String>,
    pub(crate) metadata: Option<String>,
    pub(crate) source: Arc<str>,
    pub(crate) split: Split,
    pub(crate) fate: Fate,
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Kept,
    Dropped { step: &'static str, reason: String },
}

impl Row {
    pub(crate) fn is_kept(&self) -> bool {
        self.fate == Fate::Kept
    }

    fn drop_by(&mut self, step: &'static str, reason: String) {
        self.fate = Fate::Dropped { step, reason };
    }
}
