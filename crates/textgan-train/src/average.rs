//! The moving average of the weights that learn.

use textgan_nn::Parameters;

use crate::Result;

/// Weights that learn, and their average.
pub(crate) struct Average {
    /// Shared with the networks.
    pub learning: Parameters,
    /// What they were, on average over recent updates.
    pub mean: Parameters,
    /// Share of itself that it keeps at an update.
    kept: f32,
}

impl Average {
    /// An average that begins at the weights as they are.
    pub fn new(learning: Parameters, kept: f32) -> Result<Self> {
        Ok(Self { mean: learning.deep_clone()?, learning, kept })
    }

    /// Takes note of the weights after update number `updates`, counted from 0.
    pub fn update(&self, updates: u64) -> Result<()> {
        let early = (1 + updates) as f32 / (10 + updates) as f32;
        Ok(self.mean.approach(&self.learning, self.kept.min(early))?)
    }
}
