//! Trains each kind of vocabulary on a few lines and shows how it cuts one of them:
//! `cargo run -p textgan-tokenizer --example tokenize [FILE.txt]`.

use std::error::Error;

use textgan_tokenizer::{Kind, TokenizerConfig, Trainer};

const CAPTIONS: &str = "a man rides a bicycle down the street
a woman is riding a horse on the beach
two dogs are sleeping on a couch
a bicycle is parked beside a wooden bench";

fn main() -> Result<(), Box<dyn Error>> {
    let text = match std::env::args().nth(1) {
        Some(path) => std::fs::read_to_string(path)?,
        None => CAPTIONS.to_owned(),
    };
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines.first().copied().unwrap_or_default();
    for kind in [Kind::Word, Kind::ByteBpe, Kind::Unigram, Kind::Character] {
        let mut trainer = Trainer::new(&TokenizerConfig { kind, ..TokenizerConfig::default() })?;
        trainer.feed(&lines)?;
        let (tokenizer, vocabulary) = trainer.finish()?;
        let tokens = tokenizer.encode(shown)?;
        let pieces: Vec<String> = tokens.iter().filter_map(|&id| tokenizer.token(id)).collect();
        println!("{kind:?}: {} tokens in the vocabulary", vocabulary.size);
        println!("  {}", pieces.join(" | "));
        println!("  {}", tokenizer.decode(&tokens)?);
    }
    Ok(())
}
