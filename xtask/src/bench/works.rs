//! Our side of the comparisons: the calls that training and sampling make, over random tokens.

use anyhow::{Context as _, Result, bail};
use candle_core::{Device, Tensor};
use std::path::{Path, PathBuf};
use textgan_evaluate::embedding::{self, Embeddings};
use textgan_models::{
    CnnDiscriminatorConfig, Conditions, Context, DiscriminatorConfig, EmbeddingConfig, Generator,
    GeneratorConfig, NoiseConfig, RnnDiscriminatorConfig, SamplingOptions, Sequences, Sizes,
    Tokens, TransformerConfig, build_discriminator, build_generator, sample, whole,
};
use textgan_nn::kernels::Precision;
use textgan_nn::ops::{self, GumbelOptions, Relaxation, softplus};
use textgan_nn::{AdamConfig, Mode, Optimizer};
use textgan_random::Key;

use super::duel::Needs;
use super::{captions, gans, ratio};

/// A call to be timed, ready to be made many times.
pub type Work = Box<dyn FnMut() -> Result<()>>;

/// The sizes of a language model and of its batch.
#[derive(Clone, Copy)]
struct Shape {
    vocab: usize,
    width: usize,
    layers: usize,
    heads: usize,
    inner: usize,
    time: usize,
    batch: usize,
}

const BIG: Shape =
    Shape { vocab: 5000, width: 256, layers: 4, heads: 4, inner: 683, time: 32, batch: 64 };
const SMALL: Shape =
    Shape { vocab: 4682, width: 64, layers: 2, heads: 2, inner: 171, time: 37, batch: 64 };

/// The work of that name.
pub fn work(name: &str, needs: Needs<'_>) -> Result<Work> {
    match name {
        "likelihood-big" | "likelihood-big-threads" => likelihood(BIG, Precision::F32),
        "likelihood-big-bf16" => likelihood(BIG, Precision::Bf16),
        "likelihood-small" => likelihood(SMALL, Precision::F32),
        "discriminator-gru" => discriminator(gru(), SMALL.vocab, 37),
        "discriminator-cnn" => {
            let config =
                CnnDiscriminatorConfig { dropout: 0.0, ..CnnDiscriminatorConfig::seqgan() };
            discriminator(DiscriminatorConfig::Cnn(config), BIG.vocab, 20)
        }
        "generator-loop" | "generator-one-pass" => generator_step(SMALL),
        "sample-big" => sampling(BIG),
        "sample-small" => sampling(SMALL),
        "seqgan-step" => gans::seqgan_step(),
        "relgan-step" => gans::relgan_step(),
        "leakgan-step" => gans::leakgan_step(),
        "ratio-discriminator-step" => ratio::discriminator_step(619),
        "ratio-discriminator-step-5600" => ratio::discriminator_step(5600),
        "expected-policy-gradient-step" => ratio::generator_step(619),
        "expected-policy-gradient-step-5600" => ratio::generator_step(5600),
        "metrics/mauve" => mauve(),
        "metrics/encoder" => encoder(needs.encoder.context("it needs --encoder")?),
        _ => bail!("there is no work named {name}"),
    }
}

/// Floating point operations of a step in matrix products, of those works that are one.
pub fn operations(name: &str) -> Option<f64> {
    if let Some(operations) = ratio::operations(name) {
        return Some(operations);
    }
    let Shape { vocab, width, layers, inner, time, batch, .. } = match name {
        "likelihood-big" => BIG,
        "likelihood-small" => SMALL,
        _ => return None,
    };
    let weights = layers * width * (4 * width + 3 * inner) + vocab * width;
    // Attention reads half of its square.
    let attention = layers * width * time;
    Some(6.0 * (batch * time) as f64 * (weights + attention) as f64)
}

impl Shape {
    fn sizes(self) -> Sizes {
        Sizes { vocab: self.vocab, labels: 0, max_length: self.time - 1 }
    }

    fn generator(self) -> Result<Box<dyn Generator>> {
        let config = TransformerConfig {
            width: self.width,
            layers: self.layers,
            heads: self.heads,
            feed_forward: Some(self.inner),
            tied: false,
            ..TransformerConfig::default()
        };
        let config = GeneratorConfig::Transformer(config);
        Ok(build_generator(&config, &NO_NOISE, &self.sizes(), &Key::root(1), &Device::Cpu)?)
    }
}

pub(super) const NO_NOISE: NoiseConfig =
    NoiseConfig { dimension: 0, placement: textgan_models::Placement::Begin, code: None };

fn gru() -> DiscriminatorConfig {
    DiscriminatorConfig::Rnn(RnnDiscriminatorConfig {
        embedding: EmbeddingConfig::Learned { width: 64, std: 0.02 },
        hidden: 128,
        dropout: 0.0,
        ..RnnDiscriminatorConfig::default()
    })
}

/// Texts that fill `time` positions, the end included.
pub(super) fn texts(vocab: usize, time: usize, batch: usize) -> Result<Sequences> {
    let mut stream = Key::root(2).stream();
    let mut row =
        || -> Vec<u32> { (1..time).map(|_| 4 + stream.below(vocab as u64 - 4) as u32).collect() };
    let rows: Vec<Vec<u32>> = (0..batch).map(|_| row()).collect();
    Ok(Sequences::from_samples(&rows, &vec![true; batch], None)?)
}

pub(super) fn no_noise(batch: usize) -> Result<Tensor> {
    Ok(Tensor::from_vec(Vec::<f32>::new(), (batch, 0), &Device::Cpu)?)
}

fn likelihood(shape: Shape, precision: Precision) -> Result<Work> {
    let mut generator = shape.generator()?;
    generator.set_precision(precision);
    let mut optimizer = Optimizer::new(AdamConfig::default(), generator.parameters())?;
    let texts = texts(shape.vocab, shape.time, shape.batch)?;
    let noise = no_noise(shape.batch)?;
    let weights: Vec<f32> =
        texts.weights().into_iter().map(|weight| weight / texts.tokens() as f32).collect();
    Ok(Box::new(move || {
        let context = Context { noise: &noise, labels: None };
        let hidden = generator.hidden(&context, &texts, Mode::Evaluate)?.flatten_to(1)?;
        let (head, targets) = (generator.head(), texts.targets());
        let head = ops::head_cross_entropy(&hidden, head, targets, &weights, precision)?;
        optimizer.step(&head.loss.backward()?, 3e-4)?;
        Ok(())
    }))
}

fn discriminator(config: DiscriminatorConfig, vocab: usize, time: usize) -> Result<Work> {
    let sizes = Sizes { vocab, labels: 0, max_length: time - 1 };
    let network = build_discriminator(&config, &sizes, None, &Key::root(3), &Device::Cpu)?;
    let mut optimizer = Optimizer::new(AdamConfig::default(), network.parameters())?;
    let texts = texts(vocab, time, 64)?;
    let mut stream = Key::root(4).stream();
    let real: Vec<f32> = (0..64).map(|_| stream.below(2) as f32).collect();
    let real = Tensor::from_vec(real, 64, &Device::Cpu)?;
    Ok(Box::new(move || {
        let tokens = Tokens::Hard(texts.targets());
        let key = Key::root(5);
        let realness = network.realness(&tokens, texts.lengths(), None, Mode::Train(&key))?;
        let loss = ops::bce_with_logits(&whole(&realness, texts.lengths())?, &real)?;
        optimizer.step(&loss.backward()?, 3e-4)?;
        Ok(())
    }))
}

/// Samples, scores what was sampled in one pass with straight-through words, and lets the resting
/// discriminator's gradient through.
fn generator_step(shape: Shape) -> Result<Work> {
    let generator = shape.generator()?;
    let key = Key::root(6);
    let judge = build_discriminator(&gru(), &shape.sizes(), None, &key, &Device::Cpu)?.frozen()?;
    let mut optimizer = Optimizer::new(AdamConfig::default(), generator.parameters())?;
    let noise = no_noise(shape.batch)?;
    let mut step = 0;
    Ok(Box::new(move || {
        step += 1;
        let key = key.index(step);
        let conditions = Conditions { rows: shape.batch, noise: &[], labels: None };
        let options = SamplingOptions::default();
        let mut sampler = generator.sampler()?;
        let samples = sample(sampler.as_mut(), &conditions, &[], &options, &key, 0)?;
        let texts = samples.sequences(None)?;
        let context = Context { noise: &noise, labels: None };
        let hidden = generator.hidden(&context, &texts, Mode::Evaluate)?.flatten_to(1)?;
        let (head, embedding) = (generator.head(), judge.embedding());
        let relaxation = Relaxation::StraightThrough;
        let options = GumbelOptions { relaxation, temperature: 1.0, excluded: &[] };
        let words = ops::gumbel_head(&hidden, head, embedding, texts.targets(), options, &key)?;
        let words = words.reshape((texts.batch(), texts.time(), ()))?;
        let tokens = Tokens::Soft(&words);
        let realness = judge.realness(&tokens, texts.lengths(), None, Mode::Evaluate)?;
        let loss = softplus(&whole(&realness, texts.lengths())?.neg()?)?.mean_all()?;
        optimizer.step(&loss.backward()?, 3e-4)?;
        Ok(())
    }))
}

/// 64 texts of 37 tokens, from a fresh snapshot of the weights.
fn sampling(shape: Shape) -> Result<Work> {
    let shape = Shape { time: 37, ..shape };
    let generator = shape.generator()?;
    let mut step = 0;
    Ok(Box::new(move || {
        step += 1;
        let conditions = Conditions { rows: shape.batch, noise: &[], labels: None };
        let mut sampler = generator.sampler()?;
        let options = SamplingOptions::default();
        sample(sampler.as_mut(), &conditions, &[], &options, &Key::root(7).index(step), 0)?;
        Ok(())
    }))
}

/// Embeddings of captions that MAUVE compares, each set `[10_000, 256]`.
fn sets() -> [Vec<f32>; 2] {
    ["real", "generated"].map(|name| {
        let captions = captions::numbered(&captions::captions(name, 10_000));
        embedding::hashed_projection(&captions)
    })
}

/// A file of both sets for the peer: `f32`, little-endian, one after the other.
pub fn embeddings(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("embeddings");
    let numbers = sets().concat();
    std::fs::write(&path, numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())?;
    Ok(path)
}

fn mauve() -> Result<Work> {
    let [real, generated] = sets();
    let key = Key::root(1);
    Ok(Box::new(move || {
        let [real, generated] =
            [&real, &generated].map(|set| Embeddings::new(set, embedding::DIMENSIONS));
        embedding::mauve(real?, generated?, None, &key)?;
        Ok(())
    }))
}

/// Captions that encoders read.
fn read_by_encoders() -> Vec<String> {
    captions::captions("encoder", 1000)
}

/// A file of them, one a line.
pub fn caption_file(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("captions.txt");
    std::fs::write(&path, read_by_encoders().join("\n") + "\n")?;
    Ok(path)
}

#[cfg(feature = "encoder")]
fn encoder(folder: &Path) -> Result<Work> {
    let encoder = embedding::SentenceEncoder::load(folder)?;
    let captions = read_by_encoders();
    Ok(Box::new(move || Ok(encoder.encode(&captions).map(drop)?)))
}

#[cfg(not(feature = "encoder"))]
fn encoder(_: &Path) -> Result<Work> {
    bail!("this build has no encoder: cargo run -p xtask --features encoder -- bench ..")
}
