//! Files that are whole or not there, and what is left of those that were not.

use std::fs;
use textgan_artifact::{Error, Fingerprint, Header, Manifest, make_folder, replace_file};

#[test]
fn what_was_never_whole_is_no_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inner");
    make_folder(&path).unwrap();
    make_folder(&path).unwrap();
    let whole = path.join("whole");
    replace_file(&whole, |draft| fs::write(draft, "yes").map_err(|_| unreachable())).unwrap();
    // A power cut may bring these back.
    for left in ["manifest.json.tmp", "inner/other.tmp"] {
        fs::write(folder.path().join(left), "half").unwrap();
    }
    let fingerprint = Fingerprint::new("s", 1).finish().unwrap();
    let manifest = Manifest::write(folder.path(), Header::new("s", 1, fingerprint)).unwrap();
    assert_eq!(manifest.files.keys().collect::<Vec<_>>(), ["inner/whole"]);
    manifest.verify(folder.path()).unwrap();
    assert_eq!(fs::read_dir(&path).unwrap().count(), 1);

    let failed = replace_file(&whole, |_| Err(unreachable()));
    assert!(failed.is_err());
    assert_eq!(fs::read_to_string(&whole).unwrap(), "yes", "what was there stays");
}

fn unreachable() -> Error {
    Error::NoManifest { path: "x".into() }
}
