//! Brings the stages of a run up to date, each only when something that decides it has changed.

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use textgan_artifact::{
    HashCache, Header, Manifest, Progress, RunDir, RunLock, publish, remove_folder, write_atomic,
};

use crate::exit::Refusal;
use crate::stage::{Input, Stage};

/// Which stages to look at, and how hard.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection<'a> {
    /// Redo this stage and those after it, even if they are fresh.
    pub from: Option<&'a str>,
    /// Stop after this one.
    pub until: Option<&'a str>,
    /// Look at this one alone; what it reads must be there already.
    pub only: Option<&'a str>,
    /// Redo what is selected from nothing: fresh or half done does not count.
    pub force: bool,
    /// Let the stage go on from its own finished output under another config.
    pub extend: bool,
}

/// What became of the selected stages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The stages that ran.
    pub ran: Vec<&'static str>,
    /// The stages that were fresh.
    pub fresh: Vec<&'static str>,
}

/// A run folder that belongs to this process, and the stages to be made in it.
pub struct Runner<'a> {
    run: RunDir,
    stages: Vec<Box<dyn Stage + 'a>>,
    progress: &'a dyn Progress,
    cache: HashCache,
    _lock: RunLock,
}

/// What a stage would be made from, as of now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Recipe {
    fingerprint: String,
    format_version: u32,
    inputs: BTreeMap<String, String>,
}

/// How a stage stands.
enum State {
    Fresh,
    Stale(String),
}

impl<'a> Runner<'a> {
    /// Takes the folder `path` for this process.
    ///
    /// # Errors
    /// The folder is no run, or in use by another process.
    pub fn open(
        path: &Path,
        stages: Vec<Box<dyn Stage + 'a>>,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let run = RunDir::create(path)?;
        let lock = run.lock()?;
        let cache = HashCache::load(run.join("hashes.json")?);
        Ok(Self { run, stages, progress, cache, _lock: lock })
    }

    /// The folder.
    pub fn run_dir(&self) -> &RunDir {
        &self.run
    }

    /// Brings the selected stages up to date, in order.
    ///
    /// # Errors
    /// An unknown name, or the first stage that fails.
    pub fn bring_up_to_date(&mut self, selection: &Selection<'_>) -> Result<Outcome> {
        let last = self.stages.len() - 1;
        let only = selection.only.map(|name| self.position(name)).transpose()?;
        let until = selection.until.map_or(Ok(last), |name| self.position(name))?;
        let from = selection.from.map(|name| self.position(name)).transpose()?;
        if let Some(from) = from.filter(|from| *from > until) {
            let (from, until) = (self.stages[from].name(), self.stages[until].name());
            return Err(Refusal::new(format!("--from {from} comes after --until {until}")).into());
        }
        let range = only.map_or(0..=until, |only| only..=only);
        let redo_from = from.or(selection.force.then_some(*range.start()));

        let mut outcome = Outcome::default();
        for index in range {
            let redo = redo_from.is_some_and(|from| index >= from);
            let result = self.stage(index, redo, selection);
            // Hashes that were paid for are kept, whatever happened.
            self.cache.save()?;
            let name = self.stages[index].name();
            match result.with_context(|| name)? {
                true => outcome.ran.push(name),
                false => outcome.fresh.push(name),
            }
        }
        Ok(outcome)
    }

    /// Makes one stage if it is stale or to be redone; says whether it ran.
    fn stage(&mut self, index: usize, redo: bool, selection: &Selection<'_>) -> Result<bool> {
        let name = self.stages[index].name();
        self.run.recover(name)?;
        let recipe = self.recipe(index)?;
        let why = match self.state(name, &recipe, redo)? {
            State::Fresh => {
                self.discard(name)?;
                return Ok(false);
            }
            State::Stale(why) => why,
        };
        self.make(index, &recipe, &why, selection)?;
        Ok(true)
    }

    fn state(&mut self, name: &str, recipe: &Recipe, redo: bool) -> Result<State> {
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

    fn make(
        &mut self,
        index: usize,
        recipe: &Recipe,
        why: &str,
        selection: &Selection<'_>,
    ) -> Result<()> {
        let stage = &self.stages[index];
        let name = stage.name();
        let (partial, target) = (self.run.partial_dir(name)?, self.run.stage_dir(name)?);
        let note = self.note(name)?;
        let half_done = partial.is_dir() && read_note(&note).as_ref() == Some(recipe);

        if half_done && !selection.force {
            // Killed between the manifest and the renames: all is there, it only has to move.
            if let Ok(manifest) = Manifest::read(&partial)
                && Recipe::of(&manifest) == *recipe
                && manifest.verify(&partial).is_ok()
            {
                self.progress.message(&format!("{name}: was complete, publishing it"));
                return self.publish(name, &manifest, &partial, &target);
            }
        }
        if half_done && !selection.force && stage.can_resume(&partial) {
            self.progress.message(&format!("{name}: going on where it was stopped"));
        } else {
            self.discard(name)?;
            fs::create_dir(&partial)
                .with_context(|| format!("cannot create {}", partial.display()))?;
            if selection.extend && target.is_dir() {
                self.progress.message(&format!("{name}: going on from what is finished"));
                stage.extend(&target, &partial)?;
            } else {
                self.progress.message(&format!("{name} ({why})"));
            }
            write_atomic(&note, &serde_json::to_vec_pretty(recipe)?)?;
        }

        self.log(name, "begin", None)?;
        let begin = Instant::now();
        let result = stage.run(&self.run, &partial, self.progress);
        self.progress.finish();
        let seconds = begin.elapsed().as_secs_f64();
        if let Err(error) = result {
            self.log(name, "stopped", Some(seconds))?;
            if !stage.can_resume(&partial) {
                self.discard(name)?;
            }
            return Err(error);
        }
        let header = Header {
            stage: name.to_string(),
            format_version: recipe.format_version,
            fingerprint: recipe.fingerprint.clone(),
            inputs: recipe.inputs.clone(),
        };
        let manifest = Manifest::write(&partial, header)?;
        self.publish(name, &manifest, &partial, &target)?;
        self.log(name, "end", Some(seconds))?;
        self.progress.message(&format!("{name}: done in {}", crate::terminal::duration(seconds)));
        Ok(())
    }

    fn publish(
        &mut self,
        name: &str,
        manifest: &Manifest,
        partial: &Path,
        target: &Path,
    ) -> Result<()> {
        publish(partial, target)?;
        for (file, entry) in &manifest.files {
            self.cache.remember(&target.join(file), &entry.hash)?;
        }
        self.discard(name)
    }

    /// What decides `stage` as of now. What it reads is checked against its own manifest first.
    fn recipe(&mut self, index: usize) -> Result<Recipe> {
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
    fn earlier(&mut self, name: &str) -> Result<Manifest> {
        let folder = self.run.stage_dir(name)?;
        if !folder.exists() {
            bail!(
                "{} has no {name} yet; run `cargo xtask pipeline --until {name}` first",
                self.run.path().display()
            );
        }
        let manifest = Manifest::read(&folder)?;
        manifest.verify_cached(&folder, &mut self.cache)?;
        Ok(manifest)
    }

    /// Refuses to build on an earlier stage that this config would make differently.
    ///
    /// # Errors
    /// The earlier stage, and how to bring it up to date.
    pub fn check_earlier(&mut self, name: &str) -> Result<()> {
        let last = self.position(name)?;
        for index in 0..last {
            let name = self.stages[index].name();
            self.run.recover(name)?;
            self.earlier(name)?;
            let recipe = self.recipe(index)?;
            if let State::Stale(why) = self.state(name, &recipe, false)? {
                return Err(anyhow!(
                    "{name} in {} is not what this config makes ({why}); run `cargo xtask pipeline` instead",
                    self.run.path().display()
                ));
            }
        }
        Ok(())
    }

    fn position(&self, name: &str) -> Result<usize> {
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

    /// The file that says what a half-done stage was being made from.
    fn note(&self, name: &str) -> Result<PathBuf> {
        Ok(self.run.join(format!("{name}.partial.json"))?)
    }

    /// Removes what a stage left half done.
    fn discard(&self, name: &str) -> Result<()> {
        remove_folder(&self.run.partial_dir(name)?)?;
        let note = self.note(name)?;
        match fs::remove_file(&note) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", note.display()))
            }
            _ => Ok(()),
        }
    }

    /// The log may speak of clocks and hardware; nothing reads it back into a result.
    fn log(&self, stage: &str, event: &str, seconds: Option<f64>) -> Result<()> {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        self.run.log(&serde_json::json!({
            "time": clock,
            "stage": stage,
            "event": event,
            "seconds": seconds,
            "threads": rayon::current_num_threads(),
            "instruction_set": textgan_artifact::instruction_set(),
            "version": env!("CARGO_PKG_VERSION"),
        }))?;
        Ok(())
    }
}

impl Recipe {
    fn of(manifest: &Manifest) -> Self {
        Self {
            fingerprint: manifest.fingerprint.clone(),
            format_version: manifest.format_version,
            inputs: manifest.inputs.clone(),
        }
    }

    /// Why what was made from `old` is not what would be made from this; `None` if it is.
    fn differs_from(&self, old: &Self) -> Option<String> {
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

fn read_note(path: &Path) -> Option<Recipe> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests;
