//! A language small enough to learn in a second, and runs on it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use textgan_artifact::Progress;
use textgan_artifact::table::TokenRow;
use textgan_models::{
    DiscriminatorConfig, GeneratorConfig, ModelCard, NoiseConfig, TransformerConfig,
};
use textgan_random::Key;
use textgan_train::{
    Error, Objective, Outputs, Phase, Recipe, Summary, TrainConfig, TrainData, train,
};

/// Words of the language, the four special tokens included.
pub const VOCAB: usize = 12;

/// Sentences `a b* c`: the first word decides the last, and the number of `b` is geometric.
pub fn rows(seed: u64, count: usize) -> Vec<TokenRow> {
    let mut stream = Key::root(seed).child("language").stream();
    let row = |id| {
        let kind = stream.below(3) as u32;
        let mut tokens = vec![4 + kind];
        while tokens.len() < 5 && stream.uniform() < 0.6 {
            tokens.push(7 + stream.below(2) as u32);
        }
        tokens.push(9 + kind);
        TokenRow { id, label: None, tokens, cut: false }
    };
    (0..count as u64).map(row).collect()
}

/// A run's settings, with defaults that make it take a second or so.
pub struct Setting {
    pub train: TrainConfig,
    pub phases: Vec<Phase>,
    pub noise: NoiseConfig,
    pub generator: GeneratorConfig,
    pub discriminator: Option<DiscriminatorConfig>,
    pub labels: Vec<String>,
    pub rows: (Vec<TokenRow>, Vec<TokenRow>),
}

impl Setting {
    pub fn new(phases: Vec<Phase>) -> Self {
        Self {
            train: TrainConfig {
                batch_size: 16,
                log_every: 4,
                checkpoint_every: 5,
                sample_every: 6,
                fixed_samples: 2,
                validation_noise: 2,
                ..TrainConfig::default()
            },
            phases,
            noise: NoiseConfig { dimension: 4, ..NoiseConfig::default() },
            generator: GeneratorConfig::Transformer(TransformerConfig {
                width: 16,
                layers: 1,
                heads: 2,
                dropout: 0.1,
                ..TransformerConfig::default()
            }),
            discriminator: Some(DiscriminatorConfig::default()),
            labels: Vec::new(),
            rows: (rows(1, 100), rows(2, 40)),
        }
    }

    pub fn run<'a>(
        &self,
        out: impl Into<Outputs<'a>>,
        progress: &dyn Progress,
    ) -> Result<Summary, Error> {
        self.run_phases(&self.phases, out, progress)
    }

    /// The same with other phases, of any objectives.
    pub fn run_phases<'a, O: Objective + serde::Serialize>(
        &self,
        phases: &[Phase<O>],
        out: impl Into<Outputs<'a>>,
        progress: &dyn Progress,
    ) -> Result<Summary, Error> {
        let data = TrainData {
            train: &self.rows.0,
            valid: &self.rows.1,
            labels: &self.labels,
            vocab_size: VOCAB,
            max_length: 8,
            decode: &|tokens| format!("{tokens:?}"),
            words: None,
            tokenizer: None,
            id: None,
            well_formed: None,
            card: &ModelCard::default(),
        };
        let recipe = Recipe {
            train: &self.train,
            phases,
            noise: &self.noise,
            generator: &self.generator,
            discriminator: self.discriminator.as_ref(),
        };
        train(&recipe, &data, &Key::root(7), out, progress)
    }
}

/// Phases from a config file's text.
pub fn phases(toml: &str) -> Vec<Phase> {
    #[derive(serde::Deserialize)]
    struct File {
        phase: Vec<Phase>,
    }
    toml::from_str::<File>(toml).expect("valid phases").phase
}

/// Asks to stop at the `n`th time it is asked whether to.
pub struct StopAfter(AtomicI64);

impl StopAfter {
    pub fn new(n: i64) -> Self {
        Self(AtomicI64::new(n))
    }
}

impl Progress for StopAfter {
    fn begin(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn message(&self, _: &str) {}
    fn status(&self, _: &str) {}
    fn finish(&self) {}
    fn stop_requested(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) <= 0
    }
}

/// Every file below `folder` with its bytes.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(&at).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name =
                    path.strip_prefix(folder).expect("inside").to_string_lossy().into_owned();
                found.insert(name, std::fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

/// Panics with the names of files that differ.
pub fn assert_same(one: &BTreeMap<String, Vec<u8>>, other: &BTreeMap<String, Vec<u8>>, what: &str) {
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(one), names(other), "{what}: other files");
    let differ: Vec<&String> =
        one.iter().filter(|(name, bytes)| other[*name] != **bytes).map(|(name, _)| name).collect();
    assert!(differ.is_empty(), "{what}: {differ:?} differ");
}

/// The values of the events of this kind in `metrics.jsonl`, in order.
pub fn events(out: &Path, event: &str) -> Vec<BTreeMap<String, f64>> {
    lines(out)
        .into_iter()
        .filter(|line| line["event"] == event)
        .map(|line| serde_json::from_value(line["values"].clone()).expect("numbers"))
        .collect()
}

/// The lines of `metrics.jsonl`.
pub fn lines(out: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}
