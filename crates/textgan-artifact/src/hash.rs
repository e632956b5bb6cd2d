//! BLAKE3 of files, and a cache that spares hashing what has not been touched.

use crate::{Error, Result, write_atomic};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The BLAKE3 hash of a file, in hex.
///
/// # Errors
/// [`Error::Io`] when it cannot be read.
pub fn hash_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(|source| Error::io("open", path, source))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = file.read(&mut buffer).map_err(|source| Error::io("read", path, source))?;
        if read == 0 {
            return Ok(hasher.finalize().to_hex().to_string());
        }
        hasher.update(&buffer[..read]);
    }
}

/// The BLAKE3 hash of bytes in memory, in hex.
pub fn hash_bytes(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Remembers the hash of each file beside its size and times, so an untouched file is not read
/// again. It depends on clocks, so it lives outside everything that is hashed; losing it costs time
/// only.
///
/// A file is believed untouched when its size, modification time and (on Unix) inode and change
/// time are what they were, and those times were already past when it was hashed. A write in the
/// same clock tick as the hashing can therefore not hide.
#[derive(Debug)]
pub struct HashCache {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
    changed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    stamp: Stamp,
    hash: String,
}

/// What the file system says about a file without reading it; times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    bytes: u64,
    modified: i128,
    changed: i128,
    inode: u64,
}

/// Clock ticks of file systems are at most this long here.
const TICK_NANOSECONDS: i128 = 20_000_000;

impl HashCache {
    /// Loads the cache at `path`; an absent or unreadable one is empty.
    pub fn load(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let entries = std::fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Self { path, entries, changed: false }
    }

    /// The hash of `file`, from the cache if the file is untouched.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read.
    pub fn hash(&mut self, file: &Path) -> Result<String> {
        let name = self.name(file);
        let metadata = file.metadata().map_err(|source| Error::io("read", file, source))?;
        let stamp = Stamp::of(&metadata);
        if let Some(entry) = self.entries.get(&name)
            && entry.stamp == stamp
        {
            return Ok(entry.hash.clone());
        }
        let now = nanoseconds(SystemTime::now());
        let hash = hash_file(file)?;
        self.changed = true;
        if stamp.modified.max(stamp.changed) + TICK_NANOSECONDS < now {
            self.entries.insert(name, Entry { stamp, hash: hash.clone() });
        } else {
            self.entries.remove(&name);
        }
        Ok(hash)
    }

    /// Stores a hash that is already known, of a file that nobody else writes.
    ///
    /// # Errors
    /// [`Error::Io`] when the file is absent.
    pub fn remember(&mut self, file: &Path, hash: &str) -> Result<()> {
        let metadata = file.metadata().map_err(|source| Error::io("read", file, source))?;
        let entry = Entry { stamp: Stamp::of(&metadata), hash: hash.to_string() };
        self.entries.insert(self.name(file), entry);
        self.changed = true;
        Ok(())
    }

    /// Writes the cache back if anything changed; entries of files that are gone are dropped.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::DiskFull`].
    pub fn save(&mut self) -> Result<()> {
        if !self.changed {
            return Ok(());
        }
        let folder = self.folder().to_path_buf();
        self.entries.retain(|name, _| folder.join(name).exists());
        let bytes = serde_json::to_vec_pretty(&self.entries).map_err(|error| Error::Json {
            what: "the hash cache".into(),
            message: error.to_string(),
        })?;
        write_atomic(&self.path, &bytes)?;
        self.changed = false;
        Ok(())
    }

    /// Files beside the cache go by their relative name, so a run folder may be moved.
    fn name(&self, file: &Path) -> String {
        match file.strip_prefix(self.folder()) {
            Ok(relative) if file.is_relative() == self.path.is_relative() => {
                relative.to_string_lossy().into_owned()
            }
            _ => std::path::absolute(file)
                .unwrap_or_else(|_| file.to_path_buf())
                .to_string_lossy()
                .into_owned(),
        }
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

impl Stamp {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let time = |seconds: i64, part: i64| i128::from(seconds) * 1_000_000_000 + i128::from(part);
        Self {
            bytes: metadata.len(),
            modified: time(metadata.mtime(), metadata.mtime_nsec()),
            changed: time(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }

    #[cfg(not(unix))]
    fn of(metadata: &Metadata) -> Self {
        let modified = metadata.modified().map_or(0, nanoseconds);
        Self { bytes: metadata.len(), modified, changed: modified, inode: 0 }
    }
}

fn nanoseconds(time: SystemTime) -> i128 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    }
}
