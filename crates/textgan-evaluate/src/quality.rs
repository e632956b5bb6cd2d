//! Quality and diversity of samples against real text, in tokens.

use std::borrow::Cow;
use std::collections::HashSet;

use textgan_metrics::{References, distinct_n, self_bleu};
use textgan_tokenizer::special;

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

/// The samples with a number of its own for every unknown token.
fn with_unknowns_apart(samples: &[Vec<u32>]) -> Cow<'_, [Vec<u32>]> {
    if !samples.iter().flatten().any(|&token| token == special::UNKNOWN) {
        return Cow::Borrowed(samples);
    }
    // No vocabulary reaches these numbers.
    let mut next = u32::MAX;
    let mut apart = |&token: &u32| match token {
        special::UNKNOWN => {
            next -= 1;
            next
        }
        known => known,
    };
    Cow::Owned(samples.iter().map(|sample| sample.iter().map(&mut apart).collect()).collect())
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

    // What nobody knows matches nothing, itself least of all.
    let known = with_unknowns_apart(samples);
    let scores = real.references.score(&known);
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

    let whole = self_bleu(&known, MOST_TOKENS);
    let parts: Result<Vec<Vec<f64>>, _> =
        ranges.iter().map(|range| self_bleu(&known[range.clone()], MOST_TOKENS)).collect();
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

    let share = |sample: &Vec<u32>| {
        let unknown = sample.iter().filter(|&&token| token == special::UNKNOWN).count();
        unknown as f64 / sample.len().max(1) as f64
    };
    let unknown: Vec<f64> = samples.iter().map(share).collect();
    let protocol =
        format!("unknown-tokens|share-of-a-text|samples:{count}|tokens:{tokens}|{drawn}");
    series.push(Series::mean_of("unknown-tokens", &unknown, Better::Lower, &protocol, batch_count));

    let copies: Vec<bool> =
        samples.iter().map(|sample| real.train.contains(sample.as_slice())).collect();
    let protocol = format!("exact-copies|samples:{count}|of:train|tokens:{tokens}|{drawn}");
    series.push(Series::share_of("exact-copies", &copies, Better::Lower, &protocol, batch_count));

    let lengths: Vec<f64> = samples.iter().map(|sample| sample.len() as f64).collect();
    let protocol = format!("mean-length|samples:{count}|tokens:{tokens}|{drawn}");
    series.push(Series::mean_of("mean-length", &lengths, Better::Neither, &protocol, batch_count));
    series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_token_matches_nothing() {
        let unknown = special::UNKNOWN;
        let reference = vec![5, unknown, unknown, 6, 7];
        let train = HashSet::new();
        let real = Real {
            references: References::new(std::slice::from_ref(&reference), MOST_TOKENS).unwrap(),
            train: &train,
        };
        let protocol = Protocol { tokens: "word-9".into(), drawn: "x".into() };
        let of = |samples: &[Vec<u32>], name: &str| {
            let found = measure(samples, &real, &protocol, 2);
            let found = found.iter().find(|series| series.measure.name == name);
            found.and_then(|series| series.measure.value).expect("a value")
        };
        let same = vec![reference.clone(); 4];
        // Three of five words, and of four pairs of words the last.
        let bleu = of(&same, "bleu-2");
        assert!((bleu - (0.6f64 * 0.25).sqrt()).abs() < 1e-9, "{bleu}");
        assert!(of(&same, "self-bleu-2") < 0.4);
        assert!((of(&same, "unknown-tokens") - 0.4).abs() < 1e-12);
        assert_eq!(of(&vec![vec![5, 6, 7]; 4], "self-bleu-2"), 1.0);
    }
}
