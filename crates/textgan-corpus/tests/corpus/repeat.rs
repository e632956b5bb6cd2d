//! The same bytes every time.

use crate::support::{Folder, contents};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use textgan_artifact::{Progress, Quiet};
use textgan_corpus::ingest;
use textgan_random::Key;

/// Several batches of text, with duplicates near and exact, in two splits of own files.
fn corpus() -> (Folder, Value) {
    let folder = Folder::new();
    let line = |i: u64| {
        format!("Sentence {} of text number {}. And  another ONE, {}!\n", i % 977, i % 3001, i % 5)
    };
    let lines: String = (0..60_000).map(line).collect();
    folder.write("a.txt.gz", crate::support::gzip(lines));
    folder.write("t.txt", (0..500).map(|i| line(i * 7)).collect::<String>());
    let config = json!({
        "sources": ["a.txt.gz", { "kind": "synthetic", "documents": 3000 }],
        "steps": ["nfc", "control", "whitespace", "sentences", "lower-case", { "step": "language", "keep": ["eng"] },
            "exact-duplicates", { "step": "near-duplicates", "threshold": 0.7 }, "cross-split"],
        "test": { "sources": "t.txt", "clean": "text" },
    });
    (folder, config)
}

#[test]
fn threads_change_nothing() {
    let (folder, config) = corpus();
    let config = folder.config(config);
    let run = |threads: usize, name: &str| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let out = folder.path(name);
        pool.install(|| ingest(&config, &Key::root(3), &out, &Quiet)).unwrap();
        contents(&out)
    };
    let one = run(1, "one");
    assert_eq!(one.len(), 5);
    assert!(one == run(2, "two"), "2 threads");
    assert!(one == run(7, "seven"), "7 threads");
}

#[test]
fn the_seed_decides_the_splits() {
    let (folder, config) = corpus();
    let config = folder.config(config);
    let run = |seed: u64| {
        let out = folder.path("out");
        ingest(&config, &Key::root(seed), &out, &Quiet).unwrap();
        contents(&out)
    };
    assert!(run(1) != run(2));
}

/// Asks to stop after a number of questions.
struct StopAfter(AtomicU64);

impl Progress for StopAfter {
    fn begin(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn message(&self, _: &str) {}
    fn status(&self, _: &str) {}
    fn finish(&self) {}
    fn stop_requested(&self) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_err()
    }
}

#[test]
fn a_stopped_ingestion_starts_over_to_the_same_end() {
    let (folder, config) = corpus();
    let config = folder.config(config);
    let whole = folder.path("whole");
    ingest(&config, &Key::root(3), &whole, &Quiet).unwrap();
    let out = folder.path("out");
    for questions in [0, 1, 3, 6] {
        let error = ingest(&config, &Key::root(3), &out, &StopAfter(questions.into())).unwrap_err();
        assert!(error.is_interrupted(), "{error}");
    }
    ingest(&config, &Key::root(3), &out, &Quiet).unwrap();
    assert!(contents(&whole) == contents(&out));
}
