//! What the classifier two-sample test promises, on captions of a known grammar.

mod captions;

use captions::{FIRST, MAX_LENGTH, captions, on_threads, vocab};
use textgan_artifact::Quiet;
use textgan_evaluate::{Error, FitConfig, TwoSample, TwoSampleConfig, two_sample};
use textgan_models::{CnnDiscriminatorConfig, DiscriminatorConfig, EmbeddingConfig};
use textgan_random::Key;

fn config(steps: u64) -> TwoSampleConfig {
    let embedding = EmbeddingConfig::Learned { width: 16, std: 0.1 };
    let filters = vec![(1, 16), (2, 16), (3, 16)];
    let network = CnnDiscriminatorConfig { embedding, filters, ..Default::default() };
    let fit = FitConfig {
        steps,
        learning_rate: 1e-2,
        validate_every: 20,
        patience: 6,
        ..FitConfig::default()
    };
    let discriminator = DiscriminatorConfig::Cnn(network);
    TwoSampleConfig { discriminator, fit, ..TwoSampleConfig::default() }
}

fn all(key: &Key, count: usize) -> Vec<Vec<u32>> {
    captions(key, count, |_| true)
}

fn told(
    config: &TwoSampleConfig,
    real: &[Vec<u32>],
    samples: &[Vec<u32>],
    seed: u64,
) -> Result<TwoSample, Error> {
    two_sample(config, real, samples, vocab(), MAX_LENGTH, &Key::root(seed), &Quiet)
}

/// `texts` with a share of their tokens replaced by any others.
fn replaced(texts: &[Vec<u32>], share: f32, key: &Key) -> Vec<Vec<u32>> {
    let mut stream = key.stream();
    let mut replace = |token: u32| match stream.uniform() < share {
        true => FIRST + stream.below(vocab() as u64 - u64::from(FIRST)) as u32,
        false => token,
    };
    texts.iter().map(|text| text.iter().map(|&token| replace(token)).collect()).collect()
}

#[test]
fn two_sets_of_one_grammar_are_told_apart_as_rarely_as_stated() {
    let key = Key::root(1);
    let mut separated = 0;
    let mut right = 0.0;
    for seed in 0..20 {
        let key = key.index(seed);
        let (real, samples) = (all(&key.child("real"), 250), all(&key.child("samples"), 250));
        let found = told(&config(40), &real, &samples, seed).unwrap();
        assert_eq!(found.held_out, 150);
        let [low, high] = found.interval;
        assert!(low < found.accuracy && found.accuracy < high);
        separated += u32::from(low > 0.5 || high < 0.5);
        right += found.accuracy;
    }
    assert!(separated <= 3, "{separated} of 20 pairs were told apart; 1 is expected");
    // 3000 guesses: 0.5 with a standard error of at most 0.009.
    let mean = right / 20.0;
    assert!((mean - 0.5).abs() < 0.03, "{mean}");
}

#[test]
fn replaced_tokens_are_found() {
    let config = TwoSampleConfig::default();
    for seed in 0..2 {
        let key = Key::root(2).index(seed);
        let real = all(&key.child("real"), 1_000);
        let samples = replaced(&all(&key.child("samples"), 1_000), 0.2, &key.child("replace"));
        let found = told(&config, &real, &samples, seed).unwrap();
        assert!(found.interval[0] > 0.55, "{found:?}");
        assert!(found.p_value < 1e-6, "{found:?}");
        assert_eq!(found.held_out, 600);
    }
}

#[test]
fn the_larger_set_is_cut_to_the_smaller() {
    let key = Key::root(3);
    let (real, samples) = (all(&key.child("real"), 300), all(&key.child("samples"), 60));
    // Always saying "real" is right for half of the texts, not for five in six.
    let found = told(&config(20), &real, &samples, 1).unwrap();
    assert_eq!(found.held_out, 36);
    assert!(found.accuracy < 0.8, "{found:?}");
}

#[test]
fn one_seed_gives_the_same_bits_on_any_number_of_threads() {
    let key = Key::root(4);
    let real = all(&key.child("real"), 200);
    let samples = replaced(&all(&key.child("samples"), 200), 0.1, &key.child("replace"));
    let run = |threads| on_threads(threads, || told(&config(40), &real, &samples, 1).unwrap());
    assert_eq!(run(1), run(2));
}

#[test]
fn sets_that_are_too_small_or_say_nothing_are_refused() {
    let good = all(&Key::root(5), 60);
    let mut unknown = good.clone();
    unknown[7][0] = vocab() as u32;
    let check = |real: &[Vec<u32>], samples: &[Vec<u32>], expected: &str| {
        let message = told(&config(5), real, samples, 1).expect_err(expected).to_string();
        assert!(message.contains(expected), "{message}");
    };
    check(&[], &good, "real texts: there are none");
    check(&good, &[], "samples: there are none");
    check(&good[..1], &good, "real texts: 1 are too few for a two-sample test");
    check(&good, &good[..49], "at least 50 real texts and as many samples");
    check(&good, &vec![vec![]; 60], "samples: all 60 are empty");
    check(&good, &unknown, "of text 7");
    assert!(told(&config(5), &good[..50], &good[10..], 1).is_ok());
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let good = all(&Key::root(6), 50);
    let check = |config: TwoSampleConfig, key: &str| {
        let message = told(&config, &good, &good, 1).expect_err(key).to_string();
        assert!(message.contains(key), "{message}");
    };
    check(TwoSampleConfig { test: 0.0, ..config(5) }, "test");
    check(TwoSampleConfig { test: 0.6, valid: 0.4, ..config(5) }, "valid");
    check(config(0), "fit.steps");
}
