//! Writes the logits of a saved transformer for random token sequences, so that another library
//! can be held against them (`tests/python/check_hf.py` in the repository).
//!
//! ```text
//! cargo run -p textgan-models --example dump_logits -- MODEL_FOLDER LOGITS.safetensors
//! ```
//!
//! The file holds `inputs` `[batch, time]`, `logits_without_noise` `[batch, time, vocab]`, `noise`
//! `[batch, dimension]` and `logits_with_noise`; for a generator with labels also `labels`, which
//! `logits_with_noise` were given. Without arguments it makes a small model and a file of its own
//! in a temporary folder, and says where.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use textgan_models::{
    Context, GeneratorConfig, ModelCard, NoiseConfig, Sequences, Sizes, build_generator,
    load_generator, save_generator,
};
use textgan_nn::Mode;
use textgan_random::Key;

const BATCH: usize = 4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    match arguments.as_slice() {
        [model, logits] => dump(model, logits),
        [] => {
            let folder = std::env::temp_dir().join("textgan-dump-logits");
            std::fs::create_dir_all(&folder)?;
            let (model, logits) = (folder.join("model"), folder.join("logits.safetensors"));
            save_small_model(&model)?;
            dump(&model, &logits)
        }
        _ => Err("usage: dump_logits [MODEL_FOLDER LOGITS.safetensors]".into()),
    }
}

fn save_small_model(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let sizes = Sizes { vocab: 60, labels: 2, max_length: 12 };
    let (config, noise) = (GeneratorConfig::default(), NoiseConfig::default());
    let generator = build_generator(&config, &noise, &sizes, &Key::root(1), &Device::Cpu)?;
    Ok(save_generator(folder, generator.as_ref(), None, &ModelCard::default())?)
}

fn dump(model: &Path, logits: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::Cpu;
    let generator = load_generator(model, &device)?;
    let (sizes, noise) = (generator.sizes(), generator.noise());
    let key = Key::root(7);

    let mut stream = key.child("tokens").stream();
    let content = (sizes.vocab - 4) as u64;
    let rows: Vec<Vec<u32>> = (0..BATCH)
        .map(|_| (0..sizes.max_length).map(|_| 4 + stream.below(content) as u32).collect())
        .collect();
    let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
    let sequences = Sequences::from_rows(&rows, None, sizes.max_length)?;
    let labels: Option<Vec<u32>> =
        (sizes.labels > 0).then(|| (0..BATCH).map(|row| (row % sizes.labels) as u32).collect());

    let zero = Tensor::zeros((BATCH, noise.dimension), DType::F32, &device)?;
    let z = noise.draw(&key.child("noise"), 0, BATCH);
    let z = Tensor::from_vec(z, (BATCH, noise.dimension), &device)?;
    let logits_of = |noise: &Tensor, labels: Option<&[u32]>| {
        generator.logits(&Context { noise, labels }, &sequences, Mode::Evaluate)
    };
    let inputs: Vec<i64> = sequences.inputs().into_iter().map(i64::from).collect();
    let inputs = Tensor::from_vec(inputs, (BATCH, sequences.time()), &device)?;
    let mut tensors = HashMap::from([
        ("inputs", inputs),
        ("logits_without_noise", logits_of(&zero, None)?),
        ("logits_with_noise", logits_of(&z, labels.as_deref())?),
        ("noise", z),
    ]);
    if let Some(labels) = labels {
        let labels: Vec<i64> = labels.into_iter().map(i64::from).collect();
        tensors.insert("labels", Tensor::from_vec(labels, BATCH, &device)?);
    }
    candle_core::safetensors::save(&tensors, logits)?;
    println!("{} {}", model.display(), logits.display());
    Ok(())
}
