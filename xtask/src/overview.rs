//! A run at a glance: what it holds, and its headline numbers.

use anyhow::{Context, Result};
use serde::Serialize;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use textgan_artifact::{Manifest, RunDir};
use textgan_evaluate::Evaluation;

use crate::exit::Refusal;
use crate::stages;

/// A run at a glance.
#[derive(Debug, Serialize)]
pub struct Overview {
    /// The name of its folder.
    pub name: String,
    /// All published files together.
    pub bytes: u64,
    /// The finished stages, in order.
    pub stages: Vec<StageOverview>,
    /// The stages that were begun and not finished.
    pub half_done: Vec<&'static str>,
    /// Work of other configs that was set aside, with its bytes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aside: Vec<(String, u64)>,
    /// The trained model's numbers, by name, as they should be printed.
    pub numbers: Vec<(String, String)>,
}

/// A finished stage at a glance.
#[derive(Debug, Serialize)]
pub struct StageOverview {
    /// Its name.
    pub name: String,
    /// All its files together.
    pub bytes: u64,
    /// How many files.
    pub files: usize,
    /// What decided it.
    pub fingerprint: String,
    /// The stage that was made again since this one read it, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<String>,
}

/// The folder of a run that was given as one, or by its name under `runs/`.
pub fn path(run: PathBuf) -> PathBuf {
    let named = Path::new("runs").join(&run);
    if run.exists() || !named.exists() { run } else { named }
}

/// Opens a run that the command line names, by its folder or by its name under `runs/`.
///
/// # Errors
/// A refusal where there is none; what the system said where it cannot be read.
pub fn open(run: PathBuf) -> Result<RunDir> {
    let path = path(run);
    let problem = match RunDir::open(&path) {
        Ok(run) => return Ok(run),
        Err(textgan_artifact::Error::NotARun { .. }) => "is no run",
        Err(textgan_artifact::Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            "is not there"
        }
        Err(error) => return Err(error.into()),
    };
    let message =
        format!("{} {problem}; `cargo xtask list` shows the runs in `runs/`", path.display());
    Err(Refusal::new(message).into())
}

impl Overview {
    /// Reads the manifests of a run, and what its evaluation says.
    ///
    /// # Errors
    /// A manifest or an evaluation that cannot be read.
    pub fn of(run: &RunDir) -> Result<Self> {
        let mut overview = Self {
            name: run.path().file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: 0,
            stages: Vec::new(),
            half_done: Vec::new(),
            aside: set_aside(&run.join(ASIDE)?)?,
            numbers: Vec::new(),
        };
        for name in stages::NAMES {
            if run.partial_dir(name)?.is_dir() {
                overview.half_done.push(name);
            }
            let folder = run.stage_dir(name)?;
            if !folder.is_dir() {
                continue;
            }
            let manifest = Manifest::read(&folder)?;
            overview.bytes += manifest.bytes();
            let stale = made_again_since(run, &manifest)?;
            overview.stages.push(StageOverview {
                name: name.to_string(),
                bytes: manifest.bytes(),
                files: manifest.files.len(),
                fingerprint: manifest.fingerprint,
                stale,
            });
        }
        let is_finished = overview.stages.iter().any(|stage| stage.name == stages::EVALUATE);
        if is_finished {
            let path = run.join("evaluate/evaluation.json")?;
            let bytes =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let evaluation: Evaluation = serde_json::from_slice(&bytes)
                .with_context(|| format!("{}: not an evaluation", path.display()))?;
            for measure in evaluation.model.measures {
                if let Some(value) = measure.value {
                    overview.numbers.push((measure.name, format!("{value:.4}")));
                }
            }
        }
        Ok(overview)
    }
}

/// The folder of a run that has what was set aside.
pub const ASIDE: &str = "aside";

/// The folders in `folder`, if it is there, with their bytes, in the order of their names.
fn set_aside(folder: &Path) -> Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    if folder.is_dir() {
        for entry in entries(folder)? {
            found.push((entry.file_name().to_string_lossy().into_owned(), bytes(&entry)?));
        }
    }
    found.sort();
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>> {
    let read = || fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>();
    read().with_context(|| format!("cannot read {}", folder.display()))
}

/// Bytes of all files below; links are not followed.
fn bytes(entry: &fs::DirEntry) -> Result<u64> {
    let path = entry.path();
    let metadata =
        fs::symlink_metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
    match metadata.is_dir() {
        true => entries(&path)?.iter().map(bytes).sum(),
        false => Ok(metadata.len()),
    }
}

/// The earlier stage whose files are not any more what the stage of `manifest` has read.
fn made_again_since(run: &RunDir, manifest: &Manifest) -> Result<Option<String>> {
    for name in stages::NAMES {
        let prefix = format!("{name}/");
        let read = manifest
            .inputs
            .iter()
            .filter_map(|(file, hash)| file.strip_prefix(&prefix).map(|file| (file, hash)));
        let read: Vec<_> = read.collect();
        if read.is_empty() {
            continue;
        }
        let files =
            Manifest::read(&run.stage_dir(name)?).map(|found| found.files).unwrap_or_default();
        if read.iter().any(|(file, hash)| files.get(*file).map(|entry| &entry.hash) != Some(*hash))
        {
            return Ok(Some(name.to_string()));
        }
    }
    Ok(None)
}
