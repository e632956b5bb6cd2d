//! Sources to documents.

use anyhow::Result;
use std::path::Path;
use textgan_artifact::{Fingerprint, Progress, RunDir};
use textgan_random::Key;

use super::INGEST;
use crate::config::{PhaseKind, RootConfig};
use crate::stage::{Input, Stage};

pub struct Ingest<'a, O> {
    pub config: &'a RootConfig<O>,
}

impl<O> Ingest<'_, O> {
    fn seed(&self) -> u64 {
        self.config.corpus.seed.unwrap_or(self.config.seed)
    }
}

impl<O: PhaseKind> Stage for Ingest<'_, O> {
    fn name(&self) -> &'static str {
        INGEST
    }

    fn inputs(&self, _run: &RunDir) -> Result<Vec<Input>> {
        Ok(self.config.corpus.inputs()?.into_iter().map(Input::File).collect())
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(INGEST, 1).field("seed", &self.seed()).field("corpus", &self.config.corpus)
    }

    fn run(&self, _run: &RunDir, out: &Path, progress: &dyn Progress) -> Result<()> {
        let key = Key::root(self.seed()).child(INGEST);
        textgan_corpus::ingest(&self.config.corpus, &key, out, progress)?;
        Ok(())
    }
}
