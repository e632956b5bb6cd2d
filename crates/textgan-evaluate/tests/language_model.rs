//! What language-model scores promise, on captions whose entropy is known.

mod captions;

use captions::{FIRST, MAX_LENGTH, captions, on_threads, vocab};
use textgan_artifact::Quiet;
use textgan_evaluate::{Error, FitConfig, LanguageModel, LanguageModelConfig};
use textgan_random::Key;
use textgan_synthetic::Grammar;

fn config(steps: u64) -> LanguageModelConfig {
    let fit = FitConfig { steps, batch_size: 32, learning_rate: 1e-2, ..FitConfig::default() };
    LanguageModelConfig { width: 32, dropout: 0.0, fit, ..LanguageModelConfig::default() }
}

fn trained(steps: u64, texts: &[Vec<u32>], seed: u64) -> LanguageModel {
    let key = Key::root(seed);
    LanguageModel::train(&config(steps), texts, None, vocab(), MAX_LENGTH, &key, &Quiet).unwrap()
}

fn all(key: &Key, count: usize) -> Vec<Vec<u32>> {
    captions(key, count, |_| true)
}

#[test]
fn real_text_costs_about_its_entropy_and_shuffled_text_far_more() {
    let key = Key::root(3);
    let model = trained(600, &all(&key.child("train"), 3_000), 1);
    let mut test = all(&key.child("test"), 500);
    let scored = model.score("test", &test).unwrap();
    let lengths: Vec<usize> = test.iter().map(|text| text.len() + 1).collect();
    assert_eq!(scored.tokens, lengths, "the end of a text counts");
    let a_text = scored.nll.iter().sum::<f64>() / test.len() as f64;
    let entropy = Grammar::embedded().entropy().unwrap();
    // The entropy of 500 texts is known to about 1 %.
    assert!(a_text > 0.97 * entropy, "{a_text} nats is better than the truth, {entropy}");
    assert!(a_text < 1.12 * entropy, "{a_text} nats, the truth {entropy}");
    assert!((model.validation_loss() / scored.per_token() - 1.0).abs() < 0.05);
    assert_eq!(model.training_texts(), 2_700, "a tenth is held out");

    for (row, text) in test.iter_mut().enumerate() {
        key.child("shuffle").index(row as u64).stream().shuffle(text);
    }
    let shuffled = model.score("test", &test).unwrap().per_token();
    assert!(shuffled > 2.0 * scored.per_token(), "{shuffled} and {}", scored.per_token());
}

#[test]
fn a_text_costs_the_same_whatever_it_is_scored_beside() {
    let key = Key::root(4);
    let model = trained(20, &all(&key, 60), 1);
    let texts = all(&key.child("test"), 70);
    let together = model.score("test", &texts).unwrap();
    for row in [0, 33, 69] {
        let alone = model.score("test", &texts[row..=row]).unwrap();
        assert!((alone.nll[0] - together.nll[row]).abs() < 1e-3);
        assert_eq!(alone.tokens[0], together.tokens[row]);
    }
}

#[test]
fn a_model_of_half_of_the_sentences_does_not_cover_the_rest() {
    let key = Key::root(5);
    let test = all(&key.child("test"), 300);
    let whole = all(&key.child("whole"), 1_000);
    // About half of the captions have an "is".
    let half = captions(&key.child("half"), 1_000, |text| !text.contains(" is "));
    let reverse = |texts: &[Vec<u32>]| {
        let model = trained(250, texts, 2);
        (model.validation_loss(), model.score("test", &test).unwrap().per_token())
    };
    let (whole, half) = (reverse(&whole), reverse(&half));
    assert!(half.1 > whole.1 + 0.2, "{half:?} {whole:?}");
}

#[test]
fn one_seed_gives_the_same_bits_on_any_number_of_threads() {
    let key = Key::root(6);
    let (texts, test) = (all(&key.child("train"), 200), all(&key.child("test"), 50));
    let run = |threads, seed| {
        on_threads(threads, || {
            let model = trained(40, &texts, seed);
            (model.score("test", &test).unwrap(), model.epochs(), model.protocol())
        })
    };
    let one = run(1, 1);
    assert_eq!(one, run(2, 1));
    let other = run(2, 2);
    assert_ne!(one.0, other.0);
    assert_ne!(one.2, other.2, "the protocol names the seed");
}

#[test]
fn validation_text_can_be_given() {
    let key = Key::root(7);
    let (texts, valid) = (all(&key.child("train"), 100), all(&key.child("valid"), 30));
    let config = config(30);
    let model = LanguageModel::train(
        &config,
        &texts,
        Some(&valid),
        vocab(),
        MAX_LENGTH,
        &Key::root(1),
        &Quiet,
    )
    .unwrap();
    assert_eq!(model.training_texts(), 100);
    let scored = model.score("valid", &valid).unwrap();
    assert_eq!(model.validation_loss(), scored.per_token());
    assert!(model.protocol().contains("|training-texts:100"), "{}", model.protocol());
}

#[test]
fn texts_that_say_nothing_are_refused() {
    let good = all(&Key::root(8), 40);
    let unknown = vec![good[0].clone(), vec![FIRST, vocab() as u32]];
    let train = |texts: &[Vec<u32>], valid: Option<&[Vec<u32>]>| {
        let key = Key::root(1);
        LanguageModel::train(&config(5), texts, valid, vocab(), MAX_LENGTH, &key, &Quiet)
    };
    let check = |result: Result<LanguageModel, Error>, expected: &str| {
        let message = result.err().expect(expected).to_string();
        assert!(message.contains(expected), "{message}");
    };
    check(train(&[], None), "training texts: there are none");
    check(train(&good[..1], None), "training texts: a single one");
    check(train(&vec![vec![]; 9], None), "training texts: all 9 are empty");
    check(train(&unknown, None), &format!("token {} of text 1", vocab()));
    check(train(&good, Some(&[])), "validation texts: there are none");
    check(train(&good, Some(&[vec![]])), "validation texts: all 1 are empty");

    let model = train(&good, None).unwrap();
    for texts in [&[][..], &[vec![]], &unknown] {
        assert!(matches!(model.score("samples", texts), Err(Error::Texts { .. })));
    }
    // An empty text among others is the end at once.
    let mut some = good[..2].to_vec();
    some.push(Vec::new());
    let scored = model.score("samples", &some).unwrap();
    assert_eq!(scored.tokens[2], 1);
    assert!(scored.nll.iter().all(|nll| nll.is_finite() && *nll > 0.0));
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let texts = all(&Key::root(9), 10);
    let check = |change: &dyn Fn(&mut LanguageModelConfig), key: &str| {
        let mut config = config(5);
        change(&mut config);
        let root = Key::root(1);
        let result =
            LanguageModel::train(&config, &texts, None, vocab(), MAX_LENGTH, &root, &Quiet);
        let message = result.err().expect(key).to_string();
        assert!(message.contains(key), "{message}");
    };
    check(&|config| config.fit.steps = 0, "fit.steps");
    check(&|config| config.fit.batch_size = 0, "fit.batch_size");
    check(&|config| config.fit.learning_rate = f32::NAN, "fit.learning_rate");
    check(&|config| config.held_out = 1.0, "held_out");
    check(&|config| config.width = 0, "width");
    check(&|config| config.dropout = 1.0, "dropout");
}
