#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use textgan_corpus_fuzz::read;

fuzz_target!(init: {
    let abort = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| if !textgan_artifact::table::is_guarded() { abort(panic) }));
}, |bytes: &[u8]| read("parquet", bytes, json!({ "text": "text" })));
