//! From the baseline to the model, with the uncertainty of a finite sample.

use std::ops::Range;

use textgan_metrics::{interval, p_value};

use crate::Result;
use crate::evaluation::{Change, Measure};
use crate::series::Series;

/// `count` items cut into `batches` disjoint ranges of the same size; a rest is left out.
pub(crate) fn batches(count: usize, batches: usize) -> Vec<Range<usize>> {
    let size = count / batches;
    (0..batches).map(|batch| batch * size..(batch + 1) * size).collect()
}

/// The change of one measure from the baseline to the model, both measured with the same noise and streams.
///
/// Shares are compared as what they are, counts of two sets. Everything else is compared on disjoint batches,
/// batch by batch; without spread between them nothing is known of how far chance reaches, and there is no
/// interval.
pub(crate) fn change(model: &Series, baseline: &Series) -> Result<Option<Change>> {
    if let (Some(ours), Some(theirs)) = (model.share, baseline.share) {
        let found = [ours.share() - theirs.share(), ours.p_value(theirs)];
        let protocol = format!("{}|interval:binomial", model.measure.protocol);
        return Ok(Some(of(&model.measure, found, ours.minus(theirs), protocol)));
    }
    let (ours, theirs) = (&model.batches, &baseline.batches);
    if ours.len() < 2 || ours.len() != theirs.len() {
        return Ok(None);
    }
    let differences: Vec<f64> =
        ours.iter().zip(theirs).map(|(model, baseline)| model - baseline).collect();
    if differences.iter().any(|difference| !difference.is_finite()) {
        return Ok(None);
    }
    // An interval of no width would say that chance reaches nowhere.
    let differ = |values: &[f64]| values.iter().any(|value| *value != values[0]);
    let known = differ(&differences) || (differ(ours) && differ(theirs));
    if !known {
        return Ok(None);
    }
    let interval = interval(&differences)?;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let protocol = format!("{}|batches:{}x{}", model.measure.protocol, ours.len(), model.size);
    let found = [interval.mean, p_value(&differences)?];
    Ok(Some(Change {
        of_batches: Some([mean(theirs), mean(ours)]),
        batches: differences.len(),
        ..of(&model.measure, found, [interval.low, interval.high], protocol)
    }))
}

/// A change that stands alone.
pub(crate) fn of(
    measure: &Measure,
    [change, p]: [f64; 2],
    [low, high]: [f64; 2],
    protocol: String,
) -> Change {
    Change {
        name: measure.name.clone(),
        change,
        of_batches: None,
        low,
        high,
        p,
        adjusted_p: p,
        batches: 0,
        better: measure.better,
        protocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::Better;

    #[test]
    fn without_spread_there_is_no_interval() -> Result<()> {
        let series = |values: &[f64]| {
            Series::batched(Measure::new("x", 0.0, Better::Higher, "x"), 1, values.to_vec())
        };
        let of = |model: &[f64], baseline: &[f64]| change(&series(model), &series(baseline));
        assert_eq!(of(&[0.0; 4], &[0.0; 4])?, None);
        assert_eq!(of(&[0.5; 4], &[0.4; 4])?, None);
        let found = of(&[0.5, 0.7], &[0.4, 0.4])?.map(|change| (change.change, change.of_batches));
        let Some((change, Some([baseline, model]))) = found else { panic!("a change") };
        assert!((change - 0.2).abs() < 1e-12 && (model - 0.6).abs() < 1e-12 && baseline == 0.4);
        // Both spread alike: the same noise moves both, and the difference is known.
        let Some(same) = of(&[0.5, 0.7], &[0.5, 0.7])? else { panic!("a change") };
        assert_eq!((same.low, same.high, same.p), (0.0, 0.0, 1.0));
        Ok(())
    }

    #[test]
    fn a_share_without_events_has_an_interval() -> Result<()> {
        let share = |truths: &[bool]| Series::share_of("x", truths, Better::Lower, "x", 2);
        let none = share(&[false; 1000]);
        let [low, high] = none.measure.interval.unwrap_or_default();
        assert!(low == 0.0 && (high - 0.003_682).abs() < 1e-6, "{high}");
        let Some(change) = change(&none, &none)? else { panic!("a change") };
        assert!(
            (change.change, change.p) == (0.0, 1.0) && change.low < -3e-3 && change.high > 3e-3
        );
        Ok(())
    }
}
