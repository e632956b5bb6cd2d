//! Noise to text, by the trained generator.

use anyhow::Result;
use std::path::Path;
use textgan_artifact::{Fingerprint, Progress, RunDir};
use textgan_generate::Model;

use super::{GENERATE, TRAIN, key, model, optional};
use crate::config::{PhaseKind, RootConfig};
use crate::stage::{Input, Stage};

pub struct Generate<'a, O> {
    pub config: &'a RootConfig<O>,
}

impl<O: PhaseKind> Stage for Generate<'_, O> {
    fn name(&self) -> &'static str {
        GENERATE
    }

    fn inputs(&self, _run: &RunDir) -> Result<Vec<Input>> {
        Ok(vec![Input::Stage(TRAIN)])
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(GENERATE, 1)
            .field("seed", &self.config.seed)
            .field("generate", &self.config.generate)
    }

    fn run(&self, run: &RunDir, out: &Path, progress: &dyn Progress) -> Result<()> {
        let train = run.stage_dir(TRAIN)?;
        let mut model = Model::load(model(&train))?;
        if let Some(discriminator) = optional(&train, "discriminator") {
            model = model.with_discriminator(discriminator)?;
        }
        let key = key(self.config, GENERATE);
        textgan_generate::generate(&model, &self.config.generate, &key, out, progress)?;
        Ok(())
    }
}
