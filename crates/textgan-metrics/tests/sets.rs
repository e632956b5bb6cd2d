//! Scores of two whole sets, against definitions written out in Python (`golden.py`) and SciPy.

use proptest::prelude::*;
use serde_json::Value;
use textgan_metrics::{
    CorpusSmoothing, Error, Metric, Texts, earth_movers_distance, embedding_similarity,
    length_distance, ms_jaccard, spread, unique_ngrams, zipf_coefficient,
};

type Sentences = Vec<Vec<u32>>;

const NONE: [Vec<u32>; 0] = [];

#[test]
fn scores_equal_the_golden_ones() {
    let golden: Value = serde_json::from_str(include_str!("golden.json")).unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let samples: Sentences = serde_json::from_value(case["samples"].clone()).unwrap();
        let references: Sentences = serde_json::from_value(case["references"].clone()).unwrap();
        let check = |name: &str, found: f64, expected: &Value| {
            let expected = expected.as_f64().unwrap();
            assert!((found - expected).abs() < 1e-12, "{name}: {found}, expected {expected}");
        };
        for (i, found) in ms_jaccard(&samples, &references, 5).unwrap().into_iter().enumerate() {
            check("ms-jaccard", found, &case["ms_jaccard"][i]);
        }
        for (i, window) in [1, 3].into_iter().enumerate() {
            let found = embedding_similarity(&samples, &references, window).unwrap();
            check("embsim", found.cosine, &case["embsim"][i]);
        }
        for (i, most) in [3, 5000].into_iter().enumerate() {
            check("zipf", zipf_coefficient(&samples, most).unwrap(), &case["zipf"][i]);
        }
        let found = length_distance(&samples, &references).unwrap();
        check("length distance", found, &case["length_distance"]);
    }
}

#[test]
fn unique_ngrams_occur_once() {
    let samples = [vec![1, 2, 1, 2], vec![1, 2], vec![7]];
    assert_eq!(unique_ngrams(&samples, 1).unwrap(), 1.0 / 7.0);
    assert_eq!(unique_ngrams(&samples, 2).unwrap(), 1.0 / 4.0); // 12 21 12 12
    assert_eq!(unique_ngrams(&samples, 5).unwrap(), 0.0);
    assert_eq!(unique_ngrams(&samples, 0), Err(Error::Order));
}

#[test]
fn values_lie_where_they_lie() {
    let values: Vec<usize> = (1..=200).rev().collect();
    let found = spread(&values).unwrap();
    assert_eq!((found.mean, found.median, found.p90), (100.5, 100, 180));
    assert_eq!((found.p99, found.max), (198, 200));
    assert_eq!(spread(&[7]).unwrap().p99, 7);
    assert_eq!(spread(&[]), Err(Error::Nothing { set: "values" }));
    assert_eq!(earth_movers_distance(&[0, 0], &[3]).unwrap(), 3.0);
    assert!(earth_movers_distance(&[], &[3]).is_err());
}

#[test]
fn nothing_is_an_error() {
    let one = [vec![1, 2]];
    let silent = [vec![]];
    let nothing = |set| Error::Nothing { set };
    assert_eq!(ms_jaccard(&NONE, &one, 4), Err(nothing("samples")));
    assert_eq!(ms_jaccard(&one, &NONE, 4), Err(nothing("references")));
    assert_eq!(ms_jaccard(&one, &one, 0), Err(Error::Order));
    assert!(matches!(ms_jaccard(&one, &silent, 4), Err(Error::AllEmpty { .. })));
    assert_eq!(ms_jaccard(&one, &one, 3).unwrap(), [1.0, 1.0, 0.0]);
    assert_eq!(embedding_similarity(&one, &one, 0), Err(Error::Window));
    assert_eq!(embedding_similarity(&NONE, &one, 1), Err(nothing("samples")));
    assert_eq!(zipf_coefficient(&[[1, 1]], 10), Err(Error::Rank { tokens: 1 }));
    assert_eq!(zipf_coefficient(&one, 1), Err(Error::Rank { tokens: 1 }));
    assert_eq!(zipf_coefficient(&NONE, 10), Err(nothing("samples")));
    assert_eq!(length_distance(&NONE, &one), Err(nothing("samples")));
    assert_eq!(length_distance(&one, &NONE), Err(nothing("references")));
    assert_eq!(embedding_similarity(&[[1]], &[[2]], 1).unwrap().logarithm(), None);
}

#[test]
fn signatures_say_what_is_compared() {
    let texts = Texts { samples: 3, references: 9, tokens: "whitespace", case: "mixed" };
    let tool = format!("|tokens:whitespace|case:mixed|tool:textgan-metrics-{}", VERSION);
    for (metric, expect) in [
        (Metric::Distinct { n: 2 }, "distinct|n:2|samples:3"),
        (Metric::ExactCopies, "exact-copies|samples:3|training:9"),
        (Metric::LengthDistance, "length-distance|kind:wasserstein-1|samples:3|references:9"),
        (
            Metric::CorpusBleu { n: 4, smoothing: CorpusSmoothing::AddK(1.0) },
            "corpus-bleu|n:4|smoothing:add-k[1]|samples:3|references:9",
        ),
        (
            Metric::SelfBleu { n: 4, smoothing: Default::default() },
            "self-bleu|n:4|smoothing:nltk-1|weights:uniform|samples:3|references:others",
        ),
    ] {
        assert_eq!(texts.signature(metric), format!("{expect}{tool}"));
    }
}
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn set() -> impl Strategy<Value = Sentences> {
    prop::collection::vec(prop::collection::vec(0u32..6, 1..9), 1..40)
}

proptest! {
    #[test]
    fn a_set_is_like_itself(set in set()) {
        let orders = set.iter().map(Vec::len).max().unwrap().min(4);
        for score in ms_jaccard(&set, &set, orders).unwrap() {
            prop_assert!((score - 1.0).abs() < 1e-12);
        }
        prop_assert!((embedding_similarity(&set, &set, 2).unwrap().cosine - 1.0).abs() < 1e-12);
        prop_assert_eq!(length_distance(&set, &set).unwrap(), 0.0);
    }

    #[test]
    fn bits_do_not_depend_on_threads_or_sides(a in set(), b in set()) {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| embedding_similarity(&a, &b, 1).unwrap().cosine.to_bits())
        };
        prop_assert_eq!(run(1), run(4));
        let forth = ms_jaccard(&a, &b, 3).unwrap();
        for (forth, back) in forth.into_iter().zip(ms_jaccard(&b, &a, 3).unwrap()) {
            prop_assert!((0.0..=1.0 + 1e-12).contains(&forth) && (forth - back).abs() < 1e-12);
        }
    }
}
