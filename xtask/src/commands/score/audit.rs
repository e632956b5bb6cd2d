//! The memorisation audit: what stands in the training set, beside how often real sentences that the
//! generator never saw do so.

use anyhow::Result;
use serde::Serialize;
use std::collections::HashSet;
use textgan_metrics::{
    Nearest, Run, Spread, earth_movers_distance, exact_copy_rate, longest_runs, spread,
};

use super::Numbered;
use super::texts::Texts;

/// How many of the longest runs are shown, and how many of the nearest sentences.
const SHOWN: usize = 5;

/// Sentences of each file whose nearest training sentence is looked up: a search through a million
/// takes a good part of a second.
const LOOKED_UP: usize = 20;

/// What was copied.
#[derive(Serialize)]
pub struct Audit {
    training_sentences: usize,
    pub samples: Copies,
    pub references: Copies,
    /// How far the longest runs of the samples lie from those of the references, in tokens.
    pub longest_run_distance: f64,
    /// The longest of all runs, each text once.
    pub longest_runs: Vec<CopiedRun>,
    /// The nearest of the pairs that were looked up.
    pub nearest: Vec<Pair>,
}

/// What one file shares with the training file.
#[derive(Serialize)]
pub struct Copies {
    /// Share of sentences that stand there word for word.
    pub exact_copies: f64,
    /// The longest run of each sentence, in tokens.
    pub longest_run: Spread,
    /// Mean share of a sentence that its longest run covers.
    pub longest_run_share: f64,
    /// Mean token edit distance to the nearest training sentence, over the length of the longer.
    pub nearest_distance: f64,
    /// Of how many sentences.
    pub looked_up: usize,
}

/// A run of tokens that a sample has from the training file. Lines are counted from 1.
#[derive(Serialize)]
pub struct CopiedRun {
    pub length: usize,
    pub text: String,
    pub sample_line: usize,
    pub train_line: usize,
}

/// A sample and its nearest training sentence. Lines are counted from 1.
#[derive(Serialize)]
pub struct Pair {
    pub distance: usize,
    pub sample_line: usize,
    pub sample: String,
    pub train_line: usize,
    pub train: String,
}

impl Audit {
    pub fn new(
        samples: &Numbered<'_>,
        references: &Numbered<'_>,
        train: &Numbered<'_>,
    ) -> Result<Self> {
        let sample_runs = longest_runs(&samples.tokens, &train.tokens)?;
        let reference_runs = longest_runs(&references.tokens, &train.tokens)?;
        let lengths = |runs: &[Option<Run>]| -> Vec<usize> {
            runs.iter().map(|run| run.map_or(0, |run| run.length)).collect()
        };
        let nearest = Nearest::new(&train.tokens)?;
        let sample_pairs = look_up(&nearest, samples, train);
        let reference_pairs = look_up(&nearest, references, train);
        let distance = earth_movers_distance(&lengths(&sample_runs), &lengths(&reference_runs))?;
        Ok(Self {
            training_sentences: train.tokens.len(),
            longest_run_distance: distance,
            longest_runs: longest(samples, &sample_runs),
            samples: Copies::new(samples, train, &lengths(&sample_runs), &sample_pairs)?,
            references: Copies::new(
                references,
                train,
                &lengths(&reference_runs),
                &reference_pairs,
            )?,
            nearest: shown(sample_pairs, samples.texts, train.texts),
        })
    }
}

impl Copies {
    fn new(
        set: &Numbered<'_>,
        train: &Numbered<'_>,
        runs: &[usize],
        pairs: &[Found],
    ) -> Result<Self> {
        let shares = runs.iter().zip(&set.tokens).map(|(&run, s)| run as f64 / s.len() as f64);
        let distances = pairs.iter().map(|pair| pair.distance as f64 / pair.longer as f64);
        Ok(Self {
            exact_copies: exact_copy_rate(&set.tokens, &train.tokens)?,
            longest_run: spread(runs)?,
            longest_run_share: shares.sum::<f64>() / runs.len() as f64,
            nearest_distance: distances.sum::<f64>() / pairs.len() as f64,
            looked_up: pairs.len(),
        })
    }
}

/// The longest runs, each text once, in order of length and then of the samples.
fn longest(samples: &Numbered<'_>, runs: &[Option<Run>]) -> Vec<CopiedRun> {
    let mut found: Vec<(usize, Run)> =
        runs.iter().enumerate().filter_map(|(sample, run)| Some((sample, (*run)?))).collect();
    found.sort_by_key(|(sample, run)| (std::cmp::Reverse(run.length), *sample));
    let mut texts = HashSet::new();
    found.retain(|&(sample, run)| {
        texts.len() < SHOWN
            && texts.insert(&samples.tokens[sample][run.start..run.start + run.length])
    });
    let shown = found.into_iter().map(|(sample, run)| {
        let words = samples.texts.sentence(sample).split_whitespace();
        let text = words.skip(run.start).take(run.length).collect::<Vec<_>>().join(" ");
        let (sample_line, train_line) = (sample + 1, run.sentence + 1);
        CopiedRun { length: run.length, text, sample_line, train_line }
    });
    shown.collect()
}

struct Found {
    distance: usize,
    longer: usize,
    sentence: usize,
    training: usize,
}

/// The nearest training sentences of some sentences, spread evenly over the file.
fn look_up(nearest: &Nearest, set: &Numbered<'_>, train: &Numbered<'_>) -> Vec<Found> {
    let count = set.tokens.len();
    let looked_up = count.min(LOOKED_UP);
    let chosen: Vec<usize> = (0..looked_up).map(|i| i * count / looked_up).collect();
    let sentences: Vec<&[u32]> = chosen.iter().map(|&i| &*set.tokens[i]).collect();
    let found = nearest.find_all(&sentences);
    let pairs = chosen.iter().zip(found).map(|(&sentence, found)| {
        let longer = set.tokens[sentence].len().max(train.tokens[found.sentence].len());
        Found { distance: found.distance, longer, sentence, training: found.sentence }
    });
    pairs.collect()
}

fn shown(mut pairs: Vec<Found>, samples: &Texts, train: &Texts) -> Vec<Pair> {
    pairs.sort_by_key(|pair| (pair.distance, pair.sentence));
    let shown = pairs.into_iter().take(SHOWN).map(|pair| Pair {
        distance: pair.distance,
        sample_line: pair.sentence + 1,
        sample: samples.sentence(pair.sentence).to_owned(),
        train_line: pair.training + 1,
        train: train.sentence(pair.training).to_owned(),
    });
    shown.collect()
}
