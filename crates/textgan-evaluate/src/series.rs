use std::ops::Range;

use serde::{Deserialize, Serialize};
use textgan_metrics::{Error, holm};

use crate::binomial::Count;
use crate::change::{batches, change};
use crate::evaluation::{Better, Change, Measure};

/// A measure together with its value on each of some disjoint batches, where that makes sense.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Series {
    pub measure: Measure,
    pub batches: Vec<f64>,
    /// How many items each batch has.
    pub size: usize,
    /// Of a share of items that are alike and independent: what it is the share of.
    pub share: Option<Count>,
}

impl Series {
    /// A measure whose change is not looked at.
    pub fn single(measure: Measure) -> Self {
        Self { measure, batches: Vec::new(), size: 0, share: None }
    }

    /// A measure that has no value.
    pub fn undefined(name: &str, better: Better, protocol: &str, why: &Error) -> Self {
        Self::single(Measure::undefined(name, better, protocol, &why.to_string()))
    }

    /// A measure of a whole set and of its parts `ranges`, which may be undefined.
    pub fn of(
        name: &str,
        better: Better,
        protocol: &str,
        whole: Result<f64, &Error>,
        parts: Result<Vec<f64>, &Error>,
        ranges: &[Range<usize>],
    ) -> Self {
        match (whole, parts) {
            (Err(why), _) => Self::undefined(name, better, protocol, why),
            (Ok(whole), Err(_)) => Self::single(Measure::new(name, whole, better, protocol)),
            (Ok(whole), Ok(parts)) => {
                let size = ranges.first().map_or(0, ExactSizeIterator::len);
                Self::batched(Measure::new(name, whole, better, protocol), size, parts)
            }
        }
    }

    /// A measure with its values on `batches` batches of `size` items each.
    pub fn batched(measure: Measure, size: usize, batches: Vec<f64>) -> Self {
        Self { measure, batches, size, share: None }
    }

    /// The share of items of which something is true, with its exact interval.
    pub fn share_of(
        name: &str,
        truths: &[bool],
        better: Better,
        protocol: &str,
        count: usize,
    ) -> Self {
        let values: Vec<f64> = truths.iter().map(|&truth| f64::from(u8::from(truth))).collect();
        let mut series = Self::mean_of(name, &values, better, protocol, count);
        if !truths.is_empty() {
            let count = Count::of(truths);
            series.measure.interval = Some(count.interval());
            series.share = Some(count);
        }
        series
    }

    /// The mean of a value of each item, whole and by batch.
    pub fn mean_of(
        name: &str,
        values: &[f64],
        better: Better,
        protocol: &str,
        count: usize,
    ) -> Self {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        Self::of_parts(name, values.len(), better, protocol, count, |range| mean(&values[range]))
    }

    /// The mean of a value of each item as it would be if the items had the lengths of real text
    /// (direct standardisation): the mean at each length, weighted by `real`, the share of real text
    /// that has it. Lengths that no item of a set has are left out there.
    pub fn at_equal_length(
        name: &str,
        values: &[f64],
        lengths: &[usize],
        real: &[f64],
        better: Better,
        protocol: &str,
        count: usize,
    ) -> Self {
        let standardised = |range: Range<usize>| {
            let mut found = vec![(0.0, 0_usize); real.len()];
            for (value, &length) in values[range.clone()].iter().zip(&lengths[range]) {
                if let Some((sum, count)) = found.get_mut(length) {
                    *sum += value;
                    *count += 1;
                }
            }
            let (mut mean, mut weight) = (0.0, 0.0);
            for (&(sum, count), share) in
                found.iter().zip(real).filter(|((_, count), _)| *count > 0)
            {
                mean += share * sum / count as f64;
                weight += share;
            }
            // A set of which nothing is as long as any real text has nothing of the kind.
            if weight > 0.0 { mean / weight } else { 0.0 }
        };
        Self::of_parts(name, values.len(), better, protocol, count, standardised)
    }

    /// A measure of `items` items and of each of `count` disjoint batches of them.
    fn of_parts(
        name: &str,
        items: usize,
        better: Better,
        protocol: &str,
        count: usize,
        value: impl Fn(Range<usize>) -> f64,
    ) -> Self {
        let ranges = batches(items, count);
        let size = ranges.first().map_or(0, ExactSizeIterator::len);
        let measure = Measure::new(name, value(0..items), better, protocol);
        if size == 0 {
            return Self::single(measure);
        }
        Self::batched(measure, size, ranges.into_iter().map(value).collect())
    }
}

/// The share of `texts` that has each number of tokens, from 0 up.
pub(crate) fn shares_of_lengths(texts: &[Vec<u32>]) -> Vec<f64> {
    let longest = texts.iter().map(Vec::len).max().unwrap_or(0);
    let mut shares = vec![0.0; longest + 1];
    for text in texts {
        shares[text.len()] += 1.0 / texts.len() as f64;
    }
    shares
}

/// The change of every series that both models have, by batch or as a share.
pub(crate) fn changes(model: &[Series], baseline: &[Series]) -> crate::Result<Vec<Change>> {
    let mut changes = Vec::new();
    for now in model {
        let before = baseline.iter().find(|before| before.measure.name == now.measure.name);
        if let Some(before) = before {
            changes.extend(change(now, before)?);
        }
    }
    Ok(together(changes))
}

/// Changes that stand in one table: their p-values hold together.
pub(crate) fn together(mut changes: Vec<Change>) -> Vec<Change> {
    let p_values: Vec<f64> = changes.iter().map(|change| change.p).collect();
    for (change, adjusted) in changes.iter_mut().zip(holm(&p_values)) {
        change.adjusted_p = adjusted;
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_equal_length_a_mean_does_not_gain_by_short_items() {
        // Short items are right, long ones are wrong; real text has as many of both.
        let real = shares_of_lengths(&[vec![1], vec![1, 2, 3]]);
        assert_eq!(real, [0.0, 0.5, 0.0, 0.5]);
        let (values, lengths) = ([1.0, 1.0, 1.0, 0.0], [1, 1, 1, 3]);
        let of = |values: &[f64], lengths: &[usize]| {
            Series::at_equal_length("x", values, lengths, &real, Better::Higher, "x", 1)
                .measure
                .value
        };
        assert_eq!(of(&values, &lengths), Some(0.5));
        // What real text has not got does not count, and what no item has is left out.
        assert_eq!(of(&[1.0, 1.0, 0.0], &[2, 9, 3]), Some(0.0));
        assert_eq!(of(&[1.0], &[7]), Some(0.0));
    }
}
