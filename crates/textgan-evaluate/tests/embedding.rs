//! Distances between sets of embeddings equal SciPy's, prdc's and mauve-text's.

use serde_json::Value;
use textgan_evaluate::Error;
use textgan_evaluate::embedding::{
    DIMENSIONS, Embeddings, cluster, frechet_distance, hashed_projection, mauve, mauve_of_clusters,
    neighbourhoods,
};
use textgan_random::Key;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden_embedding.json")).unwrap()
}

fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

fn uniform(seed: u64, index: usize) -> f64 {
    (mix(mix(seed) ^ index as u64) >> 40) as f64 / f64::from(1 << 24)
}

/// As `embeddings` of `golden_embedding.py`.
fn embeddings(seed: u64, rows: usize, dimensions: usize, scale: f64, shift: f64) -> Vec<f32> {
    let places = (0..rows).flat_map(|row| (0..dimensions).map(move |j| (row, j)));
    places
        .map(|(row, j)| {
            let centre = 4.0 * uniform(0, row % 5 * dimensions + j);
            let index = 3 * (row * dimensions + j);
            let noise = (0..3).map(|k| uniform(seed, index + k)).sum::<f64>() - 1.5;
            (centre + shift + scale * noise) as f32
        })
        .collect()
}

/// The sets of every golden case, and what was found of them.
fn cases(mut check: impl FnMut(Embeddings<'_>, Embeddings<'_>, &Value)) {
    let golden = golden();
    for case in golden["cases"].as_array().unwrap() {
        let whole = |value: &Value| value.as_u64().unwrap() as usize;
        let number = |name: &str| case[name].as_f64().unwrap();
        let dimensions = whole(&case["dimensions"]);
        let a = embeddings(1, whole(&case["rows"][0]), dimensions, 1.0, 0.0);
        let b =
            embeddings(2, whole(&case["rows"][1]), dimensions, number("scale"), number("shift"));
        check(
            Embeddings::new(&a, dimensions).unwrap(),
            Embeddings::new(&b, dimensions).unwrap(),
            case,
        );
    }
}

fn close(found: f64, expected: &Value, tolerance: f64) -> bool {
    (found - expected.as_f64().unwrap()).abs() < tolerance
}

#[test]
fn frechet_distances_equal_scipys() {
    cases(|a, b, case| {
        let found = frechet_distance(a, b).unwrap();
        assert!(close(found, &case["frechet"], 1e-4), "{found}, SciPy {}", case["frechet"]);
        let back = frechet_distance(b, a).unwrap();
        assert!((found - back).abs() < 1e-6 * (1.0 + found), "{found} {back}");
        assert!(frechet_distance(a, a).unwrap() < 1e-9);
    });
}

#[test]
fn neighbourhoods_equal_prdcs() {
    cases(|a, b, case| {
        let k = case["k"].as_u64().unwrap() as usize;
        let found = serde_json::to_value(neighbourhoods(a, b, k).unwrap()).unwrap();
        for name in ["precision", "recall", "density", "coverage"] {
            let found = found[name].as_f64().unwrap();
            let expected = &case["prdc"][name];
            assert!(close(found, expected, 1e-4), "{name}: {found}, prdc {expected}");
        }
    });
}

#[test]
fn copies_lie_in_every_neighbourhood_and_duplicates_in_none() {
    let set = embeddings(1, 40, 7, 1.0, 0.0);
    let set = Embeddings::new(&set, 7).unwrap();
    let found = neighbourhoods(set, set, 3).unwrap();
    assert_eq!((found.precision, found.recall, found.coverage), (1.0, 1.0, 1.0));
    // Where all are the same row, no ball has a size.
    let same = [0.5_f32; 30];
    let same = Embeddings::new(&same, 3).unwrap();
    let found = neighbourhoods(same, same, 3).unwrap();
    assert_eq!((found.precision, found.density), (0.0, 0.0));
}

#[test]
fn mauve_of_given_clusters_equals_the_package() {
    for case in golden()["mauve_of_clusters"].as_array().unwrap() {
        let labels =
            |name: &str| -> Vec<u32> { serde_json::from_value(case[name].clone()).unwrap() };
        let clusters = case["clusters"].as_u64().unwrap() as usize;
        let found = mauve_of_clusters(&labels("real"), &labels("generated"), clusters).unwrap();
        assert!(close(found.score, &case["score"], 1e-9), "{found:?} {}", case["score"]);
        assert!(close(found.smoothed, &case["smoothed"], 1e-9), "{found:?} {}", case["smoothed"]);
    }
    let same = mauve_of_clusters(&[0, 1, 1], &[1, 0, 1], 2).unwrap();
    assert!((same.score - 1.0).abs() < 1e-9, "{same:?}");
}

/// k-means depends on its start, in the package as here: the scores of several starts overlap.
#[test]
fn mauve_lies_among_the_scores_of_the_packages_seeds() {
    cases(|a, b, case| {
        let clusters = case["mauve"]["clusters"].as_u64().unwrap() as usize;
        let theirs: Vec<f64> = serde_json::from_value(case["mauve"]["scores"].clone()).unwrap();
        let score = |seed| mauve(a, b, Some(clusters), &Key::root(seed)).unwrap().score;
        let ours: Vec<f64> = (0..5).map(score).collect();
        let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len() as f64;
        let spread = theirs.iter().map(|score| (score - mean(&theirs)).abs()).fold(0.02, f64::max);
        assert!((mean(&ours) - mean(&theirs)).abs() < 2.0 * spread, "{ours:?} {theirs:?}");
    });
}

#[test]
fn clusters_are_found_and_none_is_empty() {
    let set = embeddings(3, 100, 6, 0.2, 0.0);
    let set = Embeddings::new(&set, 6).unwrap();
    let found: Vec<bool> = (0..20)
        .map(|seed| {
            let labels = cluster(set, 5, 100, &Key::root(seed)).unwrap();
            (0..100).all(|row| labels[row] == labels[row % 5])
        })
        .collect();
    // From a start with a row of every cluster, as at least one of twenty is.
    assert!(found.contains(&true), "{found:?}");
    let mut rows = vec![1.0_f32; 20 * 2];
    rows[38] = 9.0;
    let labels = cluster(Embeddings::new(&rows, 2).unwrap(), 3, 100, &Key::root(1)).unwrap();
    assert_ne!(labels[19], labels[0]);
    assert!(labels.iter().all(|&label| label < 3));
}

#[test]
fn hashed_projections_are_fixed_and_near_what_is_near() {
    let sentences =
        [vec![1, 2, 3, 4, 5], vec![1, 2, 3, 4, 6], vec![9, 8, 7, 6, 5], vec![], vec![7]];
    let rows = hashed_projection(&sentences);
    let set = Embeddings::new(&rows, DIMENSIONS).unwrap();
    let product =
        |i: usize, j: usize| -> f32 { set.row(i).iter().zip(set.row(j)).map(|(x, y)| x * y).sum() };
    for i in [0, 1, 2, 4] {
        assert!((product(i, i) - 1.0).abs() < 1e-5);
    }
    assert_eq!(product(3, 3), 0.0);
    // Two of three shared n-grams; almost none.
    assert!(
        product(0, 1) > 0.4 && product(0, 2).abs() < 0.3,
        "{} {}",
        product(0, 1),
        product(0, 2)
    );
    // It may never change: numbers of different versions would be compared.
    let bits = rows.iter().fold(0u64, |hash, x| mix(hash ^ u64::from(x.to_bits())));
    assert_eq!(bits, FIXED);
}
const FIXED: u64 = 9_249_102_545_165_808_955;

#[test]
fn bits_do_not_depend_on_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut found = Vec::new();
            cases(|a, b, _| {
                let near = neighbourhoods(a, b, 4).unwrap();
                let mauve = mauve(a, b, None, &Key::root(1)).unwrap();
                let frechet = frechet_distance(a, b).unwrap();
                found.push([frechet, near.density, near.recall, mauve.score].map(f64::to_bits));
            });
            found
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn what_has_no_distance_is_an_error() {
    let values = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0];
    let two = Embeddings::new(&values, 2).unwrap();
    let three = Embeddings::new(&values, 3).unwrap();
    let one = Embeddings::new(&values[..2], 2).unwrap();
    let key = Key::root(1);
    assert!(matches!(Embeddings::new(&values, 4), Err(Error::EmbeddingShape { .. })));
    assert!(matches!(Embeddings::new(&values, 0), Err(Error::EmbeddingShape { .. })));
    assert!(matches!(Embeddings::new(&[], 2), Err(Error::EmbeddingShape { .. })));
    let broken = Embeddings::new(&[1.0, 2.0, f32::NAN, 4.0], 2);
    assert!(matches!(broken, Err(Error::EmbeddingNotFinite { row: 1 })));
    let huge = Embeddings::new(&[1e30, 2.0], 2);
    assert!(matches!(huge, Err(Error::EmbeddingNotFinite { row: 0 })));
    assert!(matches!(frechet_distance(two, three), Err(Error::EmbeddingWidths { a: 2, b: 3 })));
    assert!(matches!(
        frechet_distance(two, one),
        Err(Error::TooFewEmbeddings { rows: 1, least: 2 })
    ));
    assert!(matches!(neighbourhoods(two, two, 0), Err(Error::NoNeighbours)));
    assert!(matches!(neighbourhoods(two, two, 3), Err(Error::TooFewEmbeddings { least: 4, .. })));
    assert!(matches!(cluster(two, 4, 9, &key), Err(Error::Clusters { rows: 3, clusters: 4 })));
    assert!(matches!(cluster(two, 0, 9, &key), Err(Error::Clusters { .. })));
    assert!(matches!(mauve(one, one, None, &key), Err(Error::TooFewEmbeddings { .. })));
    assert!(matches!(mauve_of_clusters(&[0], &[3], 3), Err(Error::Label { label: 3, .. })));
    assert!(mauve_of_clusters(&[], &[0], 1).is_err());
    // Nothing varies, and still there are numbers.
    let same = Embeddings::new(&[2.0; 12], 2).unwrap();
    assert_eq!(frechet_distance(same, same).unwrap(), 0.0);
    assert!((mauve(same, same, Some(2), &key).unwrap().score - 1.0).abs() < 1e-6);
}
