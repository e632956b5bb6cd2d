//! Writes ten texts of a trained model folder, most real first when there is a discriminator:
//! `cargo run -p textgan-generate --example generate MODEL [DISCRIMINATOR]`.
//!
//! Without an argument it makes an untrained model first, which babbles.

use std::error::Error;
use std::path::{Path, PathBuf};

use textgan_generate::{Model, Options};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let temporary = tempfile::tempdir()?;
    let mut model = match arguments.next() {
        Some(folder) => Model::load(folder)?,
        None => Model::load(untrained(temporary.path())?)?,
    };
    if let Some(folder) = arguments.next() {
        model = model.with_discriminator(folder)?;
    }
    let mut samples = model.generate(&Options { count: 10, ..Options::default() })?;
    samples
        .sort_by(|a, b| b.realness.partial_cmp(&a.realness).unwrap_or(std::cmp::Ordering::Equal));
    for sample in &samples {
        println!("{:9.2} nats  {}", -sample.log_prob, sample.text);
    }
    Ok(())
}

fn untrained(folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    use candle_core::Device;
    use textgan_models::{ModelCard, NoiseConfig, Sizes, build_generator, save_generator};
    use textgan_random::Key;
    use textgan_tokenizer::{TokenizerConfig, Trainer};

    let mut trainer = Trainer::new(&TokenizerConfig::default())?;
    trainer.feed(&["a man rides a bike down the street", "two dogs sleep on a bed"])?;
    let (tokenizer, _) = trainer.finish()?;
    let json = folder.join("tokenizer.json");
    std::fs::write(&json, tokenizer.to_json()?)?;
    let sizes = Sizes { vocab: tokenizer.vocab_size(), labels: 0, max_length: 12 };
    let (noise, key) = (NoiseConfig::default(), Key::root(1));
    let generator = build_generator(&Default::default(), &noise, &sizes, &key, &Device::Cpu)?;
    let model = folder.join("model");
    save_generator(&model, &*generator, Some(&json), &ModelCard::default())?;
    Ok(model)
}
