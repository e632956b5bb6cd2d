//! Noise to text, by the trained generator: the texts that were evaluated, or as many of them as are asked for.

use anyhow::Result;
use std::path::Path;
use textgan_artifact::{Fingerprint, Progress, RunDir};
use textgan_generate::Model;

use super::{Drawing, EVALUATE, GENERATE, TOKENIZE, TRAIN, judged, model};
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
        Ok([TOKENIZE, TRAIN, EVALUATE].map(Input::Stage).into())
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(GENERATE, 2)
            .field("seed", &self.config.seed)
            .field("generate", &self.config.generate)
    }

    fn run(&self, run: &RunDir, out: &Path, progress: &dyn Progress) -> Result<()> {
        let train = run.stage_dir(TRAIN)?;
        let model = judged(&train, Model::load(model(&train))?)?;
        let drawing = Drawing::of(run, self.config, &model)?;
        let (options, key) = (&drawing.options, &drawing.key);
        textgan_generate::generate(&model, options, drawing.labels(&model), key, out, progress)?;
        Ok(())
    }
}
