//! A run at a glance: what it holds, and its headline numbers.

use anyhow::Result;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use textgan_artifact::{Manifest, RunDir};
use textgan_evaluate::Evaluation;

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
}

/// The folder of a run that was given as one, or by its name under `runs/`.
pub fn path(run: PathBuf) -> PathBuf {
    let named = Path::new("runs").join(&run);
    if run.exists() || !named.exists() { run } else { named }
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
            overview.stages.push(StageOverview {
                name: name.to_string(),
                bytes: manifest.bytes(),
                files: manifest.files.len(),
                fingerprint: manifest.fingerprint,
            });
        }
        let path = run.join("evaluate/evaluation.json")?;
        if let Ok(bytes) = fs::read(path) {
            let evaluation: Evaluation = serde_json::from_slice(&bytes)?;
            for measure in evaluation.model.measures {
                if let Some(value) = measure.value {
                    overview.numbers.push((measure.name, format!("{value:.4}")));
                }
            }
        }
        Ok(overview)
    }
}
