//! Means with their uncertainty, over disjoint batches.
//!
//! Resampling with replacement repeats sentences, which inflates every metric that compares
//! samples with each other (a Self-BLEU of 0.582 becomes 0.833). Batches that share nothing do
//! not: a metric is computed on each, and Student's t-interval (Student, 1908) of their mean says
//! how far it can be trusted.

use crate::Error;
use crate::student::{quantile, two_sided};

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
    let Welch { mean, variance, freedom } = welch(a, b)?;
    let half = half_width(variance, freedom, confidence)?;
    Ok(Interval { mean, low: mean - half, high: mean + half, batches: a.len() + b.len() })
}

/// The two-sided p-value of Student's t-test that the mean is zero; 1 where all values are zero.
///
/// # Errors
/// As [`interval`].
pub fn p_value(values: &[f64]) -> Result<f64, Error> {
    let (mean, variance) = moments(values)?;
    let count = values.len() as f64;
    Ok(p_value_of(mean, variance / count, count - 1.0))
}

/// The two-sided p-value of Welch's t-test that two means are equal; 1 where all values are.
///
/// # Errors
/// As [`difference`].
pub fn difference_p_value(a: &[f64], b: &[f64]) -> Result<f64, Error> {
    let Welch { mean, variance, freedom } = welch(a, b)?;
    Ok(p_value_of(mean, variance, freedom))
}

/// p-values of several tests, adjusted so that the chance of any false finding among all that are below a
/// level is that level at most, in the order of the tests (Holm, 1979).
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut so_far = 0.0_f64;
    for (rank, &test) in order.iter().enumerate() {
        let left = (p_values.len() - rank) as f64;
        so_far = so_far.max((left * p_values[test]).min(1.0));
        adjusted[test] = so_far;
    }
    adjusted
}

/// A difference of means, the variance of that difference, and its degrees of freedom.
struct Welch {
    mean: f64,
    variance: f64,
    freedom: f64,
}

fn welch(a: &[f64], b: &[f64]) -> Result<Welch, Error> {
    let (mean_a, variance_a) = moments(a)?;
    let (mean_b, variance_b) = moments(b)?;
    let (count_a, count_b) = (a.len() as f64, b.len() as f64);
    let (part_a, part_b) = (variance_a / count_a, variance_b / count_b);
    let variance = part_a + part_b;
    let freedom = match variance > 0.0 {
        true => {
            variance.powi(2) / (part_a.powi(2) / (count_a - 1.0) + part_b.powi(2) / (count_b - 1.0))
        }
        // Without spread any will do: the interval has no width.
        false => count_a + count_b - 2.0,
    };
    Ok(Welch { mean: mean_a - mean_b, variance, freedom })
}

fn p_value_of(mean: f64, variance: f64, freedom: f64) -> f64 {
    if mean == 0.0 { 1.0 } else { two_sided(mean / variance.sqrt(), freedom) }
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

    /// `ttest_1samp` and `ttest_ind(equal_var=False)` of SciPy 1.17.1.
    #[test]
    fn p_values_equal_scipys() {
        let (a, b) = ([0.1, 0.3, -0.2, 0.4, 0.2], [0.5, 0.9, 0.7]);
        assert!((p_value(&a).unwrap() - 0.195_137_917_586_053_5).abs() < 1e-12);
        assert!((difference_p_value(&a, &b).unwrap() - 0.018_065_946_986_68).abs() < 1e-12);
        assert_eq!(p_value(&[0.0; 3]).unwrap(), 1.0);
        assert_eq!(p_value(&[0.5; 3]).unwrap(), 0.0);
        assert_eq!(difference_p_value(&[0.5; 3], &[0.5; 2]).unwrap(), 1.0);
    }

    #[test]
    fn holm_is_bonferroni_for_the_first_and_never_falls() {
        let adjusted = holm(&[0.02, 0.001, 0.5, 0.019, 0.9]);
        let expected = [0.076, 0.005, 1.0, 0.076, 1.0];
        for (found, expected) in adjusted.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{adjusted:?}");
        }
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn confidence_lies_between_nothing_and_certainty() {
        for confidence in [0.0, 1.0, -0.5, f64::NAN] {
            let error = interval_at(&[1.0, 2.0], confidence).unwrap_err();
            assert!(matches!(error, Error::Confidence { .. }), "{error}");
        }
    }
}
