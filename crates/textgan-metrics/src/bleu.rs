//! Sentence BLEU against a reference set, and Self-BLEU, exact in linear time.
//!
//! BLEU (Papineni et al., 2002) clips the count of each n-gram by its largest count in any one
//! reference. The largest count over a *set* is found once per distinct n-gram. For Self-BLEU
//! (Zhu et al., 2018), where the references of a sample are all the others, it is enough to
//! remember the largest count, whose it is, and the second largest: without its owner, the second
//! is the largest. No reference is left out and none is visited twice.

use crate::Error;
use crate::error::check;
use crate::grams::{Grams, UNSEEN, runs};
use crate::smoothing::{Counts, Smoothing};
use rayon::prelude::*;
use std::ops::Range;

/// Sentences a parallel task takes at a time.
pub(crate) const TASK: usize = 64;

/// A set of reference sentences, indexed once and scored against often.
pub struct References {
    max_n: usize,
    smoothing: Smoothing,
    grams: Grams,
    /// By order (from 0) and n-gram number.
    largest: Vec<Vec<Largest>>,
    lengths: Lengths,
    sentences: usize,
}

/// The largest count of an n-gram in one sentence, that sentence, and the largest in any other.
#[derive(Clone, Copy, Default)]
struct Largest {
    count: u32,
    owner: u32,
    second: u32,
}

/// How many references have each length, sorted by length.
struct Lengths(Vec<(usize, usize)>);

/// BLEU of every sentence of a set, for all orders.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    max_n: usize,
    /// `[sentence, n - 1]`
    values: Vec<f64>,
}

/// BLEU-1 to BLEU-`max_n` of samples against a reference set; element `n - 1` is BLEU-`n`.
///
/// The mean over samples of NLTK's `sentence_bleu` with uniform weights up to `n`,
/// `SmoothingFunction().method1`, every reference used and the closest reference length for the
/// brevity penalty. An empty sample scores 0.
///
/// # Errors
/// No samples or references, or only empty ones; `max_n` of zero.
pub fn bleu<S, R>(samples: &[S], references: &[R], max_n: usize) -> Result<Vec<f64>, Error>
where
    S: AsRef<[u32]> + Sync,
    R: AsRef<[u32]>,
{
    Ok(References::new(references, max_n)?.score(samples)?.mean())
}

/// Self-BLEU-1 to Self-BLEU-`max_n` of samples; element `n - 1` is Self-BLEU-`n`.
///
/// The mean over samples of their BLEU (as [`bleu`]) with *all other* samples as references. It
/// grows with the number of samples: compare sets of one size only.
///
/// # Errors
/// Fewer than two samples, or only empty ones; `max_n` of zero.
pub fn self_bleu<S: AsRef<[u32]> + Sync>(samples: &[S], max_n: usize) -> Result<Vec<f64>, Error> {
    Ok(self_bleu_scores(samples, max_n)?.mean())
}

/// The Self-BLEU of every sample; see [`self_bleu`].
///
/// # Errors
/// As [`self_bleu`].
pub fn self_bleu_scores<S: AsRef<[u32]> + Sync>(
    samples: &[S],
    max_n: usize,
) -> Result<Scores, Error> {
    self_bleu_smoothed(samples, max_n, Smoothing::default())
}

/// As [`self_bleu_scores`], with another smoothing method.
///
/// # Errors
/// As [`self_bleu`]; a sample for which the method has no value.
pub fn self_bleu_smoothed<S: AsRef<[u32]> + Sync>(
    samples: &[S],
    max_n: usize,
    smoothing: Smoothing,
) -> Result<Scores, Error> {
    if samples.len() == 1 {
        return Err(Error::OneSample);
    }
    check("samples", samples)?;
    References::index(samples, max_n, smoothing)?.score_each(samples, Own::Excluded)
}

impl References {
    /// Indexes a reference set for BLEU up to order `max_n`.
    ///
    /// # Errors
    /// No references, or only empty ones; `max_n` of zero.
    pub fn new<R: AsRef<[u32]>>(references: &[R], max_n: usize) -> Result<Self, Error> {
        Self::smoothed(references, max_n, Smoothing::default())
    }

    /// As [`References::new`], with another smoothing method.
    ///
    /// # Errors
    /// As [`References::new`].
    pub fn smoothed<R: AsRef<[u32]>>(
        references: &[R],
        max_n: usize,
        smoothing: Smoothing,
    ) -> Result<Self, Error> {
        check("references", references)?;
        Self::index(references, max_n, smoothing)
    }

    /// How many references there are.
    pub fn len(&self) -> usize {
        self.sentences
    }

    /// Never true: an empty set is refused.
    pub fn is_empty(&self) -> bool {
        self.sentences == 0
    }

    /// BLEU of every sample against this set; see [`bleu`].
    ///
    /// # Errors
    /// No samples, or only empty ones; a sample for which the smoothing method has no value.
    pub fn score<S: AsRef<[u32]> + Sync>(&self, samples: &[S]) -> Result<Scores, Error> {
        check("samples", samples)?;
        self.score_each(samples, Own::Absent)
    }

    pub(crate) fn max_n(&self) -> usize {
        self.max_n
    }

    pub(crate) fn counter(&self) -> Counter<'_> {
        Counter {
            references: self,
            ids: Vec::new(),
            sorted: Vec::new(),
            matches: vec![0; self.grams.max_n()],
        }
    }

    /// Of a set that may say nothing.
    pub(crate) fn unchecked<R: AsRef<[u32]>>(
        references: &[R],
        max_n: usize,
    ) -> Result<Self, Error> {
        Self::index(references, max_n, Smoothing::default())
    }

    fn index<R: AsRef<[u32]>>(
        references: &[R],
        max_n: usize,
        smoothing: Smoothing,
    ) -> Result<Self, Error> {
        if max_n == 0 {
            return Err(Error::Order);
        }
        let orders = smoothing.orders(max_n);
        let mut grams = Grams::new(orders);
        let mut largest: Vec<Vec<Largest>> = vec![Vec::new(); orders];
        let (mut ids, mut sorted) = (Vec::new(), Vec::new());
        for (owner, reference) in references.iter().enumerate() {
            grams.add(reference.as_ref(), &mut ids, |n, ids| {
                sorted.clear();
                sorted.extend_from_slice(ids);
                sorted.sort_unstable();
                let largest = &mut largest[n - 1];
                for (id, count) in runs(&sorted) {
                    let id = id as usize;
                    if id >= largest.len() {
                        largest.resize(id + 1, Largest::default());
                    }
                    largest[id].see(count, owner as u32);
                }
            })?;
        }
        let lengths = Lengths::new(references.iter().map(|r| r.as_ref().len()));
        Ok(Self { max_n, smoothing, grams, largest, lengths, sentences: references.len() })
    }

    fn score_each<S: AsRef<[u32]> + Sync>(&self, samples: &[S], own: Own) -> Result<Scores, Error> {
        let max_n = self.max_n;
        let mut values = vec![0.0; samples.len() * max_n];
        let first_undefined = values
            .par_chunks_mut(TASK * max_n)
            .zip(samples.par_chunks(TASK))
            .enumerate()
            .filter_map(|(task, (values, samples))| {
                let mut counter = self.counter();
                let mut precisions = vec![0.0; max_n];
                let mut undefined = None;
                for (i, (scores, sample)) in values.chunks_mut(max_n).zip(samples).enumerate() {
                    let number = task * TASK + i;
                    counter.count_among(sample.as_ref(), number as u32, own, |counts| {
                        if !combine(self.smoothing, counts, &mut precisions, scores) {
                            undefined.get_or_insert(number);
                        }
                    });
                }
                undefined
            })
            .min();
        match first_undefined {
            Some(sample) => Err(Error::Undefined { sample, method: self.smoothing.number() }),
            None => Ok(Scores { max_n, values }),
        }
    }
}

/// Whether a sample stands among the references itself, and is to be left out of them.
#[derive(Clone, Copy, PartialEq)]
enum Own {
    Absent,
    Excluded,
}

/// Counts matches, with buffers that are used again.
pub(crate) struct Counter<'a> {
    references: &'a References,
    ids: Vec<u32>,
    sorted: Vec<u32>,
    matches: Vec<u32>,
}

impl Counter<'_> {
    /// Counts a sample that is not one of the references.
    pub fn count(&mut self, sample: &[u32], counted: impl FnOnce(Counts<'_>)) {
        self.count_among(sample, UNSEEN, Own::Absent, counted);
    }

    fn count_among(
        &mut self,
        sample: &[u32],
        number: u32,
        own: Own,
        counted: impl FnOnce(Counts<'_>),
    ) {
        let Self { references, ids, sorted, matches } = self;
        matches.fill(0);
        references.grams.look_up(sample, ids, |n, ids| {
            sorted.clear();
            sorted.extend(ids.iter().filter(|&&id| id != UNSEEN));
            sorted.sort_unstable();
            let largest = &references.largest[n - 1];
            matches[n - 1] = runs(sorted)
                .map(|(id, count)| count.min(largest[id as usize].without(number, own)))
                .sum();
        });
        let closest = references.lengths.closest(sample.len(), own == Own::Excluded);
        counted(Counts { matches, length: sample.len(), closest });
    }
}

impl Largest {
    /// The largest count, or that among all but the sample itself.
    fn without(&self, sample: u32, own: Own) -> u32 {
        if own == Own::Excluded && self.owner == sample { self.second } else { self.count }
    }

    fn see(&mut self, count: u32, owner: u32) {
        if count > self.count {
            *self = Self { count, owner, second: self.count };
        } else if count > self.second {
            self.second = count;
        }
    }
}

impl Lengths {
    fn new(lengths: impl Iterator<Item = usize>) -> Self {
        let mut sorted: Vec<usize> = lengths.collect();
        sorted.sort_unstable();
        Self(sorted.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect())
    }

    /// The reference length closest to `length`, the shorter one of two; without the sample's own
    /// when it stands in the set.
    fn closest(&self, length: usize, without_itself: bool) -> usize {
        let at = self.0.partition_point(|&(l, _)| l < length);
        let here = self.0.get(at).filter(|&&(l, _)| l == length);
        if here.is_some_and(|&(_, count)| count > usize::from(without_itself)) {
            return length;
        }
        let above = self.0.get(at + usize::from(here.is_some())).map(|&(l, _)| l);
        let below = at.checked_sub(1).map(|i| self.0[i].0);
        match (below, above) {
            (Some(below), Some(above)) if above - length < length - below => above,
            (Some(below), _) => below,
            (None, Some(above)) => above,
            (None, None) => length,
        }
    }
}

/// BLEU of every order that `scores` has room for; whether they have a value.
fn combine(
    smoothing: Smoothing,
    counts: Counts<'_>,
    precisions: &mut [f64],
    scores: &mut [f64],
) -> bool {
    if counts.matches[0] == 0 {
        scores.fill(0.0); // not one word in common, or no word at all
        return true;
    }
    let brevity = counts.brevity();
    if smoothing.looks_above() {
        for (i, score) in scores.iter_mut().enumerate() {
            smoothing.smooth(counts, &mut precisions[..=i]);
            *score = brevity * (logarithms(&precisions[..=i]).sum::<f64>() / (i + 1) as f64).exp();
        }
        return true;
    }
    if !smoothing.smooth(counts, precisions) {
        return false;
    }
    let mut sum = 0.0;
    for (i, (score, logarithm)) in scores.iter_mut().zip(logarithms(precisions)).enumerate() {
        sum += logarithm;
        *score = brevity * (sum / (i + 1) as f64).exp();
    }
    true
}

/// A precision that a method leaves at zero is left out of the mean, as in NLTK.
fn logarithms(precisions: &[f64]) -> impl Iterator<Item = f64> {
    precisions.iter().map(|&precision| if precision > 0.0 { precision.ln() } else { 0.0 })
}

impl Scores {
    /// How many sentences were scored.
    pub fn len(&self) -> usize {
        self.values.len() / self.max_n
    }

    /// Never true: an empty set is refused.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The scores of one sentence; element `n - 1` is its BLEU-`n`.
    pub fn sentence(&self, index: usize) -> &[f64] {
        &self.values[index * self.max_n..(index + 1) * self.max_n]
    }

    /// The mean over all sentences; element `n - 1` is BLEU-`n`.
    pub fn mean(&self) -> Vec<f64> {
        self.mean_of(0..self.len())
    }

    /// The mean over some of the sentences, such as a batch; zeros for an empty range.
    pub fn mean_of(&self, sentences: Range<usize>) -> Vec<f64> {
        let count = sentences.len().max(1) as f64;
        let mut mean = vec![0.0; self.max_n];
        for index in sentences {
            for (sum, value) in mean.iter_mut().zip(self.sentence(index)) {
                *sum += value;
            }
        }
        mean.iter_mut().for_each(|sum| *sum /= count);
        mean
    }
}
