//! From the baseline to the model, with the uncertainty of a finite sample.

use std::ops::Range;

use textgan_metrics::interval;

use crate::Result;
use crate::evaluation::{Better, Change};

/// `count` items cut into `batches` disjoint ranges of the same size; a rest is left out.
pub(crate) fn batches(count: usize, batches: usize) -> Vec<Range<usize>> {
    let size = count / batches;
    (0..batches).map(|batch| batch * size..(batch + 1) * size).collect()
}

/// The change of one measure from its values on the same batches of both models.
pub(crate) fn change(
    name: &str,
    better: Better,
    protocol: &str,
    model: &[f64],
    baseline: &[f64],
) -> Result<Option<Change>> {
    let differences: Vec<f64> =
        model.iter().zip(baseline).map(|(model, baseline)| model - baseline).collect();
    if differences.iter().any(|difference| !difference.is_finite()) {
        return Ok(None);
    }
    let interval = interval(&differences)?;
    Ok(Some(Change {
        name: name.to_owned(),
        change: interval.mean,
        low: interval.low,
        high: interval.high,
        batches: differences.len(),
        better,
        protocol: protocol.to_owned(),
    }))
}
