use std::ops::Range;

use textgan_metrics::Error;

use crate::change::{batches, change};
use crate::evaluation::{Better, Change, Measure};

/// A measure together with its value on each of some disjoint batches, where that makes sense.
pub(crate) struct Series {
    pub measure: Measure,
    pub batches: Vec<f64>,
    /// How many items each batch has.
    pub size: usize,
}

impl Series {
    /// A measure whose change is not looked at.
    pub fn single(measure: Measure) -> Self {
        Self { measure, batches: Vec::new(), size: 0 }
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
        Self { measure, batches, size }
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
        let ranges = batches(values.len(), count);
        let size = ranges.first().map_or(0, ExactSizeIterator::len);
        let measure = Measure::new(name, mean(values), better, protocol);
        if size == 0 {
            return Self::single(measure);
        }
        Self::batched(measure, size, ranges.into_iter().map(|range| mean(&values[range])).collect())
    }
}

/// The change of every series that both models have by batch.
pub(crate) fn changes(model: &[Series], baseline: &[Series]) -> crate::Result<Vec<Change>> {
    let mut changes = Vec::new();
    for now in model {
        let before = baseline.iter().find(|before| before.measure.name == now.measure.name);
        let Some(before) = before.filter(|before| before.batches.len() == now.batches.len()) else {
            continue;
        };
        if now.batches.len() < 2 {
            continue;
        }
        let protocol =
            format!("{}|batches:{}x{}", now.measure.protocol, now.batches.len(), now.size);
        let Measure { name, better, .. } = &now.measure;
        changes.extend(change(name, *better, &protocol, &now.batches, &before.batches)?);
    }
    Ok(changes)
}
