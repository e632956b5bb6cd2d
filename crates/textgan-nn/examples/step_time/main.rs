//! Times training steps of a language model, and its operations one by one.
//!
//! ```text
//! cargo run -p textgan-nn --example step_time -- [small|middle|big]
//! ```
//!
//! Medians in milliseconds. Threads are rayon's (`RAYON_NUM_THREADS`); `TEXTGAN_INSTRUCTION_SET`
//! forces a plainer instruction set.

mod transformer;

use std::time::Instant;

use candle_core::{Device, Tensor, Var};
use textgan_nn::kernels::{InstructionSet, Precision};
use textgan_nn::{AdamConfig, Builder, Mode, Optimizer, Parameters, Result, ops};
use textgan_random::Key;
use transformer::{Sizes, Transformer};

/// The allocator that a program should have: a step makes and frees large buffers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [(&str, Sizes); 3] = [
    (
        "small",
        Sizes {
            vocab: 4682,
            width: 64,
            layers: 2,
            heads: 2,
            inner: 171,
            time: 37,
            batch: 64,
            tied: false,
            dropout: 0.0,
            precision: Precision::F32,
        },
    ),
    (
        "middle",
        Sizes {
            vocab: 4682,
            width: 192,
            layers: 3,
            heads: 4,
            inner: 512,
            time: 38,
            batch: 64,
            tied: true,
            dropout: 0.25,
            precision: Precision::F32,
        },
    ),
    (
        "big",
        Sizes {
            vocab: 5000,
            width: 256,
            layers: 4,
            heads: 4,
            inner: 683,
            time: 32,
            batch: 64,
            tied: false,
            dropout: 0.0,
            precision: Precision::F32,
        },
    ),
];

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    println!("{} threads, {}", rayon::current_num_threads(), InstructionSet::current().name());
    for (name, sizes) in SIZES {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            println!("\n{name}: {sizes:?}");
            step(sizes)?;
            operations(sizes)?;
        }
    }
    Ok(())
}

/// Median of `rounds` times of `f`, after one that does not count.
fn median(rounds: usize, mut f: impl FnMut() -> Result<()>) -> Result<f64> {
    f()?;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        f()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[rounds / 2])
}

fn step(sizes: Sizes) -> Result<()> {
    let mut parameters = Parameters::new();
    let model =
        Transformer::new(&mut Builder::new(&mut parameters, Key::root(1), &Device::Cpu), sizes)?;
    let mut optimizer = Optimizer::new(AdamConfig::default(), &parameters)?;
    let mut stream = Key::root(2).stream();
    let mut draw = || -> Vec<u32> {
        (0..sizes.batch * sizes.time).map(|_| stream.below(sizes.vocab as u64) as u32).collect()
    };
    let (ids, targets) = (draw(), draw());
    let key = Key::root(3);
    let mut steps = 0;
    let (mut forward, mut backward, mut update) = (Vec::new(), Vec::new(), Vec::new());
    let whole = median(15, || {
        steps += 1;
        let start = Instant::now();
        let key = key.index(steps);
        let loss = model.loss(&ids, &targets, Mode::Train(&key))?;
        forward.push(start.elapsed().as_secs_f64() * 1e3);
        let gradients = loss.backward()?;
        backward.push(start.elapsed().as_secs_f64() * 1e3);
        optimizer.step(&gradients, 1e-3)?;
        update.push(start.elapsed().as_secs_f64() * 1e3);
        Ok(())
    })?;
    let middle = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let (forward, backward, update) =
        (middle(&mut forward), middle(&mut backward), middle(&mut update));
    let Sizes { vocab, width, layers, inner, time, batch, .. } = sizes;
    let tokens = (batch * time) as f64;
    let weights = (layers * width * (4 * width + 3 * inner) + vocab * width) as f64;
    let flops = 6.0 * tokens * weights + 12.0 * (layers * width * time) as f64 * tokens;
    println!(
        "  training step {whole:8.2} (forward {forward:.2}, backward {:.2}, update {:.2}); {:.0} Gflop/s",
        backward - forward,
        update - backward,
        flops / whole * 1e-6,
    );
    Ok(())
}

/// Forward and backward of each operation at these sizes.
fn operations(sizes: Sizes) -> Result<()> {
    let Sizes { vocab, width, inner, time, batch, .. } = sizes;
    let rows = batch * time;
    let mut stream = Key::root(4).stream();
    let mut draw = |dims: &[usize]| -> Result<Var> {
        let values = (0..dims.iter().product()).map(|_| 0.1 * stream.normal()).collect();
        Ok(Var::from_tensor(&Tensor::from_vec(values, dims, &Device::Cpu)?)?)
    };
    let (x, y) = (draw(&[batch, time, width])?, draw(&[batch, time, inner])?);
    let (gain, square) = (draw(&[width])?, draw(&[width, width])?);
    let (up, down) = (draw(&[inner, width])?, draw(&[width, inner])?);
    let (head, embedding) = (draw(&[vocab, width])?, draw(&[vocab, 64])?);
    let ids: Vec<u32> = (0..rows as u32).map(|i| i * 7919 % vocab as u32).collect();
    let weights = vec![1.0 / rows as f32; rows];
    let key = Key::root(5);
    let flat = |x: &Tensor| x.reshape((rows, width));

    type Run<'a> = Box<dyn Fn() -> Result<Tensor> + 'a>;
    let all: Vec<(&str, Run<'_>)> = vec![
        ("linear, width to width", Box::new(|| ops::linear(&x, &square, None))),
        ("linear, width to inner", Box::new(|| ops::linear(&x, &up, None))),
        ("linear, inner to width", Box::new(|| ops::linear(&y, &down, None))),
        ("rms_norm", Box::new(|| ops::rms_norm(&x, &gain, 1e-5))),
        ("swiglu", Box::new(|| ops::swiglu(&y, &y))),
        ("dropout", Box::new(|| ops::dropout(&x, 0.25, Mode::Train(&key), "x"))),
        ("embedding", Box::new(|| ops::embedding(&head, &ids, (batch, time)))),
        (
            "head_cross_entropy",
            Box::new(|| {
                Ok(ops::head_cross_entropy(&flat(&x)?, &head, &ids, &weights, Precision::F32)?.loss)
            }),
        ),
        (
            "head_log_probs",
            Box::new(|| {
                ops::head_log_probs(&flat(&x)?, &head, &ids, &weights, Precision::F32)?;
                Ok(x.as_tensor().clone())
            }),
        ),
        (
            "gumbel_head, straight-through",
            Box::new(|| {
                let options = gumbel(ops::Relaxation::StraightThrough);
                ops::gumbel_head(&flat(&x)?, &head, &embedding.detach(), &ids, options, &key)
            }),
        ),
        (
            "gumbel_head, soft",
            Box::new(|| {
                let options = gumbel(ops::Relaxation::Soft);
                ops::gumbel_head(&flat(&x)?, &head, &embedding.detach(), &ids, options, &key)
            }),
        ),
    ];
    for (name, run) in all {
        let forward = median(9, || run().map(|_| ()))?;
        let both = median(9, || {
            // The gradient of the sum is ones, which costs nothing to make.
            run()?.backward()?;
            Ok(())
        })?;
        println!("  {name:30} {forward:8.2} forward {:8.2} backward", both - forward);
    }
    Ok(())
}

fn gumbel(relaxation: ops::Relaxation) -> ops::GumbelOptions<'static> {
    ops::GumbelOptions { relaxation, temperature: 1.0, excluded: &[] }
}
