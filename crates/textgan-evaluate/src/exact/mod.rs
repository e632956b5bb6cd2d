//! What is measured exactly where the truth of a corpus is known.

mod grammar;
mod oracle;
mod published;

pub(crate) use oracle::at_quality;

use textgan_artifact::table::TokenRow;
use textgan_generate::{Drawn, Model};
use textgan_synthetic::{Grammar, Oracle};

use crate::Result;
use crate::evaluation::{PublishedCurve, Sweep};
use crate::likelihood::{Likelihood, Likelihoods};
use crate::series::Series;

/// The distribution that a corpus was drawn from.
#[derive(Clone, Copy, Debug)]
pub enum Truth<'a> {
    /// A grammar: what can be said at all, and how probable it is.
    Grammar(&'a Grammar),
    /// An LSTM with known parameters: how probable a sequence is.
    Oracle(&'a Oracle),
}

impl<'a> Truth<'a> {
    pub(crate) fn exact(self) -> &'a dyn Exact {
        match self {
            Self::Grammar(grammar) => grammar,
            Self::Oracle(oracle) => oracle,
        }
    }
}

/// Measures that need the truth. Each has a place in an evaluation where it is asked for; a truth
/// answers where it has something to say.
pub(crate) trait Exact {
    /// Of the samples that quality and diversity are measured on.
    fn samples(&self, samples: &Samples<'_>) -> Result<Vec<Series>>;

    /// Of the most probable texts of many noise vectors.
    fn greedy(&self, _samples: &Samples<'_>) -> Result<Vec<Series>> {
        Ok(Vec::new())
    }

    /// Of the likelihood of a held-out split.
    fn held_out(&self, held_out: &HeldOut<'_>) -> Result<Vec<Series>>;

    /// Of held-out texts at each temperature of a sweep.
    fn swept(&self, sweep: &HeldOutSweep<'_>) -> Result<Vec<Vec<Series>>> {
        Ok(sweep.temperatures.iter().map(|_| Vec::new()).collect())
    }

    /// What others have published on samples of this greatest length.
    fn published(&self, _length: usize) -> Vec<PublishedCurve> {
        Vec::new()
    }

    /// What follows from a finished sweep.
    fn matched(&self, _sweep: &Sweep) -> Vec<Series> {
        Vec::new()
    }
}

/// Samples of a model.
#[derive(Clone, Copy)]
pub(crate) struct Samples<'a> {
    pub model: &'a Model,
    pub drawn: &'a Drawn,
    /// How they were drawn: a part of protocols.
    pub how: &'a str,
    pub batches: usize,
}

/// A held-out split and its likelihood under a model.
#[derive(Clone, Copy)]
pub(crate) struct HeldOut<'a> {
    pub model: &'a Model,
    pub rows: &'a [TokenRow],
    pub split: &'a str,
    pub likelihood: &'a Likelihood,
    pub likelihoods: &'a Likelihoods<'a>,
    pub batches: usize,
}

/// A held-out split that is measured at several temperatures.
#[derive(Clone, Copy)]
pub(crate) struct HeldOutSweep<'a> {
    pub model: &'a Model,
    pub temperatures: &'a [f32],
    pub rows: &'a [TokenRow],
    pub split: &'a str,
    pub likelihoods: &'a Likelihoods<'a>,
    pub batches: usize,
}
