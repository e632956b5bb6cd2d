//! Quality and diversity of samples against real text, in tokens.

use std::collections::HashSet;

use textgan_metrics::{References, distinct_n, self_bleu};

use crate::change::batches;
use crate::evaluation::Better;
use crate::series::Series;

/// BLEU is reported from two tokens up to this many.
pub(crate) const MOST_TOKENS: usize = 5;

/// Distinct n-grams are reported up to this many tokens.
const MOST_DISTINCT: usize = 4;

/// Real text that samples are compared with.
pub(crate) struct Real<'a> {
    /// The test split, prepared for BLEU.
    pub references: References,
    /// The sentences of the train split.
    pub train: &'a HashSet<&'a [u32]>,
}

/// How samples were drawn and are compared: a part of every protocol.
pub(crate) struct Protocol {
    /// What a token is, such as `word-4704`.
    pub tokens: String,
    /// How they were drawn, such as `temperature:1`.
    pub drawn: String,
}

/// Everything that needs no more than token ids.
pub(crate) fn measure(
    samples: &[Vec<u32>],
    real: &Real<'_>,
    protocol: &Protocol,
    batch_count: usize,
) -> Vec<Series> {
    let Protocol { tokens, drawn } = protocol;
    let count = samples.len();
    let ranges = batches(count, batch_count);
    let mut series = Vec::new();

    let scores = real.references.score(samples);
    for n in 2..=MOST_TOKENS {
        let protocol = format!(
            "bleu|n:{n}|samples:{count}|references:test-{}|smoothing:nltk-1|weights:uniform|\
             tokens:{tokens}|{drawn}",
            real.references.len()
        );
        let name = format!("bleu-{n}");
        series.push(match &scores {
            Ok(scores) => {
                let values: Vec<f64> = (0..count).map(|i| scores.sentence(i)[n - 1]).collect();
                Series::mean_of(&name, &values, Better::Higher, &protocol, batch_count)
            }
            Err(why) => Series::undefined(&name, Better::Higher, &protocol, why),
        });
    }

    let whole = self_bleu(samples, MOST_TOKENS);
    let parts: Result<Vec<Vec<f64>>, _> =
        ranges.iter().map(|range| self_bleu(&samples[range.clone()], MOST_TOKENS)).collect();
    for n in 2..=MOST_TOKENS {
        let protocol = format!(
            "self-bleu|n:{n}|samples:{count}|references:all-others|smoothing:nltk-1|\
             weights:uniform|tokens:{tokens}|{drawn}"
        );
        let nth = |scores: &Vec<f64>| scores[n - 1];
        series.push(Series::of(
            &format!("self-bleu-{n}"),
            Better::Lower,
            &protocol,
            whole.as_ref().map(nth),
            parts.as_ref().map(|parts| parts.iter().map(nth).collect()),
            &ranges,
        ));
    }

    for n in 1..=MOST_DISTINCT {
        let protocol = format!("distinct|n:{n}|samples:{count}|tokens:{tokens}|{drawn}");
        let parts: Result<Vec<f64>, _> =
            ranges.iter().map(|range| distinct_n(&samples[range.clone()], n)).collect();
        series.push(Series::of(
            &format!("distinct-{n}"),
            Better::Higher,
            &protocol,
            distinct_n(samples, n).as_ref().copied(),
            parts.as_ref().cloned(),
            &ranges,
        ));
    }

    let copies: Vec<f64> = samples
        .iter()
        .map(|sample| f64::from(u8::from(real.train.contains(sample.as_slice()))))
        .collect();
    let protocol = format!("exact-copies|samples:{count}|of:train|tokens:{tokens}|{drawn}");
    series.push(Series::mean_of("exact-copies", &copies, Better::Lower, &protocol, batch_count));

    let lengths: Vec<f64> = samples.iter().map(|sample| sample.len() as f64).collect();
    let protocol = format!("mean-length|samples:{count}|tokens:{tokens}|{drawn}");
    series.push(Series::mean_of("mean-length", &lengths, Better::Neither, &protocol, batch_count));
    series
}
