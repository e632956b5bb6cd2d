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
    // Without spread nothing is known of how far chance reaches: an interval of no width would say that
    // it reaches nowhere.
    let differ = |values: &[f64]| values.iter().any(|value| *value != values[0]);
    let known = differ(&differences) || (differ(model) && differ(baseline));
    if !known {
        return Ok(None);
    }
    let interval = interval(&differences)?;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    Ok(Some(Change {
        of_batches: Some([mean(baseline), mean(model)]),
        name: name.to_owned(),
        change: interval.mean,
        low: interval.low,
        high: interval.high,
        batches: differences.len(),
        better,
        protocol: protocol.to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_spread_there_is_no_interval() -> Result<()> {
        let of =
            |model: &[f64], baseline: &[f64]| change("x", Better::Higher, "x", model, baseline);
        assert_eq!(of(&[0.0; 4], &[0.0; 4])?, None);
        assert_eq!(of(&[0.5; 4], &[0.4; 4])?, None);
        let found = of(&[0.5, 0.7], &[0.4, 0.4])?.map(|change| (change.change, change.of_batches));
        let Some((change, Some([baseline, model]))) = found else { panic!("a change") };
        assert!((change - 0.2).abs() < 1e-12 && (model - 0.6).abs() < 1e-12 && baseline == 0.4);
        // Both spread alike: the same noise moves both, and the difference is known.
        let Some(same) = of(&[0.5, 0.7], &[0.5, 0.7])? else { panic!("a change") };
        assert_eq!((same.low, same.high), (0.0, 0.0));
        Ok(())
    }
}
