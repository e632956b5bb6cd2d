//! Rates of single kernels: `cargo bench -p textgan-nn --profile dev`.

use criterion::{BenchmarkId, Criterion, Throughput};
use textgan_nn::kernels::{Packed, Precision, Start, Strided};
use textgan_random::Key;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PRECISIONS: [(Precision, &str); 2] = [(Precision::F32, "f32"), (Precision::Bf16, "bf16")];

/// `[rows, depth] x [depth, columns]`; throughput counts multiplications and additions.
fn products(criterion: &mut Criterion) {
    let mut stream = Key::root(1).stream();
    let mut draw = |n: usize| (0..n).map(|_| stream.normal()).collect::<Vec<f32>>();
    let mut group = criterion.benchmark_group("product");
    for (name, rows, depth, columns) in [
        ("block-wide", 128, 256, 1366),
        ("block-narrow", 48, 192, 576),
        ("block-narrow-47", 47, 192, 576),
        ("block-tiny", 48, 64, 192),
        ("head", 48, 192, 4704),
        ("attention-scores", 12, 32, 12),
        ("attention-values", 12, 12, 32),
    ] {
        let (a, m) = (draw(rows * depth), draw(depth * columns));
        let mut out = vec![0.0; rows * columns];
        group.throughput(Throughput::Elements(2 * (rows * depth * columns) as u64));
        for (precision, label) in PRECISIONS {
            let m = Strided::rows(&m, columns);
            let packed = Packed::with_precision(precision, m, depth, columns);
            let sizes = format!("{rows}x{depth}x{columns}-{label}");
            group.bench_function(BenchmarkId::new(name, sizes), |b| {
                let a = Strided::rows(&a, depth);
                b.iter(|| packed.multiply(rows, a, Start::Zero, &mut out, columns));
            });
        }
    }
    group.finish();
}

/// The gradient of a weight, `[outputs, tokens] x [tokens, inputs]`, on all threads, with packing.
fn weight_gradients(criterion: &mut Criterion) {
    let mut stream = Key::root(2).stream();
    let mut draw = |n: usize| (0..n).map(|_| stream.normal()).collect::<Vec<f32>>();
    let mut group = criterion.benchmark_group("weight-gradient");
    for (name, outputs, tokens, inputs) in [
        ("gate-up-wide", 1366, 2048, 256),
        ("gate-up-narrow", 1024, 768, 192),
        ("down-narrow", 192, 768, 512),
        ("head-narrow", 4704, 768, 192),
        ("gate-up-tiny", 342, 2368, 64),
    ] {
        let (dy, x) = (draw(tokens * outputs), draw(tokens * inputs));
        let mut dw = vec![0.0; outputs * inputs];
        group.throughput(Throughput::Elements(2 * (outputs * tokens * inputs) as u64));
        for (precision, label) in PRECISIONS {
            let sizes = format!("{outputs}x{tokens}x{inputs}-{label}");
            group.bench_function(BenchmarkId::new(name, sizes), |b| {
                b.iter(|| {
                    let x = Strided::rows(&x, inputs);
                    let x = Packed::with_precision(precision, x, tokens, inputs);
                    let dy = Strided::transposed(&dy, outputs);
                    x.multiply_on_all_threads(outputs, dy, Start::Zero, &mut dw, inputs);
                });
            });
        }
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    products(&mut criterion);
    weight_gradients(&mut criterion);
    criterion.final_summary();
}
