//! Bytes that are either all there or not there at all.

use crate::{Error, Result, open_plain};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Moves the finished folder `partial` to `target`, durably: its files and folders are flushed to
/// the disk, an older `target` is renamed aside, `partial` takes its place, the parent is flushed,
/// and only then is the older one removed.
///
/// Both must have the same parent. A process killed in the middle leaves either the old or the new
/// folder complete; [`recover`] brings the old one back when it was caught aside.
///
/// # Errors
/// [`Error::Io`] or [`Error::DiskFull`].
pub fn publish(partial: &Path, target: &Path) -> Result<()> {
    sync_tree(partial)?;
    let aside = aside(target);
    if exists(target) {
        remove_folder(&aside)?;
        rename(target, &aside)?;
    }
    rename(partial, target)?;
    sync_folder(parent(target))?;
    remove_folder(&aside)
}

/// Cleans up after a [`publish`] to `target` that was killed between its two renames.
///
/// # Errors
/// [`Error::Io`].
pub fn recover(target: &Path) -> Result<()> {
    let aside = aside(target);
    if !exists(&aside) {
        return Ok(());
    }
    if exists(target) {
        remove_folder(&aside)
    } else {
        rename(&aside, target)?;
        sync_folder(parent(target))
    }
}

/// Removes a folder and everything in it; one that is not there is fine. A symbolic link is
/// removed, never followed.
///
/// # Errors
/// [`Error::Io`].
pub fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", folder, source))
        }
        _ => Ok(()),
    }
}

/// Writes a file whole or not at all: to a temporary file beside it, flushed, renamed into place,
/// and the folder flushed.
///
/// # Errors
/// [`Error::Io`] or [`Error::DiskFull`]; the temporary file is removed then.
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let temporary = with_suffix(path, TEMPORARY);
    // One that is left over, or a link that somebody put there, is not written to.
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    let mut fresh = || match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => open_plain(&mut options, &temporary),
    };
    let written = fresh().and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(source) = written {
        let _ = fs::remove_file(&temporary);
        return Err(Error::io("write", path, source));
    }
    rename(&temporary, path)?;
    sync_folder(parent(path))
}

/// How the names of files end that are not whole yet.
pub(crate) const TEMPORARY: &str = ".tmp";

/// Makes a folder that a power cut leaves there, unless there is one.
///
/// # Errors
/// [`Error::Io`].
pub fn make_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(|source| Error::io("create", folder, source))?;
    sync_folder(parent(folder))
}

/// Gives a file to `write` under a temporary name, and puts it into place as [`write_atomic`] does: flushed, renamed,
/// and the folder flushed. A power cut leaves what was there before or all of it.
///
/// # Errors
/// What `write` says; [`Error::Io`] or [`Error::DiskFull`].
pub fn replace_file<E: From<Error>>(
    path: impl AsRef<Path>,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let path = path.as_ref();
    let temporary = with_suffix(path, TEMPORARY);
    write(&temporary)?;
    let flushed = File::open(&temporary).and_then(|file| file.sync_all());
    flushed.map_err(|source| Error::io("write", path, source))?;
    rename(&temporary, path)?;
    Ok(sync_folder(parent(path))?)
}

/// Copies a file whole or not at all, as [`write_atomic`] writes one: a power cut leaves the copy or nothing.
///
/// # Errors
/// [`Error::Io`] or [`Error::DiskFull`]; the temporary file is removed then.
pub fn copy_atomic(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    let temporary = with_suffix(to, TEMPORARY);
    let fresh = || match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => {
            let mut options = OpenOptions::new();
            let mut copy = open_plain(options.write(true).create_new(true), &temporary)?;
            io::copy(&mut File::open(from)?, &mut copy)?;
            copy.sync_all()
        }
    };
    if let Err(source) = fresh() {
        let _ = fs::remove_file(&temporary);
        return Err(Error::io("copy", from, source));
    }
    rename(&temporary, to)?;
    sync_folder(parent(to))
}

/// Appends to the last part of a path.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Flushes a file that was written before to the disk.
pub(crate) fn sync_file(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|source| Error::io("flush", path, source))
}

fn aside(target: &Path) -> PathBuf {
    with_suffix(target, ".old")
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|source| Error::io("rename to", to, source))
}

pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn sync_tree(folder: &Path) -> Result<()> {
    let read = |source| Error::io("read", folder, source);
    for entry in fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        let kind = entry.file_type().map_err(read)?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            sync_file(&entry.path())?;
        }
    }
    sync_folder(folder)
}

/// Flushes a folder's list of names. Windows has no such call; it keeps renames by itself.
fn sync_folder(folder: &Path) -> Result<()> {
    if cfg!(unix) { sync_file(folder) } else { Ok(()) }
}
