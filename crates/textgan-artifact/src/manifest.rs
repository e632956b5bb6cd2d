//! The list of a stage's files with their hashes, and what decided them.

use crate::publish::TEMPORARY;
use crate::{Error, HashCache, Result, hash_file, safe_join, write_atomic};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The name of the manifest in a stage's folder.
pub const MANIFEST: &str = "manifest.json";

/// What a stage's folder holds and what decided it. Written last, so a folder that has one is
/// complete. It holds no clock, no thread count and no hardware but the instruction set, which is
/// the extent of the guarantee that the same inputs give the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The stage that wrote the folder.
    pub stage: String,
    /// The version of its files.
    pub format_version: u32,
    /// See [`Fingerprint`](crate::Fingerprint).
    pub fingerprint: String,
    /// The vector instructions that arithmetic used: see [`instruction_set`].
    pub instruction_set: String,
    /// Hash of every input file, by name.
    pub inputs: BTreeMap<String, String>,
    /// The config that it was made by, as text; what a later command asks of the run changes nothing
    /// about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Every file of the folder but the manifest, by its path in it, with `/` between parts.
    pub files: BTreeMap<String, FileEntry>,
    /// BLAKE3 of all the above, as it stands in the file; empty in memory.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    checksum: String,
}

/// One file of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// BLAKE3, in hex.
    pub hash: String,
    /// Its size.
    pub bytes: u64,
}

/// What a manifest says besides the list of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The stage that wrote the folder.
    pub stage: String,
    /// The version of its files.
    pub format_version: u32,
    /// See [`Fingerprint`](crate::Fingerprint).
    pub fingerprint: String,
    /// Hash of every input file, by name.
    pub inputs: BTreeMap<String, String>,
    /// The config that the folder was made by, as text.
    pub config: Option<String>,
}

impl Header {
    /// A header without inputs.
    pub fn new(stage: impl Into<String>, format_version: u32, fingerprint: String) -> Self {
        Self {
            stage: stage.into(),
            format_version,
            fingerprint,
            inputs: BTreeMap::new(),
            config: None,
        }
    }

    /// Adds the hashes of the input files, by name.
    #[must_use]
    pub fn with_inputs(mut self, inputs: BTreeMap<String, String>) -> Self {
        self.inputs = inputs;
        self
    }
}

impl Manifest {
    /// Hashes every file of `folder` and writes its manifest.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::DiskFull`]; [`Error::Escapes`] for a symbolic link in the folder.
    pub fn write(folder: &Path, header: Header) -> Result<Self> {
        let mut names = Vec::new();
        list_files(folder, folder, &mut names)?;
        names.retain(|name| name != MANIFEST);
        // What a power cut left of a file that was never whole is no output.
        let (left, names): (Vec<String>, Vec<String>) =
            names.into_iter().partition(|name| name.ends_with(TEMPORARY));
        for name in left {
            let path = folder.join(name);
            fs::remove_file(&path).map_err(|source| Error::io("remove", &path, source))?;
        }
        let entries = names
            .par_iter()
            .map(|name| {
                let path = folder.join(name);
                let bytes =
                    path.metadata().map_err(|source| Error::io("read", &path, source))?.len();
                Ok(FileEntry { hash: hash_file(&path)?, bytes })
            })
            .collect::<Result<Vec<_>>>()?;
        let manifest = Self {
            stage: header.stage,
            format_version: header.format_version,
            fingerprint: header.fingerprint,
            instruction_set: instruction_set().to_string(),
            inputs: header.inputs,
            config: header.config,
            files: names.into_iter().zip(entries).collect(),
            checksum: String::new(),
        };
        manifest.save(folder)?;
        Ok(manifest)
    }

    fn save(&self, folder: &Path) -> Result<()> {
        let stored = Self { checksum: self.sum()?, ..self.clone() };
        let mut text = serde_json::to_vec_pretty(&stored).map_err(unwritable)?;
        text.push(b'\n');
        write_atomic(folder.join(MANIFEST), &text)
    }

    /// Reads the manifest of `folder`.
    ///
    /// # Errors
    /// [`Error::NoManifest`] when there is none, [`Error::BadManifest`] when it is not one, or names
    /// a file outside the folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(MANIFEST);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoManifest { path: folder.to_path_buf() });
            }
            Err(source) => return Err(Error::io("read", path, source)),
        };
        let bad = |message: String| Error::BadManifest { path: path.clone(), message };
        let mut manifest: Self =
            serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
        let stored = std::mem::take(&mut manifest.checksum);
        if !stored.is_empty() && stored != manifest.sum()? {
            return Err(bad("it was changed since it was written".into()));
        }
        for name in manifest.files.keys() {
            safe_join(folder, name).map_err(|error| bad(error.to_string()))?;
        }
        Ok(manifest)
    }

    /// Hashes every file and compares.
    ///
    /// # Errors
    /// [`Error::Changed`] names the first file that differs or is missing.
    pub fn verify(&self, folder: &Path) -> Result<()> {
        self.files.par_iter().try_for_each(|(name, entry)| {
            let path = self.check_size(folder, name, entry)?;
            self.check_hash(path, &hash_file(&folder.join(name))?, entry)
        })
    }

    /// Like [`verify`](Self::verify), but believes `cache` about files that were not touched.
    ///
    /// # Errors
    /// [`Error::Changed`] names the first file that differs or is missing.
    pub fn verify_cached(&self, folder: &Path, cache: &mut HashCache) -> Result<()> {
        for (name, entry) in &self.files {
            let path = self.check_size(folder, name, entry)?;
            let hash = cache.hash(&path)?;
            self.check_hash(path, &hash, entry)?;
        }
        Ok(())
    }

    /// Copies the files of `folder`, which this is the manifest of, into `target`, a folder that exists
    /// and is empty; checks the copies and writes the manifest there, last. The copies share nothing
    /// with the originals, so that what happens to one does not happen to the other.
    ///
    /// # Errors
    /// [`Error::Escapes`] for a symbolic link, even one that leads to a place inside;
    /// [`Error::Changed`] names the first file that is not what the manifest says; [`Error::Io`],
    /// [`Error::DiskFull`].
    pub fn copy(&self, folder: &Path, target: &Path) -> Result<()> {
        for name in self.files.keys() {
            let (from, to) = (without_links(folder, name)?, safe_join(target, name)?);
            let parent = to.parent().unwrap_or(target);
            fs::create_dir_all(parent).map_err(|source| Error::io("create", parent, source))?;
            fs::copy(&from, &to).map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => self.changed(from, "is missing"),
                _ => Error::io("write", &to, source),
            })?;
        }
        self.verify(target)?;
        self.save(target)
    }

    /// The checksum of what it says.
    fn sum(&self) -> Result<String> {
        debug_assert!(self.checksum.is_empty(), "invariant: it is in the file alone");
        Ok(crate::hash_bytes(&serde_json::to_vec(self).map_err(unwritable)?))
    }

    /// The same of a folder that another config would have made alike.
    #[must_use]
    pub fn with_config(self, config: Option<String>) -> Self {
        Self { config, ..self }
    }

    /// The size of all files together.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|entry| entry.bytes).sum()
    }

    fn check_size(&self, folder: &Path, name: &str, entry: &FileEntry) -> Result<PathBuf> {
        let path = safe_join(folder, name)?;
        match path.metadata() {
            Ok(metadata) if metadata.len() == entry.bytes => Ok(path),
            Ok(_) => Err(self.changed(path, "was changed")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(self.changed(path, "is missing"))
            }
            Err(source) => Err(Error::io("read", path, source)),
        }
    }

    fn check_hash(&self, path: PathBuf, hash: &str, entry: &FileEntry) -> Result<()> {
        if hash == entry.hash { Ok(()) } else { Err(self.changed(path, "was changed")) }
    }

    fn changed(&self, path: PathBuf, problem: &'static str) -> Error {
        Error::Changed { path, problem, stage: self.stage.clone() }
    }
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::Json { what: "a manifest".into(), message: error.to_string() }
}

/// The widest vector instructions that this machine offers to the kernels that choose at run time.
/// Results are bit-identical between machines that agree on it, for one binary.
pub fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__cpuid_count, __get_cpuid_max};
        /// Tiles, and products of those of bf16.
        const AMX: u32 = 1 << 24 | 1 << 22;
        let has_tiles = __get_cpuid_max(0).0 >= 7 && __cpuid_count(7, 0).edx & AMX == AMX;
        if is_x86_feature_detected!("avx512f") {
            if has_tiles { "x86_64 avx512f amx-bf16" } else { "x86_64 avx512f" }
        } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            "x86_64 avx2 fma"
        } else {
            "x86_64"
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        std::env::consts::ARCH
    }
}

/// The path of `name` in `folder`, if no part of it is a symbolic link.
fn without_links(folder: &Path, name: &str) -> Result<PathBuf> {
    let path = safe_join(folder, name)?;
    let is_link = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_symlink());
    let below = || path.ancestors().take_while(|part| *part != folder);
    if is_link(folder) || below().any(is_link) {
        return Err(Error::Escapes { base: folder.to_path_buf(), name: name.to_string() });
    }
    Ok(path)
}

/// Every file under `folder`, by its name relative to `base`, sorted.
fn list_files(base: &Path, folder: &Path, names: &mut Vec<String>) -> Result<()> {
    let read = |source| Error::io("read", folder, source);
    for entry in fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        let path = entry.path();
        let kind = entry.file_type().map_err(read)?;
        if kind.is_dir() {
            list_files(base, &path, names)?;
            continue;
        }
        let relative = path.strip_prefix(base).unwrap_or(&path);
        let parts: Option<Vec<_>> = relative.iter().map(|part| part.to_str()).collect();
        match parts {
            Some(parts) if kind.is_file() => names.push(parts.join("/")),
            _ => {
                return Err(Error::Escapes {
                    base: base.to_path_buf(),
                    name: relative.to_string_lossy().into_owned(),
                });
            }
        }
    }
    names.sort();
    Ok(())
}
