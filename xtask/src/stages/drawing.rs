//! How the texts of a run are drawn: the same for whoever draws them.

use anyhow::{Context, Result};
use textgan_artifact::table::{TokenRow, read_split};
use textgan_artifact::{HashCache, Manifest, RunDir};
use textgan_evaluate::{Evaluation, samples_key};
use textgan_generate::{Labels, Model, Options};
use textgan_random::Key;

use super::{EVALUATE, TOKENIZE, TRAIN, key};
use crate::config::RootConfig;

/// What decides the texts of a run: text `i` of its generate stage is text `i` that its evaluation scored, unless
/// `[generate]` asks for another way of decoding.
pub struct Drawing {
    /// The `[generate]` table, with the temperature that the evaluation chose where it leaves it open.
    pub options: Options,
    /// The root of the random streams.
    pub key: Key,
    labels: Option<Vec<u32>>,
}

impl Drawing {
    /// Reads what the run has: the labels of its training text, and what its evaluation chose.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub fn of<O>(run: &RunDir, config: &RootConfig<O>, model: &Model) -> Result<Self> {
        let mut options = config.generate.clone();
        if options.temperature.is_none() {
            options.temperature = evaluation(run)?.map(|found| found.model.temperature.temperature);
        }
        if options.candidates == 1 {
            options.candidates = config.evaluate.candidates;
        }
        let tokens = run.stage_dir(TOKENIZE)?;
        let labels = match model.labels() {
            [] => None,
            _ if !tokens.is_dir() => None,
            _ => {
                let mut cache = HashCache::load(run.join("hashes.json")?);
                Manifest::read(&tokens)?.verify_cached(&tokens, &mut cache)?;
                let rows: Vec<TokenRow> = read_split(&tokens, "train")?;
                Some(rows.iter().filter_map(|row| row.label).collect())
            }
        };
        let key = options.key(Some(&samples_key(&key(config, EVALUATE))));
        Ok(Self { options, key, labels: labels.filter(|labels: &Vec<u32>| !labels.is_empty()) })
    }

    /// The mixture of labels of the training text, or what the model itself would take.
    pub fn labels(&self, model: &Model) -> Labels<'_> {
        match &self.labels {
            Some(labels) => Labels::Rows(labels),
            None if model.labels().is_empty() => Labels::None,
            None => Labels::Uniform,
        }
    }
}

/// The evaluation of the model that a run has, if it has been evaluated and is as it was written. One of an earlier
/// model says nothing of this one.
///
/// # Errors
/// An evaluation that was changed, or a manifest that cannot be read.
pub fn evaluation(run: &RunDir) -> Result<Option<Evaluation>> {
    let (train, folder) = (run.stage_dir(TRAIN)?, run.stage_dir(EVALUATE)?);
    if !folder.is_dir() || !train.is_dir() {
        return Ok(None);
    }
    let (trained, manifest) = (Manifest::read(&train)?, Manifest::read(&folder)?);
    let file = "model/model.safetensors";
    let read = manifest.inputs.get(&format!("{TRAIN}/{file}"));
    if read != trained.files.get(file).map(|entry| &entry.hash) {
        return Ok(None);
    }
    manifest.verify(&folder)?;
    let path = folder.join("evaluation.json");
    let read = || format!("cannot read {}", path.display());
    let bytes = std::fs::read(&path).with_context(read)?;
    serde_json::from_slice(&bytes).map(Some).with_context(read)
}
