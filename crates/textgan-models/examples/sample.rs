//! Makes a small generator, samples from it, saves it as a Hugging Face folder and loads it again.
//!
//! ```text
//! cargo run -p textgan-models --example sample
//! ```

use candle_core::Device;
use textgan_models::{
    Conditions, GeneratorConfig, ModelCard, NoiseConfig, SamplingOptions, Sizes, TransformerConfig,
    build_generator, load_generator, sample, save_generator,
};
use textgan_random::Key;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let key = Key::root(42);
    let config = GeneratorConfig::Transformer(TransformerConfig {
        width: 64,
        layers: 2,
        ..TransformerConfig::default()
    });
    let noise = NoiseConfig::default();
    let sizes = Sizes { vocab: 40, labels: 0, max_length: 10 };
    let generator = build_generator(&config, &noise, &sizes, &key.child("init"), &Device::Cpu)?;
    println!("{} weights, untrained", generator.parameters().count());

    let folder = std::env::temp_dir().join(format!("textgan-models-{}", std::process::id()));
    save_generator(&folder, generator.as_ref(), None, &ModelCard::default())?;
    let generator = load_generator(&folder, &Device::Cpu)?;
    std::fs::remove_dir_all(&folder)?;

    let rows = 5;
    let z = noise.draw(&key.child("noise"), 0, rows);
    let conditions = Conditions { rows, noise: &z, labels: None };
    let options = SamplingOptions { temperature: 0.8, ..SamplingOptions::default() };
    let mut sampler = generator.sampler()?;
    let samples = sample(sampler.as_mut(), &conditions, &[], &options, &key.child("draw"), 0)?;
    for (row, tokens) in samples.tokens.iter().enumerate() {
        println!("{:8.2} nats  {tokens:?}", samples.log_prob(row));
    }
    Ok(())
}
