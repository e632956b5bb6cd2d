//! The trained generators of a run: the model, its maximum-likelihood checkpoint, and the steps that training
//! kept.

use anyhow::Result;
use std::path::{Path, PathBuf};
use textgan_artifact::{HashCache, Manifest, RunDir};
use textgan_generate::Model;
use textgan_train::SavedStep;

use crate::config::{self, RootConfig};
use crate::exit::Refusal;
use crate::overview;
use crate::stages::{self, Drawing, GENERATE, TRAIN};

/// What a run trained, and what it says of generating.
pub struct Trained {
    run: RunDir,
    /// The folder of its train stage.
    pub train: PathBuf,
    config: RootConfig<serde_json::Value>,
}

impl Trained {
    /// Reads what a run trained, and makes sure that it is as it was written.
    ///
    /// # Errors
    /// A run that has not been trained, or whose files were changed since.
    pub fn of(run: &Path) -> Result<Self> {
        let run = overview::open(run.to_owned())?;
        let train = run.stage_dir(TRAIN)?;
        if !train.is_dir() {
            let at = run.path().display();
            let problem =
                format!("{at} is not trained yet: `cargo xtask pipeline --run {at}` does it");
            return Err(Refusal::new(problem).into());
        }
        let trained = Manifest::read(&train)?;
        trained.verify_cached(&train, &mut HashCache::load(run.join("hashes.json")?))?;
        // What the run itself generated with says most, if it is of this model.
        let generated = Manifest::read(&run.stage_dir(GENERATE)?).ok().filter(|generated| {
            let file = "model/model.safetensors";
            let read = generated.inputs.get(&format!("{TRAIN}/{file}"));
            read == trained.files.get(file).map(|entry| &entry.hash)
        });
        let config =
            config::of_stage::<serde_json::Value>(&run, generated.as_ref().unwrap_or(&trained))?
                .config;
        Ok(Self { run, train, config })
    }

    /// How the run draws its texts.
    ///
    /// # Errors
    /// A file of the run that cannot be read.
    pub fn drawing(&self, model: &Model) -> Result<Drawing> {
        Drawing::of(&self.run, &self.config, model)
    }

    /// The folder of the model.
    pub fn model(&self) -> PathBuf {
        stages::model(&self.train)
    }

    /// The weights of the generator after `step`, of those that training kept.
    ///
    /// # Errors
    /// Names the steps that there are.
    pub fn step(&self, step: u64) -> Result<PathBuf> {
        let mut steps = textgan_train::saved_steps(&self.train)?;
        match steps.iter().position(|saved| saved.step == step) {
            Some(at) => Ok(steps.swap_remove(at).weights),
            None => {
                let known: Vec<String> = steps.iter().map(|saved| saved.step.to_string()).collect();
                let message = format!(
                    "--step {step}: training left no snapshot of it; there are {} (`train.first_snapshot` says which)",
                    known.join(", ")
                );
                Err(Refusal::new(message).into())
            }
        }
    }

    /// The steps that training kept.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn steps(&self) -> Result<Vec<SavedStep>> {
        Ok(textgan_train::saved_steps(&self.train)?)
    }

    /// Gives a model whoever judged it in training: the discriminator, or the language model in its place.
    ///
    /// # Errors
    /// Names the file that is missing or wrong.
    pub fn judged(&self, model: Model) -> Result<Model> {
        stages::judged(&self.train, model)
    }
}
