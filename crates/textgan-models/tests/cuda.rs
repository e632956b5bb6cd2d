//! Every model on a GPU, where each layer is a composition of candle's operations, beside the same
//! model on the CPU, where it is a fused one.

use candle_core::{Device, Tensor};
use textgan_models::{
    CnnDiscriminatorConfig, Conditions, Context, Discriminator, DiscriminatorConfig,
    EmbeddingConfig, Generator, GeneratorConfig, LstmConfig, NoiseConfig, Placement, Result,
    RnnDiscriminatorConfig, SamplingOptions, Sequences, Sizes, Tokens, TransformerConfig,
    build_discriminator, build_generator, sample, whole,
};
use textgan_nn::kernels::{CellKind, Precision};
use textgan_nn::ops::{self, GumbelOptions, Relaxation};
use textgan_nn::{AdamConfig, Builder, Init, Mode, Optimizer, Parameters};
use textgan_random::Key;

const SIZES: Sizes = Sizes { vocab: 60, labels: 3, max_length: 9 };
const NOISE: NoiseConfig = NoiseConfig { dimension: 5, placement: Placement::Begin, code: None };
const TOLERANCE: f32 = 1e-3;
/// A number that is rounded up on one side and down on the other differs by a 256th.
const TOLERANCE_OF_BF16: f32 = 2e-2;

/// Whoever asks for the feature wants to know: without a GPU these tests fail.
fn gpu() -> Device {
    Device::new_cuda(0).expect("these tests need an NVIDIA GPU")
}

fn generators() -> [GeneratorConfig; 3] {
    let transformer = TransformerConfig {
        width: 24,
        heads: 3,
        layers: 2,
        dropout: 0.1,
        embedding_std: 1.0,
        ..TransformerConfig::default()
    };
    let lstm =
        LstmConfig { embedding: 16, hidden: 16, embedding_std: 1.0, ..LstmConfig::default() };
    [
        GeneratorConfig::Transformer(TransformerConfig { tied: false, ..transformer.clone() }),
        GeneratorConfig::Transformer(TransformerConfig { tied: true, ..transformer }),
        GeneratorConfig::Lstm(lstm),
    ]
}

fn discriminators() -> [DiscriminatorConfig; 3] {
    let embedding = EmbeddingConfig::Learned { width: 12, std: 0.5 };
    let rnn = |cell| {
        DiscriminatorConfig::Rnn(RnnDiscriminatorConfig {
            embedding: embedding.clone(),
            hidden: 10,
            cell,
            ..RnnDiscriminatorConfig::default()
        })
    };
    let cnn = CnnDiscriminatorConfig {
        embedding: embedding.clone(),
        filters: vec![(1, 4), (3, 5)],
        ..CnnDiscriminatorConfig::default()
    };
    [rnn(CellKind::Gru), rnn(CellKind::Lstm), DiscriminatorConfig::Cnn(cnn)]
}

fn texts() -> Sequences {
    let rows: [&[u32]; 4] = [&[4, 5, 6, 7, 8, 41, 22, 9, 50], &[9], &[30, 31], &[10, 11, 5]];
    Sequences::from_rows(&rows, Some(&[2, 0, 1, 1]), SIZES.max_length).unwrap()
}

/// A loss and the gradient of every parameter that it reaches.
type Reached = (f32, Vec<(String, Vec<f32>)>);

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn reached(parameters: &Parameters, loss: &Tensor) -> Reached {
    let gradients = loss.backward().unwrap();
    let reached = parameters
        .iter()
        .filter_map(|(name, variable)| Some((name.to_owned(), numbers(gradients.get(variable)?))));
    (loss.to_scalar().unwrap(), reached.collect())
}

fn largest(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |most, x| most.max(x.abs()))
}

/// Sums are in another order, so numbers differ by a share of the largest beside them.
fn assert_close(left: &Reached, right: &Reached, tolerance: f32, what: &str) {
    assert!(!left.1.is_empty(), "{what}: no gradient");
    let close = |a: f32, b: f32, bound: f32| (a - b).abs() <= bound;
    assert!(close(left.0, right.0, tolerance * left.0.abs()), "{what}: {} {}", left.0, right.0);
    assert_eq!(left.1.len(), right.1.len(), "{what}");
    let floor = 1e-3 * left.1.iter().fold(0.0, |most: f32, (_, x)| most.max(largest(x)));
    for ((name, a), (other, b)) in left.1.iter().zip(&right.1) {
        assert_eq!((name, a.len()), (other, b.len()), "{what}");
        let bound = tolerance * largest(a).max(floor);
        assert!(a.iter().zip(b).all(|(&a, &b)| close(a, b, bound)), "{what}: {name} differs");
    }
}

fn noise(device: &Device) -> Tensor {
    let numbers = NOISE.draw(&Key::root(8), 0, 4);
    Tensor::from_vec(numbers, (4, NOISE.dimension), device).unwrap()
}

fn discriminator(config: &DiscriminatorConfig, device: &Device) -> Box<dyn Discriminator> {
    build_discriminator(config, &SIZES, None, &Key::root(2), device).unwrap()
}

fn generator(config: &GeneratorConfig, device: &Device) -> Box<dyn Generator> {
    build_generator(config, &NOISE, &SIZES, &Key::root(1), device).unwrap()
}

/// Maximum likelihood with dropout.
#[test]
fn generators_have_the_same_gradients() -> Result<()> {
    let gpu = gpu();
    let texts = texts();
    for config in generators() {
        for (precision, tolerance) in
            [(Precision::F32, TOLERANCE), (Precision::Bf16, TOLERANCE_OF_BF16)]
        {
            let run = |device: &Device| -> Result<Reached> {
                let mut generator = generator(&config, device);
                generator.set_precision(precision);
                let context = Context { noise: &noise(device), labels: texts.labels() };
                let key = Key::root(4);
                let hidden = generator.hidden(&context, &texts, Mode::Train(&key))?;
                let (hidden, head) = (hidden.flatten_to(1)?, generator.head());
                let (targets, weights) = (texts.targets(), texts.weights());
                let loss =
                    ops::head_cross_entropy(&hidden, head, targets, &weights, precision)?.loss;
                Ok(reached(generator.parameters(), &loss))
            };
            let what = format!("{config:?}, {precision:?}");
            assert_close(&run(&Device::Cpu)?, &run(&gpu)?, tolerance, &what);
        }
    }
    Ok(())
}

#[test]
fn discriminators_have_the_same_gradients() -> Result<()> {
    let gpu = gpu();
    let texts = texts();
    for config in discriminators() {
        let run = |device: &Device| -> Result<Reached> {
            let network = discriminator(&config, device);
            let real = Tensor::new(&[1f32, 0.0, 0.0, 1.0], device)?;
            let (tokens, key) = (Tokens::Hard(texts.targets()), Key::root(4));
            let mode = Mode::Train(&key);
            let realness = network.realness(&tokens, texts.lengths(), texts.labels(), mode)?;
            let loss = ops::bce_with_logits(&whole(&realness, texts.lengths())?, &real)?;
            Ok(reached(network.parameters(), &loss))
        };
        assert_close(&run(&Device::Cpu)?, &run(&gpu)?, TOLERANCE, &format!("{config:?}"));
    }
    Ok(())
}

/// The Gumbel relaxation, through every discriminator into a generator.
#[test]
fn adversarial_losses_have_the_same_gradients() -> Result<()> {
    let gpu = gpu();
    let texts = texts();
    let config = &generators()[0];
    for judge in discriminators() {
        let run = |device: &Device| -> Result<Reached> {
            let generator = generator(config, device);
            let judge = discriminator(&judge, device).frozen()?;
            let context = Context { noise: &noise(device), labels: texts.labels() };
            let hidden = generator.hidden(&context, &texts, Mode::Evaluate)?.flatten_to(1)?;
            let (head, embedding) = (generator.head(), judge.embedding());
            let (targets, key) = (texts.targets(), Key::root(4));
            let relaxation = Relaxation::Soft;
            let options = GumbelOptions { relaxation, temperature: 1.0, excluded: &[] };
            let words = ops::gumbel_head(&hidden, head, embedding, targets, options, &key)?;
            let words = words.reshape((texts.batch(), texts.time(), ()))?;
            let (tokens, lengths) = (Tokens::Soft(&words), texts.lengths());
            let realness = judge.realness(&tokens, lengths, texts.labels(), Mode::Evaluate)?;
            let loss = ops::softplus(&whole(&realness, lengths)?.neg()?)?.mean_all()?;
            Ok(reached(generator.parameters(), &loss))
        };
        assert_close(&run(&Device::Cpu)?, &run(&gpu)?, TOLERANCE, &format!("{judge:?}"));
    }
    Ok(())
}

/// Three steps down a slope of every steepness.
#[test]
fn an_optimizer_takes_the_same_steps() -> Result<()> {
    let gpu = gpu();
    let run = |device: &Device| -> Result<Vec<f32>> {
        let mut parameters = Parameters::new();
        let init = Init::Normal { std: 1.0 };
        let x = Builder::new(&mut parameters, Key::root(1), device).get("x", 40, init)?;
        let steepness: Vec<f32> = (0..40).map(|i| 1.3_f32.powi(i - 20)).collect();
        let steepness = Tensor::from_vec(steepness, 40, device)?;
        let config = AdamConfig { weight_decay: 0.01, ..AdamConfig::default() };
        let mut optimizer = Optimizer::new(config, &parameters)?;
        for _ in 0..3 {
            optimizer.step(&(x.sqr()? * &steepness)?.sum_all()?.backward()?, 1e-2)?;
        }
        Ok(numbers(&x))
    };
    let (ours, theirs) = (run(&Device::Cpu)?, run(&gpu)?);
    assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-5), "{ours:?} {theirs:?}");
    Ok(())
}

/// The sampler is on the CPU wherever the weights are, so its words are the same.
#[test]
fn weights_on_a_gpu_sample_the_same_words() {
    let gpu = gpu();
    for config in generators() {
        let words = |device: &Device| {
            let generator = generator(&config, device);
            let noise = NOISE.draw(&Key::root(8), 0, 4);
            let conditions = Conditions { rows: 4, noise: &noise, labels: Some(&[0, 1, 2, 0]) };
            let options = SamplingOptions::default();
            let mut sampler = generator.sampler().unwrap();
            let samples =
                sample(sampler.as_mut(), &conditions, &[], &options, &Key::root(9), 0).unwrap();
            samples.sequences(None).unwrap().targets().to_vec()
        };
        assert_eq!(words(&Device::Cpu), words(&gpu), "{config:?}");
    }
}
