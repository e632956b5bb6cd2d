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
use rayon::prelude::*;
use std::ops::Range;

/// NLTK's `SmoothingFunction(epsilon=0.1).method1`: a precision of zero counts as `0.1` matches
/// (Chen and Cherry, 2014).
const EPSILON: f64 = 0.1;

/// Sentences a parallel task takes at a time.
const TASK: usize = 64;

/// A set of reference sentences, indexed once and scored against often.
pub struct References {
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
    if samples.len() == 1 {
        return Err(Error::OneSample);
    }
    let index = References::index("samples", samples, max_n)?;
    Ok(index.score_each(
        samples,
        |largest, sample| {
            if largest.owner == sample { largest.second } else { largest.count }
        },
        true,
    ))
}

impl References {
    /// Indexes a reference set for BLEU up to order `max_n`.
    ///
    /// # Errors
    /// No references, or only empty ones; `max_n` of zero.
    pub fn new<R: AsRef<[u32]>>(references: &[R], max_n: usize) -> Result<Self, Error> {
        Self::index("references", references, max_n)
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
    /// No samples, or only empty ones.
    pub fn score<S: AsRef<[u32]> + Sync>(&self, samples: &[S]) -> Result<Scores, Error> {
        check("samples", samples)?;
        Ok(self.score_each(samples, |largest, _| largest.count, false))
    }

    fn index<R: AsRef<[u32]>>(
        set: &'static str,
        references: &[R],
        max_n: usize,
    ) -> Result<Self, Error> {
        if max_n == 0 {
            return Err(Error::Order);
        }
        check(set, references)?;
        let mut grams = Grams::new(max_n);
        let mut largest: Vec<Vec<Largest>> = vec![Vec::new(); max_n];
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
        Ok(Self { grams, largest, lengths, sentences: references.len() })
    }

    /// `limit` gives the largest count among the references of a sample.
    fn score_each<S: AsRef<[u32]> + Sync>(
        &self,
        samples: &[S],
        limit: impl Fn(&Largest, u32) -> u32 + Sync,
        without_itself: bool,
    ) -> Scores {
        let max_n = self.grams.max_n();
        let mut values = vec![0.0; samples.len() * max_n];
        values.par_chunks_mut(TASK * max_n).zip(samples.par_chunks(TASK)).enumerate().for_each(
            |(task, (values, samples))| {
                let (mut ids, mut sorted) = (Vec::new(), Vec::new());
                let mut matches = vec![0u32; max_n];
                for (i, (scores, sample)) in values.chunks_mut(max_n).zip(samples).enumerate() {
                    let sample = sample.as_ref();
                    let number = (task * TASK + i) as u32;
                    matches.fill(0);
                    self.grams.look_up(sample, &mut ids, |n, ids| {
                        sorted.clear();
                        sorted.extend(ids.iter().filter(|&&id| id != UNSEEN));
                        sorted.sort_unstable();
                        matches[n - 1] = runs(&sorted)
                            .map(|(id, count)| {
                                count.min(limit(&self.largest[n - 1][id as usize], number))
                            })
                            .sum();
                    });
                    let closest = self.lengths.closest(sample.len(), without_itself);
                    combine(&matches, sample.len(), closest, scores);
                }
            },
        );
        Scores { max_n, values }
    }
}

impl Largest {
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

/// BLEU-1 up to BLEU-`matches.len()` from the number of matches of each order.
fn combine(matches: &[u32], length: usize, closest: usize, scores: &mut [f64]) {
    if matches[0] == 0 {
        scores.fill(0.0); // not one word in common, or no word at all
        return;
    }
    let brevity = if length > closest { 1.0 } else { (1.0 - closest as f64 / length as f64).exp() };
    let mut logarithms = 0.0;
    for (i, (score, &matched)) in scores.iter_mut().zip(matches).enumerate() {
        let possible = length.saturating_sub(i).max(1) as f64;
        let precision = if matched == 0 { EPSILON } else { f64::from(matched) } / possible;
        logarithms += precision.ln();
        *score = brevity * (logarithms / (i + 1) as f64).exp();
    }
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
