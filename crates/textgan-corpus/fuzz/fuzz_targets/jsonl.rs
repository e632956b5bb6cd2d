#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use textgan_corpus_fuzz::ingest;

fuzz_target!(|bytes: &[u8]| ingest("jsonl", bytes, json!({ "text": "post.body", "label": { "column": "label" }, "metadata": ["id"] })));
