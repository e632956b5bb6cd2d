//! Scores samples by language models and by a classifier, one sentence a line in every file:
//! `cargo run -p textgan-evaluate --example language_model -- TRAIN TEST SAMPLES...`.
//!
//! Words are separated by spaces; those that TRAIN lacks are one unknown word. The last twentieth of
//! TRAIN says when the model of real text is best.

use std::collections::HashMap;
use std::time::Instant;

use textgan_artifact::Quiet;
use textgan_evaluate::{LanguageModel, LanguageModelConfig, TwoSampleConfig, two_sample};
use textgan_random::Key;

/// Token ids below are special, and 1 is the unknown word.
const FIRST: u32 = 4;
const MAX_LENGTH: usize = 40;

type Texts = Vec<Vec<u32>>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [train, test, samples @ ..] = arguments.as_slice() else {
        return Err("usage: language_model TRAIN TEST SAMPLES...".into());
    };
    let mut words: HashMap<String, u32> = HashMap::new();
    for word in std::fs::read_to_string(train)?.split_whitespace() {
        let next = FIRST + words.len() as u32;
        words.entry(word.to_owned()).or_insert(next);
    }
    let read = |path: &str| -> Result<Texts, std::io::Error> {
        let number = |word: &str| words.get(word).copied().unwrap_or(1);
        let text = std::fs::read_to_string(path)?;
        Ok(text.lines().map(|line| line.split_whitespace().map(number).collect()).collect())
    };
    let (mut train, test) = (read(train)?, read(test)?);
    let valid = train.split_off(train.len() * 19 / 20);
    let vocab = FIRST as usize + words.len();
    let key = Key::root(1);
    let learn = |texts: &Texts, valid: Option<&[Vec<u32>]>| {
        let begin = Instant::now();
        let config = LanguageModelConfig::default();
        let key = key.child("language-model");
        let model = LanguageModel::train(&config, texts, valid, vocab, MAX_LENGTH, &key, &Quiet)?;
        let (loss, epochs) = (model.validation_loss(), model.epochs());
        println!("  validation {loss:.4}, {epochs:.1} epochs, {:.1?}", begin.elapsed());
        Ok::<_, textgan_evaluate::Error>(model)
    };

    println!("{}: {vocab} tokens", arguments[0]);
    let forward = learn(&train, Some(&valid))?;
    let begin = Instant::now();
    println!("{}", forward.protocol());
    println!("test {:.4}  {:.1?}", forward.score("test", &test)?.per_token(), begin.elapsed());
    for path in samples {
        println!("{path}");
        let samples = read(path)?;
        println!("  lm-score {:.4}", forward.score("samples", &samples)?.per_token());
        let reverse = learn(&samples, None)?;
        println!("  reverse-lm-score {:.4}", reverse.score("test", &test)?.per_token());
        let begin = Instant::now();
        let config = TwoSampleConfig::default();
        let found =
            two_sample(&config, &test, &samples, vocab, MAX_LENGTH, &key.child("two"), &Quiet)?;
        println!("  {found:?}  {:.1?}", begin.elapsed());
    }
    Ok(())
}
