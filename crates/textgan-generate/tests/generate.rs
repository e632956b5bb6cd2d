//! What generation promises, on an untrained model.

use textgan_artifact::Quiet;
use textgan_artifact::table::{Sample, read_split};
use textgan_generate::{Error, Labels, Model, Options, generate};
use textgan_random::Key;
use textgan_tokenizer::{TokenizerConfig, Trainer};

include!("fixture/model_folder.rs");

fn load(labels: &[&str]) -> (tempfile::TempDir, Model) {
    let folder = model_folder(labels);
    let model = Model::load(folder.path().join("model")).unwrap();
    (folder, model)
}

fn texts(samples: &[Sample]) -> Vec<&str> {
    samples.iter().map(|sample| sample.text.as_str()).collect()
}

#[test]
fn a_text_depends_on_seed_and_number_alone() {
    let (_folder, model) = load(&[]);
    let options = Options { count: 20, seed: Some(3), ..Options::default() };
    let samples = model.generate(&options).unwrap();
    let small = Options { count: 7, batch_size: 3, ..options.clone() };
    assert_eq!(model.generate(&small).unwrap(), samples[..7]);

    let other = Options { seed: Some(4), ..options };
    assert_ne!(texts(&model.generate(&other).unwrap()), texts(&samples));
}

#[test]
fn a_row_says_what_it_was_made_from() {
    let (folder, model) = load(&[]);
    let model = model.with_discriminator(folder.path().join("discriminator")).unwrap();
    let options = Options { count: 10, temperature: Some(0.7), ..Options::default() };
    let dimension = model.generator().noise().dimension;
    for (id, sample) in (0..).zip(model.generate(&options).unwrap()) {
        assert_eq!((sample.id, sample.temperature, sample.label), (id, 0.7, None));
        assert_eq!(sample.text, model.tokenizer().decode(&sample.tokens).unwrap());
        assert_eq!(sample.noise.len(), dimension);
        let total: f32 = sample.token_log_probs.iter().sum();
        assert!((sample.log_prob - total).abs() < 1e-4);
        assert!(sample.token_log_probs.len() - sample.tokens.len() <= 1);
        assert_eq!(sample.token_realness.len(), sample.token_log_probs.len());
        assert!(sample.realness.unwrap().is_finite());
    }
}

#[test]
fn greedy_texts_differ_by_their_noise_alone() {
    let (_folder, model) = load(&[]);
    let options = Options { count: 5, greedy: true, ..Options::default() };
    let samples = model.generate(&options).unwrap();
    assert!(samples.iter().all(|sample| sample.temperature == 0.0));

    let key = options.key(None);
    let walk = model.interpolate(1, 3, 5, &options, &key).unwrap();
    assert_eq!(walk.len(), 5);
    assert_eq!((&walk[0].text, &walk[4].text), (&samples[1].text, &samples[3].text));
    assert_eq!((&walk[0].noise, &walk[4].noise), (&samples[1].noise, &samples[3].noise));
    assert!(model.interpolate(1, 3, 0, &options, &key).unwrap().is_empty());
    assert_eq!(model.interpolate(1, 3, 1, &options, &key).unwrap()[0].noise, samples[1].noise);
}

/// Of many candidates one is chosen as a sample of `p(x) exp(d(x))`, whatever the batches are.
#[test]
fn candidates_are_chosen_by_what_the_discriminator_thinks() {
    let (folder, model) = load(&["x", "y"]);
    let few = Options { count: 6, candidates: 4, ..Options::default() };
    let refused = model.generate(&few).unwrap_err().to_string();
    assert!(refused.contains("candidates") && refused.contains("no discriminator"), "{refused}");
    let model = model.with_discriminator(folder.path().join("discriminator")).unwrap();
    let chosen = model.generate(&Options { count: 20, ..few.clone() }).unwrap();
    let small = Options { batch_size: 4, ..few.clone() };
    assert_eq!(model.generate(&small).unwrap(), chosen[..6]);
    let alone = Options { count: 4000, ..Options::default() };
    let all = model.generate(&alone).unwrap();
    let labels = |samples: &[Sample]| samples.iter().map(|s| s.label).collect::<Vec<_>>();
    assert_eq!(labels(&chosen), labels(&all[..20]));

    let logit = |sample: &Sample| f64::from(sample.realness.unwrap());
    let mean = all.iter().map(logit).sum::<f64>() / 4000.0;
    let sums = all.iter().map(|sample| (logit(sample).exp(), logit(sample)));
    let (weights, weighed) = sums.fold((0.0, 0.0), |(a, b), (w, d)| (a + w, b + w * d));
    let expected = weighed / weights;
    let options = Options { count: 4000, candidates: 24, ..Options::default() };
    let found = model.generate(&options).unwrap().iter().map(logit).sum::<f64>() / 4000.0;
    let spread = expected - mean;
    assert!(spread > 0.0 && (found - expected).abs() < 0.25 * spread, "{mean} {expected} {found}");
}

#[test]
fn a_prompt_is_continued() {
    let (_folder, model) = load(&[]);
    let options = Options { prompt: Some("two dogs".to_owned()), ..Options::default() };
    for sample in model.generate(&options).unwrap() {
        assert!(sample.text.starts_with("two dogs"), "{}", sample.text);
    }
    for (prompt, reason) in
        [("two zebras", "lacks a word"), ("a a a a a a a a a a a a", "12 tokens leave nothing")]
    {
        let options = Options { prompt: Some(prompt.to_owned()), ..Options::default() };
        let message = model.generate(&options).unwrap_err().to_string();
        assert!(message.contains("prompt") && message.contains(reason), "{message}");
    }
}

#[test]
fn labels_go_by_name() {
    let (_folder, model) = load(&["indoors", "outdoors"]);
    let label = |label: &str| Options { label: Some(label.to_owned()), ..Options::default() };
    let samples = model.generate(&label("outdoors")).unwrap();
    assert!(samples.iter().all(|sample| sample.label == Some(1)));
    let message = model.generate(&label("at sea")).unwrap_err().to_string();
    assert!(message.contains("`indoors`, `outdoors`"), "{message}");

    let mixed = model.generate(&Options { count: 64, ..Options::default() }).unwrap();
    let outdoors = mixed.iter().filter(|sample| sample.label == Some(1)).count();
    assert!((16..=48).contains(&outdoors), "{outdoors} of 64");
    let given =
        model.draw(&Options::default(), Labels::Rows(&[0, 0, 1]), &Key::root(1), 5).unwrap();
    assert_eq!(given.labels, Some(vec![0, 0, 1, 0, 0]));

    let (_folder, without) = load(&[]);
    let message = without.generate(&label("indoors")).unwrap_err().to_string();
    assert!(message.contains("has no labels"), "{message}");
}

#[test]
fn a_folder_of_samples_reads_back() {
    let (_folder, model) = load(&[]);
    let out = tempfile::tempdir().unwrap();
    let options = Options { count: 9, batch_size: 4, ..Options::default() };
    let key = Key::root(1);
    let summary = generate(&model, &options, Labels::None, &key, out.path(), &Quiet).unwrap();
    let rows: Vec<Sample> = read_split(out.path(), "samples").unwrap();
    assert_eq!(rows.len(), 9);
    assert_eq!(summary.samples, 9);
    assert_eq!(summary.tokens, rows.iter().map(|row| row.tokens.len() as u64).sum::<u64>());
    let lines = std::fs::read_to_string(out.path().join("samples.txt")).unwrap();
    assert_eq!(lines.lines().collect::<Vec<_>>(), texts(&rows));

    let seeded = Options { seed: Some(0), ..options };
    let again = tempfile::tempdir().unwrap();
    generate(&model, &seeded, Labels::None, &key, again.path(), &Quiet).unwrap();
    let rows: Vec<Sample> = read_split(again.path(), "samples").unwrap();
    assert_eq!(
        rows,
        model.generate(&seeded).unwrap(),
        "a seed of its own goes before the experiment's"
    );
}

#[test]
fn what_cannot_work_is_refused() {
    let (folder, model) = load(&[]);
    for bad in [
        Options { temperature: Some(0.0), ..Options::default() },
        Options { temperature: Some(f32::NAN), ..Options::default() },
        Options { top_k: Some(0), ..Options::default() },
        Options { top_p: Some(1.5), ..Options::default() },
        Options { batch_size: 0, ..Options::default() },
        Options { max_length: Some(0), ..Options::default() },
    ] {
        assert!(model.generate(&bad).is_err(), "{bad:?}");
    }
    let tokenizer = folder.path().join("model/tokenizer.json");
    let mut trainer = Trainer::new(&TokenizerConfig::default()).unwrap();
    trainer.feed(&["other words"]).unwrap();
    std::fs::write(&tokenizer, trainer.finish().unwrap().0.to_json().unwrap()).unwrap();
    let error = Model::load(folder.path().join("model")).err().unwrap();
    assert!(error.to_string().contains("is not what was saved"), "{error}");
    // Who means it takes the checksums away.
    std::fs::remove_file(folder.path().join("model/checksums.txt")).unwrap();
    let error = Model::load(folder.path().join("model")).err().unwrap();
    assert!(matches!(error, Error::Vocabulary { .. }), "{error}");

    std::fs::remove_file(&tokenizer).unwrap();
    let message = Model::load(folder.path().join("model")).err().unwrap().to_string();
    assert!(message.contains("tokenizer.json"), "{message}");
}

/// Beside itself a generator looks undecided everywhere, whoever wrote the text.
#[test]
fn a_language_model_judges_by_its_likelihood_over_the_generators() {
    let (folder, model) = load(&["x", "y"]);
    let other = model_folder(&["x", "y"]);
    let model = model.with_language_model(folder.path().join("model")).unwrap();
    assert_eq!(model.critic_kind(), Some("language-model"));
    for sample in model.generate(&Options { count: 8, ..Options::default() }).unwrap() {
        assert_eq!(sample.token_realness.len(), sample.token_log_probs.len());
        let most = sample.token_realness.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        assert!(most < 1e-4, "{:?}", sample.token_realness);
        let judged = model.judge(&sample.text, Some("y")).unwrap().unwrap();
        assert_eq!(judged.tokens.len() + 1, judged.token_realness.len());
        assert!(judged.realness.abs() < 1e-4);
    }
    // The weights of a checkpoint take the place of the folder's.
    let weights = other.path().join("weights.safetensors");
    model.generator().parameters().save(&weights).unwrap();
    assert!(Model::load(folder.path().join("model")).unwrap().with_weights(&weights).is_ok());
    let missing = Model::load(folder.path().join("model")).unwrap().with_weights("nowhere");
    assert!(missing.err().unwrap().to_string().contains("nowhere"));
}

#[test]
fn what_follows_is_what_is_drawn() {
    let (_folder, model) = load(&["x", "y"]);
    let dimension = model.generator().noise().dimension;
    let noise = model.generator().noise().draw(&Key::root(3), 0, 1);
    let options = Options { greedy: true, label: Some("y".to_owned()), ..Options::default() };
    let sample =
        model.generate_from(noise.clone(), 1, &options, &Key::root(0)).unwrap().pop().unwrap();
    // Greedy step by step is greedy at once.
    let mut text = Vec::new();
    while text.len() < sample.tokens.len() {
        let next = model.next(&noise, &text, &options).unwrap();
        let token = next.chosen.iter().position(|chance| *chance == 1.0).unwrap();
        let given = next.given[token].ln();
        assert!((given - sample.token_log_probs[text.len()]).abs() < 1e-3);
        text.push(token as u32);
    }
    assert_eq!(text, sample.tokens);
    assert_eq!(model.pieces(&text).unwrap().concat(), sample.text);
    for (noise, text, what) in [
        (vec![0.0; dimension + 1], vec![], "vectors"),
        (vec![f32::NAN; dimension], vec![], "finite"),
        (vec![0.0; dimension], vec![5; 1000], "at most"),
    ] {
        let refused = model.next(&noise, &text, &options).unwrap_err().to_string();
        assert!(refused.contains(what), "{refused}");
    }
}
