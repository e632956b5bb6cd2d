//! Trains a discriminator to tell sentences that count upwards from shuffled ones, then shows when
//! it notices a slip.
//!
//! ```text
//! cargo run -p textgan-models --example discriminate [-- cnn]
//! ```

use candle_core::{Device, Tensor};
use textgan_models::{
    CnnDiscriminatorConfig, DiscriminatorConfig, RnnDiscriminatorConfig, Sequences, Sizes, Tokens,
    build_discriminator, whole,
};
use textgan_nn::{AdamConfig, Mode, Optimizer, ops};
use textgan_random::{Key, Stream};

const SIZES: Sizes = Sizes { vocab: 40, labels: 0, max_length: 10 };

/// Half the rows count upwards, half are those numbers in another order.
fn batch(stream: &mut Stream) -> Result<(Sequences, Vec<f32>), textgan_models::Error> {
    let mut rows = Vec::new();
    for row in 0..64 {
        let (first, length) = (4 + stream.below(26) as u32, 4 + stream.below(7) as u32);
        let mut tokens: Vec<u32> = (first..first + length).collect();
        if row % 2 == 1 {
            stream.shuffle(&mut tokens);
        }
        rows.push(tokens);
    }
    let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
    let real = (0..rows.len()).map(|row| if row % 2 == 0 { 1.0 } else { 0.0 }).collect();
    Ok((Sequences::from_rows(&rows, None, SIZES.max_length)?, real))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = match std::env::args().nth(1).as_deref() {
        Some("cnn") => DiscriminatorConfig::Cnn(CnnDiscriminatorConfig::default()),
        _ => DiscriminatorConfig::Rnn(RnnDiscriminatorConfig::default()),
    };
    let key = Key::root(1);
    let network = build_discriminator(&config, &SIZES, None, &key.child("init"), &Device::Cpu)?;
    let mut optimizer = Optimizer::new(AdamConfig::default(), network.parameters())?;
    println!("{} weights", network.parameters().count());

    for step in 0..=150 {
        let key = key.child("step").index(step);
        let (texts, real) = batch(&mut key.child("data").stream())?;
        let tokens = Tokens::Hard(texts.targets());
        let dropout = key.child("dropout");
        let realness = network.realness(&tokens, texts.lengths(), None, Mode::Train(&dropout))?;
        let logits = whole(&realness, texts.lengths())?;
        let right = logits
            .to_vec1::<f32>()?
            .iter()
            .zip(&real)
            .filter(|(l, r)| (**l > 0.0) == (**r > 0.5))
            .count();
        let loss = ops::bce_with_logits(&logits, &Tensor::new(real, &Device::Cpu)?)?;
        if step % 30 == 0 {
            println!("step {step:3}: loss {:.3}, {right} of 64 right", loss.to_scalar::<f32>()?);
        }
        optimizer.step(&loss.backward()?, 3e-3)?;
    }

    let slip = [10, 11, 14, 12, 13, 15];
    let texts = Sequences::from_rows(&[&slip], None, SIZES.max_length)?;
    let tokens = Tokens::Hard(texts.targets());
    let realness = network.realness(&tokens, texts.lengths(), None, Mode::Evaluate)?;
    println!("realness after each token of {slip:?} and the end:");
    println!("{:.1?}", realness.to_vec2::<f32>()?[0]);
    if !network.reads_prefixes() {
        println!("(this network only knows whole texts)");
    }
    Ok(())
}
