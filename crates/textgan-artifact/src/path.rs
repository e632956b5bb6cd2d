//! Names that stay where they belong.

use crate::{Error, Result};
use std::path::{Component, Path, PathBuf};

/// Joins `name` to `base`, or refuses: `name` must be relative and made of plain parts only (no
/// `..`, no root, no drive), and whatever of it already exists must lie under `base` once symbolic
/// links are followed.
///
/// # Errors
/// [`Error::Escapes`] for a name that would leave `base`.
pub fn safe_join(base: &Path, name: impl AsRef<Path>) -> Result<PathBuf> {
    let name = name.as_ref();
    let escapes =
        || Error::Escapes { base: base.to_path_buf(), name: name.to_string_lossy().into_owned() };
    let mut joined = base.to_path_buf();
    let mut parts = 0;
    for part in name.components() {
        match part {
            Component::Normal(part) => joined.push(part),
            Component::CurDir => continue,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(escapes());
            }
        }
        parts += 1;
    }
    if parts == 0 {
        return Err(escapes());
    }
    // The nearest existing ancestor decides where symbolic links lead.
    let mut existing = joined.as_path();
    while existing != base && existing.symlink_metadata().is_err() {
        existing = existing.parent().unwrap_or(base);
    }
    if existing != base
        && let Ok(real_base) = base.canonicalize()
    {
        match existing.canonicalize() {
            Ok(real) if real.starts_with(&real_base) => {}
            _ => return Err(escapes()),
        }
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_joined() {
        let base = Path::new("runs/a");
        assert_eq!(safe_join(base, "train").unwrap(), base.join("train"));
        assert_eq!(safe_join(base, "./train/model/x").unwrap(), base.join("train/model/x"));
    }

    #[test]
    fn escaping_names_are_refused() {
        for name in ["", ".", "..", "../x", "a/../../x", "/etc/passwd", "a/.."] {
            let refused = safe_join(Path::new("runs/a"), name);
            assert!(matches!(refused, Err(Error::Escapes { .. })), "{name:?}: {refused:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_out_of_the_folder_are_refused() {
        let outside = tempfile::tempdir().unwrap();
        let base = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), base.path().join("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", base.path().join("dangling")).unwrap();
        for name in ["link", "link/x", "dangling"] {
            let refused = safe_join(base.path(), name);
            assert!(matches!(refused, Err(Error::Escapes { .. })), "{name:?}: {refused:?}");
        }
    }
}
