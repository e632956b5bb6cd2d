//! Token ids to a trained generator.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use textgan_artifact::table::{TokenRow, read_split};
use textgan_artifact::{Fingerprint, Progress, RunDir, Team};
use textgan_models::ModelCard;
use textgan_tokenizer::Tokenizer;
use textgan_train::{Outputs, TrainData, WellFormed};

use super::truth::Known;
use super::{TOKENIZE, TRAIN, key};
use crate::config::{PhaseKind, RootConfig};
use crate::stage::{Input, Stage};

/// The folder of a run that TensorBoard shows. Like the log it has the clock in it, so no stage owns it.
const EVENTS: &str = "tensorboard";

pub struct Train<'a, O> {
    pub config: &'a RootConfig<O>,
    pub team: &'a Team,
}

impl<O: PhaseKind> Stage for Train<'_, O> {
    fn name(&self) -> &'static str {
        TRAIN
    }

    fn inputs(&self, _run: &RunDir) -> Result<Vec<Input>> {
        let mut inputs = vec![Input::Stage(TOKENIZE)];
        let train = &self.config.train;
        for folder in [&train.init_from, &train.init_discriminator_from].into_iter().flatten() {
            inputs.extend(files_of(folder)?.into_iter().map(Input::File));
        }
        inputs.extend(self.config.word_vectors().map(Input::File));
        Ok(inputs)
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(TRAIN, 3)
            .field("seed", &self.config.seed)
            .field("max_length", &self.config.tokenizer.max_length)
            .field("rules", &self.config.rules)
            .field("noise", &self.config.noise)
            .field("generator", &self.config.generator)
            .field("discriminator", &self.config.discriminator)
            .field("train", &self.config.train)
            .field("phase", &self.config.phase)
    }

    fn run(&self, run: &RunDir, out: &Path, progress: &dyn Progress) -> Result<()> {
        let tokens = run.stage_dir(TOKENIZE)?;
        let train: Vec<TokenRow> = read_split(&tokens, "train")?;
        let valid: Vec<TokenRow> = read_split(&tokens, "valid")?;
        let labels = read_labels(&tokens.join("labels.json"))?;
        let path = tokens.join("tokenizer.json");
        let tokenizer = Tokenizer::load(&path)?;
        let words: Option<Vec<String>> = self.config.word_vectors().map(|_| {
            let ids = 0..tokenizer.vocab_size() as u32;
            ids.map(|id| tokenizer.token(id).unwrap_or_default()).collect()
        });
        let card = ModelCard { labels: labels.clone(), ..ModelCard::default() };
        let known = Known::of(self.config)?;
        // An id that the tokenizer does not know cannot come from its own vocabulary.
        let decode = |tokens: &[u32]| tokenizer.decode(tokens).unwrap_or_default();
        let judge = known.as_ref().and_then(Known::judge);
        let well_formed = judge.map(|judge| move |tokens: &[u32]| judge(&decode(tokens)));
        let data = TrainData {
            train: &train,
            valid: &valid,
            labels: &labels,
            vocab_size: tokenizer.vocab_size(),
            max_length: self.config.tokenizer.max_length,
            decode: &decode,
            id: Some(&|word| tokenizer.id(word)),
            well_formed: well_formed.as_ref().map(|is| is as WellFormed<'_>),
            tokenizer: Some(&path),
            words: words.as_deref(),
            card: &card,
        };
        let recipe = self.config.recipe();
        let events = run.join(EVENTS)?;
        let outputs = Outputs::from(out).with_events(&events).with_team(self.team);
        textgan_train::train(&recipe, &data, &key(self.config, TRAIN), outputs, progress)?;
        Ok(())
    }

    fn can_resume(&self, partial: &Path) -> bool {
        partial.join("checkpoints/latest").is_file()
    }

    fn extend(&self, finished: &Path, partial: &Path) -> Result<bool> {
        textgan_train::extend(finished, partial)?;
        Ok(true)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn is_precious(&self) -> bool {
        true
    }
}

fn read_labels(path: &Path) -> Result<Vec<String>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("cannot read {}", path.display()))
}

/// The files of a model folder.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || format!("cannot read the model folder {}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(read)? {
        let path = entry.with_context(read)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
