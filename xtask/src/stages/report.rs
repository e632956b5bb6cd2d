//! All of it on one page.

use anyhow::Result;
use std::path::Path;
use textgan_artifact::{Fingerprint, Progress, RunDir};

use super::{EVALUATE, GENERATE, INGEST, REPORT, TOKENIZE, TRAIN};
use crate::stage::{Input, Stage};

pub struct Report;

impl Stage for Report {
    fn name(&self) -> &'static str {
        REPORT
    }

    fn inputs(&self, run: &RunDir) -> Result<Vec<Input>> {
        let stages = [INGEST, TOKENIZE, TRAIN, GENERATE, EVALUATE].map(Input::Stage);
        let config = Input::File(run.join("config.toml")?);
        Ok(stages.into_iter().chain([config]).collect())
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(REPORT, 1)
    }

    fn run(&self, run: &RunDir, out: &Path, progress: &dyn Progress) -> Result<()> {
        textgan_report::report(run.path(), out, progress)?;
        Ok(())
    }
}
