//! The verdict can fail in both directions: equal models are rarely separated, spoiled ones are.
//!
//! The model is a table of which word follows which in sentences of the caption grammar, sampled at
//! a temperature. It needs no training, is sampled in microseconds, and is not perfect.

use std::collections::BTreeMap;
use std::slice::from_ref;

use textgan_evaluate::verdict::{Outcome, Pairing, Sampled, Verdict, compare};
use textgan_metrics::{References, self_bleu};
use textgan_random::{Key, Stream};
use textgan_synthetic::Grammar;

const END: u32 = 0;
const BATCHES: usize = 8;
const BATCH: usize = 40;
const LONGEST: usize = 24;
const SWEEP: [f64; 4] = [0.25, 0.35, 0.5, 0.8];

/// A word that may follow, and how often it or one before it does.
type Next = Vec<(u32, f64)>;

/// How often each word follows each pair of words.
struct Pairs {
    counts: BTreeMap<[u32; 2], Next>,
    words: u64,
    references: References,
}

impl Pairs {
    fn of_captions() -> Self {
        let mut ids = BTreeMap::new();
        let mut sentences = |key: &str, count: u64| -> Vec<Vec<u32>> {
            let key = Key::root(1).child(key);
            let text = |i| Grammar::embedded().sample(&mut key.index(i).stream()).0;
            let mut id = |word: &str| {
                let next = ids.len() as u32 + 1;
                *ids.entry(word.to_owned()).or_insert(next)
            };
            (0..count).map(|i| text(i).split(' ').map(&mut id).collect()).collect()
        };
        let (train, test) = (sentences("train", 3000), sentences("test", 500));
        let mut counts: BTreeMap<[u32; 2], BTreeMap<u32, f64>> = BTreeMap::new();
        for sentence in &train {
            let mut before = [END, END];
            for &word in sentence.iter().chain([&END]) {
                *counts.entry(before).or_default().entry(word).or_default() += 1.0;
                before = [before[1], word];
            }
        }
        let counts =
            counts.into_iter().map(|(before, next)| (before, next.into_iter().collect())).collect();
        let references = References::new(&test, 4).unwrap();
        Self { counts, words: ids.len() as u64, references }
    }

    /// Sums of the weights of what may follow, at a temperature.
    fn at(&self, temperature: f64) -> BTreeMap<[u32; 2], Next> {
        let sums = |next: &Next| {
            let mut sum = 0.0;
            let mut add = |&(word, count): &(u32, f64)| {
                sum += count.powf(1.0 / temperature);
                (word, sum)
            };
            next.iter().map(&mut add).collect()
        };
        self.counts.iter().map(|(&before, next)| (before, sums(next))).collect()
    }

    /// Samples at each temperature, a share of their words replaced by any word.
    fn sampled(&self, temperatures: &[f64], replaced: f64, key: &Key) -> Sampled {
        let mut curves = vec![Vec::new(); BATCHES];
        for &temperature in temperatures {
            let sums = self.at(temperature);
            // The same streams at every temperature, as in an evaluation.
            let (words, spoil) = (key.child("words"), key.child("replaced"));
            let mut samples: Vec<Vec<u32>> = (0..(BATCHES * BATCH) as u64)
                .map(|row| sentence(&sums, &mut words.index(row).stream()))
                .collect();
            if replaced > 0.0 {
                let mut stream = spoil.stream();
                for word in samples.iter_mut().flatten() {
                    if stream.uniform_f64() < replaced {
                        *word = stream.below(self.words) as u32 + 1;
                    }
                }
            }
            let bleu = self.references.score(&samples).unwrap();
            for (batch, curve) in curves.iter_mut().enumerate() {
                let rows = batch * BATCH..(batch + 1) * BATCH;
                let repetition = self_bleu(&samples[rows.clone()], 4).unwrap()[3];
                curve.push([bleu.mean_of(rows)[3], repetition]);
            }
        }
        Sampled::new(BATCH, curves).unwrap()
    }

    /// How many of some independent draws of this one model at two lists of temperatures the
    /// verdict calls separated.
    fn separated(&self, draws: u64, a: &[f64], b: &[f64]) -> usize {
        let key = Key::root(7);
        let mut separated = 0;
        for draw in 0..draws {
            let [a, b] = [("a", a), ("b", b)].map(|(side, temperatures)| {
                self.sampled(temperatures, 0.0, &key.child(side).index(draw))
            });
            let verdict = duel(&a, &b, Pairing::Independent);
            assert_ne!(verdict.outcome, Outcome::Apart, "draw {draw}");
            separated += usize::from(verdict.outcome != Outcome::NotSeparated);
        }
        separated
    }
}

fn sentence(sums: &BTreeMap<[u32; 2], Next>, stream: &mut Stream) -> Vec<u32> {
    let (mut sentence, mut before) = (Vec::new(), [END, END]);
    while sentence.len() < LONGEST {
        let next = &sums[&before];
        let draw = stream.uniform_f64() * next[next.len() - 1].1;
        let word = next[next.partition_point(|&(_, sum)| sum <= draw).min(next.len() - 1)].0;
        if word == END {
            break;
        }
        sentence.push(word);
        before = [before[1], word];
    }
    sentence
}

/// Compares one run with another.
fn duel(a: &Sampled, b: &Sampled, pairing: Pairing) -> Verdict {
    compare(from_ref(a), from_ref(b), pairing).unwrap()
}

#[test]
fn two_hundred_draws_of_one_model_are_called_separated_at_the_level_that_is_promised() {
    let separated = Pairs::of_captions().separated(200, &SWEEP, &SWEEP);
    println!("{separated} of 200");
    // 5 % are 10; a binomial has more than 19 in one test of 300.
    assert!(separated <= 19, "{separated} of 200");
}

#[test]
fn two_temperatures_of_one_curve_are_not_separated() {
    let model = Pairs::of_captions();
    // One temperature against the curve, and two sweeps that share no temperature.
    let one = model.separated(60, &[0.4], &SWEEP);
    let other = model.separated(60, &SWEEP, &[0.3]);
    let between = model.separated(60, &[0.27, 0.32, 0.4, 0.6], &SWEEP);
    println!("{one}, {other}, {between} of 60");
    // 5 % are 3; a binomial has more than 8 in one test of 400.
    assert!(one <= 8 && other <= 8 && between <= 8, "{one}, {other}, {between} of 60");
}

#[test]
fn a_tenth_of_the_words_replaced_at_random_is_worse() {
    let model = Pairs::of_captions();
    let whole = model.sampled(&SWEEP, 0.0, &Key::root(8));
    let spoiled = model.sampled(&SWEEP, 0.1, &Key::root(9));
    let verdict = duel(&spoiled, &whole, Pairing::Independent);
    assert_eq!(verdict.outcome, Outcome::Worse, "{verdict:#?}");
    assert!(verdict.sentence("this", "that").contains("in every part of the curve"));
    let verdict = duel(&whole, &spoiled, Pairing::Independent);
    assert_eq!(verdict.outcome, Outcome::Better);
    // At one temperature too, against the whole curve.
    let one = model.sampled(&[0.4], 0.1, &Key::root(10));
    let whole = model.sampled(&SWEEP, 0.0, &Key::root(11));
    let verdict = duel(&one, &whole, Pairing::Independent);
    assert_eq!(verdict.outcome, Outcome::Worse, "{verdict:#?}");
}

#[test]
fn the_same_streams_make_pairs_that_separate_sooner() {
    let model = Pairs::of_captions();
    let key = Key::root(12);
    let [whole, spoiled] = [0.0, 0.02].map(|replaced| model.sampled(&SWEEP, replaced, &key));
    let width = |pairing| {
        let verdict = duel(&spoiled, &whole, pairing);
        let interval = verdict.places[1].difference;
        (interval.high - interval.low, verdict.outcome)
    };
    let (paired, independent) = (width(Pairing::Paired), width(Pairing::Independent));
    assert!(paired.0 < independent.0, "{paired:?} {independent:?}");
    assert_eq!(paired.1, Outcome::Worse);
}
