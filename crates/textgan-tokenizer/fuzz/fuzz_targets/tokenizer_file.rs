#![no_main]

use libfuzzer_sys::fuzz_target;
use textgan_tokenizer::Tokenizer;

const TEXTS: [&str; 4] = ["a man rides a horse .", "\u{e9}\u{4e2d}\u{1f600} \u{301}x", "", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"];

fuzz_target!(|bytes: &[u8]| {
    let file = std::env::temp_dir().join(format!("tokenizer-{}.json", std::process::id()));
    std::fs::write(&file, bytes).expect("a file");
    if let Ok(tokenizer) = Tokenizer::adopt(&file) {
        for text in TEXTS {
            let Ok(tokens) = tokenizer.encode(text) else { continue };
            // What differs from run to run, or is no row of a network, must have been refused.
            assert_eq!(tokenizer.encode(text).ok(), Some(tokens.clone()));
            assert!(tokens.iter().all(|&token| (token as usize) < tokenizer.vocab_size()));
            let _ = tokenizer.decode(&tokens);
        }
    }
});
