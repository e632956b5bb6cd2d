use std::fs;
use std::path::Path;

use candle_core::Device;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use textgan_random::Key;

use super::describe;
use super::{Draft, ModelCard, check_size, check_sums, read_json};
use crate::{Error, Generator, GeneratorConfig, NoiseConfig, Result, Sizes, build_generator};

const FORMAT_VERSION: u32 = 1;
const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";

/// The object `textgan` in `config.json`: all that is needed to build the generator again.
#[derive(Serialize, Deserialize)]
struct Description {
    format_version: u32,
    generator: Value,
    noise: NoiseConfig,
    sizes: Sizes,
    card: ModelCard,
}

/// A generator that was saved, as far as it takes to build one like it.
#[derive(Clone, Debug)]
pub struct SavedGenerator {
    /// What [`Generator::architecture`] said.
    pub architecture: Value,
    /// The noise it takes.
    pub noise: NoiseConfig,
    /// The sizes that the data decided.
    pub sizes: Sizes,
}

/// Saves a generator as a folder that Hugging Face `transformers` and candle read.
///
/// It holds `config.json`, `generation_config.json`, `model.safetensors`, the model card
/// `README.md` and, when given, a copy of `tokenizer_json`. A transformer is a `LlamaForCausalLM`;
/// its weights for noise and label travel in the same file, which others ignore, and the card says
/// how to use them there. Any other has a `model_type` of its own, `textgan-` and its kind.
///
/// The folder appears whole or not at all, and replaces an older one. Its bytes depend on the
/// generator, the tokenizer and the card only.
///
/// # Errors
/// When a file cannot be read or written, or the card does not name every label.
pub fn save_generator(
    folder: &Path,
    generator: &dyn Generator,
    tokenizer_json: Option<&Path>,
    card: &ModelCard,
) -> Result<()> {
    let sizes = generator.sizes();
    if !card.labels.is_empty() && card.labels.len() != sizes.labels {
        let message =
            format!("{} names, and the generator has {} labels", card.labels.len(), sizes.labels);
        return Err(Error::argument("card.labels", message));
    }
    let description = Description {
        format_version: FORMAT_VERSION,
        generator: generator.architecture(),
        noise: generator.noise().clone(),
        sizes: *sizes,
        card: card.clone(),
    };
    let draft = Draft::new(folder)?;
    let mut config = describe::config_json(generator);
    let description = serde_json::to_value(&description)
        .map_err(|error| Error::file(draft.path(CONFIG), error.to_string()))?;
    config.insert("textgan".to_owned(), description);
    draft.write_json(CONFIG, &config)?;
    draft.write_json("generation_config.json", &describe::generation_json(sizes))?;
    generator.parameters().save(&draft.path(WEIGHTS))?;
    if let Some(source) = tokenizer_json {
        let tokenizer = fs::read(source).map_err(Error::io(source))?;
        draft.write("tokenizer.json", tokenizer)?;
        draft.write_json("tokenizer_config.json", &describe::tokenizer_json(sizes))?;
    }
    draft.write("README.md", describe::readme(generator, card))?;
    draft.publish()
}

/// Loads a generator that [`save_generator`] saved: every weight has the same bits.
///
/// # Errors
/// When a file is missing, is not what it should be or, by `checksums.txt`, what was saved, or was saved by
/// a later version.
pub fn load_generator(folder: &Path, device: &Device) -> Result<Box<dyn Generator>> {
    load_generator_with(folder, |saved| {
        let config: GeneratorConfig = serde_json::from_value(saved.architecture.clone())
            .map_err(|error| Error::file(folder.join(CONFIG), format!("`textgan`: {error}")))?;
        check_size(&folder.join(WEIGHTS), config.parameter_count(&saved.noise, &saved.sizes)?)?;
        // Every weight is overwritten: the key does not matter.
        build_generator(&config, &saved.noise, &saved.sizes, &Key::root(0), device)
    })
}

/// As [`load_generator`], for generators of other crates too: `build` makes one like the saved one, with
/// any weights.
///
/// # Errors
/// As [`load_generator`], and what `build` says.
pub fn load_generator_with(
    folder: &Path,
    build: impl FnOnce(&SavedGenerator) -> Result<Box<dyn Generator>>,
) -> Result<Box<dyn Generator>> {
    let Description { generator: architecture, noise, sizes, .. } = describe_folder(folder)?;
    let generator = build(&SavedGenerator { architecture, noise, sizes })?;
    generator.parameters().load(&folder.join(WEIGHTS))?;
    check_sums(folder)?;
    Ok(generator)
}

/// Reads what [`save_generator`] was told of the model, the names of its labels among it.
///
/// # Errors
/// As [`load_generator`], for `config.json`.
pub fn load_card(folder: &Path) -> Result<ModelCard> {
    Ok(describe_folder(folder)?.card)
}

fn describe_folder(folder: &Path) -> Result<Description> {
    let path = folder.join(CONFIG);
    let mut config: Map<String, Value> = read_json(&path)?;
    let Some(description) = config.remove("textgan") else {
        let message = "has no `textgan` object: this is not a folder that textgan saved";
        return Err(Error::file(path, message));
    };
    let version = description.get("format_version").and_then(Value::as_u64);
    if version != Some(u64::from(FORMAT_VERSION)) {
        let found = version.map_or("none".to_owned(), |version| version.to_string());
        let message = format!("format version {found}; this program reads {FORMAT_VERSION}");
        return Err(Error::file(path, message));
    }
    let description: Description = serde_json::from_value(description)
        .map_err(|error| Error::file(&path, format!("`textgan`: {error}")))?;
    let expected = describe::model_type(&description.generator, &description.noise);
    match config.get("model_type").and_then(Value::as_str) {
        Some(found) if found == expected => Ok(description),
        found => {
            let message = format!("`model_type` is {found:?}, but `textgan` describes {expected}");
            Err(Error::file(path, message))
        }
    }
}
