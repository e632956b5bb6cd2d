//! Texts that more than one split has.

use super::distinct::{DistinctSet, TextHash};
use crate::stats::{MemoryStats, SharedStats};
use crate::{SharedAction, Split};

/// Remembers which split has which texts, over all streams of an ingestion.
pub(crate) struct Registry {
    pub(crate) action: SharedAction,
    /// Whether texts of `sources` must be remembered: only when splits are drawn from them, and
    /// nothing has made them distinct already.
    remember_pool: bool,
    sets: [DistinctSet; 3],
    /// Rows of the first split that the second had before.
    shared: [[u64; 3]; 3],
}

impl Registry {
    pub(crate) fn new(action: SharedAction, remember_pool: bool) -> Self {
        let sets = Split::ALL.map(|_| DistinctSet::new());
        Self { action, remember_pool, sets, shared: [[0; 3]; 3] }
    }

    /// Another split that has this text already. If there is none, or it stays all the same, it is
    /// remembered for its own split.
    pub(crate) fn meet(
        &mut self,
        split: Split,
        hash: TextHash,
        own: bool,
        stays: bool,
    ) -> Option<Split> {
        let others = Split::ALL.into_iter().filter(|&other| other != split);
        let other = others.into_iter().find(|&other| self.sets[other as usize].contains(hash));
        if let Some(other) = other {
            self.shared[split as usize][other as usize] += 1;
        }
        if (own || self.remember_pool) && (other.is_none() || stays) {
            self.sets[split as usize].insert(hash);
        }
        other
    }

    pub(crate) fn shared(&self) -> Vec<SharedStats> {
        let pairs =
            Split::ALL.into_iter().flat_map(|a| Split::ALL.into_iter().map(move |b| (a, b)));
        pairs
            .map(|(split, also_in)| SharedStats {
                split,
                also_in,
                rows: self.shared[split as usize][also_in as usize],
            })
            .filter(|shared| shared.rows > 0)
            .collect()
    }

    pub(crate) fn memory(&self, step: &str) -> MemoryStats {
        MemoryStats {
            step: step.into(),
            rows: self.sets.iter().map(DistinctSet::len).sum(),
            bytes: self.sets.iter().map(DistinctSet::bytes).sum(),
        }
    }
}
