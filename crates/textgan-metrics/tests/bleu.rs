//! BLEU and Self-BLEU equal NLTK's, whatever the sentences and the number of threads.

use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use textgan_metrics::{
    Error, References, Smoothing, bleu, refuse_empty, self_bleu, self_bleu_scores,
    self_bleu_smoothed,
};

fn sentences(value: &Value) -> Vec<Vec<u32>> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn scores_equal_nltks() {
    let golden: Value = serde_json::from_str(include_str!("golden.json")).unwrap();
    for (number, case) in golden["cases"].as_array().unwrap().iter().enumerate() {
        let samples = sentences(&case["samples"]);
        let references = sentences(&case["references"]);
        let index = References::new(&references, 5).unwrap();
        for (kind, scores) in [
            ("bleu", index.score(&samples).unwrap()),
            ("self_bleu", self_bleu_scores(&samples, 5).unwrap()),
        ] {
            let expected: Vec<Vec<f64>> = serde_json::from_value(case[kind].clone()).unwrap();
            assert_eq!(scores.len(), expected.len());
            for (i, expected) in expected.iter().enumerate() {
                for (n, (found, expected)) in scores.sentence(i).iter().zip(expected).enumerate() {
                    assert!(
                        (found - expected).abs() < 1e-12,
                        "case {number}, {kind}-{} of sample {i}: {found}, NLTK {expected}",
                        n + 1
                    );
                }
            }
        }
    }
}

#[test]
fn every_smoothing_method_equals_nltks() {
    let golden: Value = serde_json::from_str(include_str!("golden.json")).unwrap();
    let mut compared = [0; 8];
    for (number, case) in golden["cases"].as_array().unwrap().iter().enumerate() {
        let samples = sentences(&case["samples"]);
        let references = sentences(&case["references"]);
        for smoothing in Smoothing::ALL {
            let method = smoothing.number();
            for max_n in 1..=5 {
                let index = References::smoothed(&references, max_n, smoothing).unwrap();
                for (i, sample) in samples.iter().enumerate().filter(|(_, s)| !s.is_empty()) {
                    let found = index.score(std::slice::from_ref(sample));
                    let name = format!("case {number}, method {method}, BLEU-{max_n}, sample {i}");
                    match (case["methods"][method][i][max_n - 1].as_f64(), found) {
                        (Some(nltk), Ok(found)) => {
                            let found = found.sentence(0)[max_n - 1];
                            assert!((found - nltk).abs() < 1e-12, "{name}: {found}, NLTK {nltk}");
                            compared[method] += 1;
                        }
                        // NLTK's method 6 refuses orders below 3, where ours changes nothing.
                        (None, Ok(_)) => assert!(method == 6 && max_n < 3, "{name}"),
                        (None, Err(error)) => {
                            assert_eq!(error, Error::Undefined { sample: 0, method: 6 }, "{name}");
                        }
                        (Some(nltk), Err(error)) => panic!("{name}: {error}, NLTK {nltk}"),
                    }
                }
            }
        }
        let scores = self_bleu_smoothed(&samples, 4, Smoothing::Neighbours).unwrap();
        for (i, nltk) in case["self_method_5"].as_array().unwrap().iter().enumerate() {
            for n in 0..4 {
                let nltk = nltk[n].as_f64().unwrap();
                assert!((scores.sentence(i)[n] - nltk).abs() < 1e-12, "case {number}, sample {i}");
            }
        }
    }
    assert!(compared.iter().all(|&count| count >= 40), "{compared:?}");
}

#[test]
fn scores_equal_fast_bleus() {
    let golden: Value = serde_json::from_str(include_str!("golden.json")).unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let samples = sentences(&case["samples"]);
        let index = References::new(&sentences(&case["references"]), 5).unwrap();
        for (kind, scores) in [
            ("fast_bleu", index.score(&samples).unwrap()),
            ("fast_self_bleu", self_bleu_scores(&samples, 5).unwrap()),
        ] {
            let expected: Vec<Vec<f64>> = serde_json::from_value(case[kind].clone()).unwrap();
            for (i, expected) in expected.iter().enumerate() {
                // Its weights are single-precision.
                for (found, expected) in scores.sentence(i)[1..].iter().zip(expected) {
                    assert!((found - expected).abs() < 1e-7, "{kind} {i}: {found} {expected}");
                }
            }
        }
    }
}

#[test]
fn the_first_sample_without_a_value_is_named() {
    let samples: Vec<Vec<u32>> =
        (0..300).map(|i| vec![1, 2, if i < 200 { 3 } else { 4 }]).collect();
    let index = References::smoothed(&[[1, 2, 3]], 4, Smoothing::Expected).unwrap();
    assert_eq!(index.score(&samples), Err(Error::Undefined { sample: 200, method: 6 }));
    assert!(index.score(&samples[..200]).is_ok());
}

/// The definition, word for word: every reference visited for every sample.
fn plain_bleu(sample: &[u32], references: &[&[u32]], max_n: usize) -> f64 {
    fn counts(sentence: &[u32], n: usize) -> BTreeMap<&[u32], usize> {
        let mut counts = BTreeMap::new();
        sentence.windows(n).for_each(|gram| *counts.entry(gram).or_insert(0) += 1);
        counts
    }
    let mut logarithms = 0.0;
    for n in 1..=max_n {
        let matched: usize = counts(sample, n)
            .into_iter()
            .map(|(gram, count)| {
                let most =
                    references.iter().map(|r| *counts(r, n).get(gram).unwrap_or(&0)).max().unwrap();
                count.min(most)
            })
            .sum();
        if n == 1 && matched == 0 {
            return 0.0;
        }
        let possible = (sample.len() + 1).saturating_sub(n).max(1) as f64;
        logarithms += (if matched == 0 { 0.1 } else { matched as f64 } / possible).ln();
    }
    let length = sample.len();
    let closest =
        references.iter().map(|r| r.len()).min_by_key(|&l| (l.abs_diff(length), l)).unwrap();
    let brevity = if length > closest { 1.0 } else { (1.0 - closest as f64 / length as f64).exp() };
    brevity * (logarithms / max_n as f64).exp()
}

fn set(size: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Vec<u32>>> {
    prop::collection::vec(prop::collection::vec(0u32..5, 0..9), size)
}

proptest! {
    #[test]
    fn scores_equal_the_definition(samples in set(2..12), references in set(1..12), n in 1usize..6) {
        prop_assume!(samples.iter().any(|s| !s.is_empty()) && references.iter().any(|r| !r.is_empty()));
        let scores = References::new(&references, n).unwrap().score(&samples).unwrap();
        let selves = self_bleu_scores(&samples, n).unwrap();
        let all: Vec<&[u32]> = references.iter().map(Vec::as_slice).collect();
        for (i, sample) in samples.iter().enumerate() {
            let expected = plain_bleu(sample, &all, n);
            prop_assert!((scores.sentence(i)[n - 1] - expected).abs() < 1e-12);
            let others: Vec<&[u32]> =
                samples.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, s)| s.as_slice()).collect();
            let expected = plain_bleu(sample, &others, n);
            prop_assert!((selves.sentence(i)[n - 1] - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn bits_do_not_depend_on_threads(samples in set(100..300)) {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let bits = |scores: Vec<f64>| scores.into_iter().map(f64::to_bits).collect::<Vec<_>>();
                (bits(self_bleu(&samples, 5).unwrap()), bits(bleu(&samples, &samples[..50], 5).unwrap()))
            })
        };
        prop_assert_eq!(run(1), run(4));
    }

    #[test]
    fn a_sentence_of_the_references_scores_one(references in set(2..20)) {
        prop_assume!(references.iter().any(|r| r.len() >= 5));
        let samples: Vec<_> = references.iter().filter(|r| r.len() >= 5).collect();
        let samples: Vec<&[u32]> = samples.iter().map(|s| s.as_slice()).collect();
        for score in bleu(&samples, &references, 5).unwrap() {
            prop_assert!((score - 1.0).abs() < 1e-12);
        }
    }
}

#[test]
fn means_over_parts_make_up_the_mean_of_all() {
    let samples: Vec<Vec<u32>> = (0..10).map(|i| vec![i % 3, i % 4, i % 5, 1, 2]).collect();
    let scores = self_bleu_scores(&samples, 3).unwrap();
    let (a, b) = (scores.mean_of(0..4), scores.mean_of(4..10));
    for (n, mean) in scores.mean().into_iter().enumerate() {
        assert!((mean - (4.0 * a[n] + 6.0 * b[n]) / 10.0).abs() < 1e-15);
    }
    assert_eq!(scores.mean_of(3..3), [0.0; 3]);
}

#[test]
fn what_has_no_score_is_an_error() {
    let none: [Vec<u32>; 0] = [];
    let one = [vec![1, 2, 3]];
    let two = [vec![1, 2], vec![]];
    let empty: [Vec<u32>; 2] = [vec![], vec![]];
    assert_eq!(bleu(&none, &one, 4), Err(Error::Nothing { set: "samples" }));
    assert_eq!(bleu(&one, &none, 4), Err(Error::Nothing { set: "references" }));
    assert_eq!(bleu(&empty, &one, 4), Err(Error::AllEmpty { set: "samples", count: 2 }));
    assert_eq!(bleu(&one, &empty, 4), Err(Error::AllEmpty { set: "references", count: 2 }));
    assert_eq!(bleu(&one, &one, 0), Err(Error::Order));
    assert_eq!(self_bleu(&none, 4), Err(Error::Nothing { set: "samples" }));
    assert_eq!(self_bleu(&one, 4), Err(Error::OneSample));
    assert_eq!(self_bleu(&empty, 4), Err(Error::AllEmpty { set: "samples", count: 2 }));
    assert_eq!(
        refuse_empty("samples", &two),
        Err(Error::EmptySentence { set: "samples", index: 1 })
    );
    assert_eq!(refuse_empty("samples", &one), Ok(()));
    // An empty sample among others is a bad sample, not a mistake.
    let mean = bleu(&two, &two, 2).unwrap();
    assert_eq!(mean, [0.5, 0.5]);
}
