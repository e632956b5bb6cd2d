//! The config of an experiment: one TOML file, what it extends, and what the command line sets; and
//! the file of a sweep, which varies one.

mod complaint;
mod documented;
mod layer;
mod paths;
mod quick;
mod root;
mod set;
mod sweep;

pub use complaint::nearest;
pub use paths::relative;
pub use root::{PhaseKind, RootConfig};
pub use sweep::{Assignment, Axis, CellOfSweep, Corpora, SweepFile};

use anyhow::{Context, Result};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::{Path, PathBuf};

use textgan_artifact::{Manifest, RunDir};
use textgan_train::BuiltIn;

use crate::exit::Refusal;
use layer::{Entry, Node};

/// The config that is used when none is named.
const QUICKSTART: &str = include_str!("../../../configs/quickstart.toml");

/// A file may extend another, which may extend another: so many at most.
const MOST_LAYERS: usize = 16;

/// A config, resolved.
#[derive(Clone, Debug)]
pub struct Loaded<O = BuiltIn> {
    /// What it is called: the file's name without its ending.
    pub name: String,
    /// The config, as it is followed.
    pub config: RootConfig<O>,
    /// The config as it was written, and is kept: before `quick` made it short.
    pub written: RootConfig<O>,
}

impl<O: PhaseKind> Loaded<O> {
    /// A config that is followed as it is written.
    pub fn new(name: String, config: RootConfig<O>) -> Self {
        Self { name, written: config.clone(), config }
    }

    /// Refuses what cannot work, before anything is read or written.
    ///
    /// # Errors
    /// A [`Refusal`] that names the key and the fix.
    pub fn validate(&self) -> Result<(), Refusal> {
        self.written.validate().and_then(|()| self.config.validate())
    }
}

/// A config that is still being put together.
#[derive(Clone, Debug)]
pub struct Draft {
    name: String,
    tree: Entry,
}

impl Draft {
    /// Reads the config in `file` (the built-in `quickstart` if there is none) with whatever it
    /// extends.
    ///
    /// # Errors
    /// A [`Refusal`] that names the file and the line.
    pub fn read(file: Option<&Path>) -> Result<Self> {
        let (name, tree) = match file {
            Some(file) => (name_of(file)?, read(file, &mut Vec::new())?),
            None => ("quickstart".to_string(), Entry::parse("quickstart (built in)", QUICKSTART)?),
        };
        Ok(Self { name, tree })
    }

    /// Lays the values of a sweep over it.
    ///
    /// # Errors
    /// A [`Refusal`] that names the file, the line and the key.
    pub fn lay(&mut self, assignments: &[Assignment]) -> Result<()> {
        assignments.iter().try_for_each(|assignment| assignment.lay(&mut self.tree))
    }

    /// The config that it has become.
    ///
    /// # Errors
    /// A [`Refusal`] that names the file, the line and the key.
    pub fn finish<O: DeserializeOwned + Clone>(self) -> Result<Loaded<O>> {
        let written: RootConfig<O> = complaint::read(&self.tree)?;
        let mut config = written.clone();
        if config.quick {
            quick::shorten(&mut config);
        }
        Ok(Loaded { name: self.name, config, written })
    }
}

/// Refuses the name of a measure that no evaluation makes, where `key` asks for it.
///
/// # Errors
/// A [`Refusal`] with the nearest name.
pub(crate) fn known_measure(key: &str, name: &str) -> Result<(), Refusal> {
    if textgan_report::meaning(name).is_some() {
        return Ok(());
    }
    let known: Vec<String> =
        textgan_report::MEASURES.iter().map(|name| (*name).to_owned()).collect();
    let near =
        nearest(name, &known).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    Err(Refusal::new(format!(
        "{key}: there is no measure `{name}`{near}; known are {}",
        known.join(", ")
    )))
}

/// Reads the config in `file` (the built-in `quickstart` if there is none) with whatever it
/// extends, and applies the assignments of the command line.
///
/// # Errors
/// A [`Refusal`] that names the file, the line and the key.
pub fn load<O: DeserializeOwned + Clone>(
    file: Option<&Path>,
    assignments: &[String],
) -> Result<Loaded<O>> {
    let mut draft = Draft::read(file)?;
    assignments.iter().try_for_each(|assignment| set::set(&mut draft.tree, assignment))?;
    draft.finish()
}

/// The config by which `stage` of `run` was made, as its manifest says; of a manifest that does not say,
/// the run's latest.
///
/// # Errors
/// A run or a stage that cannot be read, and a config that this version does not know.
pub fn of_stage<O: DeserializeOwned + Clone>(
    run: &RunDir,
    manifest: &Manifest,
) -> Result<Loaded<O>> {
    let Some(text) = &manifest.config else { return load(Some(&run.join("config.toml")?), &[]) };
    let source = format!("the config of {} in {}", manifest.stage, run.path().display());
    let mut tree = Entry::parse(&source, text)?;
    paths::rebase(&mut tree, run.path());
    let name =
        run.path().file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
    Draft { name, tree }.finish()
}

/// The JSON Schema of config files, for editors.
pub fn schema<O: JsonSchema>() -> serde_json::Value {
    schemars::schema_for!(RootConfig<O>).to_value()
}

/// `config` as TOML, every key with its documentation.
///
/// # Errors
/// Never for configs that were read from TOML.
pub fn documented<O: PhaseKind>(config: &RootConfig<O>) -> Result<String> {
    Ok(documented::toml(&value(config)?, Some(&schema::<O>())))
}

/// `config` as the TOML file that goes into the folder `run`: nothing is left to defaults or to
/// other files, and its paths hold from there.
///
/// # Errors
/// Never for configs that were read from TOML.
pub fn resolved<O: PhaseKind>(config: &RootConfig<O>, run: &Path) -> Result<String> {
    let mut config = config.clone();
    config.rebase(&paths::relative(run, Path::new(".")));
    Ok(documented::toml(&value(&config)?, None))
}

/// Through text, which writes an `f32` in its own few digits.
fn value<O: Serialize>(config: &RootConfig<O>) -> Result<serde_json::Value> {
    Ok(serde_json::from_str(&serde_json::to_string(config)?)?)
}

fn name_of(file: &Path) -> Result<String> {
    let stem = file.file_stem().and_then(|stem| stem.to_str());
    // The config of a run is called after the run.
    let stem = match (stem, file.parent().and_then(Path::file_name)) {
        (Some("config"), Some(folder)) if file.with_file_name("lock").exists() => folder.to_str(),
        (stem, _) => stem,
    };
    let name = stem.filter(|name| !name.is_empty());
    Ok(name.with_context(|| format!("{}: not the name of a file", file.display()))?.to_string())
}

/// The largest config that is read.
const MOST_BYTES: u64 = 16 << 20;

/// The text of a config: a file, or what a shell hands over in its place, but nothing that waits or never ends.
fn read_text(file: &Path) -> std::io::Result<String> {
    use std::io::{Error, ErrorKind, Read};
    let kind = fs::metadata(file)?.file_type();
    // A shell's `<(..)` is a pipe that is open already.
    let handed_over = file.starts_with("/dev/fd") || file.starts_with("/proc");
    if !kind.is_file() && !handed_over {
        return Err(Error::new(ErrorKind::InvalidInput, "not a file"));
    }
    let mut text = String::new();
    fs::File::open(file)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(Error::new(ErrorKind::InvalidData, "too large for a config"));
    }
    Ok(text)
}

/// Reads one file and lays it over what it extends.
fn read(file: &Path, below: &mut Vec<PathBuf>) -> Result<Entry> {
    let text = read_text(file).map_err(|error| {
        let mut message = format!("cannot read the config {}: {error}", file.display());
        if let Some(user) = below.last() {
            message += &format!(" (`extends` in {})", user.display());
        }
        Refusal::new(message)
    })?;
    let source = file.display().to_string();
    let mut tree = Entry::parse(&source, &text)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    paths::rebase(&mut tree, folder);
    let Node::Table(entries) = &mut tree.node else { return Ok(tree) };
    let Some(extends) = entries.remove("extends") else { return Ok(tree) };
    let Some(target) = extends.text() else {
        let message = format!("{}: `extends` takes the path of a config", extends.place);
        return Err(Refusal::new(message).into());
    };
    let target = paths::simplified(&folder.join(target));
    below.push(file.to_path_buf());
    if below.len() > MOST_LAYERS || below.contains(&target) {
        let message = format!("{}: `extends` goes round in a circle", extends.place);
        return Err(Refusal::new(message).into());
    }
    let mut lower = read(&target, below)?;
    lower.overlay(tree);
    Ok(lower)
}

#[cfg(test)]
mod tests;
