//! Corpus BLEU equals sacrebleu's.

use proptest::prelude::*;
use serde_json::Value;
use textgan_metrics::{CorpusBleu, CorpusSmoothing, Error, References, corpus_bleu};

type Sentences = Vec<Vec<u32>>;

fn from<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn smoothing(expected: &Value) -> CorpusSmoothing {
    match (expected["method"].as_str().unwrap(), expected["value"].as_f64()) {
        ("none", None) => CorpusSmoothing::None,
        ("exp", None) => CorpusSmoothing::Exp,
        ("floor", value) => CorpusSmoothing::Floor(value.unwrap_or(0.1)),
        ("add-k", value) => CorpusSmoothing::AddK(value.unwrap_or(1.0)),
        other => panic!("{other:?}"),
    }
}

fn check(found: &CorpusBleu, expected: &Value) {
    let close = |found: f64, expected: &Value| (found - expected.as_f64().unwrap()).abs() < 1e-12;
    assert!(close(found.score, &expected["score"]), "{found:?} {expected}");
    assert!(close(found.brevity, &expected["brevity"]), "{found:?} {expected}");
    assert_eq!(found.length, expected["length"]);
    assert_eq!(found.reference_length, expected["reference_length"]);
    for (&found, expected) in
        found.precisions.iter().zip(expected["precisions"].as_array().unwrap())
    {
        assert!(close(found, expected), "{found} {expected}");
    }
}

#[test]
fn scores_equal_sacrebleus() {
    let golden: Value = serde_json::from_str(include_str!("golden.json")).unwrap();
    let mut compared = 0;
    for case in golden["cases"].as_array().unwrap() {
        let samples: Sentences = from(&case["samples"]);
        let own: Vec<Sentences> = from(&case["corpus"]["references"]);
        for expected in case["corpus"]["own"].as_array().unwrap() {
            let max_n = expected["n"].as_u64().unwrap() as usize;
            check(&corpus_bleu(&samples, &own, max_n, smoothing(expected)).unwrap(), expected);
            compared += 1;
        }
        let index = References::new(&from::<Sentences>(&case["references"]), 4).unwrap();
        for expected in case["corpus"]["shared"].as_array().unwrap() {
            check(&index.corpus_bleu(&samples, smoothing(expected)).unwrap(), expected);
            compared += 1;
        }
    }
    assert_eq!(compared, 5 * (12 + 6));
}

proptest! {
    #[test]
    fn a_shared_set_is_the_same_set_for_each(
        samples in prop::collection::vec(prop::collection::vec(0u32..5, 0..9), 1..150),
        references in prop::collection::vec(prop::collection::vec(0u32..5, 1..9), 1..9),
    ) {
        prop_assume!(samples.iter().any(|s| !s.is_empty()));
        let own = vec![references.clone(); samples.len()];
        let smoothing = CorpusSmoothing::Exp;
        let shared = References::new(&references, 4).unwrap().corpus_bleu(&samples, smoothing);
        prop_assert_eq!(corpus_bleu(&samples, &own, 4, smoothing), shared.clone());
        prop_assert!((0.0..=1.0).contains(&shared.unwrap().score));
    }
}

#[test]
fn what_has_no_score_is_an_error() {
    let (none, one): (Sentences, Sentences) = (vec![], vec![vec![1, 2, 3]]);
    let exp = CorpusSmoothing::Exp;
    let with = |references: &[Sentences]| corpus_bleu(&one, references, 4, exp);
    assert_eq!(
        corpus_bleu(&none, std::slice::from_ref(&one), 4, exp),
        Err(Error::Nothing { set: "samples" })
    );
    assert_eq!(with(&[]), Err(Error::Unpaired { samples: 1, references: 0 }));
    assert_eq!(with(std::slice::from_ref(&none)), Err(Error::NoReference { sample: 0 }));
    assert_eq!(corpus_bleu(&one, std::slice::from_ref(&one), 0, exp), Err(Error::Order));
    for value in [-1.0, f64::NAN, f64::INFINITY] {
        let floor = corpus_bleu(&one, std::slice::from_ref(&one), 4, CorpusSmoothing::Floor(value));
        assert!(matches!(floor, Err(Error::SmoothingValue { .. })), "{floor:?}");
    }
    // An empty reference is as short as a reference can be, and no mistake.
    assert_eq!(with(&[vec![vec![]]]).unwrap().score, 0.0);
}
