//! Scores a file of generated sentences against a file of real ones, one sentence a line.
//!
//! `cargo run -p textgan-metrics --example score -- SAMPLES REFERENCES`; without arguments, a toy.

use std::collections::HashMap;
use std::time::Instant;
use textgan_metrics::{References, distinct_n, exact_copy_rate, lengths, refuse_empty, self_bleu};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (samples, references) = match arguments.as_slice() {
        [] => (TOY_SAMPLES.to_owned(), TOY_REFERENCES.to_owned()),
        [samples, references] => {
            (std::fs::read_to_string(samples)?, std::fs::read_to_string(references)?)
        }
        _ => return Err("usage: score [SAMPLES REFERENCES]".into()),
    };
    let mut words = HashMap::new();
    let mut ids = |text: &str| -> Vec<Vec<u32>> {
        let mut id = |word: &str| {
            let next = words.len() as u32;
            *words.entry(word.to_owned()).or_insert(next)
        };
        text.lines().map(|line| line.split_whitespace().map(&mut id).collect()).collect()
    };
    let (samples, references) = (ids(&samples), ids(&references));
    refuse_empty("samples", &samples)?;

    let start = Instant::now();
    let bleu = References::new(&references, 5)?.score(&samples)?.mean();
    let bleu_time = start.elapsed();
    let start = Instant::now();
    let own = self_bleu(&samples, 5)?;
    let own_time = start.elapsed();
    for n in 2..=5 {
        println!("BLEU-{n} {:.4}   Self-BLEU-{n} {:.4}", bleu[n - 1], own[n - 1]);
    }
    println!("distinct-2 {:.4}", distinct_n(&samples, 2)?);
    println!("exact copies of references {:.4}", exact_copy_rate(&samples, &references)?);
    println!("{:?}", lengths(&samples)?);
    println!(
        "{} samples, {} references: BLEU {bleu_time:.1?}, Self-BLEU {own_time:.1?}",
        samples.len(),
        references.len()
    );
    Ok(())
}

const TOY_SAMPLES: &str =
    "a man rides a horse\na man rides a red bicycle\ntwo dogs sleep on the sofa";
const TOY_REFERENCES: &str =
    "a man rides a brown horse\na woman rides a red bicycle\ntwo cats sleep on the sofa";
