use std::path::Path;

use candle_core::Device;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use textgan_random::Key;

use super::{Discriminator, DiscriminatorConfig, EmbeddingConfig, build_untrained};
use crate::folder::{Draft, check_size, check_sums, read_json};
use crate::{Error, Result, Sizes};

const FORMAT_VERSION: u32 = 1;
const MODEL_TYPE: &str = "textgan-discriminator";
const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";

/// All of `config.json`.
#[derive(Serialize, Deserialize)]
struct Description {
    model_type: String,
    format_version: u32,
    discriminator: Value,
    sizes: Sizes,
}

/// Saves a discriminator as a folder: `config.json` and `model.safetensors`.
///
/// The folder appears whole or not at all, and replaces an older one. Its bytes depend on the
/// discriminator only.
///
/// # Errors
/// When a file cannot be written.
pub fn save_discriminator(folder: &Path, discriminator: &dyn Discriminator) -> Result<()> {
    let description = Description {
        model_type: MODEL_TYPE.to_owned(),
        format_version: FORMAT_VERSION,
        discriminator: discriminator.architecture(),
        sizes: *discriminator.sizes(),
    };
    let draft = Draft::new(folder)?;
    draft.write_json(CONFIG, &description)?;
    discriminator.parameters().save(&draft.path(WEIGHTS))?;
    draft.publish()
}

/// Loads a discriminator that [`save_discriminator`] saved: every weight has the same bits. A
/// word-vector file that it once began with is not read again.
///
/// # Errors
/// When a file is missing, is not what it should be or, by `checksums.txt`, what was saved, or was saved by
/// a later version.
pub fn load_discriminator(folder: &Path, device: &Device) -> Result<Box<dyn Discriminator>> {
    load_discriminator_with(folder, |architecture, sizes| {
        let config: DiscriminatorConfig = serde_json::from_value(architecture.clone())
            .map_err(|error| Error::file(folder.join(CONFIG), error.to_string()))?;
        let untrained = match config.embedding() {
            // They are counted, and not stored.
            EmbeddingConfig::OneHot {} => (sizes.vocab as u64).saturating_mul(sizes.vocab as u64),
            _ => 0,
        };
        let count = config.parameter_count(sizes)?.saturating_sub(untrained);
        check_size(&folder.join(WEIGHTS), count)?;
        // Every weight is overwritten: the key does not matter.
        build_untrained(&config, sizes, &Key::root(0), device)
    })
}

/// As [`load_discriminator`], for networks of other crates too: `build` makes one of the
/// [architecture](Discriminator::architecture) that was saved, with any weights.
///
/// # Errors
/// As [`load_discriminator`], and what `build` says.
pub fn load_discriminator_with(
    folder: &Path,
    build: impl FnOnce(&Value, &Sizes) -> Result<Box<dyn Discriminator>>,
) -> Result<Box<dyn Discriminator>> {
    let path = folder.join(CONFIG);
    let json: Value = read_json(&path)?;
    if json.get("model_type").and_then(Value::as_str) != Some(MODEL_TYPE) {
        let message =
            format!("`model_type` is not {MODEL_TYPE}: textgan saved no discriminator here");
        return Err(Error::file(path, message));
    }
    let version = json.get("format_version").and_then(Value::as_u64);
    if version != Some(u64::from(FORMAT_VERSION)) {
        let found = version.map_or("none".to_owned(), |version| version.to_string());
        let message = format!("format version {found}; this program reads {FORMAT_VERSION}");
        return Err(Error::file(path, message));
    }
    let Description { discriminator, sizes, .. } =
        serde_json::from_value(json).map_err(|error| Error::file(path, error.to_string()))?;
    let discriminator = build(&discriminator, &sizes)?;
    discriminator.parameters().load(&folder.join(WEIGHTS))?;
    check_sums(folder)?;
    Ok(discriminator)
}
