//! How the stages of a run stand: what each would be made from now, beside what it was made from.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use textgan_artifact::{HashCache, Manifest, RunDir};

use crate::exit::Refusal;
use crate::stage::{Input, Stage};

/// A run folder and the stages that belong in it. Looking changes nothing there, and needs no lock.
pub struct Inspection<'a> {
    pub(super) run: RunDir,
    pub(super) stages: Vec<Box<dyn Stage + 'a>>,
    pub(super) cache: HashCache,
}

/// What a stage would be made from, as of now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recipe {
    pub fingerprint: String,
    pub format_version: u32,
    pub inputs: BTreeMap<String, String>,
}

/// How a stage stands.
pub(super) enum State {
    Fresh,
    Stale(String),
}

impl<'a> Inspection<'a> {
    /// Of the run in `path`, which must be one.
    ///
    /// # Errors
    /// There is no folder, or it is no run.
    pub fn open(path: &Path, stages: Vec<Box<dyn Stage + 'a>>) -> Result<Self> {
        Self::new(RunDir::open(path)?, stages)
    }

    pub(super) fn new(run: RunDir, stages: Vec<Box<dyn Stage + 'a>>) -> Result<Self> {
        let cache = HashCache::load(run.join("hashes.json")?);
        Ok(Self { run, stages, cache })
    }

    /// The stages that a runner would look at again: the first that is stale and those after it,
    /// because only its output will tell whether they are.
    ///
    /// # Errors
    /// An input that cannot be read, and a finished stage that was changed since.
    pub fn left_to_do(&mut self) -> Result<Vec<&'static str>> {
        let first = self.first_stale()?.map_or(self.stages.len(), |(index, _)| index);
        Ok(self.stages[first..].iter().map(|stage| stage.name()).collect())
    }

    /// Why the first of them is stale, if there is one.
    ///
    /// # Errors
    /// As [`left_to_do`](Self::left_to_do).
    pub fn why_stale(&mut self) -> Result<Option<String>> {
        Ok(self.first_stale()?.map(|(_, why)| why))
    }

    fn first_stale(&mut self) -> Result<Option<(usize, String)>> {
        for index in 0..self.stages.len() {
            let recipe = self.recipe(index)?;
            if let State::Stale(why) = self.state(self.stages[index].name(), &recipe, false)? {
                return Ok(Some((index, why)));
            }
        }
        Ok(None)
    }

    pub(super) fn state(&mut self, name: &str, recipe: &Recipe, redo: bool) -> Result<State> {
        let folder = self.run.stage_dir(name)?;
        if !folder.exists() {
            return Ok(State::Stale("not made yet".into()));
        }
        if redo {
            return Ok(State::Stale("asked for".into()));
        }
        let manifest = Manifest::read(&folder)?;
        let old = Recipe::of(&manifest);
        if let Some(why) = recipe.differs_from(&old) {
            return Ok(State::Stale(why));
        }
        manifest.verify_cached(&folder, &mut self.cache)?;
        Ok(State::Fresh)
    }

    /// What decides `stage` as of now. What it reads is checked against its own manifest first.
    pub(super) fn recipe(&mut self, index: usize) -> Result<Recipe> {
        let mut inputs = BTreeMap::new();
        for input in self.stages[index].inputs(&self.run)? {
            match input {
                Input::File(path) => {
                    let hash = self.cache.hash(&path)?;
                    inputs.insert(self.input_name(&path), hash);
                }
                Input::Stage(earlier) => {
                    let manifest = self.earlier(earlier)?;
                    let files = manifest.files.into_iter();
                    inputs
                        .extend(files.map(|(name, file)| (format!("{earlier}/{name}"), file.hash)));
                }
            }
        }
        let fingerprint = self.stages[index].fingerprint();
        let format_version = fingerprint.format_version();
        Ok(Recipe { fingerprint: fingerprint.finish()?, format_version, inputs })
    }

    /// The manifest of an earlier stage, which must be there and as it was written.
    pub(super) fn earlier(&mut self, name: &str) -> Result<Manifest> {
        let folder = self.run.stage_dir(name)?;
        if !folder.exists() {
            return Err(Refusal::new(format!(
                "{} has no {name} yet; run `cargo xtask pipeline --until {name}` first",
                self.run.path().display()
            ))
            .into());
        }
        let manifest = Manifest::read(&folder)?;
        manifest.verify_cached(&folder, &mut self.cache)?;
        Ok(manifest)
    }

    pub(super) fn position(&self, name: &str) -> Result<usize> {
        let names: Vec<String> = self.stages.iter().map(|stage| stage.name().into()).collect();
        match names.iter().position(|known| known == name) {
            Some(index) => Ok(index),
            None => {
                let known = names.join(", ");
                Err(Refusal::new(format!("there is no stage `{name}`; they are {known}")).into())
            }
        }
    }

    /// Files of the run go by their name in it, so that the run may be moved.
    fn input_name(&self, path: &Path) -> String {
        let name = path.strip_prefix(self.run.path()).unwrap_or(path);
        name.to_string_lossy().replace('\\', "/")
    }
}

impl Recipe {
    pub fn of(manifest: &Manifest) -> Self {
        Self {
            fingerprint: manifest.fingerprint.clone(),
            format_version: manifest.format_version,
            inputs: manifest.inputs.clone(),
        }
    }

    /// Why what was made from `old` is not what would be made from this; `None` if it is.
    pub fn differs_from(&self, old: &Self) -> Option<String> {
        if self.format_version != old.format_version {
            return Some("made by another version of this program".into());
        }
        if self.fingerprint != old.fingerprint {
            return Some("its config changed".into());
        }
        let names = self.inputs.keys().chain(old.inputs.keys());
        let mut changed = names.filter(|name| self.inputs.get(*name) != old.inputs.get(*name));
        changed.next().map(|name| format!("its input {name} changed"))
    }
}
