//! What evaluation promises, on untrained models of the caption grammar.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use textgan_artifact::table::{Document, ShardedWriter, TokenRow, read_split};
use textgan_artifact::{ALONE, Quiet, Team};
use textgan_evaluate::{
    Change, Error, EvaluateConfig, Evaluation, FitConfig, Inputs, LanguageModelConfig, Scores,
    Truth, TwoSampleConfig, evaluate_in,
};
use textgan_generate::Model;
use textgan_models::{
    Context, GeneratorConfig, ModelCard, NoiseConfig, Sequences, Sizes, build_generator,
    save_generator, token_log_probs,
};
use textgan_random::{Key, Stream};
use textgan_synthetic::{Grammar, Oracle, OracleSizes};
use textgan_tokenizer::{Tokenizer, TokenizerConfig, tokenize};

const MAX_LENGTH: usize = 40;

/// Tokenised sentences of a known distribution, and untrained models for them.
struct Folders {
    root: tempfile::TempDir,
    /// The distribution, if it is not the built-in grammar.
    oracle: Option<Oracle>,
}

impl Folders {
    fn new() -> Self {
        let draw = |stream: &mut Stream| {
            let (text, label) = Grammar::embedded().sample(stream);
            (text, label.map(str::to_owned))
        };
        Self { root: Self::tokenized(MAX_LENGTH, draw), oracle: None }
    }

    /// Sequences of 6 of the 30 tokens of a small oracle.
    fn of_oracle() -> Self {
        let sizes = OracleSizes { vocabulary: 30, embedding: 4, hidden: 4 };
        let oracle = Oracle::random(sizes, &Key::root(2));
        let draw = |stream: &mut Stream| (oracle.text(&oracle.sample(6, stream)), None);
        Self { root: Self::tokenized(6, draw), oracle: Some(oracle) }
    }

    fn tokenized(
        max_length: usize,
        draw: impl Fn(&mut Stream) -> (String, Option<String>),
    ) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let (documents, tokens) = (root.path().join("ingest"), root.path().join("tokenize"));
        std::fs::create_dir(&documents).unwrap();
        std::fs::create_dir(&tokens).unwrap();
        let mut id = 0;
        for (split, count) in [("train", 400), ("valid", 50), ("test", 60)] {
            let mut writer = ShardedWriter::create(&documents, split, 1 << 20).unwrap();
            for _ in 0..count {
                let mut stream = Key::root(5).index(id).stream();
                let (text, label) = draw(&mut stream);
                let source = "truth".to_owned();
                writer.push(Document { id, text, label, source, metadata: None }).unwrap();
                id += 1;
            }
            writer.finish().unwrap();
        }
        let config = TokenizerConfig { max_length, ..TokenizerConfig::default() };
        tokenize(&config, &documents, &tokens, &Quiet).unwrap();
        root
    }

    fn tokens(&self) -> PathBuf {
        self.root.path().join("tokenize")
    }

    fn model(&self, name: &str, seed: u64, noise: usize, labels: &[&str]) -> PathBuf {
        let json = self.tokens().join("tokenizer.json");
        let vocab = Tokenizer::load(&json).unwrap().vocab_size();
        let sizes = Sizes { vocab, labels: labels.len(), max_length: MAX_LENGTH };
        let noise = NoiseConfig { dimension: noise, ..NoiseConfig::default() };
        let config = GeneratorConfig::default();
        let key = Key::root(seed);
        let generator = build_generator(&config, &noise, &sizes, &key, &Device::Cpu).unwrap();
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        let folder = self.root.path().join(name);
        let card = ModelCard { labels, ..ModelCard::default() };
        save_generator(&folder, &*generator, Some(&json), &card).unwrap();
        folder
    }

    fn evaluate(
        &self,
        model: &Path,
        baseline: Option<&Path>,
        config: &EvaluateConfig,
    ) -> Result<Evaluation, Error> {
        self.evaluate_in(&ALONE, model, baseline, config)
    }

    fn evaluate_in(
        &self,
        team: &Team,
        model: &Path,
        baseline: Option<&Path>,
        config: &EvaluateConfig,
    ) -> Result<Evaluation, Error> {
        let tokens = self.tokens();
        let truth = Some(match &self.oracle {
            Some(oracle) => Truth::Oracle(oracle),
            None => Truth::Grammar(Grammar::embedded()),
        });
        let inputs = Inputs {
            model,
            discriminator: None,
            baseline,
            controls: &[],
            converged: None,
            tokens: &tokens,
            truth,
        };
        evaluate_in(team, &inputs, config, &key(), self.root.path(), &Quiet)
    }
}

fn key() -> Key {
    Key::root(11).child("evaluate")
}

fn quick() -> EvaluateConfig {
    EvaluateConfig {
        samples: 40,
        noise_vectors: 3,
        greedy_texts: 8,
        batches: 4,
        batch_size: 16,
        ..EvaluateConfig::default()
    }
}

fn value(scores: &Scores, name: &str) -> f64 {
    scores.get(name).unwrap_or_else(|| panic!("{name} is missing")).value.expect(name)
}

#[test]
fn every_number_is_there_with_its_protocol_and_none_is_nan() {
    let folders = Folders::new();
    let (model, baseline) = (folders.model("a", 1, 8, &[]), folders.model("b", 2, 8, &[]));
    let evaluation = folders.evaluate(&model, Some(&baseline), &quick()).unwrap();

    let scores = &evaluation.model;
    for name in [
        "bleu-2",
        "bleu-5",
        "self-bleu-2",
        "self-bleu-5",
        "distinct-1",
        "distinct-4",
        "exact-copies",
        "mean-length",
        "frechet",
        "precision",
        "recall",
        "density",
        "coverage",
        "mauve",
        "copied-run",
        "copied-share",
        "distance-to-training",
        "distinct-greedy",
        "grammatical",
        "grammatical-greedy",
        "validation-nll",
        "validation-perplexity",
        "test-nll",
        "test-perplexity",
        "validation-nll-ratio",
        "test-nll-ratio",
        "coverage-mass",
        "coverage-words",
        "coverage-choices",
    ] {
        assert!(value(scores, name).is_finite(), "{name}");
    }
    // An untrained model says nothing grammatical, so no sample has a probability.
    let undefined = scores.get("grammar-nll").unwrap();
    assert_eq!(undefined.value, None);
    assert!(undefined.note.as_ref().unwrap().contains("no sample is grammatical"));

    let all = scores.measures.iter().chain(&evaluation.training_text);
    for measure in all.chain(&evaluation.baseline.as_ref().unwrap().measures) {
        assert!(measure.value.is_some() || measure.note.is_some(), "{}", measure.name);
        assert!(measure.protocol.contains('|'), "{}: {}", measure.name, measure.protocol);
    }
    let copied = evaluation.training_text.iter().find(|measure| measure.name == "exact-copies");
    assert_eq!(copied.unwrap().value, Some(1.0));
    // Real text of the same grammar is nearer to the test split than noise is.
    let of_training = |name: &str| {
        evaluation.training_text.iter().find(|measure| measure.name == name).unwrap().value.unwrap()
    };
    assert!(of_training("frechet") < value(scores, "frechet"));
    assert!(of_training("mauve") > value(scores, "mauve"));
    let held_out = evaluation.held_out.as_ref().unwrap();
    let audit = scores.memorisation.as_ref().unwrap();
    assert_eq!(audit.samples.runs.iter().sum::<usize>(), audit.samples.texts);
    assert_eq!(held_out.runs.iter().sum::<usize>(), held_out.texts);
    let copied = audit.beyond.iter().find(|change| change.name == "copied-run").unwrap();
    assert!(copied.high < 0.0, "noise copies less than real text does: {copied:?}");
    // An untrained model is close to guessing uniformly.
    let words = evaluation.tokens.strip_prefix("word-").unwrap().parse::<f64>().unwrap();
    assert!((value(scores, "test-nll") - words.ln()).abs() < 1.0);

    let stored = std::fs::read_to_string(folders.root.path().join("evaluation.json")).unwrap();
    assert_eq!(serde_json::from_str::<Evaluation>(&stored).unwrap(), evaluation);
}

#[test]
fn the_likelihood_is_the_mean_over_named_noise_vectors() {
    let folders = Folders::new();
    let folder = folders.model("a", 1, 8, &[]);
    let evaluation = folders.evaluate(&folder, None, &quick()).unwrap();

    let model = Model::load(&folder).unwrap();
    let rows: Vec<TokenRow> = read_split(&folders.tokens(), "test").unwrap();
    let (mut nll, mut tokens) = (0.0, 0);
    // Four batches of 15 texts, each with noise of its own.
    for (i, row) in rows.iter().enumerate() {
        let key = key().child("likelihood").index((i / 15) as u64);
        let sequence = Sequences::from_rows(&[&row.tokens], None, MAX_LENGTH).unwrap();
        let probability: f64 = (0..3)
            .map(|k| {
                let noise = model.generator().noise().draw(&key, k, 1);
                let noise = Tensor::from_vec(noise, (1, 8), &Device::Cpu).unwrap();
                let context = Context { noise: &noise, labels: None };
                let log_probs = token_log_probs(model.generator(), &context, &sequence).unwrap();
                log_probs.iter().map(|&p| f64::from(p)).sum::<f64>().exp() / 3.0
            })
            .sum();
        nll -= probability.ln();
        tokens += row.tokens.len() + 1;
    }
    let by_hand = nll / tokens as f64;
    let measured = value(&evaluation.model, "test-nll");
    assert!((measured - by_hand).abs() < 1e-5, "{measured} against {by_hand}");
    assert!((value(&evaluation.model, "test-perplexity") - by_hand.exp()).abs() < 0.01);

    let exact: f64 = rows
        .iter()
        .map(|row| model.tokenizer().decode(&row.tokens).unwrap())
        .map(|text| -Grammar::embedded().log_prob(&text).unwrap_or(0.0))
        .sum();
    let left_out = evaluation.model.get("test-nll-ratio").unwrap().note.is_some();
    assert!(left_out || (value(&evaluation.model, "test-nll-ratio") - nll / exact).abs() < 1e-3);
}

#[test]
fn a_model_does_not_differ_from_itself_and_the_change_of_others_has_an_interval() {
    let folders = Folders::new();
    let (model, other) = (folders.model("a", 1, 8, &[]), folders.model("b", 2, 8, &[]));
    let same = folders.evaluate(&model, Some(&model), &quick()).unwrap();
    assert!(same.changes.len() > 15);
    assert!(same.changes.iter().all(|change| change.change == 0.0 && change.p == 1.0));
    // Shares are compared as two sets of independent items: zero, within what chance allows.
    let without_width = |change: &&Change| change.low == 0.0 && change.high == 0.0;
    assert!(same.changes.iter().filter(|c| c.batches > 0).all(|change| without_width(&change)));
    assert!(same.changes.iter().filter(|c| c.batches == 0).all(|c| c.low < 0.0 && c.high > 0.0));

    let changes = folders.evaluate(&model, Some(&other), &quick()).unwrap().changes;
    for name in ["precision", "recall", "density", "coverage", "mauve"] {
        let change = changes.iter().find(|change| change.name == name).unwrap();
        assert!(change.low <= change.change && change.change <= change.high, "{name}");
        assert!(change.protocol.contains("references-of-a-batch:"), "{}", change.protocol);
    }
    let nll = changes.iter().find(|change| change.name == "test-nll").unwrap();
    assert!(nll.low < nll.change && nll.change < nll.high);
    assert!(nll.protocol.ends_with("|batches:4x15"), "{}", nll.protocol);
    assert!(folders.evaluate(&model, None, &quick()).unwrap().changes.is_empty());
}

#[test]
fn the_same_key_gives_the_same_bytes_with_any_number_of_threads() {
    let folders = Folders::new();
    let (model, baseline) = (folders.model("a", 1, 8, &[]), folders.model("b", 2, 8, &[]));
    let bytes = [1, 2, 4].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| folders.evaluate(&model, Some(&baseline), &quick())).unwrap();
        std::fs::read(folders.root.path().join("evaluation.json")).unwrap()
    });
    assert!(bytes[0] == bytes[1] && bytes[1] == bytes[2]);
}

/// Each process measures some of the models, and all come to the same.
#[test]
fn a_team_gives_the_bytes_of_one_process() {
    let folders = Folders::new();
    let (model, baseline) = (folders.model("a", 1, 8, &[]), folders.model("b", 2, 8, &[]));
    let path = folders.root.path().join("evaluation.json");
    let alone = folders.evaluate(&model, Some(&baseline), &quick()).unwrap();
    let expected = std::fs::read(&path).unwrap();
    for size in [2, 3] {
        std::fs::remove_file(&path).unwrap();
        let one = |team: Team| folders.evaluate_in(&team, &model, Some(&baseline), &quick());
        let found: Vec<_> = std::thread::scope(|scope| {
            let teams = Team::of_threads(size).into_iter();
            let threads: Vec<_> = teams.map(|team| scope.spawn(|| one(team))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
        });
        assert!(found.iter().all(|found| *found == alone), "{size} processes");
        assert!(std::fs::read(&path).unwrap() == expected, "{size} processes");
    }
}

#[test]
fn the_temperature_is_chosen_on_the_validation_split() {
    let folders = Folders::new();
    let model = folders.model("a", 1, 8, &[]);
    let config =
        EvaluateConfig { temperatures: vec![0.01, 1.0], self_bleu_bound: Some(0.0), ..quick() };
    let choice = folders.evaluate(&model, None, &config).unwrap().model.temperature;
    assert_eq!(choice.candidates.len(), 2);
    assert!(choice.candidates[0].self_bleu_4 > choice.candidates[1].self_bleu_4);
    assert_eq!(choice.temperature, 1.0);
    let config = EvaluateConfig { self_bleu_bound: Some(1.0), ..config };
    let evaluation = folders.evaluate(&model, None, &config).unwrap();
    let protocol = &evaluation.model.get("bleu-4").unwrap().protocol;
    let temperature = evaluation.model.temperature.temperature;
    assert!(protocol.contains(&format!("temperature:{temperature}")), "{protocol}");
}

#[test]
fn models_with_labels_and_models_without_noise_are_measured_too() {
    let folders = Folders::new();
    let labels = folders.model("labels", 1, 8, &["indoors", "outdoors"]);
    let evaluation = folders.evaluate(&labels, None, &quick()).unwrap();
    assert!(value(&evaluation.model, "grammatical-for-label") <= 1.0);
    assert!(evaluation.model.get("test-nll-ratio").unwrap().protocol.ends_with("given:label"));

    let plain = folders.model("plain", 1, 0, &[]);
    let evaluation = folders.evaluate(&plain, None, &quick()).unwrap();
    assert!(evaluation.model.get("test-nll").unwrap().protocol.contains("noise-vectors:1|"));
    let distinct = value(&evaluation.model, "distinct-greedy");
    assert!(
        (distinct - 1.0 / 8.0).abs() < 1e-9,
        "without noise there is one greedy text: {distinct}"
    );
}

#[test]
fn an_oracle_scores_samples_and_its_sequences_score_the_model() {
    let folders = Folders::of_oracle();
    let oracle = folders.oracle.as_ref().unwrap();
    let folder = folders.model("plain", 1, 0, &[]);
    let config = EvaluateConfig { sweep: vec![2.0, 1.0, 0.1], ..quick() };
    let evaluation = folders.evaluate(&folder, None, &config).unwrap();
    let sweep = evaluation.model.sweep.as_ref().unwrap();
    let points = sweep.curve("nll-oracle", "nll-test");
    assert_eq!(points.len(), 3);
    assert!(sweep.published.is_empty(), "this oracle is nobody's");

    // By hand, with the temperature in the softmax and without the end.
    let model = Model::load(&folder).unwrap();
    let rows: Vec<TokenRow> = read_split(&folders.tokens(), "test").unwrap();
    for (point, temperature) in points.iter().zip([2.0_f64, 1.0, 0.1]) {
        let (mut nll, mut tokens) = (0.0, 0);
        for row in &rows {
            let sequences = Sequences::from_rows(&[&row.tokens], None, MAX_LENGTH).unwrap();
            let noise = Tensor::zeros((1, 0), candle_core::DType::F32, &Device::Cpu).unwrap();
            let context = Context { noise: &noise, labels: None };
            let mode = textgan_nn::Mode::Evaluate;
            let logits = model.generator().logits(&context, &sequences, mode).unwrap();
            let logits: Vec<Vec<f32>> = logits.squeeze(0).unwrap().to_vec2().unwrap();
            for (logits, &token) in logits.iter().zip(&row.tokens) {
                let scaled = |logit: f32| f64::from(logit) / temperature;
                let sum: f64 = logits.iter().map(|&logit| scaled(logit).exp()).sum();
                nll += sum.ln() - scaled(logits[token as usize]);
                tokens += 1;
            }
        }
        let expect = nll / tokens as f64;
        assert!((point.diversity - expect).abs() < 1e-4, "{temperature}: {point:?}, {expect}");
    }
    assert!((value(&evaluation.model, "nll-test") - points[1].diversity).abs() < 1e-9);
    assert!((value(&evaluation.model, "nll-oracle") - points[1].quality).abs() < 1e-9);
    assert!(evaluation.model.get("nll-test-at-nll-oracle-8").is_some());

    // What an untrained model says costs the oracle more than what the oracle says itself.
    let own: Vec<Vec<u32>> = oracle.sample_rows(0..500, 6, &Key::root(4));
    let own = -oracle.log_probs(&own).unwrap().iter().flatten().sum::<f64>() / 3000.0;
    assert!(value(&evaluation.model, "nll-oracle") > own + 0.2);

    let stored = std::fs::read_to_string(folders.root.path().join("evaluation.json")).unwrap();
    assert_eq!(serde_json::from_str::<Evaluation>(&stored).unwrap(), evaluation);
}

#[test]
fn a_sweep_has_every_measure_of_samples_at_every_temperature() {
    let folders = Folders::new();
    let (model, baseline) = (folders.model("a", 1, 8, &[]), folders.model("b", 2, 8, &[]));
    let config = EvaluateConfig { sweep: vec![0.05, 1.0], ..quick() };
    let evaluation = folders.evaluate(&model, Some(&baseline), &config).unwrap();
    for scores in [&evaluation.model, evaluation.baseline.as_ref().unwrap()] {
        let sweep = scores.sweep.as_ref().unwrap();
        for name in ["bleu-2", "bleu-5", "self-bleu-2", "self-bleu-5", "exact-copies", "frechet"] {
            let swept = sweep.get(name).unwrap_or_else(|| panic!("{name} is missing"));
            assert!(swept.values.iter().all(Option::is_some), "{name}: {swept:?}");
            assert_eq!((swept.batches.len(), swept.batch_size), (2, 10), "{name}");
            assert!(swept.batches.iter().all(|batches| batches.len() == 4), "{name}");
            assert!(swept.protocol.ends_with("|temperature:swept"), "{}", swept.protocol);
        }
        // Temperature 1 has the very samples that are measured without a sweep.
        for name in ["bleu-4", "self-bleu-4", "exact-copies", "grammatical"] {
            assert_eq!(sweep.get(name).unwrap().values[1], Some(value(scores, name)), "{name}");
        }
        let points = sweep.curve("bleu-4", "self-bleu-4");
        assert!(points[0].diversity > points[1].diversity + 0.1, "{points:?}");
        // The untrained model's noise, nearly greedy, is far from real text.
        let frechet = &sweep.get("frechet").unwrap().values;
        assert!(frechet[0] > frechet[1], "{frechet:?}");
    }
    assert!(folders.evaluate(&model, None, &quick()).unwrap().model.sweep.is_none());
}

#[test]
fn words_that_an_oracle_does_not_have_are_refused() {
    let mut folders = Folders::new();
    let sizes = OracleSizes { vocabulary: 30, embedding: 4, hidden: 4 };
    folders.oracle = Some(Oracle::random(sizes, &Key::root(2)));
    let model = folders.model("a", 1, 8, &[]);
    let message = folders.evaluate(&model, None, &quick()).unwrap_err().to_string();
    assert!(message.contains("is no token of the oracle lstm-30x4"), "{message}");
}

#[test]
fn what_cannot_work_is_refused() {
    let folders = Folders::new();
    let model = folders.model("a", 1, 8, &[]);
    for (config, key) in [
        (EvaluateConfig { temperatures: vec![], ..quick() }, "temperatures"),
        (EvaluateConfig { temperatures: vec![0.0], ..quick() }, "temperatures"),
        (EvaluateConfig { temperatures: vec![0.5, 1.0], ..quick() }, "self_bleu_bound"),
        (EvaluateConfig { sweep: vec![1.0, -0.5], ..quick() }, "sweep"),
        (EvaluateConfig { samples: 5, ..quick() }, "samples"),
        (EvaluateConfig { batches: 1, ..quick() }, "batches"),
        (EvaluateConfig { noise_vectors: 0, ..quick() }, "noise_vectors"),
    ] {
        let message = folders.evaluate(&model, None, &config).unwrap_err().to_string();
        assert!(message.starts_with(&format!("[evaluate] {key}: ")), "{message}");
    }
    let nothing = folders.root.path().join("nothing");
    assert!(
        folders.evaluate(&nothing, None, &quick()).unwrap_err().to_string().contains("nothing")
    );

    let tokens = folders.tokens();
    let mut files = std::fs::read_dir(&tokens).unwrap().map(|entry| entry.unwrap().path());
    let is_valid =
        |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("valid-");
    let shard = files.find(is_valid).unwrap();
    std::fs::remove_file(&shard).unwrap();
    ShardedWriter::<TokenRow>::create(&tokens, "valid", 1).unwrap().finish().unwrap();
    let error = folders.evaluate(&model, None, &quick()).unwrap_err();
    assert!(matches!(error, Error::EmptySplit { split: "valid", .. }), "{error}");
}

#[test]
fn networks_that_judge_are_asked_where_the_config_has_them() {
    let folders = Folders::new();
    let model = folders.model("a", 1, 8, &[]);
    let fit = FitConfig { steps: 20, validate_every: 10, ..FitConfig::default() };
    let language_model = LanguageModelConfig { width: 16, fit: fit.clone(), ..Default::default() };
    let config = EvaluateConfig {
        samples: 60,
        sweep: vec![0.5, 1.0],
        language_model: Some(language_model),
        two_sample: Some(TwoSampleConfig { fit, ..Default::default() }),
        ..quick()
    };
    let evaluation = folders.evaluate(&model, None, &config).unwrap();
    let scores = &evaluation.model;
    for name in ["lm-score", "reverse-lm-score"] {
        let words = evaluation.tokens.strip_prefix("word-").unwrap().parse::<f64>().unwrap();
        let value = value(scores, name);
        assert!(value > 0.0 && value < 2.0 * words.ln(), "{name}: {value}");
        assert!(scores.get(name).unwrap().protocol.contains("transformer-16x2"));
    }
    assert_eq!(scores.sweep.as_ref().unwrap().curve("lm-score", "reverse-lm-score").len(), 2);
    let accuracy = scores.get("two-sample-accuracy").unwrap();
    assert!((0.0..=1.0).contains(&accuracy.value.unwrap()));
    assert!(accuracy.note.as_ref().unwrap().contains("95 % interval"));

    let real = |name: &str| evaluation.training_text.iter().any(|measure| measure.name == name);
    assert!(real("two-sample-accuracy") && real("reverse-lm-score"));

    let without = folders.evaluate(&model, None, &quick()).unwrap();
    assert!(without.model.get("lm-score").is_none());
    // An encoder is a folder, and a build without the feature says so.
    let config = EvaluateConfig { encoder: Some("no-encoder".into()), ..quick() };
    let message = folders.evaluate(&model, None, &config).unwrap_err().to_string();
    assert!(message.contains("no-encoder"), "{message}");
}
