//! All of it on one page.

use anyhow::Result;
use std::path::Path;
use textgan_artifact::{Fingerprint, Progress, RunDir, write_atomic};
use textgan_report::Sources;

use super::{EVALUATE, GENERATE, INGEST, REPORT, TOKENIZE, TRAIN};
use crate::stage::{Input, Stage};

pub struct Report<'a> {
    /// What the page is called. Not after the run's folder: runs of one config differ in when and where they were made.
    pub title: &'a str,
}

impl Stage for Report<'_> {
    fn name(&self) -> &'static str {
        REPORT
    }

    fn inputs(&self, run: &RunDir) -> Result<Vec<Input>> {
        let stages = [INGEST, TOKENIZE, TRAIN, GENERATE, EVALUATE].map(Input::Stage);
        let config = Input::File(run.join("config.toml")?);
        Ok(stages.into_iter().chain([config]).collect())
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(REPORT, 2).field("title", self.title)
    }

    fn run(&self, run: &RunDir, out: &Path, _progress: &dyn Progress) -> Result<()> {
        let sources = Sources { name: self.title.to_string(), ..Sources::of_run(run)? };
        write_atomic(out.join(textgan_report::FILE), textgan_report::render(&sources)?.as_bytes())?;
        Ok(())
    }
}
