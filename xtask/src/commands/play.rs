//! `play`: a page to play with a run's generator and discriminator.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use textgan_artifact::table::{TokenRow, read_split};
use textgan_artifact::{Manifest, RunDir};
use textgan_generate::Model;
use textgan_play::{LoadError, Playground, Site};
use textgan_tokenizer::Tokenizer;

use super::serve;
use crate::args::Play;
use crate::overview;
use crate::stages::{self, TOKENIZE};
use crate::terminal::Terminal;
use crate::trained::Trained;

/// Real texts that duels are fought with.
const REAL_TEXTS: usize = 2000;

pub fn run(args: Play, terminal: &Terminal) -> Result<()> {
    let run = overview::open(args.run)?;
    let path = run.path();
    let trained = Trained::of(path)?;
    let mut models = vec![("model".to_owned(), "Trained model".to_owned(), trained.model(), None)];
    let baseline = trained.train.join("baseline");
    if baseline.is_dir() {
        models.push(("baseline".to_owned(), "Maximum likelihood".to_owned(), baseline, None));
    }
    let phases = phases(&trained.train)?;
    for saved in trained.steps()? {
        let phase = phases.iter().find(|(last, _)| saved.step <= *last);
        let phase =
            phase.map_or(String::new(), |(_, kind)| format!(", {}", kind.replace('-', " ")));
        let (id, title) = (format!("step-{}", saved.step), format!("Step {}{phase}", saved.step));
        models.push((id, title, trained.model(), Some(saved.weights)));
    }
    let (train, folders) = (trained.train.clone(), models.clone());
    let load = move |id: &str| load(&train, &folders, id).map_err(LoadError::from);
    let mut playground = Playground::new(title(path), load)
        .with_verdict(
            stages::evaluation(&run)?.and_then(|found| found.judgement).map(|of| of.sentence),
        )
        .with_options(trained.drawing(&Model::load(trained.model())?)?.options)
        .with_real_texts(real_texts(&run)?);
    for (id, title, ..) in models {
        playground = playground.with_model(id, title);
    }
    serve(Site::playground(playground), &args.at, "play", terminal)
}

/// The last step of each phase, and its kind.
fn phases(train: &Path) -> Result<Vec<(u64, String)>> {
    let path = train.join("summary.json");
    let read = || format!("cannot read {}", path.display());
    let bytes = std::fs::read(&path).with_context(read)?;
    let summary: textgan_train::Summary = serde_json::from_slice(&bytes).with_context(read)?;
    let mut last = 0;
    let ends = summary.phases.into_iter().map(|phase| {
        last += phase.steps;
        (last, phase.kind)
    });
    Ok(ends.collect())
}

/// An id, a title, the folder of the network, and the weights if they are others.
type Choice = (String, String, PathBuf, Option<PathBuf>);

fn load(train: &Path, models: &[Choice], id: &str) -> Result<Model> {
    let (.., folder, weights) =
        models.iter().find(|(known, ..)| known == id).context("no such model")?;
    let mut model = Model::load(folder)?;
    if let Some(weights) = weights {
        model = model.with_weights(weights)?;
    }
    stages::judged(train, model)
}

fn title(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Texts of the test split as the model would write them, so that only what they say tells them apart; none where
/// there is no such split.
fn real_texts(run: &RunDir) -> Result<Vec<(String, Option<String>)>> {
    let tokens = run.stage_dir(TOKENIZE)?;
    if !tokens.is_dir() {
        return Ok(Vec::new());
    }
    let manifest = Manifest::read(&tokens)?;
    if !manifest.files.keys().any(|file| file.starts_with("test-")) {
        return Ok(Vec::new());
    }
    let labels = std::fs::read(tokens.join("labels.json")).ok();
    let labels: Vec<String> =
        labels.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let tokenizer = Tokenizer::load(tokens.join("tokenizer.json"))?;
    let rows: Vec<TokenRow> = read_split(&tokens, "test")?;
    let label = |row: &TokenRow| labels.get(row.label? as usize).cloned();
    let texts = rows.iter().take(REAL_TEXTS);
    texts.map(|row| Ok((tokenizer.decode(&row.tokens)?, label(row)))).collect()
}
