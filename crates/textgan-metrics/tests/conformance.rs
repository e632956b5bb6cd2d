//! Published samples get their published scores.
//!
//! The files are not part of this repository (see `datasets/README.md`): without them the test says
//! so and passes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use textgan_metrics::{References, self_bleu};

/// BLEU-2..5 against the test file, Self-BLEU-2..5, as published with the samples.
const PUBLISHED: [(&str, [f64; 4], [f64; 4]); 3] = [
    ("mle", [0.731, 0.497, 0.305, 0.189], [0.916, 0.769, 0.583, 0.408]),
    ("seq", [0.745, 0.498, 0.294, 0.180], [0.950, 0.840, 0.670, 0.489]),
    ("leakgan", [0.746, 0.528, 0.355, 0.230], [0.966, 0.913, 0.848, 0.780]),
];
const TOLERANCE: f64 = 0.003;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data")
}

fn read(path: &Path, words: &mut HashMap<String, u32>) -> Vec<Vec<u32>> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines()
        .map(|line| {
            line.split_whitespace()
                .map(|word| {
                    let next = words.len() as u32;
                    *words.entry(word.to_owned()).or_insert(next)
                })
                .collect()
        })
        .collect()
}

#[test]
fn published_samples_get_their_published_scores() {
    let references = data().join("image-coco/test.txt");
    if !references.exists() {
        eprintln!(
            "skipped: {} is not here; datasets/README.md says where it comes from",
            references.display()
        );
        return;
    }
    let mut words = HashMap::new();
    let references = References::new(&read(&references, &mut words), 5).unwrap();
    for (model, bleu, self_scores) in PUBLISHED {
        let samples = read(&data().join(format!("texygen-samples/{model}.txt")), &mut words);
        let found = references.score(&samples).unwrap().mean();
        let found_self = self_bleu(&samples, 5).unwrap();
        for n in 2..=5 {
            for (name, found, published) in [
                ("BLEU", found[n - 1], bleu[n - 2]),
                ("Self-BLEU", found_self[n - 1], self_scores[n - 2]),
            ] {
                println!("{model} {name}-{n}: {found:.4}, published {published}");
                assert!(
                    (found - published).abs() < TOLERANCE,
                    "{model} {name}-{n}: {found}, published {published}"
                );
            }
        }
    }
}
