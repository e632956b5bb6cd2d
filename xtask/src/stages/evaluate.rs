//! How good the trained generator is, beside its own maximum-likelihood checkpoint.

use anyhow::{Context, Result};
use std::path::Path;
use textgan_artifact::{Fingerprint, Progress, RunDir};
use textgan_corpus::Source;
use textgan_evaluate::Inputs;
use textgan_synthetic::Grammar;

use super::{EVALUATE, TOKENIZE, TRAIN, key, model, optional};
use crate::config::RootConfig;
use crate::stage::{Input, Stage};

pub struct Evaluate<'a> {
    pub config: &'a RootConfig,
}

impl Evaluate<'_> {
    /// The grammar that all of the corpus comes from, if there is one: its file, or the built-in
    /// one.
    fn grammar(&self) -> Option<Option<&Path>> {
        let mut sources = self.config.corpus.sources.iter();
        match (sources.next(), sources.next()) {
            (Some(Source::Synthetic(synthetic)), None) => Some(synthetic.grammar.as_deref()),
            _ => None,
        }
    }
}

impl Stage for Evaluate<'_> {
    fn name(&self) -> &'static str {
        EVALUATE
    }

    fn inputs(&self, _run: &RunDir) -> Result<Vec<Input>> {
        let grammar = self.grammar().flatten().map(|path| Input::File(path.to_path_buf()));
        Ok([Input::Stage(TOKENIZE), Input::Stage(TRAIN)].into_iter().chain(grammar).collect())
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(EVALUATE, 1)
            .field("seed", &self.config.seed)
            .field("grammar", &self.grammar())
            .field("evaluate", &self.config.evaluate)
    }

    fn run(&self, run: &RunDir, out: &Path, progress: &dyn Progress) -> Result<()> {
        let train = run.stage_dir(TRAIN)?;
        let loaded;
        let grammar = match self.grammar() {
            None => None,
            Some(None) => Some(Grammar::embedded()),
            Some(Some(path)) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                loaded = Grammar::from_toml(&text).with_context(|| path.display().to_string())?;
                Some(&loaded)
            }
        };
        let baseline = optional(&train, "baseline");
        let inputs = Inputs {
            model: &model(&train),
            baseline: baseline.as_deref(),
            tokens: &run.stage_dir(TOKENIZE)?,
            grammar,
        };
        let key = key(self.config, EVALUATE);
        textgan_evaluate::evaluate(&inputs, &self.config.evaluate, &key, out, progress)?;
        Ok(())
    }
}
