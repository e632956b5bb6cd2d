use textgan_artifact::table::Sample;
use textgan_random::Key;

use crate::{Labels, Model, Options, Result};

impl Model {
    /// Walks from the noise of text `from` to the noise of text `to` in `steps` texts, both ends
    /// included.
    ///
    /// The walk is along the great circle, since the length of a Gaussian vector says little and
    /// the straight line would pass where no noise ever is (White, 2016). Every text is made
    /// greedily: nothing changes along the way but the noise.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) for options that cannot work with this model.
    pub fn interpolate(
        &self,
        from: u64,
        to: u64,
        steps: usize,
        options: &Options,
        key: &Key,
    ) -> Result<Vec<Sample>> {
        if steps == 0 {
            return Ok(Vec::new());
        }
        let options = Options { greedy: true, candidates: 1, ..options.clone() };
        let labels = match self.chosen_labels(&options)? {
            Labels::Uniform => Labels::One(0),
            chosen => chosen,
        };
        let mut source = self.source(&options, key)?;
        let [start, end] = [from, to].map(|number| source.noise(number));
        let last = steps.saturating_sub(1).max(1) as f32;
        let noise = (0..steps).flat_map(|step| great_circle(&start, &end, step as f32 / last));
        let labels = source.labels(0, steps, labels);
        let drawn = source.draw_from(noise.collect(), 0, steps, labels)?;
        self.samples(0, &drawn, &options)
    }
}

/// Spherical interpolation: `share` 0 is `start`, 1 is `end`.
fn great_circle(start: &[f32], end: &[f32], share: f32) -> Vec<f32> {
    let norm = |vector: &[f32]| vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    let product: f32 = start.iter().zip(end).map(|(a, b)| a * b).sum();
    let cosine = product / (norm(start) * norm(end)).max(f32::MIN_POSITIVE);
    let angle = cosine.clamp(-1.0, 1.0).acos();
    // Nearly parallel or opposite: the circle is undefined, the line is as good.
    let (first, second) = if angle.sin() < 1e-4 {
        (1.0 - share, share)
    } else {
        (((1.0 - share) * angle).sin() / angle.sin(), (share * angle).sin() / angle.sin())
    };
    start.iter().zip(end).map(|(a, b)| first * a + second * b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_begins_and_ends_where_it_should_and_keeps_its_length() {
        let (start, end) = ([3.0, 0.0, 4.0], [0.0, 5.0, 0.0]);
        assert_eq!(great_circle(&start, &end, 0.0), start);
        assert_eq!(great_circle(&start, &end, 1.0), end);
        for step in 0..=10 {
            let at = great_circle(&start, &end, step as f32 / 10.0);
            let length = at.iter().map(|x| x * x).sum::<f32>().sqrt();
            assert!((length - 5.0).abs() < 1e-5, "{at:?}");
        }
    }

    #[test]
    fn parallel_and_empty_vectors_are_no_trouble() {
        assert_eq!(great_circle(&[1.0, 2.0], &[1.0, 2.0], 0.5), [1.0, 2.0]);
        assert_eq!(great_circle(&[0.0], &[0.0], 0.5), [0.0]);
        assert!(great_circle(&[], &[], 0.5).is_empty());
    }
}
