//! The likelihood-ratio game: an update of the discriminator and one of the generator, on texts
//! that are there already.

use anyhow::Result;
use candle_core::{Device, Tensor};
use textgan_models::{
    BOS, Context, Generator, GeneratorConfig, LstmConfig, PAD, Sequences, Sizes, build_generator,
};
use textgan_nn::kernels::{CellKind, Precision};
use textgan_nn::layers::{Embedding, EmbeddingConfig, Recurrent, RecurrentConfig};
use textgan_nn::ops::{self, HeadInput, JudgeKind, RatioOptions};
use textgan_nn::{AdamConfig, Builder, Init, Mode, Optimizer, Parameters};
use textgan_random::Key;

use super::works::{NO_NOISE, Work, no_noise, texts};

const TIME: usize = 16;
const BATCH: usize = 128;
/// What no sampler takes.
const EXCLUDED: [u32; 2] = [PAD, BOS];

/// The discriminator: a language model, GRU 192 over embeddings of 96.
struct LanguageModel {
    embedding: Embedding,
    recurrent: Recurrent,
    head: Tensor,
}

impl LanguageModel {
    const EMBEDDING: usize = 96;
    const HIDDEN: usize = 192;

    fn new(builder: &mut Builder<'_>, vocab: usize) -> Result<Self> {
        let embedding = EmbeddingConfig::new(vocab, Self::EMBEDDING);
        let recurrent = RecurrentConfig::new(CellKind::Gru, Self::EMBEDDING, Self::HIDDEN);
        Ok(Self {
            embedding: Embedding::new(&mut builder.child("embedding"), &embedding)?,
            recurrent: Recurrent::new(&mut builder.child("gru"), &recurrent)?,
            head: builder.child("head").get("weight", (vocab, Self::HIDDEN), Init::FanIn)?,
        })
    }

    /// `[batch * time, hidden]`.
    fn hidden(&self, texts: &Sequences) -> Result<Tensor> {
        let shape = (texts.batch(), texts.time());
        let x = self.embedding.forward(&texts.inputs(), shape)?;
        Ok(self.recurrent.forward(&x, texts.lengths(), None, Mode::Evaluate)?.flatten_to(1)?)
    }
}

/// Width of the generator's embeddings and of its state.
const WIDTH: usize = 32;

/// Floating point operations of a step in matrix products: what a pass multiplies, once where it only
/// goes forward and three times where it also goes back.
pub fn operations(name: &str) -> Option<f64> {
    let (vocab, discriminator) = match name {
        "ratio-discriminator-step" => (619, true),
        "ratio-discriminator-step-5600" => (5600, true),
        "expected-policy-gradient-step" => (619, false),
        "expected-policy-gradient-step-5600" => (5600, false),
        _ => return None,
    };
    let (embedding, hidden) = (LanguageModel::EMBEDDING, LanguageModel::HIDDEN);
    let judge = 3 * hidden * (embedding + hidden) + hidden * vocab;
    let generator = 4 * WIDTH * 2 * WIDTH + WIDTH * vocab;
    let (tokens, products) = match discriminator {
        true => (2 * BATCH * TIME, 3 * judge + generator),
        false => (BATCH * TIME, judge + 3 * generator),
    };
    Some(2.0 * (tokens * products) as f64)
}

fn generator(vocab: usize) -> Result<Box<dyn Generator>> {
    let config = LstmConfig { embedding: WIDTH, hidden: WIDTH, ..LstmConfig::default() };
    let config = GeneratorConfig::Lstm(config);
    let sizes = Sizes { vocab, labels: 0, max_length: TIME - 1 };
    Ok(build_generator(&config, &NO_NOISE, &sizes, &Key::root(1), &Device::Cpu)?)
}

fn adam(parameters: &Parameters) -> Result<Optimizer> {
    let config = AdamConfig { beta1: 0.5, beta2: 0.99, ..AdamConfig::default() };
    Ok(Optimizer::new(config, parameters)?)
}

/// The language model learns by the logistic loss on `ln M(text) - ln q(text)`: half of the texts
/// count as real, half as generated. Both halves are read together.
pub fn discriminator_step(vocab: usize) -> Result<Work> {
    let generator = generator(vocab)?;
    let mut parameters = Parameters::new();
    let mut builder = Builder::new(&mut parameters, Key::root(3), &Device::Cpu);
    let model = LanguageModel::new(&mut builder, vocab)?;
    let mut optimizer = adam(&parameters)?;
    let texts = texts(vocab, TIME, 2 * BATCH)?;
    let noise = no_noise(2 * BATCH)?;
    Ok(Box::new(move || {
        let (targets, weights, time) = (texts.targets(), texts.weights(), texts.time());
        let context = Context { noise: &noise, labels: None };
        let hidden = generator.hidden(&context, &texts, Mode::Evaluate)?.flatten_to(1)?;
        let (hidden, head) = (hidden.detach(), generator.head().detach());
        let precision = Precision::F32;
        let own =
            ops::head_target_log_probs(&hidden, &head, targets, &weights, &EXCLUDED, precision)?;
        let own: Vec<f32> = own.to_vec1()?;
        let (hidden, head) = (model.hidden(&texts)?, &model.head);
        let loss = ops::head_group_loss(
            &hidden,
            head,
            targets,
            &weights,
            time,
            &EXCLUDED,
            precision,
            |text, log_probs, derivatives| {
                let own = own[text * time..].iter();
                let ratio = log_probs.iter().zip(own).map(|(judge, own)| judge - own).sum::<f32>();
                // Of real texts the ratio should rise, of generated ones fall.
                let sign = if text < BATCH { -1.0 } else { 1.0 };
                let x = sign * ratio;
                derivatives.fill(sign / (1.0 + (-x).exp()) / BATCH as f32);
                (x.max(0.0) + (-x.abs()).exp().ln_1p()) / BATCH as f32
            },
        )?;
        optimizer.step(&loss.loss.backward()?, 1e-4)?;
        Ok(())
    }))
}

/// The generator learns by the expected policy gradient on prefixes it has visited.
pub fn generator_step(vocab: usize) -> Result<Work> {
    let generator = generator(vocab)?;
    let mut parameters = Parameters::new();
    LanguageModel::new(&mut Builder::new(&mut parameters, Key::root(3), &Device::Cpu), vocab)?;
    let judge = LanguageModel::new(&mut Builder::frozen(&parameters, &Device::Cpu), vocab)?;
    let mut optimizer = adam(generator.parameters())?;
    let texts = texts(vocab, TIME, BATCH)?;
    let noise = no_noise(BATCH)?;
    let tokens = texts.tokens() as f32;
    let weights: Vec<f32> = texts.weights().into_iter().map(|weight| weight / tokens).collect();
    Ok(Box::new(move || {
        let context = Context { noise: &noise, labels: None };
        let hidden = generator.hidden(&context, &texts, Mode::Evaluate)?.flatten_to(1)?;
        let policy = HeadInput { hidden: &hidden, head: generator.head() };
        let judged = HeadInput { hidden: &judge.hidden(&texts)?, head: &judge.head };
        let options = RatioOptions {
            judge: JudgeKind::LanguageModel,
            bound: 5.0,
            excluded: &EXCLUDED,
            precision: Precision::F32,
        };
        let policy = ops::head_expected_policy_loss(policy, judged, &weights, None, options)?;
        optimizer.step(&policy.loss.backward()?, 1e-3)?;
        Ok(())
    }))
}
