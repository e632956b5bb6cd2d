//! How good the trained generator is, beside its own maximum-likelihood checkpoint.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use textgan_artifact::{Fingerprint, Progress, RunDir};
use textgan_corpus::{Source, Synthetic};
use textgan_evaluate::embedding::encoder_folder;
use textgan_evaluate::{Inputs, Truth};
use textgan_synthetic::{Grammar, Oracle};

use super::{EVALUATE, TOKENIZE, TRAIN, key, model, optional};
use crate::config::RootConfig;
use crate::stage::{Input, Stage};

pub struct Evaluate<'a> {
    pub config: &'a RootConfig,
}

impl Evaluate<'_> {
    /// The source of which all of the corpus is drawn, if there is one with a known distribution.
    fn source(&self) -> Option<&Source> {
        let [source] = &self.config.corpus.sources[..] else { return None };
        matches!(source, Source::Synthetic(_) | Source::Oracle(_)).then_some(source)
    }
}

/// A distribution that was read or drawn for this evaluation.
enum Known {
    BuiltIn,
    Grammar(Box<Grammar>),
    Oracle(Box<Oracle>),
}

impl Known {
    fn of(source: &Source) -> Result<Option<Self>> {
        Ok(match source {
            Source::Files(_) => None,
            Source::Oracle(source) => Some(Self::Oracle(Box::new(source.oracle()?))),
            Source::Synthetic(Synthetic { grammar: None, .. }) => Some(Self::BuiltIn),
            Source::Synthetic(Synthetic { grammar: Some(path), .. }) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                let grammar =
                    Grammar::from_toml(&text).with_context(|| path.display().to_string())?;
                Some(Self::Grammar(Box::new(grammar)))
            }
        })
    }

    fn truth(&self) -> Truth<'_> {
        match self {
            Self::BuiltIn => Truth::Grammar(Grammar::embedded()),
            Self::Grammar(grammar) => Truth::Grammar(grammar),
            Self::Oracle(oracle) => Truth::Oracle(oracle),
        }
    }
}

impl Stage for Evaluate<'_> {
    fn name(&self) -> &'static str {
        EVALUATE
    }

    fn inputs(&self, _run: &RunDir) -> Result<Vec<Input>> {
        let files: Vec<PathBuf> = match self.source() {
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
            .field("truth", &self.source())
            .field("evaluate", &self.config.evaluate)
    }

    fn run(&self, run: &RunDir, out: &Path, progress: &dyn Progress) -> Result<()> {
        let train = run.stage_dir(TRAIN)?;
        let known = self.source().map(Known::of).transpose()?.flatten();
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
