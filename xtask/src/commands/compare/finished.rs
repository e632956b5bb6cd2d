//! A run whose evaluation is finished, as far as a comparison looks at it.

use anyhow::{Context, Result, anyhow};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use textgan_artifact::Manifest;
use textgan_evaluate::verdict::Pair;
use textgan_evaluate::{Evaluation, Scores, Sweep};

use crate::{config, overview, stages};

/// A finished run.
#[derive(Clone)]
pub struct Finished {
    /// As the user gave it.
    pub name: String,
    pub seed: u64,
    /// Its config without the seed: what training seeds of one experiment share.
    pub recipe: serde_json::Value,
    /// The pairs of measures that decide, by its config.
    pub pairs: Vec<Pair>,
    pub evaluation: Evaluation,
    /// Whether its likelihood had converged, if that was measured.
    pub converged: Option<bool>,
    /// The hashes of the tokenised corpus that the evaluation has read, by file.
    pub data: BTreeMap<String, String>,
    /// The hash of the weights that were evaluated.
    pub weights: String,
}

impl Finished {
    /// Reads the evaluation of a run, which must be as it was written.
    ///
    /// # Errors
    /// Names the run and what it lacks.
    pub fn read(given: PathBuf) -> Result<Self> {
        let name = given.display().to_string();
        let run = overview::open(given)?;
        let at = run.path().display();
        let folder = run.stage_dir(stages::EVALUATE)?;
        if !folder.is_dir() {
            return Err(anyhow!(
                "{name} is not evaluated yet: `cargo xtask pipeline --run {at}` does it"
            ));
        }
        let manifest = Manifest::read(&folder)?;
        manifest.verify(&folder)?;
        let path = folder.join("evaluation.json");
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let evaluation: Evaluation = serde_json::from_slice(&bytes).with_context(|| {
            format!("{}: not an evaluation of this version; evaluate again", path.display())
        })?;
        let mut config = config::of_stage::<serde_json::Value>(&run, &manifest)?.config;
        let weights = "train/model/model.safetensors";
        let weights = manifest.inputs.get(weights).cloned().unwrap_or_default();
        let seed = std::mem::take(&mut config.seed);
        let tokens = format!("{}/", stages::TOKENIZE);
        let is_data = |file: &str| file.ends_with(".parquet") || file.ends_with("tokenizer.json");
        let data = manifest
            .inputs
            .into_iter()
            .filter(|(file, _)| file.starts_with(&tokens) && is_data(file))
            .collect();
        let (recipe, pairs) = (serde_json::to_value(&config)?, config.evaluate.verdict);
        let converged = stages::converged(&run.stage_dir(stages::TRAIN)?).unwrap_or(None);
        Ok(Self { name, seed, recipe, pairs, evaluation, converged, data, weights })
    }

    /// The curves of the trained model.
    ///
    /// # Errors
    /// An evaluation without a sweep.
    pub fn model(&self) -> Result<&Sweep> {
        self.sweep(&self.evaluation.model)
    }

    /// Those of its maximum-likelihood checkpoint.
    ///
    /// # Errors
    /// A run that has none, or an evaluation without a sweep.
    pub fn checkpoint(&self) -> Result<&Sweep> {
        let missing = || {
            anyhow!(
                "{} has no maximum-likelihood checkpoint to compare with: name a run with --baseline",
                self.name
            )
        };
        self.sweep(self.evaluation.baseline.as_ref().ok_or_else(missing)?)
    }

    fn sweep<'a>(&self, scores: &'a Scores) -> Result<&'a Sweep> {
        scores.sweep.as_ref().ok_or_else(|| {
            anyhow!(
                "{} was evaluated without curves: set `evaluate.sweep`, such as \
                 [0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2], and evaluate it again",
                self.name
            )
        })
    }
}
