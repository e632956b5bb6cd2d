#![no_main]

use libfuzzer_sys::fuzz_target;
use textgan_synthetic::Oracle;

fuzz_target!(|bytes: &[u8]| {
    // Every array of an oracle is this one.
    let folder = std::env::temp_dir().join(format!("oracle-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    for file in Oracle::files(&folder) {
        std::fs::write(file, bytes).expect("a file");
    }
    let _ = Oracle::load(&folder);
});
