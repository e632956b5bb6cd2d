//! How generators behave, seen from outside.

mod faces;
mod folders;
mod gradients;
mod llama;
mod rollouts;
mod sampling;

use candle_core::{Device, Tensor};
use textgan_models::{
    CnnDiscriminatorConfig, CodeConfig, EmbeddingConfig, Generator, GeneratorConfig, LeakConfig,
    LstmConfig, NoiseConfig, Placement, RelationalConfig, Sequences, Sizes, TransformerConfig,
    build_generator,
};
use textgan_random::Key;

const SIZES: Sizes = Sizes { vocab: 23, labels: 3, max_length: 18 };
const NOISE: usize = 5;

fn transformer(tied: bool) -> GeneratorConfig {
    GeneratorConfig::Transformer(TransformerConfig {
        width: 24,
        layers: 3,
        heads: 3,
        feed_forward: Some(40),
        tied,
        // Large enough that noise and label move every logit.
        embedding_std: 1.0,
        ..TransformerConfig::default()
    })
}

fn lstm(layers: usize, tied: bool) -> GeneratorConfig {
    GeneratorConfig::Lstm(LstmConfig {
        embedding: 12,
        hidden: if tied { 12 } else { 20 },
        layers,
        tied,
        embedding_std: 1.0,
        ..LstmConfig::default()
    })
}

fn relational(slots: usize) -> GeneratorConfig {
    GeneratorConfig::RelationalMemory(RelationalConfig {
        embedding: 12,
        slots,
        heads: 2,
        head_width: 10,
        embedding_std: 1.0,
        ..RelationalConfig::default()
    })
}

fn leak(horizon: usize) -> GeneratorConfig {
    GeneratorConfig::Leak(LeakConfig {
        embedding: 12,
        hidden: 20,
        manager: 9,
        goal: 3,
        horizon,
        embedding_std: 1.0,
        leak: CnnDiscriminatorConfig {
            embedding: EmbeddingConfig::Learned { width: 6, std: 0.5 },
            // One wider than some texts are long.
            filters: vec![(1, 5), (2, 4), (5, 3)],
            highway: horizon > 1,
            ..CnnDiscriminatorConfig::default()
        },
        ..LeakConfig::default()
    })
}

fn architectures() -> Vec<GeneratorConfig> {
    vec![
        transformer(true),
        transformer(false),
        lstm(1, false),
        lstm(2, true),
        relational(1),
        relational(3),
        leak(1),
        leak(3),
    ]
}

fn noise(placement: Placement) -> NoiseConfig {
    NoiseConfig { dimension: NOISE, placement, code: None }
}

fn generator(config: &GeneratorConfig, placement: Placement) -> Box<dyn Generator> {
    build_generator(config, &noise(placement), &SIZES, &Key::root(3), &Device::Cpu).unwrap()
}

/// So many weights that the sampler takes its rows through a step together.
fn large() -> GeneratorConfig {
    GeneratorConfig::Transformer(TransformerConfig {
        width: 24,
        layers: 1,
        heads: 3,
        feed_forward: Some(7300),
        embedding_std: 1.0,
        ..TransformerConfig::default()
    })
}

/// Every kind of generator with every placement, and a name for messages.
fn all_generators() -> Vec<(String, Box<dyn Generator>)> {
    let mut all = Vec::new();
    for config in architectures().into_iter().chain([large()]) {
        for placement in [Placement::Begin, Placement::Every] {
            all.push((format!("{config:?}, {placement:?}"), generator(&config, placement)));
        }
    }
    for config in [transformer(true), lstm(1, false), relational(1)] {
        let code = Some(CodeConfig { width: 7, hidden: 9, layers: 1 });
        let noise = NoiseConfig { code, ..noise(Placement::Begin) };
        let built = build_generator(&config, &noise, &SIZES, &Key::root(3), &Device::Cpu).unwrap();
        all.push((format!("{config:?}, {noise:?}"), built));
    }
    all
}

/// Noise vectors as numbers and as a tensor.
fn draw_noise(rows: usize) -> (Vec<f32>, Tensor) {
    let z = noise(Placement::Begin).draw(&Key::root(8), 0, rows);
    let tensor = Tensor::from_vec(z.clone(), (rows, NOISE), &Device::Cpu).unwrap();
    (z, tensor)
}

/// Rows of many lengths, the longest full, one cut.
fn sequences() -> Sequences {
    let mut stream = Key::root(21).stream();
    let rows: Vec<Vec<u32>> = [SIZES.max_length, 3, 1, 0, SIZES.max_length + 4, 16]
        .iter()
        .map(|&length| (0..length).map(|_| 4 + stream.below(19) as u32).collect())
        .collect();
    let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
    Sequences::from_rows(&rows, Some(&[0, 1, 2, 1, 0, 2]), SIZES.max_length).unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |most, (a, b)| {
        let difference = (a - b).abs();
        // A NaN must not hide.
        if difference.is_nan() { f32::INFINITY } else { most.max(difference) }
    })
}
