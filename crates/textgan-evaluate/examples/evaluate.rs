//! Measures a model folder against tokenised text:
//! `cargo run -p textgan-evaluate --example evaluate MODEL TOKENIZE_FOLDER [BASELINE]`.
//!
//! Without arguments it makes both from the built-in grammar first; that model is untrained.

use std::error::Error;
use std::path::{Path, PathBuf};

use textgan_artifact::Progress;
use textgan_evaluate::{EvaluateConfig, Inputs, Truth, evaluate};
use textgan_random::Key;
use textgan_synthetic::Grammar;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let out = tempfile::tempdir()?;
    let made;
    let inputs = match &arguments[..] {
        [model, tokens, rest @ ..] => Inputs {
            model,
            discriminator: None,
            baseline: rest.first().map(PathBuf::as_path),
            controls: &[],
            converged: None,
            tokens,
            truth: None,
        },
        _ => {
            made = untrained(out.path())?;
            let truth = Some(Truth::Grammar(Grammar::embedded()));
            Inputs {
                model: &made.0,
                discriminator: None,
                baseline: None,
                controls: &[],
                converged: None,
                tokens: &made.1,
                truth,
            }
        }
    };
    let config = EvaluateConfig {
        samples: 200,
        noise_vectors: 8,
        greedy_texts: 50,
        likelihood_texts: Some(200),
        ..EvaluateConfig::default()
    };
    evaluate(&inputs, &config, &Key::root(1), out.path(), &Printed)?;
    Ok(())
}

/// Prints what there is to say, and draws no bars.
struct Printed;

impl Progress for Printed {
    fn begin(&self, _label: &str, _total: Option<u64>) {}
    fn advance(&self, _n: u64) {}
    fn message(&self, line: &str) {
        println!("{line}");
    }
    fn status(&self, _text: &str) {}
    fn finish(&self) {}
    fn stop_requested(&self) -> bool {
        false
    }
}

/// A model folder and a folder of token tables.
fn untrained(root: &Path) -> Result<(PathBuf, PathBuf), Box<dyn Error>> {
    use candle_core::Device;
    use textgan_artifact::Quiet;
    use textgan_artifact::table::{Document, ShardedWriter};
    use textgan_models::{ModelCard, NoiseConfig, Sizes, build_generator, save_generator};
    use textgan_tokenizer::{TokenizerConfig, tokenize};

    let [documents, tokens, model] = ["documents", "tokens", "model"].map(|name| root.join(name));
    std::fs::create_dir(&documents)?;
    std::fs::create_dir(&tokens)?;
    let mut stream = Key::root(1).child("text").stream();
    for (split, count) in [("train", 1_000), ("valid", 200), ("test", 200)] {
        let mut writer = ShardedWriter::create(&documents, split, 1 << 20)?;
        for id in 0..count {
            let text = Grammar::embedded().sample(&mut stream).0;
            let source = "grammar".to_owned();
            writer.push(Document { id, text, label: None, source, metadata: None })?;
        }
        writer.finish()?;
    }
    let config = TokenizerConfig::default();
    let statistics = tokenize(&config, &documents, &tokens, &Quiet)?;
    let vocab = statistics.vocabulary.size;
    let sizes = Sizes { vocab, labels: 0, max_length: config.max_length };
    let (noise, key) = (NoiseConfig::default(), Key::root(2));
    let generator = build_generator(&Default::default(), &noise, &sizes, &key, &Device::Cpu)?;
    let json = tokens.join("tokenizer.json");
    save_generator(&model, &*generator, Some(&json), &ModelCard::default())?;
    Ok((model, tokens))
}
