//! What is measured exactly where the truth of a corpus is known.

mod grammar;
mod oracle;
mod published;

pub(crate) use oracle::at_quality;

use textgan_artifact::table::TokenRow;
use textgan_generate::{Drawn, Labels, Model};
use textgan_random::Key;
use textgan_synthetic::{Grammar, Oracle};

use crate::evaluation::Curve;
use crate::likelihood::{Likelihood, Likelihoods};
use crate::series::Series;
use crate::{EvaluateConfig, Result};

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

    /// Of samples and likelihood at the temperatures of a sweep, and what follows from them.
    fn curve(&self, _sweep: &Sweep<'_>) -> Result<Option<(Curve, Vec<Series>)>> {
        Ok(None)
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

/// What a curve is drawn from.
#[derive(Clone, Copy)]
pub(crate) struct Sweep<'a> {
    pub model: &'a Model,
    pub labels: Labels<'a>,
    pub config: &'a EvaluateConfig,
    /// Names the samples: the same noise and streams at each temperature.
    pub key: &'a Key,
    /// The test split.
    pub rows: &'a [TokenRow],
    pub likelihoods: &'a Likelihoods<'a>,
}
