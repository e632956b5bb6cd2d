//! Copied runs and nearest sentences, against a search that compares everything with everything.

use proptest::prelude::*;
use textgan_metrics::{Error, Nearest, Neighbour, longest_runs};

type Sentences = Vec<Vec<u32>>;

/// The longest run of `sample` that stands in `training`.
fn longest(sample: &[u32], training: &Sentences) -> usize {
    let stands = |run: &[u32]| training.iter().any(|t| t.windows(run.len()).any(|w| w == run));
    (1..=sample.len()).rev().find(|&n| sample.windows(n).any(stands)).unwrap_or(0)
}

/// Edit distance by the textbook's table.
fn distance(a: &[u32], b: &[u32]) -> usize {
    let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            table[i][j] = match (i, j) {
                (0, _) => j,
                (_, 0) => i,
                _ => (table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]))
                    .min(table[i - 1][j] + 1)
                    .min(table[i][j - 1] + 1),
            };
        }
    }
    table[a.len()][b.len()]
}

fn set(words: u32, longest: usize, size: usize) -> impl Strategy<Value = Sentences> {
    prop::collection::vec(prop::collection::vec(0..words, 0..longest), 1..size)
}

/// Few words, so that runs are long and tie; and more, so that much is unknown.
fn pair() -> impl Strategy<Value = (Sentences, Sentences)> {
    prop_oneof![
        (set(2, 12, 20), set(2, 12, 20)),
        (set(5, 12, 30), set(5, 12, 30)),
        (set(30, 12, 30), set(20, 12, 60)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn runs_are_the_longest((samples, training) in pair()) {
        let runs = longest_runs(&samples, &training).unwrap();
        prop_assert_eq!(runs.len(), samples.len());
        for (sample, run) in samples.iter().zip(runs) {
            prop_assert_eq!(run.map_or(0, |run| run.length), longest(sample, &training));
            if let Some(run) = run {
                let copied = &sample[run.start..run.start + run.length];
                prop_assert!(training[run.sentence].windows(run.length).any(|w| w == copied));
                let earlier = sample[..run.start + run.length - 1].windows(run.length);
                for other in earlier {
                    prop_assert!(longest(other, &training) < run.length);
                }
            }
        }
    }

    #[test]
    fn neighbours_are_the_nearest((samples, training) in pair()) {
        let index = Nearest::new(&training).unwrap();
        for (sample, found) in samples.iter().zip(index.find_all(&samples)) {
            let all = training.iter().enumerate().map(|(i, t)| (distance(sample, t), i));
            let (distance, sentence) = all.min().unwrap();
            prop_assert_eq!(found, Neighbour { distance, sentence });
            prop_assert_eq!(index.find(sample), found);
        }
    }

    #[test]
    fn long_sentences_are_compared_as_well(
        sample in prop::collection::vec(0u32..9, 55..80),
        edits in prop::collection::vec((0usize..55, 0u32..9), 0..9),
    ) {
        let mut training = vec![sample.clone(); edits.len() + 1];
        for (text, &(place, word)) in training.iter_mut().zip(&edits) {
            text.insert(place, word);
            text.truncate(sample.len() - place % 5);
        }
        training.pop();
        prop_assume!(!training.is_empty());
        let all = training.iter().enumerate().map(|(i, t)| (distance(&sample, t), i));
        let (distance, sentence) = all.min().unwrap();
        let found = Nearest::new(&training).unwrap().find(&sample);
        prop_assert_eq!(found, Neighbour { distance, sentence });
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn answers_do_not_depend_on_threads(samples in set(9, 9, 300), seed in 0u32..1000) {
        // More sentences than one task takes.
        let sentence = |i: u32| vec![i % 7, (i / 7 + seed) % 8, i % 5, (i * seed) % 9, i % 3];
        let training: Sentences = (0..10_000).map(sentence).collect();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let nearest = Nearest::new(&training).unwrap();
                (longest_runs(&samples, &training).unwrap(), nearest.find_all(&samples))
            })
        };
        prop_assert_eq!(run(1), run(3));
    }
}

#[test]
fn nothing_is_an_error_and_strangers_share_nothing() {
    let (none, some): (Sentences, Sentences) = (vec![], vec![vec![1, 2, 3], vec![4]]);
    assert_eq!(longest_runs(&none, &some), Err(Error::Nothing { set: "samples" }));
    assert_eq!(longest_runs(&some, &none), Err(Error::Nothing { set: "training sentences" }));
    assert!(Nearest::new(&none).is_err());
    assert_eq!(longest_runs(&[vec![9, 8], vec![]], &some).unwrap(), [None, None]);
    let nearest = Nearest::new(&some).unwrap();
    assert_eq!(nearest.find(&[9, 8]), Neighbour { distance: 2, sentence: 1 });
    assert_eq!(nearest.find(&[]), Neighbour { distance: 1, sentence: 1 });
    assert_eq!(nearest.find(&[9, 8, 7, 6]), Neighbour { distance: 4, sentence: 0 });
}
