//! Golden hashes: every shipped config, made tiny, gives the bits that it gave when they were taken.
//!
//! They guard changes that mean to change nothing. A change that means to change bits takes them
//! again, in a commit of its own that says why: `TEXTGAN_TAKE_GOLDEN=1 cargo xtask test golden`
//! writes `tests/golden.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::program::Program;

/// What decides bits besides the config is the instruction set, so one is asked for that most
/// machines have.
const INSTRUCTION_SET: &str = "avx2";

/// Text, batches and evaluations of seconds, for any config.
const TINY: [&str; 20] = [
    "corpus.sources={ kind = \"synthetic\", documents = 300 }",
    "tokenizer.max_length=40",
    "train.batch_size=16",
    "train.checkpoint_every=3",
    "train.validation_sentences=20",
    "train.validation_noise=2",
    "train.sample_every=4",
    "train.fixed_samples=2",
    "generate.count=10",
    "evaluate.samples=20",
    "evaluate.noise_vectors=2",
    "evaluate.greedy_texts=10",
    "evaluate.batches=2",
    "evaluate.likelihood_texts=10",
    "evaluate.sweep=[0.8, 1.0]",
    "evaluate.temperatures=[0.9, 1.0]",
    "evaluate.self_bleu_bound=0.9",
    "phase.0.evaluation.every=3",
    "phase.0.learning_rate=1e-2",
    "seed=5",
];

/// The tiny text stands in for separate splits too.
const SPLITS: [&str; 2] = [
    "corpus.test={ sources = { kind = \"synthetic\", documents = 40 } }",
    "corpus.steps=[\"nfc\", \"control\", \"whitespace\"]",
];
const VALID: &str = "corpus.valid={ sources = { kind = \"synthetic\", documents = 30 } }";
const STEPS: &str = "phase.0.steps=7";
const EPOCHS: &str = "phase.0.epochs=1";
const GAME: [&str; 3] =
    ["phase.1.steps=3", "phase.2.steps=4", "phase.2.evaluation={ every = 2, samples = 20 }"];
const TRANSFORMER: [&str; 3] = ["generator.width=16", "generator.layers=2", "generator.heads=2"];
const LSTM: [&str; 2] = ["generator.embedding=16", "generator.hidden=16"];
const RNN: [&str; 1] = ["discriminator.hidden=8"];
const CNN: [&str; 1] = ["discriminator.filters=[[2, 6], [3, 6]]"];

#[test]
fn golden_quickstart() {
    let sizes = [
        "phase.1.steps=5",
        "phase.2.network={ kind = \"lstm\", embedding = 8, hidden = 12 }",
        "phase.2.steps=3",
        "phase.2.evaluation={ every = 2, samples = 20 }",
        "phase.3.steps=4",
        "phase.3.evaluation={ every = 2, samples = 20 }",
        "phase.3.gate.auc=0.3",
        "phase.0.keep=last",
    ];
    check("quickstart", &[&[STEPS], &LSTM, &sizes]);
}

#[test]
fn golden_quickstart_transformer() {
    check("quickstart-transformer", &[&[STEPS], &GAME, &TRANSFORMER, &RNN]);
}

#[test]
fn golden_quickstart_lstm() {
    check("quickstart-lstm", &[&[STEPS], &GAME, &LSTM, &RNN]);
}

#[test]
fn golden_quickstart_cnn() {
    check("quickstart-cnn", &[&[STEPS], &GAME, &TRANSFORMER, &CNN]);
}

#[test]
fn golden_image_coco() {
    check("image-coco", &[&SPLITS, &[EPOCHS], &GAME, &TRANSFORMER, &RNN]);
}

#[test]
fn golden_image_coco_lstm() {
    check("image-coco-lstm", &[&SPLITS, &[EPOCHS], &GAME, &LSTM, &RNN]);
}

#[test]
fn golden_image_coco_cnn() {
    check("image-coco-cnn", &[&SPLITS, &[EPOCHS], &GAME, &TRANSFORMER, &CNN]);
}

#[test]
fn golden_emnlp_news() {
    check("emnlp-news", &[&SPLITS, &[EPOCHS], &GAME, &TRANSFORMER, &RNN]);
}

#[test]
fn golden_emnlp_news_lstm() {
    check("emnlp-news-lstm", &[&SPLITS, &[EPOCHS], &GAME, &LSTM, &RNN]);
}

#[test]
fn golden_own_text() {
    check("own-text", &[&["tokenizer.vocabulary_size=300"], &[EPOCHS], &GAME, &TRANSFORMER, &RNN]);
}

#[test]
fn golden_own_text_cnn() {
    check(
        "own-text-cnn",
        &[&["tokenizer.vocabulary_size=300"], &[EPOCHS], &GAME, &TRANSFORMER, &CNN],
    );
}

#[test]
fn golden_molecules() {
    let file = root().join("tests/molecules.smi");
    let source = format!("{{ kind = \"files\", path = {file:?}, format = \"text\" }}");
    let (text, test) =
        (format!("corpus.sources={source}"), format!("corpus.test={{ sources = {source} }}"));
    let sizes = [
        text.as_str(),
        &test,
        "corpus.split.valid=0.2",
        "phase.0.converge.rounds=1",
        "phase.1.network={ kind = \"lstm\", embedding = 8, hidden = 12 }",
        "phase.2.gate.auc=0.1",
        "train.validation_sentences=20",
    ];
    check("molecules", &[&[STEPS], &GAME, &LSTM, &sizes]);
}

#[test]
fn golden_oracle_maximum_likelihood() {
    check("oracle/maximum-likelihood", &[&SPLITS, &[VALID, EPOCHS], &LSTM]);
}

#[test]
fn golden_oracle_transformer() {
    check("oracle/transformer", &[&SPLITS, &[VALID, EPOCHS], &TRANSFORMER]);
}

#[test]
fn golden_oracle_lstm_32() {
    check("oracle/lstm-32", &[&SPLITS, &[VALID, EPOCHS], &LSTM]);
}

#[test]
fn golden_oracle_cot() {
    let sizes = [
        "phase.0.steps=4",
        "phase.0.network={ kind = \"lstm\", embedding = 8, hidden = 12 }",
        "phase.0.evaluation.samples=20",
    ];
    check("oracle/cot", &[&SPLITS, &[VALID], &LSTM, &sizes]);
}

#[test]
fn golden_oracle_relgan() {
    let sizes = ["generator.head_width=4", "discriminator.representations=4", "phase.1.steps=4"];
    check("oracle/relgan", &[&SPLITS, &[VALID, EPOCHS], &sizes, &CNN]);
}

#[test]
fn golden_oracle_seqgan() {
    let search = "phase.2.estimator={ kind = \"reinforce\", baseline = \"none\", reward = { score = \"sigmoid\", monte_carlo = { rollouts = 3, lag = 0.8 } } }";
    check("oracle/seqgan", &[&SPLITS, &[VALID, EPOCHS, search], &GAME, &LSTM, &CNN]);
}

#[test]
fn golden_oracle_games() {
    for name in ["maligan", "rankgan"] {
        check(&format!("oracle/{name}"), &[&SPLITS, &[VALID, EPOCHS], &GAME, &LSTM, &CNN]);
    }
    let game = ["phase.1.steps=4", "phase.1.evaluation={ every = 2, samples = 20 }"];
    check("oracle/pg-bleu", &[&SPLITS, &[VALID, EPOCHS], &game, &LSTM]);
    check("oracle/scheduled-sampling", &[&SPLITS, &[VALID, EPOCHS], &LSTM]);
}

/// The algorithms of the papers, each by its own phase after a few steps of its baseline.
#[test]
fn golden_algorithms() {
    const SMALL: &str = "{ kind = \"lstm\", embedding = 8, hidden = 12 }";
    let network = |phase: usize| format!("phase.{phase}.network={SMALL}");
    let last = |phase: usize| {
        vec![
            format!("phase.{phase}.steps=4"),
            format!("phase.{phase}.schedule.warmup_steps=1"),
            format!("phase.{phase}.evaluation={{ every = 2, samples = 20 }}"),
        ]
    };
    let taught = || [vec!["phase.1.steps=3".to_owned()], last(2)].concat();
    let search = "phase.2.estimator={ kind = \"reinforce\", reward = { monte_carlo = { rollouts = 3, lag = 0.8 } } }";
    for (name, settings, sizes) in [
        ("maximum-likelihood", vec![], &[][..]),
        ("tailr", last(1), &[]),
        ("unlikelihood", last(1), &[]),
        ("pg-bleu", last(1), &[]),
        ("ddo", [last(1), vec!["phase.1.round=2".to_owned()]].concat(), &[]),
        ("spin", [last(1), vec!["phase.1.round=2".to_owned()]].concat(), &[]),
        ("cot", [last(1), vec![network(1), "phase.1.ahead=1".to_owned()]].concat(), &[]),
        ("dense", [last(1), vec![network(1)]].concat(), &[]),
        ("gsgan", last(1), &RNN),
        ("scheduled-sampling", last(1), &[]),
        ("professor-forcing", [last(1), vec!["phase.1.hidden=8".to_owned()]].concat(), &[]),
        ("jsdgan", last(1), &[]),
        ("dgsan", [last(1), vec!["phase.1.round=2".to_owned()]].concat(), &[]),
        ("coldgan", taught(), &CNN),
        ("araml", taught(), &CNN),
        ("sentigan", last(1), &CNN),
        ("catgan", last(1), &CNN),
        ("maskgan", [last(1), vec!["phase.1.hidden=8".to_owned()]].concat(), &[]),
        ("evogan", [last(1), vec!["phase.1.parents=2".to_owned()]].concat(), &CNN),
        ("likelihood-ratio", [taught(), vec![network(1)]].concat(), &[]),
        ("maligan", taught(), &RNN),
        ("rankgan", taught(), &RNN),
        ("scratchgan", taught(), &RNN),
        ("gad", taught(), &RNN),
        ("selfgan", taught(), &RNN),
        ("textgan", taught(), &RNN),
        ("taylorgan", taught(), &CNN),
        ("textgail", taught(), &RNN),
        ("seqgan", [taught(), vec![search.to_owned()]].concat(), &CNN),
    ] {
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let short = [STEPS, "phase.0.converge.rounds=1", "phase.0.schedule.warmup_steps=2"];
        check(&format!("algorithms/{name}"), &[&short, &LSTM, &settings, sizes]);
    }
    let short = [STEPS, "phase.0.converge.rounds=1", "phase.0.schedule.warmup_steps=2"];
    let few = ["evaluate.candidates=3", "generate.candidates=3", "phase.1.steps=4"];
    let warm = ["phase.1.schedule.warmup_steps=1", "phase.1.evaluation.every=2"];
    check("algorithms/residual-energy", &[&short, &LSTM, &RNN, &few, &warm]);
    let memory = ["generator.head_width=4", "discriminator.representations=4"];
    let game = last(1);
    let game: Vec<&str> = game.iter().map(String::as_str).collect();
    check("algorithms/relgan", &[&short, &game, &memory, &CNN]);
    let sizes = [
        "generator.leak.filters=[[2, 6], [3, 6]]",
        "phase.1.steps=5",
        "phase.1.converge.rounds=1",
        "phase.1.schedule.warmup_steps=2",
        "phase.2.steps=4",
        "phase.2.cycle=2",
        "phase.2.likelihood_share=0.5",
        "phase.2.rollouts=2",
        "phase.2.schedule.warmup_steps=1",
        "phase.2.evaluation={ every = 2, samples = 20 }",
    ];
    let taught = ["phase.0.steps=3", "phase.0.schedule.warmup_steps=1"];
    check("algorithms/leakgan", &[&taught, &sizes, &CNN]);
    let sizes = ["phase.0.steps=6", "phase.0.schedule.warmup_steps=2", "phase.0.encoder.hidden=12"];
    let code = ["noise.code.hidden=12", "phase.0.critic_hidden=12", "phase.0.critic_steps=2"];
    check("algorithms/arae", &[&LSTM, &sizes, &code, &["phase.0.evaluation.samples=20"]]);
    let sizes = ["phase.0.steps=6", "phase.0.schedule.warmup_steps=2", "phase.0.encoder.layers=1"];
    check("algorithms/tilgan", &[&TRANSFORMER, &sizes, &code, &["phase.0.evaluation.samples=20"]]);
}

/// Every config that is shipped has its golden hashes.
#[test]
fn golden_of_every_config() {
    let configs = root().join("configs");
    let mut found = Vec::new();
    for folder in [configs.clone(), configs.join("oracle"), configs.join("algorithms")] {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let name = path.with_extension("");
                found.push(name.strip_prefix(&configs).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    let golden: Vec<String> = golden().into_keys().collect();
    assert_eq!(found, golden);
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// By config: by file, its hash.
type Golden = BTreeMap<String, BTreeMap<String, String>>;

fn golden() -> Golden {
    let text = std::fs::read_to_string(root().join("tests/golden.toml")).unwrap_or_default();
    toml::from_str(&text).unwrap()
}

fn check(config: &str, overrides: &[&[&str]]) {
    if !supported() {
        println!("skipped: this machine has no {INSTRUCTION_SET}");
        return;
    }
    let program = Program::new();
    let file = root().join("configs").join(config).with_extension("toml");
    let file = file.to_string_lossy();
    let mut arguments = vec!["pipeline", "--config", &file, "--run", "run", "--until", "generate"];
    for assignment in TINY.iter().chain(overrides.iter().copied().flatten()) {
        arguments.extend(["--set", assignment]);
    }
    let output = program
        .command(&arguments)
        .env("TEXTGAN_INSTRUCTION_SET", INSTRUCTION_SET)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut found = BTreeMap::new();
    for name in [
        "train/model/model.safetensors",
        "train/baseline/model.safetensors",
        "train/discriminator/model.safetensors",
        "generate/samples.txt",
        "evaluate/evaluation.json",
    ] {
        if let Ok(bytes) = std::fs::read(program.path("run").join(name)) {
            found.insert(name.to_owned(), blake3::hash(&bytes).to_hex()[..16].to_owned());
        }
    }
    assert!(
        found.len() >= 3 && found.contains_key("generate/samples.txt"),
        "{config}: only {found:?}"
    );
    if std::env::var_os("TEXTGAN_TAKE_GOLDEN").is_some() {
        take(config, found);
    } else {
        assert_eq!(golden().get(config), Some(&found), "{config} gives other bits");
    }
}

fn take(config: &str, found: BTreeMap<String, String>) {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap();
    let mut golden = golden();
    golden.insert(config.to_owned(), found);
    std::fs::write(root().join("tests/golden.toml"), toml::to_string(&golden).unwrap()).unwrap();
}

#[cfg(target_arch = "x86_64")]
fn supported() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[cfg(not(target_arch = "x86_64"))]
fn supported() -> bool {
    false
}
