//! Whether one model is better than another, over their whole curves of quality against diversity.
//!
//! A BLEU alone says little: at a lower temperature it rises and Self-BLEU with it. So two models
//! are compared where they are equally diverse (the same Self-BLEU-4) and where they are equally
//! good (the same BLEU-4), at a few places of the range that both reach, each read from the
//! straight lines between the temperatures.
//!
//! What is repeated is a disjoint batch of samples, drawn at every temperature: **every batch has a
//! curve of its own**. The curve that is read is the mean of theirs, and each batch's value at a place
//! is the mean curve's plus what the batch contributes to it to first order (the infinitesimal
//! jackknife; Jaeckel, 1972). Reading each batch's own lines would need every one to reach the place,
//! and would bend curves whose batches are noisier than their temperatures are far apart. The
//! interval of the difference is then Student's or Welch's. With two or more training seeds a seed is
//! what is repeated, and gives one value: that of its mean curve.
//!
//! All places together keep the error level ([`LEVEL`]): each interval has the confidence
//! `1 - LEVEL / places` (Bonferroni; Dunn, 1961). Batches are only compared with batches of the same
//! size, because Self-BLEU rises with the number of sentences.
//!
//! ```
//! use textgan_evaluate::verdict::{Outcome, Pairing, Sampled, compare};
//!
//! // Two batches, three temperatures: [BLEU-4, Self-BLEU-4].
//! let ours = Sampled::new(500, vec![
//!     vec![[0.60, 0.70], [0.50, 0.60], [0.40, 0.50]],
//!     vec![[0.61, 0.70], [0.51, 0.60], [0.41, 0.50]],
//! ])?;
//! let verdict = compare(&[ours.clone()], &[ours], Pairing::Paired)?;
//! assert_eq!(verdict.outcome, Outcome::NotSeparated);
//! # Ok::<(), textgan_evaluate::Error>(())
//! ```

mod judge;
mod sampled;
mod sentence;

pub use judge::{At, Duel, Finding, Judgement, Pair, Rival, judge, judge_training};
pub use sampled::Sampled;

use sampled::{BLEU, SELF_BLEU, common, mean, mean_slope, middle};
use serde::{Deserialize, Serialize};
use textgan_metrics::{Interval, difference_at, interval_at};

use crate::{Error, Result};

/// How often two models that are equal may be called separated.
pub const LEVEL: f64 = 0.05;

/// The measures that a curve is made of.
pub const MEASURES: [&str; 2] = ["bleu-4", "self-bleu-4"];

/// Where on the common range models are compared, from its low end.
const PLACES: [(Part, f64); 3] =
    [(Part::Diverse, 1.0 / 6.0), (Part::Middle, 0.5), (Part::Repetitive, 5.0 / 6.0)];

/// Whether what is repeated belongs together in pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Batch `i` (or seed `i`) of both has the same noise and streams (or the same training run).
    Paired,
    /// The two sides were drawn independently.
    Independent,
}

/// What is said of a place, or of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The model is better.
    Better,
    /// It is worse.
    Worse,
    /// It is better in one part of the curve and worse in another.
    Mixed,
    /// Nothing that chance does not explain.
    NotSeparated,
    /// The curves have no common range.
    Apart,
}

/// A part of the range that both curves reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Low Self-BLEU and low BLEU: a high temperature.
    Diverse,
    /// The middle.
    Middle,
    /// High Self-BLEU and high BLEU: a low temperature.
    Repetitive,
    /// Where the side that has one temperature only was sampled.
    Sampled,
}

/// What is equal at a place, and what is compared there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matched {
    /// Self-BLEU-4 is equal; more BLEU-4 is better.
    Diversity,
    /// BLEU-4 is equal; less Self-BLEU-4 is better.
    Quality,
}

impl Matched {
    /// The coordinate that is equal, and the one that is compared.
    fn axes(self) -> [usize; 2] {
        match self {
            Self::Diversity => [SELF_BLEU, BLEU],
            Self::Quality => [BLEU, SELF_BLEU],
        }
    }
}

/// One comparison.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Place {
    /// In which part of the range.
    pub part: Part,
    /// What is equal.
    pub matched: Matched,
    /// The value that is equal, on a batch.
    pub at: f64,
    /// The mean of the model there.
    pub model: f64,
    /// The mean of the baseline there.
    pub baseline: f64,
    /// Model minus baseline, with an interval that holds together with those of all places.
    pub difference: Interval,
    /// What that says.
    pub outcome: Outcome,
}

/// What a comparison came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The whole.
    pub outcome: Outcome,
    /// The error level that all places keep together.
    pub level: f64,
    /// The Self-BLEU-4 of a batch that both curves reach: from and to.
    pub range: Option<[f64; 2]>,
    /// Each comparison.
    pub places: Vec<Place>,
}

/// Compares a model with a baseline; on each side the training seeds of one experiment, or one run.
///
/// # Errors
/// No run on a side, batches of different sizes, and pairs that are not.
pub fn compare(model: &[Sampled], baseline: &[Sampled], pairing: Pairing) -> Result<Verdict> {
    let (Some(first), false) = (model.first(), baseline.is_empty()) else {
        return Err(Error::Curves("there is nothing to compare"));
    };
    let sides = || model.iter().chain(baseline);
    if let Some(other) = sides().find(|other| other.batch_size() != first.batch_size()) {
        return Err(Error::BatchSizes { a: first.batch_size(), b: other.batch_size() });
    }
    if pairing == Pairing::Paired && !is_paired(model, baseline) {
        return Err(Error::Curves("pairs need as many batches and seeds on both sides"));
    }
    let both = [Matched::Diversity, Matched::Quality];
    let read: Vec<Reading> =
        both.iter().flat_map(|&matched| readings(model, baseline, matched)).collect();
    let confidence = 1.0 - LEVEL / read.len().max(1) as f64;
    let places =
        read.iter().map(|read| read.place(pairing, confidence)).collect::<Result<Vec<_>>>()?;
    let range = common(sides(), SELF_BLEU).filter(|_| !sides().any(Sampled::is_one_temperature));
    Ok(Verdict { outcome: outcome(&places), level: LEVEL, range, places })
}

fn is_paired(model: &[Sampled], baseline: &[Sampled]) -> bool {
    let mut pairs = model.iter().zip(baseline);
    model.len() == baseline.len() && pairs.all(|(a, b)| a.batches() == b.batches())
}

fn outcome(places: &[Place]) -> Outcome {
    let any = |outcome| places.iter().any(|place| place.outcome == outcome);
    match (places.is_empty(), any(Outcome::Better), any(Outcome::Worse)) {
        (true, ..) => Outcome::Apart,
        (_, true, true) => Outcome::Mixed,
        (_, true, false) => Outcome::Better,
        (_, false, true) => Outcome::Worse,
        (_, false, false) => Outcome::NotSeparated,
    }
}

/// A place before its interval: the values of what is repeated, batches or seeds.
struct Reading {
    part: Part,
    matched: Matched,
    at: f64,
    model: Vec<f64>,
    baseline: Vec<f64>,
}

impl Reading {
    fn place(&self, pairing: Pairing, confidence: f64) -> Result<Place> {
        let Self { part, matched, at, ref model, ref baseline } = *self;
        let difference = match pairing {
            Pairing::Paired => {
                let differences: Vec<f64> =
                    model.iter().zip(baseline).map(|(model, baseline)| model - baseline).collect();
                interval_at(&differences, confidence)?
            }
            Pairing::Independent => difference_at(model, baseline, confidence)?,
        };
        let up = matched == Matched::Diversity;
        let outcome = match () {
            () if !difference.excludes_zero() => Outcome::NotSeparated,
            () if (difference.mean > 0.0) == up => Outcome::Better,
            () => Outcome::Worse,
        };
        let (model, baseline) = (mean(model), mean(baseline));
        Ok(Place { part, matched, at, model, baseline, difference, outcome })
    }
}

/// The places where two sides are compared: some of the range that every curve of both covers, or,
/// where a side has one temperature, the place where it was sampled.
fn readings(model: &[Sampled], baseline: &[Sampled], matched: Matched) -> Vec<Reading> {
    let [equal, _] = matched.axes();
    let one = |side: &[Sampled]| side.iter().any(Sampled::is_one_temperature);
    let places = match (one(model), one(baseline)) {
        (true, true) => Vec::new(),
        (true, false) => vec![(Part::Sampled, middle(model, equal))],
        (false, true) => vec![(Part::Sampled, middle(baseline, equal))],
        (false, false) => match common(model.iter().chain(baseline), equal) {
            Some([low, high]) => {
                PLACES.map(|(part, along)| (part, low + along * (high - low))).to_vec()
            }
            None => Vec::new(),
        },
    };
    let reading = |(part, at)| {
        let slope = mean_slope(if one(model) { baseline } else { model }, matched, at)?;
        let read = |side| repeated(side, matched, at, slope);
        Some(Reading { part, matched, at, model: read(model)?, baseline: read(baseline)? })
    };
    places.into_iter().filter_map(reading).collect()
}

/// The values at a place of what is repeated: of seeds where there are several, of batches otherwise.
/// `slope` is that of the other side, which a side of a single temperature has not.
fn repeated(side: &[Sampled], matched: Matched, at: f64, slope: f64) -> Option<Vec<f64>> {
    let values = side
        .iter()
        .map(|sampled| sampled.at(matched, at, slope))
        .collect::<Option<Vec<Vec<f64>>>>()?;
    Some(match &values[..] {
        [batches] => batches.clone(),
        seeds => seeds.iter().map(|batches| mean(batches)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::slice::from_ref;

    /// Compares one run with another.
    fn duel(a: &Sampled, b: &Sampled, pairing: Pairing) -> Verdict {
        compare(from_ref(a), from_ref(b), pairing).unwrap()
    }

    /// Batches whose curves are lines `bleu = self_bleu + above`, with a little noise.
    fn line(above: f64, temperatures: &[f64]) -> Sampled {
        let curve = |batch: usize| {
            let noise = [0.001, -0.001, 0.002, -0.002][batch];
            temperatures.iter().map(|&t| [t + above + noise, t]).collect()
        };
        Sampled::new(100, (0..4).map(curve).collect()).unwrap()
    }

    const WIDE: [f64; 4] = [0.7, 0.6, 0.5, 0.4];

    /// As `line(above, &WIDE)`, with other noise.
    fn shaken(above: f64) -> Sampled {
        let curve = |batch: usize| {
            let noise = [-0.0012, 0.0011, 0.0004, -0.0003][batch];
            WIDE.iter().map(|&t| [t + above + noise, t]).collect()
        };
        Sampled::new(100, (0..4).map(curve).collect()).unwrap()
    }

    #[test]
    fn a_higher_curve_is_better_and_the_lower_one_worse() {
        let (high, low) = (shaken(0.05), line(0.0, &WIDE));
        for pairing in [Pairing::Paired, Pairing::Independent] {
            let verdict = duel(&high, &low, pairing);
            assert_eq!(verdict.outcome, Outcome::Better);
            assert_eq!(verdict.places.len(), 6);
            let place = verdict.places[1];
            assert!((place.at - 0.55).abs() < 1e-12 && (place.difference.mean - 0.05).abs() < 1e-3);
            assert_eq!(
                verdict.sentence("A", "B"),
                "A is better than B in every part of the curve, where a batch has a Self-BLEU-4 of 0.400 to 0.700."
            );
            let verdict = duel(&low, &high, pairing);
            assert_eq!(verdict.outcome, Outcome::Worse);
        }
    }

    #[test]
    fn curves_that_cross_are_better_in_one_part_and_worse_in_another() {
        let tilted = (0..4).map(|batch| {
            let noise = [0.001, -0.001, 0.002, -0.002][batch];
            WIDE.iter().map(|&t| [0.55 + 0.5 * (t - 0.55) + noise, t]).collect()
        });
        let tilted = Sampled::new(100, tilted.collect()).unwrap();
        let verdict = duel(&tilted, &line(0.0, &WIDE), Pairing::Independent);
        assert_eq!(verdict.outcome, Outcome::Mixed);
        let sentence = verdict.sentence("A", "B");
        let expect = "A is better than B at the diverse end and worse at the repetitive end.";
        assert_eq!(sentence, expect);
    }

    #[test]
    fn without_a_common_range_there_is_no_verdict() {
        let (left, right) = (line(0.0, &[0.3, 0.2]), line(0.0, &[0.6, 0.5]));
        let verdict = duel(&left, &right, Pairing::Independent);
        assert_eq!((verdict.outcome, verdict.places.len()), (Outcome::Apart, 0));
        assert!(verdict.sentence("A", "B").contains("cannot be compared"));
        let point = line(0.0, &[0.5]);
        let verdict = duel(&point, &point, Pairing::Paired);
        assert_eq!(verdict.outcome, Outcome::Apart);
    }

    #[test]
    fn seeds_are_what_is_repeated_where_there_are_several() {
        // Two seeds that differ more from each other than from the baseline: nothing to say,
        // although every single one is separated by its batches.
        let model = [line(0.05, &WIDE), shaken(0.01)];
        let baseline = [line(0.0, &WIDE), line(0.0, &WIDE)];
        let verdict = compare(&model, &baseline, Pairing::Paired).unwrap();
        assert_eq!(verdict.outcome, Outcome::NotSeparated);
        assert_eq!(verdict.places[0].difference.batches, 2);
        let alone = compare(&model[1..], &baseline[1..], Pairing::Paired).unwrap();
        assert_eq!(alone.outcome, Outcome::Better);
        // Nearly equal seeds; equal ones would be one seed twice, of which nothing is known.
        let steady = [line(0.05, &WIDE), line(0.0501, &WIDE)];
        let verdict = compare(&steady, &baseline, Pairing::Paired).unwrap();
        assert_eq!(verdict.outcome, Outcome::Better);
        let twice = [line(0.05, &WIDE), line(0.05, &WIDE)];
        let verdict = compare(&twice, &baseline, Pairing::Paired).unwrap();
        assert_eq!(verdict.outcome, Outcome::NotSeparated);
    }

    #[test]
    fn what_does_not_compare_is_refused() {
        let curves = vec![vec![[0.5, 0.5], [0.4, 0.4]]; 2];
        let small = Sampled::new(50, curves).unwrap();
        let error = compare(&[small], &[line(0.0, &WIDE)], Pairing::Independent).unwrap_err();
        assert!(error.to_string().contains("50") && error.to_string().contains("100"), "{error}");
        let one = line(0.0, &WIDE);
        assert!(compare(&[one.clone(), one.clone()], from_ref(&one), Pairing::Paired).is_err());
        assert!(compare(&[], &[one], Pairing::Independent).is_err());
        assert!(Sampled::new(100, vec![vec![[0.5, 0.5]]]).is_err());
        assert!(Sampled::new(100, vec![vec![], vec![]]).is_err());
        assert!(Sampled::new(100, vec![vec![[f64::NAN, 0.5]], vec![[0.5, 0.5]]]).is_err());
    }
}
