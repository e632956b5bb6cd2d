//! How good the trained generator is, beside its own maximum-likelihood checkpoint.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use textgan_artifact::{Fingerprint, Progress, RunDir, Team};
use textgan_corpus::Source;
use textgan_evaluate::Inputs;
use textgan_evaluate::embedding::encoder_folder;

use super::truth::{Known, source};
use super::{EVALUATE, TOKENIZE, TRAIN, key, model, optional};
use crate::config::{PhaseKind, RootConfig};
use crate::stage::{Input, Stage};

pub struct Evaluate<'a, O> {
    pub config: &'a RootConfig<O>,
    pub team: &'a Team,
}

impl<O: PhaseKind> Stage for Evaluate<'_, O> {
    fn name(&self) -> &'static str {
        EVALUATE
    }

    fn inputs(&self, _run: &RunDir) -> Result<Vec<Input>> {
        let files: Vec<PathBuf> = match source(self.config) {
            Some(Source::Synthetic(synthetic)) => synthetic.grammar.iter().cloned().collect(),
            Some(Source::Oracle(oracle)) => oracle.files(),
            _ => Vec::new(),
        };
        let encoder = self.config.evaluate.encoder.as_deref().map(encoder_folder).transpose()?;
        let encoder = encoder.map(|folder| folder.join("model.safetensors"));
        let stages = [Input::Stage(TOKENIZE), Input::Stage(TRAIN)];
        Ok(stages.into_iter().chain(files.into_iter().chain(encoder).map(Input::File)).collect())
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(EVALUATE, 8)
            .field("seed", &self.config.seed)
            .field("truth", &source(self.config))
            .field("rules", &self.config.rules)
            .field("evaluate", &self.config.evaluate)
    }

    fn run(&self, run: &RunDir, out: &Path, progress: &dyn Progress) -> Result<()> {
        let train = run.stage_dir(TRAIN)?;
        let known = Known::of(self.config)?;
        let baseline = optional(&train, "baseline");
        let discriminator = optional(&train, "discriminator");
        let inputs = Inputs {
            model: &model(&train),
            discriminator: discriminator.as_deref(),
            baseline: baseline.as_deref(),
            controls: &controls(&train)?,
            converged: converged(&train)?,
            tokens: &run.stage_dir(TOKENIZE)?,
            truth: known.as_ref().map(Known::truth),
        };
        let key = key(self.config, EVALUATE);
        textgan_evaluate::evaluate_in(
            self.team,
            &inputs,
            &self.config.evaluate,
            &key,
            out,
            progress,
        )?;
        Ok(())
    }

    fn is_shared(&self) -> bool {
        true
    }
}

/// The generators that other means made of the baseline, by name.
fn controls(train: &Path) -> Result<Vec<(String, PathBuf)>> {
    let folder = train.join("controls");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let read = || format!("cannot read {}", folder.display());
    let mut controls = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(read)? {
        let path = entry.with_context(read)?.path();
        if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
            controls.push((name.to_owned(), path.clone()));
        }
    }
    controls.sort();
    Ok(controls)
}

/// Whether the last phase of the generator by itself before the first game had converged, if that was
/// measured.
pub(crate) fn converged(train: &Path) -> Result<Option<bool>> {
    let path = train.join("summary.json");
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let summary: textgan_train::Summary =
        serde_json::from_slice(&bytes).with_context(|| path.display().to_string())?;
    Ok(summary
        .phases
        .iter()
        .filter(|phase| phase.control.is_none())
        .find_map(|phase| phase.converged))
}
