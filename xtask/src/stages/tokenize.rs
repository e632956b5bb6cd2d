//! Documents to token ids.

use anyhow::Result;
use std::path::Path;
use textgan_artifact::{Fingerprint, Progress, RunDir};

use super::{INGEST, TOKENIZE};
use crate::config::{PhaseKind, RootConfig};
use crate::stage::{Input, Stage};

pub struct Tokenize<'a, O> {
    pub config: &'a RootConfig<O>,
}

impl<O: PhaseKind> Stage for Tokenize<'_, O> {
    fn name(&self) -> &'static str {
        TOKENIZE
    }

    fn inputs(&self, _run: &RunDir) -> Result<Vec<Input>> {
        let files = self.config.tokenizer.inputs().into_iter().map(Input::File);
        Ok([Input::Stage(INGEST)].into_iter().chain(files).collect())
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(TOKENIZE, 2).field("tokenizer", &self.config.tokenizer)
    }

    fn run(&self, run: &RunDir, out: &Path, progress: &dyn Progress) -> Result<()> {
        let documents = run.stage_dir(INGEST)?;
        textgan_tokenizer::tokenize(&self.config.tokenizer, &documents, out, progress)?;
        Ok(())
    }
}
