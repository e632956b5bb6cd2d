//! Ten captions, what each costs, and what is known of the corpus as a whole.
//!
//! `cargo run -p textgan-synthetic --example captions [-- SEED]`

use textgan_random::Key;
use textgan_synthetic::{Error, Grammar};

fn main() -> Result<(), Error> {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let grammar = Grammar::embedded();
    let key = Key::root(seed).child("captions");
    let mut samples = Vec::new();
    for row in 0..10_000 {
        let (caption, label) = grammar.sample(&mut key.index(row).stream());
        if row < 10 {
            let cost = -grammar.log_prob(&caption).unwrap_or(f64::NEG_INFINITY);
            println!("{:>8}  {cost:5.1} nats  {caption}", label.unwrap_or_default());
        }
        samples.push(caption);
    }
    let lengths = grammar.length_distribution();
    let shortest = lengths.iter().position(|p| *p > 0.0).unwrap_or_default();
    println!(
        "\n{} words; {shortest} to {} a sentence, {:.2} on average",
        grammar.vocabulary().len(),
        lengths.len() - 1,
        grammar.mean_length()
    );
    println!("entropy {:.4} nats a sentence (exact)", grammar.entropy()?);
    println!("what 10,000 of its own samples cover: {:#?}", grammar.coverage(&samples)?);
    let slip = "the man who is washing two cups are standing near the sink";
    if let Err(fault) = grammar.explain(slip) {
        println!("`{slip}`\n  {fault}");
    }
    Ok(())
}
