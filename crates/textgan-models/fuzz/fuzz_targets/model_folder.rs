#![no_main]

use libfuzzer_sys::fuzz_target;
use candle_core::Device;
use textgan_models::{load_discriminator, load_generator};

const FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

fuzz_target!(|bytes: &[u8]| {
    // The files of a folder, one behind the other: four bytes of length, then the content.
    let folder = std::env::temp_dir().join(format!("model-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut rest = bytes;
    for name in FILES {
        let Some((length, behind)) = rest.split_first_chunk::<4>() else { break };
        let (content, behind) = behind.split_at((u32::from_le_bytes(*length) as usize).min(behind.len()));
        std::fs::write(folder.join(name), content).expect("a file");
        rest = behind;
    }
    let _ = load_generator(&folder, &Device::Cpu);
    let _ = load_discriminator(&folder, &Device::Cpu);
});
