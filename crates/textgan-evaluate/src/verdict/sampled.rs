//! The curves of one sampled model, and how they are read between their temperatures.

use super::{Matched, Pair};
use crate::evaluation::{Better, Sweep, Swept};
use crate::{Error, Result};

/// BLEU-4 and Self-BLEU-4 of one batch at one temperature.
type Point = [f64; 2];
pub(super) const BLEU: usize = 0;
pub(super) const SELF_BLEU: usize = 1;

/// The samples of one model: a curve for each of some disjoint batches.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampled {
    batch_size: usize,
    /// `[batch][temperature]`
    curves: Vec<Vec<Point>>,
}

impl Sampled {
    /// From `[batch][temperature]` of `[BLEU-4, Self-BLEU-4]`, the temperatures in order.
    ///
    /// # Errors
    /// Fewer than two batches, batches of different numbers of temperatures, or of none.
    pub fn new(batch_size: usize, curves: Vec<Vec<Point>>) -> Result<Self> {
        let temperatures = curves.first().map_or(0, Vec::len);
        if curves.len() < 2 || curves.iter().any(|curve| curve.len() != temperatures) {
            return Err(Error::Curves("give two or more batches, each at the same temperatures"));
        }
        if temperatures == 0 {
            return Err(Error::Curves("give one temperature or more"));
        }
        if curves.iter().flatten().flatten().any(|value| !value.is_finite()) {
            return Err(Error::Curves("a value is not a number"));
        }
        Ok(Self { batch_size, curves })
    }

    /// BLEU-4 against Self-BLEU-4, from the sweep of an evaluation.
    ///
    /// # Errors
    /// As [`of_pair`](Self::of_pair).
    pub fn of(sweep: &Sweep) -> Result<Self> {
        Self::of_pair(sweep, &Pair::default())
    }

    /// A pair of measures from the sweep of an evaluation, turned so that more quality is better and
    /// less sameness is.
    ///
    /// # Errors
    /// A sweep that lacks a measure, has it without batches, or where it is not defined.
    pub fn of_pair(sweep: &Sweep, pair: &Pair) -> Result<Self> {
        let measure = |name: &str| {
            sweep.get(name).ok_or_else(|| {
                let known: Vec<&str> = sweep.measures.iter().map(|swept| &*swept.name).collect();
                Error::Config {
                    key: "verdict",
                    message: format!("the curves have no {name}, but: {}", known.join(", ")),
                }
            })
        };
        let (quality, diversity) = (measure(&pair.quality)?, measure(&pair.diversity)?);
        let signs =
            [Self::quality_sign(Some(sweep), pair), Self::diversity_sign(Some(sweep), pair)];
        let mut order: Vec<usize> = (0..sweep.temperatures.len()).collect();
        order.sort_by(|&a, &b| sweep.temperatures[a].total_cmp(&sweep.temperatures[b]));
        let batches = quality.batches.first().map_or(0, Vec::len);
        let at = |swept: &Swept, temperature: usize, batch: usize| {
            let values = swept.batches.get(temperature);
            values.and_then(|values| values.get(batch)).copied().unwrap_or(f64::NAN)
        };
        let curve = |batch| {
            let point =
                |&t: &usize| [signs[0] * at(quality, t, batch), signs[1] * at(diversity, t, batch)];
            order.iter().map(point).collect()
        };
        Self::new(quality.batch_size, (0..batches).map(curve).collect())
    }

    /// 1 where more of the quality measure is better, else -1.
    pub(super) fn quality_sign(sweep: Option<&Sweep>, pair: &Pair) -> f64 {
        match sweep.and_then(|sweep| sweep.get(&pair.quality)).map(|swept| swept.better) {
            Some(Better::Lower) => -1.0,
            _ => 1.0,
        }
    }

    /// 1 where more of the diversity measure is more sameness, as of Self-BLEU, else -1.
    pub(super) fn diversity_sign(sweep: Option<&Sweep>, pair: &Pair) -> f64 {
        match sweep.and_then(|sweep| sweep.get(&pair.diversity)).map(|swept| swept.better) {
            Some(Better::Higher) => -1.0,
            _ => 1.0,
        }
    }

    /// How many disjoint batches there are.
    pub fn batches(&self) -> usize {
        self.curves.len()
    }

    /// How many sentences each batch has.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    pub(super) fn is_one_temperature(&self) -> bool {
        self.curves[0].len() == 1
    }
}

/// The range of a coordinate that every mean curve covers.
pub(super) fn common<'a>(
    sides: impl Iterator<Item = &'a Sampled>,
    axis: usize,
) -> Option<[f64; 2]> {
    let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
    for curve in sides.map(Sampled::mean_curve) {
        let values = || curve.iter().map(|point| point[axis]);
        low = low.max(values().fold(f64::INFINITY, f64::min));
        high = high.min(values().fold(f64::NEG_INFINITY, f64::max));
    }
    (low < high).then_some([low, high])
}

/// A place where a curve has a given value.
struct Crossing {
    /// The temperature before it.
    before: usize,
    /// How far it is to the next.
    along: f64,
    /// How fast the other coordinate changes there.
    slope: f64,
}

/// Where a curve has `at` in `equal`, on the straight lines between its points: one place, or
/// several where it turns back, or none where it does not reach.
fn crossings(curve: &[Point], equal: usize, at: f64, compared: usize) -> Vec<Crossing> {
    let pairs = curve.windows(2).enumerate();
    let crossing = |(before, pair): (usize, &[Point])| {
        let [a, b] = pair else { return None };
        let across = b[equal] - a[equal];
        let along = (at - a[equal]) / across;
        let slope = (b[compared] - a[compared]) / across;
        (0.0..=1.0).contains(&along).then_some(Crossing { before, along, slope })
    };
    pairs.filter_map(crossing).collect()
}

impl Sampled {
    /// The mean of the curves of the batches.
    fn mean_curve(&self) -> Vec<Point> {
        let count = self.curves.len() as f64;
        let at = |t: usize| {
            [BLEU, SELF_BLEU]
                .map(|axis| self.curves.iter().map(|curve| curve[t][axis]).sum::<f64>() / count)
        };
        (0..self.curves[0].len()).map(at).collect()
    }

    /// The value of each batch where the mean curve has `at`: that of the mean curve, and what the
    /// batch contributes to it. On the line between two temperatures `f = y + (at - x) slope`, whose
    /// derivative is `(1 - along) (dy1 - slope dx1) + along (dy2 - slope dx2)`. Where the curve turns
    /// back, the mean of its crossings.
    pub(super) fn at(&self, matched: Matched, at: f64, other_slope: f64) -> Option<Vec<f64>> {
        let [equal, compared] = matched.axes();
        let mean_curve = self.mean_curve();
        let places = match mean_curve[..] {
            [_] => vec![Crossing { before: 0, along: 0.0, slope: other_slope }],
            _ => crossings(&mean_curve, equal, at, compared),
        };
        if places.is_empty() {
            return None;
        }
        let value = |curve: &Vec<Point>| {
            let at_place = |place: &Crossing| {
                let from = |t: usize| curve[t][compared] + place.slope * (at - curve[t][equal]);
                match mean_curve.len() {
                    1 => from(0),
                    _ => {
                        (1.0 - place.along) * from(place.before)
                            + place.along * from(place.before + 1)
                    }
                }
            };
            mean(&places.iter().map(at_place).collect::<Vec<f64>>())
        };
        Some(self.curves.iter().map(value).collect())
    }
}

/// The mean of a coordinate over all there is of a side.
pub(super) fn middle(side: &[Sampled], axis: usize) -> f64 {
    let means: Vec<f64> =
        side.iter().flat_map(Sampled::mean_curve).map(|point| point[axis]).collect();
    mean(&means)
}

pub(super) fn mean_slope(side: &[Sampled], matched: Matched, at: f64) -> Option<f64> {
    let [equal, compared] = matched.axes();
    let slope = |sampled: &Sampled| {
        let crossings = crossings(&sampled.mean_curve(), equal, at, compared);
        let slopes: Vec<f64> = crossings.iter().map(|crossing| crossing.slope).collect();
        (!slopes.is_empty()).then(|| mean(&slopes))
    };
    Some(mean(&side.iter().map(slope).collect::<Option<Vec<f64>>>()?))
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: [f64; 4] = [0.7, 0.6, 0.5, 0.4];

    #[test]
    fn a_curve_that_turns_back_has_the_mean_of_its_crossings() {
        let curve = vec![[0.6, 0.5], [0.4, 0.3], [0.5, 0.4]];
        let sampled = Sampled::new(100, vec![curve.clone(), curve]).unwrap();
        let found = sampled.at(Matched::Diversity, 0.35, 0.0).unwrap();
        assert!(found.iter().all(|value| (value - 0.45).abs() < 1e-12), "{found:?}");
        assert_eq!(sampled.at(Matched::Diversity, 0.2, 0.0), None);
    }

    #[test]
    fn batches_have_their_own_lines_to_first_order() {
        // The same line for each batch, its points moved along it: no batch differs from another.
        let curve = |shift: f64| -> Vec<Point> {
            WIDE.iter().map(|t| [2.0 * (t + shift), t + shift]).collect()
        };
        let along = Sampled::new(100, vec![curve(0.01), curve(-0.02), curve(0.01)]).unwrap();
        let values = along.at(Matched::Diversity, 0.55, 0.0).unwrap();
        assert!(values.iter().all(|value| (value - 1.1).abs() < 1e-12), "{values:?}");
        // Moved to the side, each keeps its distance.
        let noise = [0.001, -0.001, 0.002, -0.002];
        let beside = |noise: f64| WIDE.iter().map(|t| [t + 0.1 + noise, *t]).collect();
        let beside = Sampled::new(100, noise.map(beside).to_vec()).unwrap();
        let values = beside.at(Matched::Diversity, 0.52, 0.0).unwrap();
        for (value, noise) in values.iter().zip(noise) {
            assert!((value - 0.62 - noise).abs() < 1e-12, "{values:?}");
        }
    }
}
