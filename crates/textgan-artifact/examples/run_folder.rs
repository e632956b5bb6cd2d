//! A two-stage run in a temporary folder: lock, work, manifest, publish, verify.
//!
//! `cargo run -p textgan-artifact --example run_folder`

use std::collections::BTreeMap;
use textgan_artifact::table::{Document, ShardedWriter, SplitReader};
use textgan_artifact::{Fingerprint, Header, Manifest, RunDir, publish};

fn main() -> textgan_artifact::Result<()> {
    let path = std::env::temp_dir().join(format!("textgan-example-{}", std::process::id()));
    let run = RunDir::create(&path)?;
    let _lock = run.lock()?;

    // Stage one works in `ingest.partial/` ...
    let partial = run.partial_dir("ingest")?;
    std::fs::create_dir_all(&partial)
        .map_err(|source| textgan_artifact::Error::io("create", &partial, source))?;
    let mut writer = ShardedWriter::create(&partial, "train", 2)?;
    for (id, text) in ["a cat on a mat", "two dogs in a park", "a red bus"].iter().enumerate() {
        writer.push(Document {
            id: id as u64,
            text: (*text).to_string(),
            label: None,
            source: "example".into(),
            metadata: None,
        })?;
    }
    writer.finish()?;

    // ... and is published whole, with a manifest.
    let fingerprint = Fingerprint::new("ingest", 1).field("rows_per_shard", &2).finish()?;
    let header = Header::new("ingest", 1, fingerprint).with_inputs(BTreeMap::new());
    Manifest::write(&partial, header)?;
    let published = run.stage_dir("ingest")?;
    publish(&partial, &published)?;

    // Whoever reads it later checks the hashes first, then streams the rows.
    let manifest = Manifest::read(&published)?;
    manifest.verify(&published)?;
    for (name, file) in &manifest.files {
        println!("{name}  {} bytes  {}..", file.bytes, &file.hash[..12]);
    }
    for batch in SplitReader::<Document>::open(&published, "train")? {
        for document in batch? {
            println!("{}: {}", document.id, document.text);
        }
    }
    textgan_artifact::remove_folder(&path)
}
