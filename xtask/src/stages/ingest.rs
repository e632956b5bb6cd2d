//! Sources to documents.

use anyhow::Result;
use std::path::{Path, PathBuf};
use textgan_artifact::{Fingerprint, Progress, RunDir};
use textgan_corpus::{Shard, ShardInputs};
use textgan_random::Key;

use super::INGEST;
use crate::config::{PhaseKind, RootConfig};
use crate::stage::{Input, Stage};

/// The name of a stage that makes one shard of a corpus.
pub(crate) const INGEST_SHARD: &str = "ingest-shard";

pub struct Ingest<'a, O> {
    pub config: &'a RootConfig<O>,
    /// The folders of all its shards, if it is merged; else it is read from its sources.
    pub shards: Option<Vec<PathBuf>>,
}

/// One shard of a corpus.
pub(crate) struct IngestShard<'a, O> {
    config: &'a RootConfig<O>,
    shard: Shard,
    inputs: ShardInputs,
}

impl<'a, O> IngestShard<'a, O> {
    /// # Errors
    /// A file that is not there.
    pub(crate) fn new(config: &'a RootConfig<O>, shard: Shard) -> Result<Self> {
        let inputs = ShardInputs::new(&config.corpus, shard)?;
        Ok(Self { config, shard, inputs })
    }
}

fn seed<O>(config: &RootConfig<O>) -> u64 {
    config.corpus.seed.unwrap_or(config.seed)
}

fn key<O>(config: &RootConfig<O>) -> Key {
    Key::root(seed(config)).child(INGEST)
}

impl<O: PhaseKind> Stage for Ingest<'_, O> {
    fn name(&self) -> &'static str {
        INGEST
    }

    fn inputs(&self, _run: &RunDir) -> Result<Vec<Input>> {
        Ok(self.config.corpus.inputs()?.into_iter().map(Input::File).collect())
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(INGEST, 1)
            .field("seed", &seed(self.config))
            .field("corpus", &self.config.corpus)
    }

    fn run(&self, _run: &RunDir, out: &Path, progress: &dyn Progress) -> Result<()> {
        let (corpus, key) = (&self.config.corpus, key(self.config));
        match &self.shards {
            None => textgan_corpus::ingest(corpus, &key, out, progress)?,
            Some(shards) => textgan_corpus::merge_shards(corpus, &key, shards, out, progress)?,
        };
        Ok(())
    }
}

impl<O: PhaseKind> Stage for IngestShard<'_, O> {
    fn name(&self) -> &'static str {
        INGEST_SHARD
    }

    fn inputs(&self, _run: &RunDir) -> Result<Vec<Input>> {
        Ok(self.inputs.files.iter().cloned().map(Input::File).collect())
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(INGEST_SHARD, 1)
            .field("seed", &seed(self.config))
            .field("corpus", &self.config.corpus)
            .field("shard", &self.shard)
            .field("cut", &self.inputs.cut)
    }

    fn run(&self, _run: &RunDir, out: &Path, progress: &dyn Progress) -> Result<()> {
        let (corpus, key) = (&self.config.corpus, key(self.config));
        textgan_corpus::ingest_shard(corpus, &key, self.shard, out, progress)?;
        Ok(())
    }
}
