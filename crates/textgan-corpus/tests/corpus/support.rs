//! A folder of files, a config, and what came of them.

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use textgan_artifact::Quiet;
use textgan_artifact::table::{self, Document, Dropped};
use textgan_corpus::{CorpusConfig, Error, Split, Stats, ingest};
use textgan_random::Key;

pub struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A folder with one text file, `a.txt`.
    pub fn with(text: &str) -> Self {
        let folder = Self::new();
        folder.write("a.txt", text);
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn out(&self) -> PathBuf {
        self.path("out")
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The config with relative paths taken from here.
    pub fn config(&self, config: Value) -> CorpusConfig {
        let mut config: CorpusConfig = serde_json::from_value(config).unwrap();
        config.rebase(self.folder.path());
        config
    }

    pub fn ingest(&self, config: Value) -> Result<Outcome, Error> {
        let out = self.out();
        let stats = ingest(&self.config(config), &Key::root(7), &out, &Quiet)?;
        Ok(Outcome { stats, out })
    }

    /// What the ingestion refuses, and that it leaves nothing.
    pub fn refusal(&self, config: Value) -> String {
        let error = self.ingest(config).map(|outcome| outcome.stats).unwrap_err();
        let left: Vec<_> = std::fs::read_dir(self.out())
            .into_iter()
            .flatten()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert!(left.is_empty(), "{error}: left {left:?}");
        error.to_string()
    }
}

pub struct Outcome {
    pub stats: Stats,
    pub out: PathBuf,
}

impl Outcome {
    pub fn rows(&self, split: Split) -> Vec<Document> {
        table::read_split(&self.out, split.name()).unwrap()
    }

    pub fn texts(&self, split: Split) -> Vec<String> {
        self.rows(split).into_iter().map(|row| row.text).collect()
    }

    /// Texts of the training split.
    pub fn train(&self) -> Vec<String> {
        self.texts(Split::Train)
    }

    pub fn dropped(&self) -> Vec<Dropped> {
        table::read(self.out.join("dropped.parquet")).unwrap()
    }

    /// Dropped rows as `step: text: reason`.
    pub fn reasons(&self) -> Vec<String> {
        self.dropped()
            .into_iter()
            .map(|row| format!("{}: {}: {}", row.step, row.text, row.reason))
            .collect()
    }
}

/// No split but the training one, and no step: what was read.
pub fn as_read(sources: Value) -> Value {
    serde_json::json!({ "sources": sources, "steps": [], "split": { "valid": 0, "test": 0 } })
}

pub fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes.as_ref()).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    ::zstd::encode_all(bytes.as_ref(), 1).unwrap()
}

/// A tar archive of named files. Names are written as they are, sound or not.
pub fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = ::tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Name and content of every file in a folder.
pub fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}
