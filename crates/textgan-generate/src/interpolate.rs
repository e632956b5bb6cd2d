use textgan_artifact::table::Sample;
use textgan_random::Key;

use crate::{Model, Options, Result};

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
        let options = Options { greedy: true, ..options.clone() };
        let noise = key.child("noise");
        let [start, end] =
            [from, to].map(|number| self.generator().noise().draw(&noise, number, 1));
        let last = steps.saturating_sub(1).max(1) as f32;
        let noise = (0..steps).flat_map(|step| great_circle(&start, &end, step as f32 / last));
        self.generate_from(noise.collect(), steps, &options, key)
    }

    /// A text of each of some noise vectors, `[rows, noise]`; all of the label that the options name, or of
    /// the first. The generator writes alone, without candidates. Text `i` draws from its own random stream,
    /// which `key` names, as in [`generate`](Self::generate).
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) for options or noise that cannot work with this model.
    pub fn generate_from(
        &self,
        noise: Vec<f32>,
        rows: usize,
        options: &Options,
        key: &Key,
    ) -> Result<Vec<Sample>> {
        self.check_noise(&noise, rows)?;
        let labels = self.label_of_row(options)?.map(|label| vec![label; rows]);
        let drawn = self.source(options, key)?.draw_from(noise, 0, rows, labels)?;
        self.samples(0, &drawn, options)
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
