//! A small transformer trained for a few steps: the same bits whatever the threads, every variable
//! reached by the gradient, an optimizer that refuses what is not finite and continues where it was.

#[path = "../examples/step_time/transformer.rs"]
mod transformer;

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use textgan_nn::kernels::{InstructionSet, Precision};
use textgan_nn::ops::{self, GumbelOptions, Relaxation};
use textgan_nn::{AdamConfig, Builder, Error, Mode, Optimizer, Parameters};
use textgan_random::Key;
use transformer::{Sizes, Transformer};

const SIZES: Sizes = Sizes {
    vocab: 150,
    width: 24,
    layers: 2,
    heads: 3,
    inner: 40,
    time: 11,
    batch: 13,
    tied: true,
    dropout: 0.2,
    precision: Precision::F32,
};

struct Run {
    parameters: Parameters,
    model: Transformer,
    optimizer: Optimizer,
}

impl Run {
    fn new(sizes: Sizes) -> Self {
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, Key::root(1), &Device::Cpu);
        let model = Transformer::new(&mut builder, sizes).unwrap();
        let config = AdamConfig { weight_decay: 0.01, ..AdamConfig::default() };
        let optimizer = Optimizer::new(config, &parameters).unwrap();
        Self { parameters, model, optimizer }
    }

    /// A step of maximum likelihood and one through the Gumbel relaxation.
    fn step(&mut self, step: u64) {
        let key = Key::root(2).index(step);
        let mut stream = key.stream();
        let mut draw = || -> Vec<u32> {
            (0..SIZES.batch * SIZES.time).map(|_| stream.below(SIZES.vocab as u64) as u32).collect()
        };
        let (ids, targets) = (draw(), draw());
        let loss = self.model.loss(&ids, &targets, Mode::Train(&key)).unwrap();
        self.optimizer.step(&loss.backward().unwrap(), 1e-2).unwrap();

        let hidden = self.model.hidden(&ids, Mode::Train(&key)).unwrap();
        let head = self.model.head();
        let relaxation = Relaxation::Soft;
        let options = GumbelOptions { relaxation, temperature: 1.0, excluded: &[] };
        let soft = ops::gumbel_head(&hidden, head, head, &targets, options, &key).unwrap();
        let loss = ops::softplus(&soft).unwrap().mean_all().unwrap();
        self.optimizer.step(&loss.backward().unwrap(), 1e-2).unwrap();
    }

    fn bits(&self) -> BTreeMap<String, Vec<u32>> {
        let bits = |tensor: Tensor| -> Vec<u32> {
            let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            values.into_iter().map(f32::to_bits).collect()
        };
        self.parameters.tensors().into_iter().map(|(name, tensor)| (name, bits(tensor))).collect()
    }
}

fn bits_with(threads: usize, precision: Precision) -> BTreeMap<String, Vec<u32>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let mut run = Run::new(Sizes { precision, ..SIZES });
        (0..12).for_each(|step| run.step(step));
        run.bits()
    })
}

/// The instruction set is that of the whole process, and one of them gives other bits: tests that compare bits
/// take turns.
static ONE_SET_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// One test, because the instruction set belongs to the whole process. The portable kernels add
/// products without fusing them; those with fused multiply-adds give the same bits whatever their
/// width, and pairs of bf16 taken apart too.
#[test]
fn bits_depend_on_no_number_of_threads_and_on_no_width() {
    let _alone = ONE_SET_AT_A_TIME.lock();
    for precision in [Precision::F32, Precision::Bf16] {
        let mut fused = None;
        for set in InstructionSet::ALL {
            if set.select() != set {
                println!("this processor has no {}", set.name());
                continue;
            }
            let expected = bits_with(1, precision);
            for threads in [1, 2, 4] {
                let same = bits_with(threads, precision) == expected;
                assert!(same, "{} on {threads} threads gives other bits", set.name());
            }
            // AMX adds products of bf16 in another order.
            let others = precision == Precision::Bf16 && set == InstructionSet::Amx;
            if set > InstructionSet::Portable && !others {
                let same = *fused.get_or_insert_with(|| expected.clone()) == expected;
                assert!(same, "{} gives other bits than AVX2 in {precision:?}", set.name());
            }
        }
    }
    InstructionSet::detected().select();
}

#[test]
fn every_variable_gets_a_gradient() {
    for tied in [true, false] {
        let run = Run::new(Sizes { tied, ..SIZES });
        let ids: Vec<u32> = (0..SIZES.time as u32).collect();
        let loss = run.model.loss(&ids, &ids, Mode::Evaluate).unwrap();
        let store = loss.backward().unwrap();
        for (name, variable) in run.parameters.iter() {
            let gradient = store.get(variable.as_tensor()).unwrap_or_else(|| panic!("{name}"));
            let size = gradient.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(size > 0.0, "the gradient of {name} is zero");
        }
    }
}

#[test]
fn training_learns() {
    let mut run = Run::new(Sizes { dropout: 0.0, ..SIZES });
    let ids: Vec<u32> = (0..(2 * SIZES.time) as u32).map(|i| i * 7 % 50).collect();
    let loss = |run: &Run| run.model.loss(&ids, &ids, Mode::Evaluate).unwrap();
    let before = loss(&run).to_scalar::<f32>().unwrap();
    for _ in 0..60 {
        run.optimizer.step(&loss(&run).backward().unwrap(), 1e-2).unwrap();
    }
    let after = loss(&run).to_scalar::<f32>().unwrap();
    assert!(after < 0.1 * before, "{before} to {after}");
}

#[test]
fn a_saved_optimizer_continues_to_the_same_bits() {
    let _alone = ONE_SET_AT_A_TIME.lock();
    let folder = tempfile::tempdir().unwrap();
    let (weights, moments) = (folder.path().join("weights"), folder.path().join("moments"));
    let mut whole = Run::new(SIZES);
    (0..3).for_each(|step| whole.step(step));
    whole.parameters.save(&weights).unwrap();
    whole.optimizer.save(&moments).unwrap();
    (3..6).for_each(|step| whole.step(step));

    let mut resumed = Run::new(SIZES);
    resumed.parameters.load(&weights).unwrap();
    resumed.optimizer.load(&moments).unwrap();
    assert_eq!(resumed.optimizer.steps(), 6);
    (3..6).for_each(|step| resumed.step(step));
    assert_eq!(resumed.bits(), whole.bits());

    resumed.optimizer.save(&moments).unwrap();
    let bytes = std::fs::read(&moments).unwrap();
    whole.optimizer.save(&moments).unwrap();
    assert_eq!(std::fs::read(&moments).unwrap(), bytes);

    let message = resumed.optimizer.load(&weights).unwrap_err().to_string();
    assert!(message.contains("weights") && message.contains("steps"), "{message}");
}

#[test]
fn what_is_not_finite_is_refused_before_a_weight_moves() {
    let mut run = Run::new(SIZES);
    run.step(0);
    let before = run.bits();
    let ids: Vec<u32> = (0..SIZES.time as u32).collect();
    for poison in [f64::NAN, f64::INFINITY, 1e38] {
        let loss = run.model.loss(&ids, &ids, Mode::Evaluate).unwrap();
        let store = ((loss * poison).unwrap() * 1e30).unwrap().backward().unwrap();
        let error = run.optimizer.step(&store, 1e-2).unwrap_err();
        assert!(matches!(error, Error::NonFinite { .. }), "{error}");
        assert!(run.optimizer.gradients(&store).and_then(|all| run.optimizer.norm(&all)).is_err());
    }
    assert_eq!(run.bits(), before);
    assert_eq!(run.optimizer.steps(), 2);
    run.step(1);
    assert!(run.bits().values().flatten().all(|&bits| f32::from_bits(bits).is_finite()));
}

#[test]
fn a_parameter_that_the_loss_does_not_reach_is_named() {
    let mut run = Run::new(Sizes { tied: false, ..SIZES });
    let ids: Vec<u32> = (0..SIZES.time as u32).collect();
    let loss = run.model.hidden(&ids, Mode::Evaluate).unwrap().sum_all().unwrap();
    let error = run.optimizer.step(&loss.backward().unwrap(), 1e-2).unwrap_err();
    assert!(matches!(error, Error::NoGradient { name } if name == "head.weight"));
}

/// Adam by hand on one number, with a clipped gradient and decay.
#[test]
fn an_update_is_the_textbook_one() {
    let mut parameters = Parameters::new();
    let mut builder = Builder::new(&mut parameters, Key::root(1), &Device::Cpu);
    let weight = builder.get("w", (1, 2), textgan_nn::Init::Values(vec![1.0, -2.0])).unwrap();
    let config = AdamConfig {
        beta1: 0.8,
        beta2: 0.9,
        epsilon: 1e-8,
        weight_decay: 0.1,
        clip_norm: Some(1.0),
        ..AdamConfig::default()
    };
    let mut optimizer = Optimizer::new(config, &parameters).unwrap();
    let (mut w, mut m, mut v) = ([1f64, -2.0], [0f64; 2], [0f64; 2]);
    for step in 1..=5 {
        // The gradient of 3 w^2 / 2 is 3 w.
        let loss = (weight.sqr().unwrap().sum_all().unwrap() * 1.5).unwrap();
        let stats = optimizer.step(&loss.backward().unwrap(), 0.05).unwrap();
        let norm = w.iter().map(|w| (3.0 * w).powi(2)).sum::<f64>().sqrt();
        assert!((f64::from(stats.grad_norm) - norm).abs() < 1e-4);
        assert!(stats.clipped);
        for i in 0..2 {
            let g = 3.0 * w[i] / norm;
            m[i] = 0.8 * m[i] + 0.2 * g;
            v[i] = 0.9 * v[i] + 0.1 * g * g;
            let (m, v) = (m[i] / (1.0 - 0.8f64.powi(step)), v[i] / (1.0 - 0.9f64.powi(step)));
            w[i] = w[i] * (1.0 - 0.05 * 0.1) - 0.05 * m / (v.sqrt() + 1e-8);
        }
        let values = weight.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (value, w) in values.iter().zip(w) {
            assert!(
                (f64::from(*value) - w).abs() < 1e-5,
                "step {step}: {values:?}, expected {w:?}"
            );
        }
    }
}
