//! The memorisation audit: what samples have of the training text, beside what held-out text has.
//!
//! Whoever wants synthetic text instead of private text must know it. Real sentences that were never
//! trained on share runs of words with the training text too, and some stand in it word for word; only
//! what goes beyond them was memorised.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use textgan_metrics::{Nearest, Run, difference, difference_p_value, longest_runs};
use textgan_tokenizer::Tokenizer;

use crate::change;
use crate::evaluation::{Better, Change, Measure};
use crate::series::{Series, together};
use crate::{Error, Result};

/// Copied runs that are shown.
const SHOWN: usize = 10;

/// What a set of texts has in common with the training text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memorisation {
    /// Texts that were audited.
    pub texts: usize,
    /// How they were audited.
    pub protocol: String,
    /// Exact copies, longest runs and distances to the nearest training sentence, on average.
    pub measures: Vec<Measure>,
    /// How many texts have a longest run of `n` tokens in common with one training sentence, at
    /// index `n`.
    pub runs: Vec<usize>,
    /// The longest runs, the longest first, each once.
    pub longest: Vec<CopiedRun>,
}

/// A run of tokens that stands in a text and in a training sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedRun {
    /// Its tokens.
    pub tokens: usize,
    /// The run.
    pub run: String,
    /// The text that has it.
    pub text: String,
    /// The training sentence that has it.
    pub training: String,
}

/// The samples of a model beside held-out text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// Of the samples.
    pub samples: Memorisation,
    /// From held-out text to samples, over disjoint batches of both: what is above zero was
    /// memorised.
    pub beyond: Vec<Change>,
}

/// The training text, ready to be searched, and the held-out text's own audit.
pub(crate) struct Auditor<'a> {
    train: &'a [&'a [u32]],
    copies: &'a HashSet<&'a [u32]>,
    nearest: Nearest,
    tokenizer: Tokenizer,
    /// A part of every protocol.
    tokens: &'a str,
    batches: usize,
}

/// An audit, with the measures by batch.
pub(crate) struct Found {
    pub memorisation: Memorisation,
    pub series: Vec<Series>,
}

impl<'a> Auditor<'a> {
    pub fn new(
        train: &'a [&'a [u32]],
        copies: &'a HashSet<&'a [u32]>,
        tokenizer: Tokenizer,
        tokens: &'a str,
        batches: usize,
    ) -> Result<Self> {
        Ok(Self { train, copies, nearest: Nearest::new(train)?, tokenizer, tokens, batches })
    }

    /// The vocabulary that it reads texts in.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Audits texts that came as `drawn` says, such as `temperature:1` or `split:test`.
    pub fn audit(&self, texts: &[Vec<u32>], drawn: &str) -> Result<Found> {
        let runs = longest_runs(texts, self.train)?;
        let length = |run: &Option<Run>| run.map_or(0, |run| run.length);
        let protocol = |name: &str| {
            format!(
                "{name}|texts:{}|of:train-{}|tokens:{}|{drawn}",
                texts.len(),
                self.train.len(),
                self.tokens
            )
        };
        let copies: Vec<bool> =
            texts.iter().map(|text| self.copies.contains(text.as_slice())).collect();
        let whole = runs.iter().zip(texts).map(|(run, text)| match text.len() {
            0 => 0.0,
            tokens => length(run) as f64 / tokens as f64,
        });
        let apart = self.nearest.find_all(texts).into_iter().zip(texts).map(|(nearest, text)| {
            let longer = text.len().max(self.train[nearest.sentence].len()).max(1);
            nearest.distance as f64 / longer as f64
        });
        let mean = |name: &str, values: Vec<f64>, better| {
            Series::mean_of(name, &values, better, &protocol(name), self.batches)
        };
        let series = vec![
            Series::share_of(
                "exact-copies",
                &copies,
                Better::Lower,
                &protocol("exact-copies"),
                self.batches,
            ),
            mean("copied-run", runs.iter().map(|r| length(r) as f64).collect(), Better::Lower),
            mean("copied-share", whole.collect(), Better::Lower),
            mean("distance-to-training", apart.collect(), Better::Higher),
        ];
        let mut counts = vec![0; runs.iter().map(length).max().unwrap_or(0) + 1];
        runs.iter().for_each(|run| counts[length(run)] += 1);
        let memorisation = Memorisation {
            texts: texts.len(),
            protocol: protocol("memorisation"),
            measures: series.iter().map(|series| series.measure.clone()).collect(),
            runs: counts,
            longest: self.longest(texts, &runs)?,
        };
        Ok(Found { memorisation, series })
    }

    fn longest(&self, texts: &[Vec<u32>], runs: &[Option<Run>]) -> Result<Vec<CopiedRun>> {
        let mut order: Vec<(Run, &[u32])> = runs
            .iter()
            .zip(texts)
            .filter_map(|(run, text)| run.map(|run| (run, text.as_slice())))
            .collect();
        order.sort_by_key(|(run, _)| std::cmp::Reverse(run.length));
        let mut seen = HashSet::new();
        let of = |&(run, text): &(Run, &'_ [u32])| text[run.start..run.start + run.length].to_vec();
        let distinct = order.into_iter().filter(|found| seen.insert(of(found)));
        let show = |(run, text): (Run, &[u32])| {
            let decode = |tokens: &[u32]| self.tokenizer.decode(tokens).map_err(Error::from);
            Ok(CopiedRun {
                tokens: run.length,
                run: decode(&text[run.start..run.start + run.length])?,
                text: decode(text)?,
                training: decode(self.train[run.sentence])?,
            })
        };
        distinct.take(SHOWN).map(show).collect()
    }
}

impl Found {
    /// Beside the audit of held-out text.
    pub fn beside(&self, held_out: &Self) -> Result<Audit> {
        let mut beyond = Vec::new();
        for (ours, theirs) in self.series.iter().zip(&held_out.series) {
            let protocol = format!("{}|beside:{}", ours.measure.protocol, theirs.measure.protocol);
            let (found, ends, batches) = match (ours.share, theirs.share) {
                (Some(a), Some(b)) => ([a.share() - b.share(), a.p_value(b)], a.minus(b), 0),
                _ if ours.batches.len() < 2 || theirs.batches.len() < 2 => continue,
                _ => {
                    let (a, b) = (&ours.batches, &theirs.batches);
                    let interval = difference(a, b)?;
                    let found = [interval.mean, difference_p_value(a, b)?];
                    (found, [interval.low, interval.high], a.len())
                }
            };
            beyond.push(Change { batches, ..change::of(&ours.measure, found, ends, protocol) });
        }
        Ok(Audit { samples: self.memorisation.clone(), beyond: together(beyond) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use textgan_tokenizer::{TokenizerConfig, Trainer};

    const TRAINING: [&str; 4] =
        ["a red bird sings", "the old man reads a book", "two dogs run on the grass", "a cat sits"];

    #[test]
    fn what_samples_copy_is_found_and_shown() {
        let mut trainer = Trainer::new(&TokenizerConfig::default()).unwrap();
        trainer.feed(&TRAINING).unwrap();
        let (tokenizer, _) = trainer.finish().unwrap();
        let ids = |texts: &[&str]| -> Vec<Vec<u32>> {
            texts.iter().map(|text| tokenizer.encode(text).unwrap()).collect()
        };
        let training = ids(&TRAINING);
        let train: Vec<&[u32]> = training.iter().map(Vec::as_slice).collect();
        let copies: HashSet<&[u32]> = train.iter().copied().collect();
        let samples =
            ids(&["a cat sits", "two dogs run on a cat", "two dogs run on a bird", "book red"]);
        let held_out = ids(&["a cat reads", "dogs run", "the grass", "two men"]);
        let tokenizer = tokenizer.clone();
        let auditor = Auditor::new(&train, &copies, tokenizer, "word-20", 2).unwrap();

        let found = auditor.audit(&samples, "temperature:1").unwrap();
        let of = &found.memorisation;
        let value = |name: &str| {
            of.measures.iter().find(|measure| measure.name == name).unwrap().value.unwrap()
        };
        assert_eq!(of.runs, [0, 1, 0, 1, 2]);
        assert_eq!(value("exact-copies"), 0.25);
        assert_eq!(value("copied-run"), 3.0);
        assert!((value("copied-share") - (1.0 + 2.0 * 4.0 / 6.0 + 0.5) / 4.0).abs() < 1e-12);
        // Edits to the nearest: none; two of six tokens, twice; three of the four of `a red ..`.
        let expected = (2.0 / 6.0 * 2.0 + 0.75) / 4.0;
        assert!((value("distance-to-training") - expected).abs() < 1e-12);
        let shown: Vec<&str> = of.longest.iter().map(|found| found.run.as_str()).collect();
        assert_eq!(shown, ["two dogs run on", "a cat sits", "book"]);
        assert_eq!(of.longest[0].text, "two dogs run on a cat");
        assert_eq!(of.longest[0].training, "two dogs run on the grass");

        let audit = found.beside(&auditor.audit(&held_out, "split:test").unwrap()).unwrap();
        let copies = audit.beyond.iter().find(|change| change.name == "exact-copies").unwrap();
        assert_eq!((copies.change, copies.batches), (0.25, 0));
        assert!(copies.low < 0.0 && copies.high > 0.25 && copies.p > 0.9, "{copies:?}");
    }
}
