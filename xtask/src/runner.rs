//! Brings the stages of a run up to date, each only when something that decides it has changed.

mod inspection;
mod siblings;

pub use inspection::Inspection;
pub use siblings::Siblings;

use anyhow::{Context, Result};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use textgan_artifact::{
    ALONE, Header, Manifest, Progress, RunDir, RunLock, Team, publish, remove_folder, write_atomic,
};

use crate::exit::Refusal;
use crate::overview;
use crate::stage::Stage;
use crate::team;
use inspection::{Recipe, State};

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
    /// The stages that were taken over from a sibling.
    pub taken: Vec<&'static str>,
    /// The stages that were fresh.
    pub fresh: Vec<&'static str>,
}

/// A run folder that belongs to this process, and the stages to be made in it.
pub struct Runner<'a> {
    inspection: Inspection<'a>,
    progress: &'a dyn Progress,
    siblings: Option<&'a Siblings>,
    team: &'a Team,
    /// What manifests say of the config.
    config: Option<String>,
    /// The outermost folder that came into being with this runner, if the run's did.
    created: Option<PathBuf>,
    _lock: RunLock,
}

impl Drop for Runner<'_> {
    /// A command that came to nothing leaves nothing.
    fn drop(&mut self) {
        let Some(created) = self.created.take().filter(|_| self.has_nothing()) else { return };
        // What went wrong before is the error to tell. A folder that holds more than a runner wrote stays.
        let run = self.run_dir().path();
        for file in OWN_FILES {
            let _ = fs::remove_file(run.join(file));
        }
        for folder in run.ancestors().take_while(|folder| folder.starts_with(&created)) {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// What commands write into a run besides its stages.
const OWN_FILES: [&str; 4] = ["config.toml", "log.jsonl", "hashes.json", "lock"];

/// What became of one stage.
enum Made {
    Ran,
    Taken,
    WasFresh,
}

/// A line of the log.
#[derive(Serialize)]
struct Line<'a> {
    time: u64,
    stage: &'a str,
    #[serde(flatten)]
    event: Event<'a>,
    threads: usize,
    instruction_set: &'a str,
    machine: &'a str,
    version: &'a str,
}

/// What happened to a stage.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Event<'a> {
    Begin,
    Stopped { seconds: f64 },
    End { seconds: f64 },
    Taken { from: &'a Path },
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
        let created =
            path.ancestors().take_while(|folder| is_absent(folder)).last().map(Path::to_owned);
        let run = RunDir::create(path).map_err(|error| match error {
            textgan_artifact::Error::NotARun { .. } => Refusal::new(error).into(),
            _ => anyhow::Error::from(error),
        })?;
        let lock = run.lock()?;
        let inspection = Inspection::new(run, stages)?;
        Ok(Self {
            inspection,
            progress,
            siblings: None,
            team: &ALONE,
            config: None,
            created,
            _lock: lock,
        })
    }

    /// Says in every manifest that the stage was made by this config.
    #[must_use]
    pub fn by_config(mut self, text: String) -> Self {
        self.config = Some(text);
        self
    }

    /// Makes the stages that can be shared out with the processes that this one leads.
    #[must_use]
    pub fn with_team(mut self, team: &'a Team) -> Self {
        self.team = team;
        self
    }

    /// Takes over what `siblings` have finished, where it is what would be made here; of several that
    /// want the same at once, one makes it.
    #[must_use]
    pub fn beside(mut self, siblings: &'a Siblings) -> Self {
        self.siblings = Some(siblings);
        self
    }

    /// The folder.
    pub fn run_dir(&self) -> &RunDir {
        &self.inspection.run
    }

    /// Whether no stage is finished or half done.
    fn has_nothing(&self) -> bool {
        let exists = |path: textgan_artifact::Result<PathBuf>| path.is_ok_and(|path| path.exists());
        let run = &self.inspection.run;
        self.inspection.stages.iter().all(|stage| {
            !exists(run.stage_dir(stage.name())) && !exists(run.partial_dir(stage.name()))
        })
    }

    /// Brings the selected stages up to date, in order.
    ///
    /// # Errors
    /// An unknown name, or the first stage that fails.
    pub fn bring_up_to_date(&mut self, selection: &Selection<'_>) -> Result<Outcome> {
        let last = self.inspection.stages.len() - 1;
        let only = selection.only.map(|name| self.inspection.position(name)).transpose()?;
        let until = selection.until.map_or(Ok(last), |name| self.inspection.position(name))?;
        let from = selection.from.map(|name| self.inspection.position(name)).transpose()?;
        if let Some(from) = from.filter(|from| *from > until) {
            let (from, until) =
                (self.inspection.stages[from].name(), self.inspection.stages[until].name());
            return Err(Refusal::new(format!("--from {from} comes after --until {until}")).into());
        }
        let range = only.map_or(0..=until, |only| only..=only);
        let redo_from = from.or(selection.force.then_some(*range.start()));
        if selection.extend {
            let checked = self.check_extension();
            self.inspection.cache.save()?;
            checked?;
        }

        let mut outcome = Outcome::default();
        for index in range {
            let redo = redo_from.is_some_and(|from| index >= from);
            let result = self.stage(index, redo, selection);
            // Hashes that were paid for are kept, whatever happened.
            self.inspection.cache.save()?;
            let name = self.inspection.stages[index].name();
            match result.with_context(|| name)? {
                Made::Ran => outcome.ran.push(name),
                Made::Taken => outcome.taken.push(name),
                Made::WasFresh => outcome.fresh.push(name),
            }
        }
        Ok(outcome)
    }

    /// Refuses to go on from what is finished if what it was made from would be made again first: it would fit nothing
    /// then, and the run be neither the old experiment nor the new one.
    fn check_extension(&mut self) -> Result<()> {
        let stages = &self.inspection.stages;
        let Some(extended) = stages.iter().position(|stage| stage.is_precious()) else {
            return Ok(());
        };
        let name = stages[extended].name();
        self.inspection.run.recover(name)?;
        if !self.inspection.run.stage_dir(name)?.is_dir() {
            return Ok(());
        }
        for index in 0..extended {
            let name = self.inspection.stages[index].name();
            self.inspection.run.recover(name)?;
            let recipe = self.inspection.recipe(index)?;
            if let State::Stale(why) = self.inspection.state(name, &recipe, false)? {
                return Err(Refusal::new(format!(
                    "what is finished cannot be extended to this: {name} would be made first ({why}). Without --extend \
                     what is finished is set aside, and this is made from the beginning"
                ))
                .into());
            }
        }
        Ok(())
    }

    /// Makes one stage, or takes it over, if it is stale or to be redone.
    fn stage(&mut self, index: usize, redo: bool, selection: &Selection<'_>) -> Result<Made> {
        let name = self.inspection.stages[index].name();
        self.inspection.run.recover(name)?;
        let recipe = self.inspection.recipe(index)?;
        let why = match self.inspection.state(name, &recipe, redo)? {
            State::Fresh => {
                self.discard(name)?;
                return Ok(Made::WasFresh);
            }
            State::Stale(why) => why,
        };
        let again = redo || selection.extend;
        if !again
            && self.inspection.stages[index].is_precious()
            && self.take_back(index, &recipe)?
        {
            return Ok(Made::Taken);
        }
        let siblings = self.siblings.filter(|_| !again);
        // Kept until the stage is published here, where the others then find it.
        let _turn = match siblings {
            Some(siblings) => {
                let turn = siblings.turn(name, &recipe, self.progress);
                Some(turn.context("stopped while another run made the same")?)
            }
            None => None,
        };
        if let Some(siblings) = siblings
            && self.take_over(name, &recipe, siblings)?
        {
            return Ok(Made::Taken);
        }
        self.make(index, &recipe, &why, selection)?;
        Ok(Made::Ran)
    }

    /// Publishes what was set aside, if it was made from the same.
    fn take_back(&mut self, index: usize, recipe: &Recipe) -> Result<bool> {
        let stage = &self.inspection.stages[index];
        let (name, run) = (stage.name(), self.run_dir().clone());
        let (partial, target) = (run.partial_dir(name)?, run.stage_dir(name)?);
        let made = |folder: &Path| {
            // What was half done has no manifest.
            Manifest::read(folder).ok().filter(|manifest| Recipe::of(manifest) == *recipe)
        };
        if made(&partial).is_some() {
            // It was being taken back when this was stopped.
            return Ok(false);
        }
        let aside = run.join(overview::ASIDE)?;
        let of_stage = |place: &str| {
            place.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'))
                && fs::symlink_metadata(aside.join(place)).is_ok_and(|found| found.is_dir())
        };
        let mut places: Vec<String> = match fs::read_dir(&aside) {
            Ok(entries) => {
                entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
            }
            Err(_) => return Ok(false),
        };
        places.retain(|place| of_stage(place));
        places.sort();
        for place in places {
            let folder = aside.join(&place);
            let Some(manifest) = made(&folder) else { continue };
            let from = folder.display();
            if stage.can_resume(&partial) {
                self.set_aside(name, &partial)?;
            }
            self.discard(name)?;
            fs::create_dir(&partial)
                .with_context(|| format!("cannot create {}", partial.display()))?;
            write_atomic(&self.note(name)?, &serde_json::to_vec_pretty(recipe)?)?;
            // It is what this config makes, too.
            let manifest = manifest.with_config(self.config.clone());
            let copied = manifest.verify(&folder).and_then(|()| manifest.copy(&folder, &partial));
            if let Err(why) = copied {
                self.progress.message(&format!("{name}: not taken back from {from}: {why}"));
                self.discard(name)?;
                continue;
            }
            if target.is_dir() {
                self.set_aside(name, &target)?;
            }
            self.publish(name, &manifest, &partial, &target)?;
            remove_folder(&folder)?;
            self.log(name, Event::Taken { from: &folder })?;
            self.progress.message(&format!("{name}: taken back from {from}"));
            return Ok(true);
        }
        Ok(false)
    }

    /// Publishes a copy of what a sibling has finished, if one has.
    fn take_over(
        &mut self,
        name: &'static str,
        recipe: &Recipe,
        siblings: &Siblings,
    ) -> Result<bool> {
        let run = self.run_dir().clone();
        let (partial, target) = (run.partial_dir(name)?, run.stage_dir(name)?);
        for found in siblings.holding(run.path(), name, recipe) {
            let from = found.run.display();
            let refuse =
                |why| self.progress.message(&format!("{name}: not taken from {from}: {why}"));
            // Checked first: what is half done here is worth more than what was changed there.
            if let Err(why) = found.manifest.verify(&found.folder) {
                refuse(why);
                continue;
            }
            self.discard(name)?;
            fs::create_dir(&partial)
                .with_context(|| format!("cannot create {}", partial.display()))?;
            // It is what this config makes, too.
            let manifest = found.manifest.with_config(self.config.clone());
            if let Err(why) = manifest.copy(&found.folder, &partial) {
                refuse(why);
                self.discard(name)?;
                continue;
            }
            self.publish(name, &manifest, &partial, &target)?;
            self.log(name, Event::Taken { from: found.run })?;
            self.progress.message(&format!("{name}: taken from {from}"));
            return Ok(true);
        }
        Ok(false)
    }

    fn make(
        &mut self,
        index: usize,
        recipe: &Recipe,
        why: &str,
        selection: &Selection<'_>,
    ) -> Result<()> {
        let stage = &self.inspection.stages[index];
        let name = stage.name();
        let (partial, target) =
            (self.inspection.run.partial_dir(name)?, self.inspection.run.stage_dir(name)?);
        let note = self.note(name)?;
        let mut extends = false;
        let mut moved = None;
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
            if stage.is_precious() && stage.can_resume(&partial) && !selection.force {
                let of_other = fs::read(&note).ok();
                moved = Some((self.set_aside(name, &partial)?, of_other));
            }
            self.discard(name)?;
            let create = || {
                let made = fs::create_dir(&partial);
                made.with_context(|| format!("cannot create {}", partial.display()))
            };
            create()?;
            if selection.extend && target.is_dir() && stage.extend(&target, &partial)? {
                extends = true;
                self.progress.message(&format!("{name}: going on from what is finished"));
            } else {
                self.progress.message(&format!("{name} ({why})"));
            }
            write_atomic(&note, &serde_json::to_vec_pretty(recipe)?)?;
        }

        self.log(name, Event::Begin)?;
        let begin = Instant::now();
        if stage.is_shared() {
            team::call(self.team, index)?;
        }
        let work = || stage.run(&self.inspection.run, &partial, self.progress);
        let result = match stage.is_shared() {
            true => team::together(self.team, work),
            false => work(),
        };
        self.progress.finish();
        let seconds = begin.elapsed().as_secs_f64();
        if let Err(error) = result {
            self.log(name, Event::Stopped { seconds })?;
            let refused = error.chain().find_map(|cause| match cause.downcast_ref() {
                Some(textgan_train::Error::OtherRun { difference, .. }) if extends => {
                    Some(difference)
                }
                _ => None,
            });
            // What was finished by an earlier version cannot be gone on from at all.
            let unreadable = error.chain().any(|cause| {
                matches!(cause.downcast_ref(), Some(textgan_train::Error::Checkpoint { .. }))
            });
            if refused.is_some() || (extends && unreadable) || !stage.can_resume(&partial) {
                self.discard(name)?;
            }
            if let Some(difference) = refused {
                // What another config had half done is there as before, too.
                if let Some((place, Some(note_of_other))) = moved {
                    fs::rename(&place, &partial)
                        .with_context(|| format!("cannot move {} back", place.display()))?;
                    write_atomic(&note, &note_of_other)?;
                    // Unless more is there.
                    let _ = place.parent().map(fs::remove_dir);
                    self.progress.message(&format!("{name}: that is back where it was"));
                }
                return Err(Refusal::new(format!(
                    "what is finished cannot be extended to this: {difference}. Without --extend it is set \
                     aside, and this is trained from the first step"
                ))
                .into());
            }
            return Err(error);
        }
        let header = Header {
            stage: name.to_string(),
            format_version: recipe.format_version,
            fingerprint: recipe.fingerprint.clone(),
            inputs: recipe.inputs.clone(),
            config: self.config.clone(),
        };
        let manifest = Manifest::write(&partial, header)?;
        // What is extended has all that there was, but for checkpoints on the way and what was taken out.
        let has =
            |file: &String| file.starts_with("checkpoints/") || manifest.files.contains_key(file);
        let replaces = Manifest::read(&target).is_ok_and(|old| {
            Recipe::of(&old) != *recipe && !(selection.extend && old.files.keys().all(has))
        });
        if replaces && stage.is_precious() && !selection.force {
            self.set_aside(name, &target)?;
        }
        self.publish(name, &manifest, &partial, &target)?;
        self.log(name, Event::End { seconds })?;
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
            self.inspection.cache.remember(&target.join(file), &entry.hash)?;
        }
        self.discard(name)
    }

    /// Refuses to build on an earlier stage that this config would make differently.
    ///
    /// # Errors
    /// The earlier stage, and how to bring it up to date.
    pub fn check_earlier(&mut self, name: &str) -> Result<()> {
        let last = self.inspection.position(name)?;
        for index in 0..last {
            let name = self.inspection.stages[index].name();
            self.inspection.run.recover(name)?;
            self.inspection.earlier(name)?;
            let recipe = self.inspection.recipe(index)?;
            if let State::Stale(why) = self.inspection.state(name, &recipe, false)? {
                return Err(Refusal::new(format!(
                    "{name} in {} is not what this config makes ({why}); run `cargo xtask pipeline` instead",
                    self.inspection.run.path().display()
                ))
                .into());
            }
        }
        Ok(())
    }

    /// The file that says what a half-done stage was being made from.
    fn note(&self, name: &str) -> Result<PathBuf> {
        Ok(self.inspection.run.join(format!("{name}.partial.json"))?)
    }

    /// Moves `folder`, work of stage `name` under another config, to where no stage is looked for, and says where.
    fn set_aside(&self, name: &str, folder: &Path) -> Result<PathBuf> {
        let aside = self.inspection.run.join(overview::ASIDE)?;
        fs::create_dir_all(&aside).with_context(|| format!("cannot create {}", aside.display()))?;
        let place = |number: u64| aside.join(format!("{name}-{number}"));
        let place = place((1..).find(|&number| !place(number).exists()).unwrap_or(u64::MAX));
        fs::rename(folder, &place)
            .with_context(|| format!("cannot move {} to {}", folder.display(), place.display()))?;
        self.progress.message(&format!(
            "{name}: what another config had made is set aside in {}",
            place.display()
        ));
        Ok(place)
    }

    /// Removes what a stage left half done.
    fn discard(&self, name: &str) -> Result<()> {
        remove_folder(&self.inspection.run.partial_dir(name)?)?;
        let note = self.note(name)?;
        match fs::remove_file(&note) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", note.display()))
            }
            _ => Ok(()),
        }
    }

    /// The log may speak of clocks and hardware; nothing reads it back into a result.
    fn log(&self, stage: &str, event: Event<'_>) -> Result<()> {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        self.inspection.run.log(&Line {
            time: clock,
            stage,
            event,
            threads: rayon::current_num_threads(),
            instruction_set: textgan_artifact::instruction_set(),
            machine: &machine(),
            version: env!("CARGO_PKG_VERSION"),
        })?;
        Ok(())
    }
}

/// Whether there is nothing of this name; the empty name is that of the working folder.
fn is_absent(path: &Path) -> bool {
    !path.as_os_str().is_empty() && fs::symlink_metadata(path).is_err()
}

/// The processor, as the system names it.
fn machine() -> String {
    let found = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    found.unwrap_or_else(|| format!("{} ({})", std::env::consts::ARCH, std::env::consts::OS))
}

fn read_note(path: &Path) -> Option<Recipe> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests;
