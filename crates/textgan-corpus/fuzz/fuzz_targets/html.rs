#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use textgan_corpus_fuzz::read;

fuzz_target!(|bytes: &[u8]| read("html", bytes, json!({ "unit": "paragraph", "selector": "body" })));
