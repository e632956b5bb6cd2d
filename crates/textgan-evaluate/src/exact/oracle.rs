//! `NLL_oracle` and `NLL_test`, the two numbers of the oracle task (Yu et al., 2017; Zhu et al.,
//! 2018): what the model's samples cost the oracle, and what the oracle's sequences cost the model.
//!
//! Both are means per token of the oracle. Its sequences have no end of their own, so the end that
//! a model predicts is not counted. A word that the model's vocabulary lacks is `<unk>` to the
//! model: `<unk>` stands for all lacking tokens alike, and its probability is spread over them.

use std::path::Path;

use textgan_artifact::table::TokenRow;
use textgan_generate::Model;
use textgan_models::UNK;
use textgan_random::{Key, Stream};
use textgan_synthetic::Oracle;

use super::{Exact, HeldOut, HeldOutSweep, Samples, published};
use crate::evaluation::{Better, Measure, Point, PublishedCurve, SWEPT, Sweep};
use crate::likelihood::{End, Likelihood};
use crate::series::Series;
use crate::{Error, Result};

/// The two measures of a curve of this task.
const QUALITY: &str = "nll-oracle";
const DIVERSITY: &str = "nll-test";

/// Values of `NLL_oracle` at which curves are compared.
const MATCHED: [f64; 3] = [9.0, 8.0, 7.0];

impl Exact for Oracle {
    fn samples(&self, samples: &Samples<'_>) -> Result<Vec<Series>> {
        let Samples { model, drawn, how, batches, .. } = *samples;
        let words = Words::new(self, model)?;
        let costs = costs(self, &words, &drawn.tokens)?;
        let protocol = protocol_of_samples(self, drawn.tokens.len(), how);
        let mut series =
            Series::mean_of("nll-oracle", &costs.by_row, Better::Lower, &protocol, batches);
        if costs.by_row.is_empty() {
            let why = "all samples are empty";
            let measure = Measure::undefined("nll-oracle", Better::Lower, &protocol, why);
            series = Series::single(measure);
        }
        series.measure.note = series.measure.note.or(costs.note);
        Ok(vec![series])
    }

    fn held_out(&self, held_out: &HeldOut<'_>) -> Result<Vec<Series>> {
        let HeldOut { model, rows, split, batches, .. } = *held_out;
        let words = Words::new(self, model)?;
        let mut all = held_out.likelihoods.at(rows, &[1.0], End::LeftOut)?;
        let likelihood = words.spread(all.remove(0), rows);
        let vectors = held_out.likelihoods.noise();
        let protocol = protocol_of_texts(self, split, rows.len(), &vectors, "temperature:1");
        let mut series = likelihood.series(&format!("nll-{split}"), &protocol, batches);
        series.measure.note = words.note();
        Ok(vec![series])
    }

    fn swept(&self, sweep: &HeldOutSweep<'_>) -> Result<Vec<Vec<Series>>> {
        let HeldOutSweep { model, temperatures, rows, split, likelihoods, batches } = *sweep;
        let words = Words::new(self, model)?;
        let vectors = likelihoods.noise();
        let protocol = protocol_of_texts(self, split, rows.len(), &vectors, SWEPT);
        let series = |likelihood| {
            let likelihood = words.spread(likelihood, rows);
            vec![likelihood.series(&format!("nll-{split}"), &protocol, batches)]
        };
        let all = likelihoods.at(rows, temperatures, End::LeftOut)?;
        Ok(all.into_iter().map(series).collect())
    }

    fn published(&self, length: usize) -> Vec<PublishedCurve> {
        published::curves(self.name(), length)
    }

    fn matched(&self, sweep: &Sweep) -> Vec<Series> {
        let points = sweep.curve(QUALITY, DIVERSITY);
        let protocol = |name| sweep.get(name).map_or("", |measure| &measure.protocol);
        let both = format!("{}|{}", protocol(QUALITY), protocol(DIVERSITY));
        let mut series = Vec::new();
        for nll_oracle in MATCHED {
            let name = format!("nll-test-at-nll-oracle-{nll_oracle}");
            let protocol = format!("{name}|interpolated|{both}");
            let theirs = sweep
                .published
                .iter()
                .filter_map(|curve| Some((&curve.name, at_quality(&curve.points, nll_oracle)?)));
            let theirs: Vec<String> =
                theirs.map(|(name, value)| format!("{name}: {value:.3}")).collect();
            let mut measure = match at_quality(&points, nll_oracle) {
                Some(value) => Measure::new(name, value, Better::Lower, &protocol),
                None => Measure::undefined(
                    &name,
                    Better::Lower,
                    &protocol,
                    "no two temperatures of the sweep have it between them",
                ),
            };
            if measure.note.is_none() && !theirs.is_empty() {
                measure.note = Some(format!("published {}", theirs.join(", ")));
            }
            series.push(Series::single(measure));
        }
        series
    }
}

/// The diversity where a curve has this quality, on the straight line between the two points
/// around it; `None` outside of the curve.
pub(crate) fn at_quality(points: &[Point], quality: f64) -> Option<f64> {
    points.windows(2).find_map(|pair| {
        let [a, b] = pair else { return None };
        let along = (quality - a.quality) / (b.quality - a.quality);
        (0.0..=1.0).contains(&along).then_some(a.diversity + along * (b.diversity - a.diversity))
    })
}

fn protocol_of_samples(oracle: &Oracle, samples: usize, how: &str) -> String {
    format!("nll-oracle|nats-a-token|oracle:{}|samples:{samples}|end:left-out|{how}", oracle.name())
}

fn protocol_of_texts(
    oracle: &Oracle,
    split: &str,
    texts: usize,
    vectors: &str,
    how: &str,
) -> String {
    format!(
        "nll-{split}|nats-a-token|oracle:{}|texts:{split}-{texts}|end:left-out|\
         noise-vectors:{vectors}|unknown:spread|{how}",
        oracle.name()
    )
}

/// What samples cost the oracle.
struct Costs {
    /// Nats a token of each sample that is not empty.
    by_row: Vec<f64>,
    note: Option<String>,
}

fn costs(oracle: &Oracle, words: &Words, samples: &[Vec<u32>]) -> Result<Costs> {
    let key = Key::root(0).child("unknown words of samples");
    let rows: Vec<Vec<u32>> = (0..)
        .zip(samples)
        .map(|(row, tokens)| words.of_oracle(tokens, &mut key.index(row).stream()))
        .collect();
    let by_row = oracle
        .log_probs(&rows)?
        .iter()
        .filter(|row| !row.is_empty())
        .map(|row| -row.iter().sum::<f64>() / row.len() as f64)
        .collect();
    let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
    let short = rows.iter().filter(|row| row.len() < longest).count();
    let note = (short > 0)
        .then(|| format!("{short} samples ended before the {longest} tokens of the longest"));
    Ok(Costs { by_row, note })
}

/// A model's vocabulary as the oracle sees it.
struct Words {
    /// The oracle's token of each id of the model; `None` for special ones.
    tokens: Vec<Option<u32>>,
    /// The oracle's tokens that the model has no word for.
    lacking: Vec<u32>,
}

impl Words {
    fn new(oracle: &Oracle, model: &Model) -> Result<Self> {
        let size = model.generator().sizes().vocab as u32;
        let tokenizer = model.tokenizer();
        let special = textgan_tokenizer::special::NAMES.len() as u32;
        let word = |id: u32| tokenizer.token(id).unwrap_or_default();
        let mut tokens = vec![None; special as usize];
        for id in special..size {
            let word = word(id);
            tokens.push(Some(token(oracle, &word, model.folder())?));
        }
        let mut there = vec![false; oracle.sizes().vocabulary];
        tokens.iter().flatten().for_each(|&token| there[token as usize] = true);
        let lacking =
            (0..).zip(there).filter(|(_, there)| !there).map(|(token, _)| token).collect();
        Ok(Self { tokens, lacking })
    }

    /// A sample in the oracle's tokens; for an unknown word, one of those that are lacking.
    fn of_oracle(&self, sample: &[u32], stream: &mut Stream) -> Vec<u32> {
        let unknown = |stream: &mut Stream| match self.lacking.len() {
            0 => stream.below(self.tokens.iter().flatten().count() as u64) as u32,
            count => self.lacking[stream.below(count as u64) as usize],
        };
        sample
            .iter()
            .map(|&id| self.tokens[id as usize].unwrap_or_else(|| unknown(stream)))
            .collect()
    }

    /// The likelihood of the oracle's tokens from that of the model's: the probability of an
    /// unknown word is that of all lacking tokens together.
    fn spread(&self, mut likelihood: Likelihood, rows: &[TokenRow]) -> Likelihood {
        let each = (self.lacking.len().max(1) as f64).ln();
        for ((nll, &counted), row) in likelihood.nll.iter_mut().zip(&likelihood.tokens).zip(rows) {
            let unknown = row.tokens[..counted].iter().filter(|&&id| id == UNK).count();
            *nll += unknown as f64 * each;
        }
        likelihood
    }

    fn note(&self) -> Option<String> {
        let count = self.lacking.len();
        (count > 0).then(|| format!("{count} tokens of the oracle are not in the training text"))
    }
}

fn token(oracle: &Oracle, word: &str, folder: &Path) -> Result<u32> {
    oracle.token(word).ok_or_else(|| Error::Word {
        folder: folder.to_owned(),
        word: word.to_owned(),
        oracle: oracle.name().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_read_between_their_points_and_not_beyond() {
        let point = |quality, diversity| Point { temperature: 1.0, quality, diversity };
        let points = [point(9.5, 7.6), point(8.5, 7.8), point(7.0, 8.4)];
        assert_eq!(at_quality(&points, 9.5), Some(7.6));
        assert!((at_quality(&points, 9.0).unwrap() - 7.7).abs() < 1e-12);
        assert!((at_quality(&points, 7.5).unwrap() - 8.2).abs() < 1e-12);
        assert_eq!(at_quality(&points, 6.9), None);
        assert_eq!(at_quality(&points[..1], 9.5), None);
    }

    #[test]
    fn the_published_curve_is_where_it_was_published() {
        let curve = &published::curves("lstm-5000x32-711bcc33", 20)[0];
        for (quality, expect) in [(9.0, 7.699), (8.0, 8.064), (7.0, 8.532)] {
            let found = at_quality(&curve.points, quality).unwrap();
            assert!((found - expect).abs() < 5e-3, "{quality}: {found}, not {expect}");
        }
        assert!(published::curves("lstm-5000x32-711bcc33", 40).is_empty());
        assert!(published::curves("lstm-5000x32-00000000", 20).is_empty());
    }
}
