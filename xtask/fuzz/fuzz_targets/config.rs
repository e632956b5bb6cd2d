#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let file = std::env::temp_dir().join(format!("config-{}.toml", std::process::id()));
    std::fs::write(&file, bytes).expect("a file");
    if let Ok(loaded) = xtask::config::load::<textgan_train::BuiltIn>(Some(&file), &[]) {
        let _ = loaded.config.validate();
    }
});
