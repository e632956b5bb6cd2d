use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// A folder being written beside its place; nobody sees it before [`Draft::publish`].
pub(crate) struct Draft {
    target: PathBuf,
    partial: PathBuf,
    old: PathBuf,
}

/// Refuses a file of weights that does not hold `count` numbers, before anything of that size is made:
/// what a config declares costs nothing to write, and memory to believe.
pub(crate) fn check_size(path: &Path, count: u64) -> Result<()> {
    let read = || -> std::io::Result<(u64, u64)> {
        let mut file = fs::File::open(path)?;
        let mut header = [0; 8];
        std::io::Read::read_exact(&mut file, &mut header)?;
        Ok((file.metadata()?.len(), u64::from_le_bytes(header)))
    };
    let (length, header) = read().map_err(Error::io(path))?;
    let held =
        length.checked_sub(8).and_then(|rest| rest.checked_sub(header)).map(|bytes| bytes / 4);
    match held {
        Some(held) if held == count => Ok(()),
        _ => {
            let held = held.map_or("none".to_owned(), |held| held.to_string());
            let message = format!("it holds {held} weights, and config.json describes {count}");
            Err(Error::file(path.to_owned(), message))
        }
    }
}

impl Draft {
    /// Starts the folder that will be `target`. What a killed process left is cleared away.
    pub fn new(target: &Path) -> Result<Self> {
        let Some(name) = target.file_name() else {
            return Err(Error::file(target, "is not the name of a folder"));
        };
        let beside = |mark: &str| {
            let mut hidden = std::ffi::OsString::from(".");
            hidden.push(name);
            hidden.push(mark);
            target.with_file_name(hidden)
        };
        let draft =
            Self { target: target.into(), partial: beside(".partial"), old: beside(".old") };
        // Killed between the two renames of `publish`: the older folder is the valid one.
        if draft.old.exists() && !target.exists() {
            fs::rename(&draft.old, target).map_err(Error::io(&draft.old))?;
        }
        remove(&draft.partial)?;
        fs::create_dir_all(&draft.partial).map_err(Error::io(&draft.partial))?;
        Ok(draft)
    }

    /// Where a file of the folder is written to.
    pub fn path(&self, name: &str) -> PathBuf {
        self.partial.join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.path(name);
        fs::write(&path, content).map_err(Error::io(&path))
    }

    /// Writes indented JSON, keys in their own order.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let json = serde_json::to_string_pretty(value)
            .map_err(|error| Error::file(self.path(name), error.to_string()))?;
        self.write(name, json + "\n")
    }

    /// Puts the folder into its place: on disk first, then there whole, with a checksum of every file; an
    /// older one is replaced.
    pub fn publish(self) -> Result<()> {
        let sums = sums(&self.partial)?;
        self.write(SUMS, sums)?;
        let entries = fs::read_dir(&self.partial).map_err(Error::io(&self.partial))?;
        for entry in entries {
            let path = entry.map_err(Error::io(&self.partial))?.path();
            sync(&path)?;
        }
        sync(&self.partial)?;
        remove(&self.old)?;
        if self.target.exists() {
            fs::rename(&self.target, &self.old).map_err(Error::io(&self.target))?;
        }
        fs::rename(&self.partial, &self.target).map_err(Error::io(&self.partial))?;
        let parent = self.target.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync(parent.unwrap_or(Path::new(".")))?;
        remove(&self.old)
    }
}

/// The file of a folder that has the checksums of the others.
const SUMS: &str = "checksums.txt";

/// A line a file, as `b3sum` writes it, in the order of names.
fn sums(folder: &Path) -> Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        names.push(entry.map_err(Error::io(folder))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let line = |name: &String| Ok(format!("{}  {name}\n", sum(&folder.join(name))?));
    names.iter().map(line).collect()
}

fn sum(path: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path).map_err(Error::io(path))?;
    std::io::copy(&mut file, &mut hasher).map_err(Error::io(path))?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Refuses a folder of which a file is not what was saved, if it has checksums: a bit of a weight that has
/// flipped looks like any other weight.
pub(crate) fn check_sums(folder: &Path) -> Result<()> {
    let path = folder.join(SUMS);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        text => text.map_err(Error::io(&path))?,
    };
    let mut checked = 0;
    for line in text.lines() {
        let Some((expected, name)) = line.split_once("  ") else {
            return Err(Error::file(path, "is not a list of checksums"));
        };
        if name.contains(['/', '\\']) || sum(&folder.join(name))? != expected {
            let message = format!(
                "is not what was saved, by {SUMS}; restore it, or delete {SUMS} to use the folder as it is"
            );
            return Err(Error::file(folder.join(name), message));
        }
        checked += 1;
    }
    match checked {
        0 => Err(Error::file(path, "is empty")),
        _ => Ok(()),
    }
}

fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::io(path))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Io { path: folder.into(), source: error })
        }
        _ => Ok(()),
    }
}

/// Reads a JSON file; failures name it.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    serde_json::from_str(&text).map_err(|error| Error::file(path, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_appears_whole_and_replaces_the_older_one() -> Result<()> {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("model");
        for content in ["one", "two"] {
            let draft = Draft::new(&target)?;
            draft.write("file", content)?;
            assert_ne!(fs::read_to_string(target.join("file")).ok().as_deref(), Some(content));
            draft.publish()?;
            assert_eq!(fs::read_to_string(target.join("file")).unwrap(), content);
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing is left beside it");
        Ok(())
    }

    #[test]
    fn what_a_killed_process_left_is_put_right() -> Result<()> {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("model");
        for leftover in [".model.old", ".model.partial"] {
            fs::create_dir(root.path().join(leftover)).unwrap();
            fs::write(root.path().join(leftover).join("file"), leftover).unwrap();
        }
        let draft = Draft::new(&target)?;
        assert_eq!(fs::read_to_string(target.join("file")).unwrap(), ".model.old");
        draft.write("other", "new")?;
        draft.publish()?;
        assert!(!target.join("file").exists() && target.join("other").exists());
        Ok(())
    }
}
