//! Encodes a text file, one sentence a line, and says how fast:
//! `cargo run -p textgan-evaluate --example encoder -- FOLDER TEXTS [ROUNDS]`, with the folder of an
//! encoder such as all-MiniLM-L6-v2.

use std::path::Path;
use std::time::Instant;

use textgan_evaluate::embedding::SentenceEncoder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, texts, rounds) = match arguments.as_slice() {
        [folder, texts] => (folder, texts, 1),
        [folder, texts, rounds] => (folder, texts, rounds.parse()?),
        _ => return Err("usage: encoder FOLDER TEXTS [ROUNDS]".into()),
    };
    let texts = std::fs::read_to_string(texts)?;
    let texts: Vec<&str> = texts.lines().collect();
    let begin = Instant::now();
    let encoder = SentenceEncoder::load(Path::new(folder))?;
    println!("{}, loaded in {:.1?}", encoder.name(), begin.elapsed());
    for _ in 0..rounds {
        let begin = Instant::now();
        let embeddings = encoder.encode(&texts)?;
        let seconds = begin.elapsed().as_secs_f64();
        let sum: f32 = embeddings.iter().sum();
        let rate = texts.len() as f64 / seconds;
        println!("{} sentences, {rate:.0} a second; sum {sum}", texts.len());
    }
    Ok(())
}
