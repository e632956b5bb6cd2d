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
pub(crate) use distinct::TextHash;
pub use local::{Cleaner, Rejected};
pub(crate) use minhash::Signature;
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
    /// The number of the document in its stream.
    pub(crate) document: u64,
    pub(crate) split: Split,
    pub(crate) fate: Fate,
    pub(crate) precomputed: Precomputed,
}

/// What later steps will ask of a text, computed where rows are still independent of each other. It is forgotten
/// when the text changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Precomputed {
    pub(crate) hash: Option<TextHash>,
    /// For the first of the steps that ask for one.
    pub(crate) signature: Option<Box<Signature>>,
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

    fn rewrite(&mut self, text: String) {
        self.text = text;
        self.precomputed = Precomputed::default();
    }

    fn drop_by(&mut self, step: &'static str, reason: String) {
        self.fate = Fate::Dropped { step, reason };
    }
}
