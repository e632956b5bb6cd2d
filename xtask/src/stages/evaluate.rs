//! How good the trained generator is, beside its own maximum-likelihood checkpoint.

use anyhow::Result;
use std::path::{Path, PathBuf};
use textgan_artifact::{Fingerprint, Progress, RunDir};
use textgan_corpus::Source;
use textgan_evaluate::Inputs;
use textgan_evaluate::embedding::encoder_folder;

use super::truth::{Known, source};
use super::{EVALUATE, TOKENIZE, TRAIN, key, model, optional};
use crate::config::RootConfig;
use crate::stage::{Input, Stage};

pub struct Evaluate<'a> {
    pub config: &'a RootConfig,
}

impl Stage for Evaluate<'_> {
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
        Fingerprint::new(EVALUATE, 4)
            .field("seed", &self.config.seed)
            .field("truth", &source(self.config))
            .field("evaluate", &self.config.evaluate)
    }

    fn run(&self, run: &RunDir, out: &Path, progress: &dyn Progress) -> Result<()> {
        let train = run.stage_dir(TRAIN)?;
        let known = source(self.config).map(Known::of).transpose()?.flatten();
        let baseline = optional(&train, "baseline");
        let inputs = Inputs {
            model: &model(&train),
            baseline: baseline.as_deref(),
            tokens: &run.stage_dir(TOKENIZE)?,
            truth: known.as_ref().map(Known::truth),
        };
        let key = key(self.config, EVALUATE);
        textgan_evaluate::evaluate(&inputs, &self.config.evaluate, &key, out, progress)?;
        Ok(())
    }
}
