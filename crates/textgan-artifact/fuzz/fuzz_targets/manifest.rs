#![no_main]

use libfuzzer_sys::fuzz_target;
use textgan_artifact::Manifest;

fuzz_target!(|bytes: &[u8]| {
    let folder = std::env::temp_dir().join(format!("manifest-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("manifest.json"), bytes).expect("a file");
    if let Ok(manifest) = Manifest::read(&folder) {
        let _ = manifest.verify(&folder);
        let _ = manifest.copy(&folder, &folder.join("copy"));
    }
});
