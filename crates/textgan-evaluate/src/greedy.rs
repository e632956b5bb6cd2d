//! The most probable text of each of many noise vectors: whether the noise matters.

use std::collections::HashSet;

use textgan_generate::{Labels, Model, Options};

use crate::Result;
use crate::bench::Bench;
use crate::evaluation::{Better, Measure};
use crate::series::Series;

/// Texts on the way between two noise vectors, both ends included.
const STEPS: usize = 11;
/// The most ways that are walked.
const MOST_WALKS: usize = 50;

/// The share of the words of the longer of two texts that are not in their place: Levenshtein's distance over its
/// length.
fn changed(a: &[u32], b: &[u32]) -> f64 {
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (row, x) in a.iter().enumerate() {
        let mut left = row + 1;
        let mut corner = std::mem::replace(&mut above[0], left);
        for (y, cell) in b.iter().zip(&mut above[1..]) {
            left = (corner + usize::from(x != y)).min(left + 1).min(*cell + 1);
            corner = std::mem::replace(cell, left);
        }
    }
    above[b.len()] as f64 / a.len().max(b.len()).max(1) as f64
}

impl Bench<'_> {
    /// The most probable text of each of many noise vectors: whether the noise matters.
    pub fn greedy(&self, model: &Model, labels: Labels) -> Result<Vec<Series>> {
        let config = self.config;
        let options = Options { greedy: true, batch_size: config.batch_size, ..Options::default() };
        let drawn = model.draw(&options, labels, &self.key.child("greedy"), config.greedy_texts)?;
        let distinct: HashSet<&[u32]> = drawn.tokens.iter().map(Vec::as_slice).collect();
        let share = distinct.len() as f64 / drawn.tokens.len() as f64;
        let protocol =
            format!("distinct-greedy|noise-vectors:{}|tokens:{}", config.greedy_texts, self.tokens);
        let mut series =
            vec![Series::single(Measure::new("distinct-greedy", share, Better::Higher, &protocol))];
        if model.generator().noise().dimension > 0 && config.greedy_texts > 1 {
            series.push(self.interpolated(model)?);
        }
        if let Some(truth) = self.truth {
            series.extend(truth.exact().greedy(&self.samples(model, &drawn, "greedy"))?);
        }
        Ok(series)
    }

    /// How smoothly the most probable text follows the noise: the share of its words that change from one of
    /// [`STEPS`] texts to the next on the way between two noise vectors, mean over steps and over pairs; of the first
    /// label where there are labels. Little is smooth, and nothing at all is noise that does not matter.
    fn interpolated(&self, model: &Model) -> Result<Series> {
        let pairs = (self.config.greedy_texts / 2).min(MOST_WALKS);
        let key = self.key.child("greedy");
        let mut changes = Vec::with_capacity(pairs * (STEPS - 1));
        for pair in 0..pairs as u64 {
            let options = Options::default();
            let walk = model.interpolate(2 * pair, 2 * pair + 1, STEPS, &options, &key)?;
            changes.extend(walk.windows(2).map(|pair| changed(&pair[0].tokens, &pair[1].tokens)));
        }
        let mean = changes.iter().sum::<f64>() / changes.len() as f64;
        let protocol = format!(
            "interpolation-change|walks:{pairs}|texts-a-walk:{STEPS}|label:first|tokens:{}",
            self.tokens
        );
        Ok(Series::single(Measure::new("interpolation-change", mean, Better::Neither, &protocol)))
    }
}

#[cfg(test)]
mod tests {
    use super::changed;

    #[test]
    fn changes_are_counted_in_words() {
        for (a, b, expected) in [
            (&[][..], &[][..], 0.0),
            (&[1, 2, 3], &[1, 2, 3], 0.0),
            (&[1, 2, 3, 4], &[1, 9, 3, 4], 0.25),
            (&[1, 2, 3, 4], &[2, 3, 4], 0.25),
            (&[1, 2], &[3, 4, 5, 6], 1.0),
            (&[], &[7, 8], 1.0),
            (&[4, 1, 2, 3], &[1, 2, 3, 4], 0.5),
        ] {
            assert_eq!(changed(a, b), expected, "{a:?} {b:?}");
            assert_eq!(changed(b, a), expected, "{b:?} {a:?}");
        }
    }
}
