//! What the targets of this crate share.

use std::fs;
use std::ops::ControlFlow;
use std::sync::OnceLock;

use serde_json::json;
use tempfile::TempDir;
use textgan_artifact::Quiet;
use textgan_random::Key;

/// One input in so many is ingested whole, which takes a hundred times as long as reading it.
const INGESTED: usize = 64;

/// Reads a file with this content and ending; ingests it, if its length says so. Any error will do; a panic, a wait or
/// too much memory will not.
pub fn read(ending: &str, bytes: &[u8], layout: serde_json::Value) {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("a folder")).path();
    let file = folder.join(format!("a.{ending}"));
    fs::write(&file, bytes).expect("a file");
    let mut source = json!({ "kind": "files", "path": file });
    for (key, value) in layout.as_object().into_iter().flatten() {
        source[key] = value.clone();
    }
    let config = json!({
        "sources": source, "steps": [], "split": { "valid": 0, "test": 0 }, "encoding": "replace",
        "limits": { "max_document_bytes": 65536, "max_file_bytes": 16777216 },
    });
    let config = serde_json::from_value(config).expect("a config");
    let key = Key::root(1);
    let _ = textgan_corpus::read_documents(&config, &key, |_| ControlFlow::Continue(()));
    if bytes.len() % INGESTED == 0 {
        let out = folder.join("out");
        let _ = fs::remove_dir_all(&out);
        fs::create_dir(&out).expect("a folder");
        let _ = textgan_corpus::ingest(&config, &key, &out, &Quiet);
    }
}
