//! The `checkpoints` folder: which there are, which one is the latest, and how one gets there.
//!
//! A checkpoint is written beside and published whole; then the small file `latest` names it. So
//! at every moment `latest` names a complete checkpoint or is not there at all. `hashes.json` in each says
//! what its files are, so that one that was damaged since is not gone on from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use textgan_artifact::{Progress, hash_file, plain_folder, publish, remove_folder, write_atomic};

use crate::error::io;
use crate::state::{State, VERSION};
use crate::{Error, Result};

/// The file that names the latest checkpoint.
pub(crate) const LATEST: &str = "latest";
const STATE: &str = "state.json";
const HASHES: &str = "hashes.json";
const PARTIAL: &str = ".partial";
/// How the names of checkpoints begin; nothing else in the folder is ever removed.
const NAMES: [&str; 2] = ["step-", "best-step-"];

/// The `checkpoints` folder of a run.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// The checkpoints of the run in `out`.
    pub fn of(out: &Path) -> Result<Self> {
        let folder = out.join("checkpoints");
        plain_folder(&folder).map_err(io("use", &folder))?;
        std::fs::create_dir_all(&folder).map_err(io("create", &folder))?;
        Ok(Self { folder })
    }

    /// The folder of checkpoint `name`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The latest checkpoint's name and state, if there is one. Where it is damaged it is the newest of
    /// those that are not, with a word to `progress`.
    ///
    /// # Errors
    /// When all are damaged, or a file cannot be read.
    pub fn latest(&self, progress: &dyn Progress) -> Result<Option<(String, State)>> {
        let path = self.path(LATEST);
        let name = match std::fs::read_to_string(&path) {
            Ok(name) => name.trim().to_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io("read", path)(error)),
        };
        let found = match is_a_name(&name) {
            true => self.state(&name),
            false => {
                let problem = format!("it names {name:?}, which is no checkpoint");
                Err(Error::Checkpoint { path, problem })
            }
        };
        let damage = match found {
            Ok(state) => return Ok(Some((name, state))),
            Err(damage) => damage,
        };
        let mut others = self.all()?;
        others.sort_by_key(|(_, state)| (state.phase, state.phase_step));
        let Some((other, state)) = others.pop() else { return Err(damage) };
        progress.message(&format!("{damage}: going on from {other} instead"));
        Ok(Some((other, state)))
    }

    /// Every whole checkpoint and its state, in no order; those without a state are weights only.
    pub fn all(&self) -> Result<Vec<(String, State)>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(io("read", &self.folder))? {
            let name =
                entry.map_err(io("read", &self.folder))?.file_name().to_string_lossy().into_owned();
            if is_a_name(&name)
                && self.path(&name).join(STATE).exists()
                && let Ok(state) = self.state(&name)
            {
                all.push((name, state));
            }
        }
        Ok(all)
    }

    /// Refuses checkpoint `name` unless all its files are as they were written.
    ///
    /// # Errors
    /// The first file that is missing or was changed.
    pub fn verify(&self, name: &str) -> Result<()> {
        let folder = self.path(name);
        plain_folder(&folder).map_err(io("use", &folder))?;
        let path = folder.join(HASHES);
        let bytes = std::fs::read(&path).map_err(io("read", &path))?;
        let damaged =
            |path: PathBuf, problem: &str| Error::Checkpoint { path, problem: problem.to_owned() };
        let Ok(hashes) = serde_json::from_slice::<BTreeMap<String, String>>(&bytes) else {
            return Err(damaged(path, "it was changed since it was written"));
        };
        for (file, expected) in hashes {
            let path = folder.join(file);
            match path.is_file() && hash_file(&path)? == expected {
                true => {}
                false if path.is_file() => {
                    return Err(damaged(path, "it was changed since it was written"));
                }
                false => return Err(damaged(path, "it is missing")),
            }
        }
        Ok(())
    }

    fn state(&self, name: &str) -> Result<State> {
        self.verify(name)?;
        let path = self.path(name).join(STATE);
        let bytes = std::fs::read(&path).map_err(io("read", &path))?;
        let broken = |problem: String| Error::Checkpoint { path: path.clone(), problem };
        // Before the rest, which another version may have otherwise.
        #[derive(Deserialize)]
        struct Layout {
            version: u32,
        }
        let Layout { version } =
            serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
        if version != VERSION {
            return Err(broken(format!(
                "its layout is version {version}, this program's is {VERSION}"
            )));
        }
        serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))
    }

    /// Writes checkpoint `name`: `contents` fills its folder, `state` is added if given.
    pub fn write(
        &self,
        name: &str,
        state: Option<&State>,
        contents: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let partial = self.path(&format!("{name}{PARTIAL}"));
        remove_folder(&partial)?;
        let written = self
            .fill(&partial, state, contents)
            .and_then(|()| Ok(publish(&partial, &self.path(name))?));
        if written.is_err() {
            // A full disk is no better for half a checkpoint; the first error is the one to tell.
            let _ = remove_folder(&partial);
        }
        written
    }

    fn fill(
        &self,
        folder: &Path,
        state: Option<&State>,
        contents: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(io("create", folder))?;
        contents(folder)?;
        if let Some(state) = state {
            let path = folder.join(STATE);
            let json = serde_json::to_vec_pretty(state)
                .map_err(|error| io("write", &path)(error.into()))?;
            std::fs::write(&path, json).map_err(io("write", &path))?;
        }
        let mut hashes = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(io("read", folder))? {
            let entry = entry.map_err(io("read", folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            hashes.insert(name, hash_file(&entry.path())?);
        }
        let path = folder.join(HASHES);
        let json =
            serde_json::to_vec_pretty(&hashes).map_err(|error| io("write", &path)(error.into()))?;
        std::fs::write(&path, json).map_err(io("write", &path))
    }

    /// Makes `name` the latest, and then removes what neither it nor `state` needs.
    pub fn set_latest(&self, name: &str, state: &State) -> Result<()> {
        write_atomic(self.path(LATEST), name.as_bytes())?;
        self.prune(name, state)
    }

    /// Removes every checkpoint that neither `latest` nor `state` names.
    ///
    /// What stays is decided by the state alone, so an interrupted run ends with the same folders
    /// as one that was not.
    pub fn prune(&self, latest: &str, state: &State) -> Result<()> {
        let kept = |name: &str| {
            name == LATEST
                || name == latest
                || state.checkpoints.iter().any(|kept| kept == name)
                || [&state.beginning, &state.best, &state.baseline, &state.trained]
                    .iter()
                    .any(|kept| kept.as_deref() == Some(name))
        };
        for entry in std::fs::read_dir(&self.folder).map_err(io("read", &self.folder))? {
            let entry = entry.map_err(io("read", &self.folder))?;
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if kept(&name) || !NAMES.iter().any(|begin| name.starts_with(begin)) {
                continue;
            }
            // A link is removed, and what it leads to is let be.
            let removed = if path.is_dir() && !path.is_symlink() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            removed.map_err(io("remove", path))?;
        }
        Ok(())
    }
}

/// The folder of the generators that training leaves on its way.
pub(crate) const SNAPSHOTS: &str = "snapshots";

/// The generator as it was after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedStep {
    /// Steps made over all phases.
    pub step: u64,
    /// Its weights: their moving average, where there is one.
    pub weights: PathBuf,
}

/// The generators that the train stage in `out` left on its way, by step ([`TrainConfig::first_snapshot`](crate::TrainConfig)).
///
/// # Errors
/// When the folder cannot be read.
pub fn saved_steps(out: &Path) -> Result<Vec<SavedStep>> {
    let folder = out.join(SNAPSHOTS);
    let mut steps = BTreeMap::new();
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    for entry in std::fs::read_dir(&folder).map_err(io("read", &folder))? {
        let weights = entry.map_err(io("read", &folder))?.path();
        let name = weights.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_prefix(NAMES[0]).and_then(|name| name.strip_suffix(".safetensors"));
        if let Some(step) = number.and_then(|number| number.parse().ok()) {
            steps.insert(step, SavedStep { step, weights });
        }
    }
    Ok(steps.into_values().collect())
}

/// Whether `name` is one that this program gives to checkpoints.
fn is_a_name(name: &str) -> bool {
    let plain = |character: char| character.is_ascii_alphanumeric() || character == '-';
    name.starts_with(NAMES[0]) && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use textgan_artifact::Quiet;

    use super::*;

    #[test]
    fn a_checkpoint_that_fails_leaves_nothing() -> Result<()> {
        let out = tempfile::tempdir().map_err(io("create", "a folder"))?;
        let checkpoints = Checkpoints::of(out.path())?;
        let fails = |folder: &Path| -> Result<()> {
            std::fs::write(folder.join("half"), "half").map_err(io("write", folder))?;
            Err(Error::Checkpoint { path: folder.to_owned(), problem: "no room".to_owned() })
        };
        assert!(checkpoints.write("step-1", None, fails).is_err());
        assert_eq!(
            std::fs::read_dir(out.path().join("checkpoints")).map_err(io("read", "it"))?.count(),
            0
        );
        Ok(())
    }

    #[test]
    fn only_what_the_state_names_stays() -> Result<()> {
        let out = tempfile::tempdir().map_err(io("create", "a folder"))?;
        let checkpoints = Checkpoints::of(out.path())?;
        for name in ["step-1", "step-2", "step-3", "best-step-2", "best-step-1"] {
            checkpoints.write(name, None, |_| Ok(()))?;
        }
        let state = State {
            checkpoints: vec!["step-2".to_owned()],
            best: Some("best-step-2".to_owned()),
            ..State::new(Vec::new(), 1)
        };
        checkpoints.write("step-4", Some(&state), |_| Ok(()))?;
        checkpoints.set_latest("step-4", &state)?;
        let mut left: Vec<String> = std::fs::read_dir(out.path().join("checkpoints"))
            .map_err(io("read", "it"))?
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect();
        left.sort();
        assert_eq!(left, ["best-step-2", "latest", "step-2", "step-4"]);
        assert_eq!(checkpoints.latest(&Quiet)?, Some(("step-4".to_owned(), state.clone())));

        // A damaged one is not gone on from, and a name that leads elsewhere neither.
        let older = State { phase_step: 2, ..State::new(Vec::new(), 1) };
        checkpoints.write("step-2", Some(&older), |_| Ok(()))?;
        let path = checkpoints.path("step-4").join(STATE);
        let whole = std::fs::read(&path).map_err(io("read", &path))?;
        let mut damaged = whole.clone();
        damaged[10] ^= 1;
        std::fs::write(&path, damaged).map_err(io("write", &path))?;
        assert!(checkpoints.verify("step-4").unwrap_err().to_string().contains("changed"));
        assert_eq!(checkpoints.latest(&Quiet)?, Some(("step-2".to_owned(), older.clone())));
        std::fs::remove_file(&path).map_err(io("remove", &path))?;
        assert!(checkpoints.verify("step-4").unwrap_err().to_string().contains("missing"));
        std::fs::write(checkpoints.path(LATEST), "../../elsewhere").map_err(io("write", LATEST))?;
        assert_eq!(checkpoints.latest(&Quiet)?, Some(("step-2".to_owned(), older)));
        Ok(())
    }
}
