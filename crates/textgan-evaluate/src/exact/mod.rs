//! What is measured exactly where the truth of a corpus is known.

mod grammar;
mod oracle;
mod published;
mod rules;

pub(crate) use oracle::at_quality;

use textgan_artifact::table::TokenRow;
use textgan_generate::{Drawn, Model};
use textgan_synthetic::{Grammar, Oracle, Rules};

use crate::Result;
use crate::evaluation::{Better, PublishedCurve, Sweep};
use crate::likelihood::{Likelihood, Likelihoods};
use crate::series::Series;

/// What is known of the texts of a corpus: the distribution that they were drawn from, or the rules that
/// they keep.
#[derive(Clone, Copy, Debug)]
pub enum Truth<'a> {
    /// A grammar: what can be said at all, and how probable it is.
    Grammar(&'a Grammar),
    /// An LSTM with known parameters: how probable a sequence is.
    Oracle(&'a Oracle),
    /// Rules: whether a text is well-formed.
    Rules(&'a Rules),
}

impl<'a> Truth<'a> {
    pub(crate) fn exact(self) -> &'a dyn Exact {
        match self {
            Self::Grammar(grammar) => grammar,
            Self::Oracle(oracle) => oracle,
            Self::Rules(rules) => rules,
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
    /// The share of real text that has each number of tokens.
    pub real_lengths: &'a [f64],
}

impl Samples<'_> {
    /// The share of the samples of which something is true, and the same at the lengths of real text.
    fn shares(&self, name: &str, truths: &[bool], protocol: &str) -> [Series; 2] {
        let values: Vec<f64> = truths.iter().map(|&truth| f64::from(u8::from(truth))).collect();
        let lengths: Vec<usize> = self.drawn.tokens.iter().map(Vec::len).collect();
        let better = Better::Higher;
        let at_equal_length = Series::at_equal_length(
            &format!("{name}-at-equal-length"),
            &values,
            &lengths,
            self.real_lengths,
            better,
            &format!("{protocol}|lengths:of-test"),
            self.batches,
        );
        [Series::share_of(name, truths, better, protocol, self.batches), at_equal_length]
    }
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
