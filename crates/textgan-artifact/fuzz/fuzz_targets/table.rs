#![no_main]

use libfuzzer_sys::fuzz_target;
use textgan_artifact::table::{Document, TokenRow, is_guarded, read_split};

fuzz_target!(init: {
    let abort = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| if !is_guarded() { abort(panic) }));
}, |bytes: &[u8]| {
    let folder = std::env::temp_dir().join(format!("table-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("train-00000-of-00001.parquet"), bytes).expect("a file");
    let _ = read_split::<TokenRow>(&folder, "train");
    let _ = read_split::<Document>(&folder, "train");
});
