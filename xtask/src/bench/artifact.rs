//! Files and tables.

use anyhow::Result;
use std::path::PathBuf;
use textgan_artifact::table::{Document, TableReader, TableWriter};
use textgan_artifact::{hash_file, remove_folder};

use super::{Row, median_seconds};

const ROWS: u64 = 200_000;
const BYTES: usize = 256 << 20;

pub const HASH: Row = Row {
    name: "artifact/hash",
    unit: "MB/s",
    bar: None,
    what: "BLAKE3 of a file of 256 MiB",
    slow: false,
    measure: || {
        let folder = Scratch::new("hash")?;
        let path = folder.0.join("bytes");
        std::fs::write(&path, vec![7; BYTES])?;
        let seconds = median_seconds(|| Ok(hash_file(&path).map(drop)?))?;
        Ok(BYTES as f64 / seconds / 1e6)
    },
};

pub const WRITE: Row = Row {
    name: "artifact/write",
    unit: "MB/s",
    bar: None,
    what: "200,000 documents to Parquet (text bytes)",
    slow: false,
    measure: || {
        let folder = Scratch::new("write")?;
        let seconds = median_seconds(|| write(folder.0.join("t.parquet")))?;
        Ok(text_bytes() as f64 / seconds / 1e6)
    },
};

pub const READ: Row = Row {
    name: "artifact/read",
    unit: "MB/s",
    bar: None,
    what: "200,000 documents from Parquet (text bytes)",
    slow: false,
    measure: || {
        let folder = Scratch::new("read")?;
        let path = folder.0.join("t.parquet");
        write(path.clone())?;
        let seconds = median_seconds(|| {
            for batch in TableReader::<Document>::open(&path)? {
                batch?;
            }
            Ok(())
        })?;
        Ok(text_bytes() as f64 / seconds / 1e6)
    },
};

fn documents() -> impl Iterator<Item = Document> {
    (0..ROWS).map(|id| Document {
        id,
        text: format!("caption number {id}: a man rides a {} horse near {} trees", id * 7, id % 97),
        label: None,
        source: "bench".into(),
        metadata: None,
    })
}

fn text_bytes() -> usize {
    documents().map(|document| document.text.len()).sum()
}

fn write(path: PathBuf) -> Result<()> {
    let mut writer = TableWriter::create(path)?;
    for document in documents() {
        writer.push(document)?;
    }
    writer.finish()?;
    Ok(())
}

/// A folder that goes away with its row.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Result<Self> {
        let name = format!("textgan-bench-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = remove_folder(&self.0);
    }
}
