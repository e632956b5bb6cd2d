//! Means with their uncertainty, over disjoint batches.
//!
//! Resampling with replacement repeats sentences, which inflates every metric that compares
//! samples with each other (a Self-BLEU of 0.582 becomes 0.833). Batches that share nothing do
//! not: a metric is computed on each, and Student's t-interval (Student, 1908) of their mean says
//! how far it can be trusted.

use crate::Error;
use crate::student::quantile;

/// The confidence of an interval where none is named.
pub const CONFIDENCE: f64 = 0.95;

/// A mean with its interval, of 95 % where no other confidence was asked for.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Interval {
    /// The mean over batches, or the difference of two such means.
    pub mean: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// How many values went in.
    pub batches: usize,
}

impl Interval {
    /// Whether the interval leaves out zero: for a difference, whether the two are separated. One without
    /// width, of values that are all alike, separates nothing: it knows nothing of chance.
    pub fn excludes_zero(&self) -> bool {
        self.low < self.high && (self.low > 0.0 || self.high < 0.0)
    }
}

/// The mean of the values of disjoint batches, with Student's t-interval.
///
/// # Errors
/// Fewer than two values, or one that is not finite.
pub fn interval(values: &[f64]) -> Result<Interval, Error> {
    interval_at(values, CONFIDENCE)
}

/// As [`interval`], with a confidence between 0 and 1. Several intervals that shall hold together
/// with confidence `c` each need `1 - (1 - c) / count` (Bonferroni; Dunn, 1961).
///
/// # Errors
/// As [`interval`]; a confidence that is not between 0 and 1.
pub fn interval_at(values: &[f64], confidence: f64) -> Result<Interval, Error> {
    let (mean, variance) = moments(values)?;
    let count = values.len() as f64;
    let half = half_width(variance / count, count - 1.0, confidence)?;
    Ok(Interval { mean, low: mean - half, high: mean + half, batches: values.len() })
}

/// Mean of `a` minus mean of `b`, with Welch's t-interval (Welch, 1947): the batches of the two
/// are independent and may differ in number and spread.
///
/// # Errors
/// Fewer than two values on a side, or one that is not finite.
pub fn difference(a: &[f64], b: &[f64]) -> Result<Interval, Error> {
    difference_at(a, b, CONFIDENCE)
}

/// As [`difference`], with a confidence between 0 and 1; see [`interval_at`].
///
/// # Errors
/// As [`difference`]; a confidence that is not between 0 and 1.
pub fn difference_at(a: &[f64], b: &[f64], confidence: f64) -> Result<Interval, Error> {
    let (mean_a, variance_a) = moments(a)?;
    let (mean_b, variance_b) = moments(b)?;
    let (count_a, count_b) = (a.len() as f64, b.len() as f64);
    let (part_a, part_b) = (variance_a / count_a, variance_b / count_b);
    let variance = part_a + part_b;
    let mean = mean_a - mean_b;
    let half = if variance > 0.0 {
        let freedom = variance.powi(2)
            / (part_a.powi(2) / (count_a - 1.0) + part_b.powi(2) / (count_b - 1.0));
        half_width(variance, freedom, confidence)?
    } else {
        0.0
    };
    Ok(Interval { mean, low: mean - half, high: mean + half, batches: a.len() + b.len() })
}

/// Cuts a set into disjoint batches of nearly equal size, in order.
///
/// # Errors
/// Fewer samples than batches, or no batch at all.
pub fn batches<S>(samples: &[S], count: usize) -> Result<Vec<&[S]>, Error> {
    if count == 0 {
        return Err(Error::Batches { batches: 0 });
    }
    if samples.len() < count {
        return Err(Error::Samples { samples: samples.len(), batches: count });
    }
    let end = |batch: usize| (batch as u128 * samples.len() as u128 / count as u128) as usize;
    Ok((0..count).map(|batch| &samples[end(batch)..end(batch + 1)]).collect())
}

/// A metric's mean and interval over disjoint batches of a set.
///
/// A metric that depends on the size of the set (Self-BLEU, distinct-n) has here its value at the
/// size of a batch.
///
/// # Errors
/// Those of the metric, of [`batches`] and of [`interval`].
pub fn over_batches<S>(
    samples: &[S],
    count: usize,
    mut metric: impl FnMut(&[S]) -> Result<f64, Error>,
) -> Result<Interval, Error> {
    let values =
        batches(samples, count)?.into_iter().map(&mut metric).collect::<Result<Vec<f64>, _>>()?;
    interval(&values)
}

/// Half of an interval whose middle has this variance.
fn half_width(variance: f64, freedom: f64, confidence: f64) -> Result<f64, Error> {
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(Error::Confidence { confidence: confidence.to_string() });
    }
    Ok(quantile(0.5 + confidence / 2.0, freedom) * variance.sqrt())
}

/// Mean and unbiased variance.
fn moments(values: &[f64]) -> Result<(f64, f64), Error> {
    if values.len() < 2 {
        return Err(Error::Batches { batches: values.len() });
    }
    if let Some(batch) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::NotFinite { batch, value: values[batch].to_string() });
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (count - 1.0);
    Ok((mean, variance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_confidence_is_a_wider_interval_of_the_same_mean() {
        let values = [1.0, 2.0, 3.0, 4.0];
        let usual = interval(&values).unwrap();
        assert_eq!(interval_at(&values, CONFIDENCE).unwrap(), usual);
        // scipy 1.17.0: t.ppf(0.995, 3) = 5.8409093097333
        let wide = interval_at(&values, 0.99).unwrap();
        let error = (5.0_f64 / 3.0 / 4.0).sqrt();
        assert_eq!(wide.mean, usual.mean);
        assert!((wide.high - wide.mean - 5.840_909_309_733_3 * error).abs() < 1e-9);
        let apart = difference_at(&values, &[0.0, 1.0, 2.0, 3.0], 0.99).unwrap();
        // Equal spreads and numbers: t.ppf(0.995, 6) = 3.7074280213247
        assert!(
            (apart.high - 1.0 - 3.707_428_021_324_7 * (2.0 * error * error).sqrt()).abs() < 1e-9
        );
    }

    #[test]
    fn confidence_lies_between_nothing_and_certainty() {
        for confidence in [0.0, 1.0, -0.5, f64::NAN] {
            let error = interval_at(&[1.0, 2.0], confidence).unwrap_err();
            assert!(matches!(error, Error::Confidence { .. }), "{error}");
        }
    }
}
