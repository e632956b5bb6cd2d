//! Compares two text files, one sentence a line, in the embedding that needs no encoder:
//! `cargo run -p textgan-evaluate --example embedding -- SAMPLES REFERENCES`.

use std::collections::HashMap;
use std::time::Instant;

use textgan_evaluate::embedding::{
    DIMENSIONS, Embeddings, HASHED_PROJECTION, frechet_distance, hashed_projection, mauve,
    neighbourhoods,
};
use textgan_random::Key;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [samples, references] = arguments.as_slice() else {
        return Err("usage: embedding SAMPLES REFERENCES".into());
    };
    let mut words = HashMap::new();
    let mut rows = |path: &str| -> Result<Vec<f32>, std::io::Error> {
        let mut number = |word: &str| {
            let next = words.len() as u32;
            *words.entry(word.to_owned()).or_insert(next)
        };
        let text = std::fs::read_to_string(path)?;
        let sentences = text.lines().map(|line| line.split_whitespace().map(&mut number).collect());
        Ok(hashed_projection(&sentences.collect::<Vec<Vec<u32>>>()))
    };
    // The numbers of words, and so the embedding, depend on which file is read first.
    let (references, samples) = (rows(references)?, rows(samples)?);
    let references = Embeddings::new(&references, DIMENSIONS)?;
    let samples = Embeddings::new(&samples, DIMENSIONS)?;
    println!("{HASHED_PROJECTION}: {} samples, {} references", samples.rows(), references.rows());

    let begin = Instant::now();
    println!("Fréchet {:.5}  {:.1?}", frechet_distance(references, samples)?, begin.elapsed());
    let begin = Instant::now();
    println!("{:.4?}  {:.1?}", mauve(references, samples, None, &Key::root(1))?, begin.elapsed());
    let begin = Instant::now();
    println!("{:.4?}  {:.1?}", neighbourhoods(references, samples, 5)?, begin.elapsed());
    Ok(())
}
