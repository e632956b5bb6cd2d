//! Files of a run are opened as what they are, never by way of a symbolic link: who may put a link into a
//! run folder could otherwise have any file of its owner emptied.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Opens `path` as `options` say, unless it is a symbolic link.
///
/// # Errors
/// As [`OpenOptions::open`]; a link is an error that says so.
pub fn open_plain(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    if path.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
        return Err(io::Error::other(LINK));
    }
    // Nor one that appears in between.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, libc::O_NOFOLLOW);
    options.open(path)
}

const LINK: &str =
    "it is a symbolic link, and files of a run are not written through links: remove it";

/// Fails if `folder` is a symbolic link: what is done below it would be done elsewhere.
///
/// # Errors
/// An error that says so.
pub fn plain_folder(folder: &Path) -> io::Result<()> {
    match folder.symlink_metadata() {
        Ok(found) if found.is_symlink() => Err(io::Error::other(LINK)),
        _ => Ok(()),
    }
}
