//! Sources to documents.

use anyhow::Result;
use std::path::Path;
use textgan_artifact::{Fingerprint, Progress, RunDir};

use super::{INGEST, key};
use crate::config::RootConfig;
use crate::stage::{Input, Stage};

pub struct Ingest<'a> {
    pub config: &'a RootConfig,
}

impl Stage for Ingest<'_> {
    fn name(&self) -> &'static str {
        INGEST
    }

    fn inputs(&self, _run: &RunDir) -> Result<Vec<Input>> {
        Ok(self.config.corpus.inputs()?.into_iter().map(Input::File).collect())
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(INGEST, 1)
            .field("seed", &self.config.seed)
            .field("corpus", &self.config.corpus)
    }

    fn run(&self, _run: &RunDir, out: &Path, progress: &dyn Progress) -> Result<()> {
        textgan_corpus::ingest(&self.config.corpus, &key(self.config, INGEST), out, progress)?;
        Ok(())
    }
}
