//! Trains a small text GAN on captions drawn from the built-in grammar, and measures it exactly.
//!
//! `cargo run -p textgan-train --example train [-- CONFIG.toml [CAPTIONS]]`; the default config
//! is `train.toml` beside this file, short enough to be tried.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

use serde::Deserialize;
use textgan_artifact::Progress;
use textgan_artifact::table::TokenRow;
use textgan_models::{
    Conditions, Context, DiscriminatorConfig, Generator, GeneratorConfig, ModelCard, NoiseConfig,
    SamplingOptions, Sequences, load_generator, sample, token_log_probs,
};
use textgan_random::Key;
use textgan_synthetic::Grammar;
use textgan_train::{Phase, Recipe, TrainConfig, TrainData, train};

/// Special tokens come first in the vocabulary.
const SPECIALS: usize = 4;
/// Noise vectors of the held-out likelihood.
const NOISE: u64 = 64;
/// Sentences sampled to be judged by the grammar.
const SAMPLES: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    train: TrainConfig,
    phase: Vec<Phase>,
    #[serde(default)]
    noise: NoiseConfig,
    generator: GeneratorConfig,
    discriminator: Option<DiscriminatorConfig>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let config: Config = match arguments.next() {
        Some(path) => toml::from_str(&std::fs::read_to_string(path)?)?,
        None => toml::from_str(include_str!("train.toml"))?,
    };
    let captions = arguments.next().map_or(Ok(20_000), |count| count.parse())?;

    let language = Language::new(Grammar::embedded());
    let key = Key::root(1);
    let rows = language.draw(&key.child("captions"), captions + 2000)?;
    let (train_rows, held_out) = rows.split_at(captions);
    let (valid, test) = held_out.split_at(1000);
    let decode = |tokens: &[u32]| language.text(tokens);
    let data = TrainData {
        train: train_rows,
        valid,
        labels: &[],
        vocab_size: SPECIALS + language.words.len(),
        max_length: Grammar::embedded().length_distribution().len() - 1,
        decode: &decode,
        words: None,
        tokenizer: None,
        id: None,
        well_formed: Some(&|tokens| Grammar::embedded().grammatical(&language.text(tokens))),
        card: &ModelCard::default(),
    };
    let recipe = Recipe {
        train: &config.train,
        phases: &config.phase,
        noise: &config.noise,
        generator: &config.generator,
        discriminator: config.discriminator.as_ref(),
    };
    let out = tempfile::tempdir()?;
    let start = Instant::now();
    let summary = train(&recipe, &data, &key.child("train"), out.path(), &Lines)?;
    println!("trained {} steps in {:.1} s", summary.steps, start.elapsed().as_secs_f64());

    for name in ["baseline", "model"] {
        let folder = out.path().join(name);
        if folder.exists() {
            println!("{name}:");
            let generator = load_generator(&folder, &candle_core::Device::Cpu)?;
            measure(generator.as_ref(), &language, &data, test, &key)?;
        }
    }
    Ok(())
}

/// What the grammar says of a generator.
fn measure(
    generator: &dyn Generator,
    language: &Language<'_>,
    data: &TrainData<'_>,
    test: &[TokenRow],
    key: &Key,
) -> Result<(), Box<dyn Error>> {
    let noise = generator.noise();
    // -ln(1/K sum_k p(x | z_k)) of held-out sentences, in nats per sentence.
    let (mut ours, mut best) = (0.0, 0.0);
    for rows in test.chunks(100) {
        let tokens: Vec<&[u32]> = rows.iter().map(|row| row.tokens.as_slice()).collect();
        let sequences = Sequences::from_rows(&tokens, None, data.max_length)?;
        let mut log_probs = vec![Vec::new(); rows.len()];
        for k in 0..NOISE {
            let vector = noise.draw(&key.child("test-noise"), k, 1).repeat(rows.len());
            let shape = (rows.len(), noise.dimension);
            let vectors = candle_core::Tensor::from_vec(vector, shape, &candle_core::Device::Cpu)?;
            let context = Context { noise: &vectors, labels: None };
            let scores = token_log_probs(generator, &context, &sequences)?;
            for (row, scores) in log_probs.iter_mut().zip(scores.chunks(sequences.time())) {
                row.push(scores.iter().map(|&score| f64::from(score)).sum::<f64>());
            }
        }
        for (row, log_probs) in rows.iter().zip(&log_probs) {
            let max = log_probs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = log_probs.iter().map(|log_prob| (log_prob - max).exp()).sum();
            ours -= max + (sum / NOISE as f64).ln();
            best -= language
                .grammar
                .log_prob(&language.text(&row.tokens))
                .ok_or("the grammar's own sentence")?;
        }
    }
    let (ours, best) = (ours / test.len() as f64, best / test.len() as f64);
    println!(
        "  held-out NLL {ours:.3} nats a sentence, the grammar's own {best:.3}: ratio {:.4}",
        ours / best
    );

    let vectors = noise.draw(&key.child("sample-noise"), 0, SAMPLES);
    let conditions = Conditions { rows: SAMPLES, noise: &vectors, labels: None };
    let mut sampler = generator.sampler()?;
    for (name, options) in
        [("sampled", SamplingOptions::default()), ("greedy", SamplingOptions::greedy())]
    {
        let samples =
            sample(sampler.as_mut(), &conditions, &[], &options, &key.child("samples"), 0)?;
        let mut texts: Vec<String> =
            samples.tokens.iter().map(|tokens| language.text(tokens)).collect();
        let grammatical = texts.iter().filter(|text| language.grammar.grammatical(text)).count();
        for text in &texts[..3] {
            println!("    {text}");
        }
        texts.sort();
        texts.dedup();
        println!(
            "  {name}: {:.1} % grammatical, {} distinct of {SAMPLES}",
            100.0 * grammatical as f64 / SAMPLES as f64,
            texts.len()
        );
    }
    Ok(())
}

/// The grammar's words, numbered.
struct Language<'a> {
    grammar: &'a Grammar,
    words: Vec<&'a str>,
    ids: BTreeMap<&'a str, u32>,
}

impl<'a> Language<'a> {
    fn new(grammar: &'a Grammar) -> Self {
        let words: Vec<&str> = grammar.vocabulary().into_iter().map(|(word, _)| word).collect();
        let ids = words.iter().zip(SPECIALS as u32..).map(|(word, id)| (*word, id)).collect();
        Self { grammar, words, ids }
    }

    fn draw(&self, key: &Key, count: usize) -> Result<Vec<TokenRow>, Box<dyn Error>> {
        let row = |id: u64| {
            let (text, _) = self.grammar.sample(&mut key.index(id).stream());
            let id_of = |word: &str| {
                self.ids.get(word).copied().ok_or(format!("{word} is not in the vocabulary"))
            };
            let tokens = text.split(' ').map(id_of).collect::<Result<Vec<u32>, _>>()?;
            Ok(TokenRow { id, label: None, tokens, cut: false })
        };
        (0..count as u64).map(row).collect()
    }

    fn text(&self, tokens: &[u32]) -> String {
        let word = |&id: &u32| {
            self.words.get((id as usize).wrapping_sub(SPECIALS)).copied().unwrap_or("?")
        };
        tokens.iter().map(word).collect::<Vec<_>>().join(" ")
    }
}

/// Prints what is worth keeping.
struct Lines;

impl Progress for Lines {
    fn begin(&self, label: &str, total: Option<u64>) {
        println!("{label}: {} steps", total.unwrap_or(0));
    }
    fn advance(&self, _: u64) {}
    fn message(&self, line: &str) {
        println!("{line}");
    }
    fn status(&self, _: &str) {}
    fn finish(&self) {}
    fn stop_requested(&self) -> bool {
        false
    }
}
