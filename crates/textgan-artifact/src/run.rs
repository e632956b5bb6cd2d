//! The folder of a run: one folder a stage, a lock, and a log.

use crate::{Error, Result, open_plain, publish, safe_join};
use serde::Serialize;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

const LOCK: &str = "lock";
const LOG: &str = "log.jsonl";

/// The folder of a run.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Opens the run in `path`, making the folder if it is absent or empty.
    ///
    /// # Errors
    /// [`Error::NotARun`] when the folder holds something else; [`Error::Io`].
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(|source| Error::io("create", &path, source))?;
        if !Self::is_run(&path) {
            let mut entries =
                fs::read_dir(&path).map_err(|source| Error::io("read", &path, source))?;
            // Another process may be making the same run, and have it first.
            if entries.next().is_some() && !Self::is_run(&path) {
                return Err(Error::NotARun { path });
            }
            let lock = path.join(LOCK);
            match open_plain(OpenOptions::new().write(true).create_new(true), &lock) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(Error::io("create", &lock, error));
                }
                _ => {}
            }
        }
        Ok(Self { path })
    }

    /// Opens the run in `path`, which must be one.
    ///
    /// # Errors
    /// [`Error::NotARun`] or [`Error::Io`] when it is not.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        fs::read_dir(&path).map_err(|source| Error::io("open the run", &path, source))?;
        if !Self::is_run(&path) {
            return Err(Error::NotARun { path });
        }
        Ok(Self { path })
    }

    /// Whether `path` is the folder of a run.
    pub fn is_run(path: &Path) -> bool {
        path.join(LOCK).symlink_metadata().is_ok_and(|found| found.is_file() || found.is_symlink())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file or folder in the run.
    ///
    /// # Errors
    /// [`Error::Escapes`] for a name that would leave the run folder.
    pub fn join(&self, name: impl AsRef<Path>) -> Result<PathBuf> {
        safe_join(&self.path, name)
    }

    /// The published folder of a stage.
    ///
    /// # Errors
    /// [`Error::Escapes`] for a name that would leave the run folder.
    pub fn stage_dir(&self, stage: &str) -> Result<PathBuf> {
        self.join(stage)
    }

    /// The folder in which a stage works until it is published.
    ///
    /// # Errors
    /// [`Error::Escapes`] for a name that would leave the run folder.
    pub fn partial_dir(&self, stage: &str) -> Result<PathBuf> {
        self.join(format!("{stage}.partial"))
    }

    /// Takes the run for this process, until the lock is dropped or the process ends (however it
    /// ends).
    ///
    /// # Errors
    /// [`Error::InUse`] names the process that has it.
    pub fn lock(&self) -> Result<RunLock> {
        let path = self.path.join(LOCK);
        let fail = |source| Error::io("lock", &path, source);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = open_plain(&mut options, &path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The holder's name only decorates the message.
                let _ = file.read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => String::new(),
                    id => format!(" by process {id}"),
                };
                return Err(Error::InUse { path: self.path.clone(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(fail)?;
        writeln!(file, "{}", std::process::id()).map_err(fail)?;
        Ok(RunLock { file })
    }

    /// Appends one line to `log.jsonl`: what happened and when. Clocks and hardware are welcome
    /// here; nothing reads it back into a result.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::DiskFull`], [`Error::Json`].
    pub fn log(&self, event: &impl Serialize) -> Result<()> {
        let path = self.path.join(LOG);
        let mut line = serde_json::to_vec(event).map_err(|error| Error::Json {
            what: "a log event".into(),
            message: error.to_string(),
        })?;
        line.push(b'\n');
        open_plain(OpenOptions::new().create(true).append(true), &path)
            .and_then(|mut file| file.write_all(&line))
            .map_err(|source| Error::io("write", &path, source))
    }

    /// Brings the folder of `stage` back to a state that a reader can trust, after a process was
    /// killed while publishing it. Call it under the lock.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn recover(&self, stage: &str) -> Result<()> {
        publish::recover(&self.stage_dir(stage)?)
    }
}

/// The run belongs to this process while this lives.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // The system releases the lock with the file in any case.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}
