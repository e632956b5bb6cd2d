//! Every operation against its composed twin and against finite differences.

use candle_core::{Device, Result, Tensor, Var};
use textgan_nn::Mode;
use textgan_nn::kernels::{Precision, Rotary};
use textgan_nn::ops::{self, BlockOptions, BlockWeights, GumbelOptions, Relaxation, composed};
use textgan_random::{Key, Stream};

const F32: Precision = Precision::F32;

type Operation<'a> = &'a dyn Fn(&[Tensor]) -> textgan_nn::Result<Tensor>;

fn draw(stream: &mut Stream, dims: &[usize]) -> Tensor {
    let values = (0..dims.iter().product()).map(|_| stream.normal()).collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

fn numbers(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

fn dot(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
}

/// The value of `sum out * probe` and its gradients.
fn evaluate(
    operation: Operation,
    inputs: &[Tensor],
    probe: &mut Option<Tensor>,
) -> (Tensor, Vec<Tensor>) {
    let variables: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    let tensors: Vec<Tensor> = variables.iter().map(|v| v.as_tensor().clone()).collect();
    let out = operation(&tensors).unwrap();
    let probe = probe.get_or_insert_with(|| draw(&mut Key::root(99).stream(), out.dims()));
    let store = (&out * &*probe).unwrap().sum_all().unwrap().backward().unwrap();
    let gradients = variables
        .iter()
        .map(|v| store.get(v.as_tensor()).expect("every argument gets a gradient").clone())
        .collect();
    (out.detach(), gradients)
}

fn assert_close(what: &str, left: &[f32], right: &[f32], tolerance: f32) {
    let size = right.iter().map(|x| x.abs()).fold(1e-3, f32::max);
    assert_eq!(left.len(), right.len(), "{what}");
    for (i, (l, r)) in left.iter().zip(right).enumerate() {
        assert!((l - r).abs() <= tolerance * size, "{what}: number {i} is {l}, expected {r}");
    }
}

/// Checks `fused` against `twin`, if there is one, and its gradients against finite differences in
/// random directions.
fn check(name: &str, dims: &[&[usize]], fused: Operation, twin: Option<Operation>) {
    let stream = &mut Key::root(7).child(name).stream();
    let inputs: Vec<Tensor> = dims.iter().map(|dims| draw(stream, dims)).collect();
    let mut probe = None;
    let (out, gradients) = evaluate(fused, &inputs, &mut probe);
    if let Some(twin) = twin {
        let (twin_out, twin_gradients) = evaluate(twin, &inputs, &mut probe);
        assert_close(name, &numbers(&out), &numbers(&twin_out), 1e-5);
        for (i, (gradient, twin)) in gradients.iter().zip(&twin_gradients).enumerate() {
            let what = format!("{name}: gradient {i}");
            assert_close(&what, &numbers(gradient), &numbers(twin), 3e-5);
        }
    }
    let probe = numbers(&probe.unwrap());
    for (i, gradient) in gradients.iter().enumerate() {
        let direction = draw(stream, dims[i]);
        let expected = dot(&numbers(gradient), &numbers(&direction));
        let value = |step: f64| {
            let mut moved = inputs.clone();
            moved[i] = (&moved[i] + (&direction * step).unwrap()).unwrap();
            dot(&numbers(&fused(&moved).unwrap()), &probe)
        };
        // Fourth order, so that the step can be large beside the rounding of f32.
        let h = 0.02;
        let slope =
            (8.0 * (value(h) - value(-h)) - (value(2.0 * h) - value(-2.0 * h))) / (12.0 * h);
        let scale = dot(&numbers(gradient), &numbers(gradient)).sqrt()
            * dot(&numbers(&direction), &numbers(&direction)).sqrt();
        assert!(
            (slope - expected).abs() < 2e-3 * scale.max(1e-2),
            "{name}: argument {i} has slope {slope}, gradient {expected}"
        );
    }
}

#[test]
fn linear() {
    for rows in [1, 5, 130] {
        let dims: [&[usize]; 3] = [&[rows, 3, 20], &[17, 20], &[17]];
        check(
            "linear",
            &dims[..2],
            &|x| ops::linear(&x[0], &x[1], None),
            Some(&|x| composed::linear(&x[0], &x[1], None)),
        );
        check(
            "linear with bias",
            &dims,
            &|x| ops::linear(&x[0], &x[1], Some(&x[2])),
            Some(&|x| composed::linear(&x[0], &x[1], Some(&x[2]))),
        );
    }
}

#[test]
fn linear_of_a_transposed_input() {
    check(
        "linear of a transposed input",
        &[&[20, 9], &[4, 20]],
        &|x| ops::linear(&x[0].t()?, &x[1], None),
        Some(&|x| composed::linear(&x[0].t()?.contiguous()?, &x[1], None)),
    );
}

#[test]
fn matmul() {
    check(
        "matmul",
        &[&[70, 2, 9], &[9, 33]],
        &|x| ops::matmul(&x[0], &x[1]),
        Some(&|x| composed::matmul(&x[0], &x[1])),
    );
}

#[test]
fn rms_norm() {
    for width in [1, 7, 16, 50] {
        check(
            "rms_norm",
            &[&[2, 67, width], &[width]],
            &|x| ops::rms_norm(&x[0], &x[1], 0.1),
            Some(&|x| composed::rms_norm(&x[0], &x[1], 0.1)),
        );
    }
}

#[test]
fn swiglu() {
    check(
        "swiglu",
        &[&[3, 5, 11], &[3, 5, 11]],
        &|x| ops::swiglu(&x[0], &x[1]),
        Some(&|x| composed::swiglu(&x[0], &x[1])),
    );
}

#[test]
fn softplus() {
    check("softplus", &[&[4, 9]], &|x| ops::softplus(&x[0]), Some(&|x| composed::softplus(&x[0])));
}

#[test]
fn embedding_bag() {
    let ids = [2, 0, 2, 1, 1, 0];
    let weights = [0.5, -1.0, 0.25, 2.0, 0.0, 1.5];
    check(
        "embedding_bag",
        &[&[3, 4]],
        &|x| ops::embedding_bag(&x[0], &ids, &weights, 2),
        Some(&|x| composed::embedding_bag(&x[0], &ids, &weights, 2)),
    );
}

#[test]
fn embedding() {
    let ids = [3, 0, 3, 5, 1, 3];
    check(
        "embedding",
        &[&[6, 5]],
        &|x| ops::embedding(&x[0], &ids, (2, 3)),
        Some(&|x| composed::embedding(&x[0], &ids, &(2, 3).into())),
    );
}

#[test]
fn dropout() {
    let key = Key::root(5);
    check(
        "dropout",
        &[&[3, 3001]],
        &|x| ops::dropout(&x[0], 0.3, Mode::Train(&key), "layer"),
        Some(&|x| composed::dropout(&x[0], 0.3, &key.child("layer"))),
    );
}

/// A stream and the nine weights of a block, which are taken at a size where nothing saturates.
fn block(
    x: &[Tensor],
    lengths: &[usize],
    options: BlockOptions<'_>,
    mode: Mode<'_>,
    composed: bool,
) -> textgan_nn::Result<Tensor> {
    let scaled: Vec<Tensor> = x[1..].iter().map(|weight| (weight * 0.4).unwrap()).collect();
    let weights = BlockWeights {
        attention_norm: &scaled[0],
        query: &scaled[1],
        key: &scaled[2],
        value: &scaled[3],
        output: &scaled[4],
        feed_forward_norm: &scaled[5],
        gate: &scaled[6],
        up: &scaled[7],
        down: &scaled[8],
    };
    if !composed {
        return ops::transformer_block(&x[0], weights, lengths, options, mode);
    }
    let key = |part| mode.key(part).filter(|_| options.dropout > 0.0);
    let keys = [key("layer.attention"), key("layer.mlp")];
    composed::transformer_block(&x[0], weights, lengths, options, keys)
}

/// Sequences of many lengths, more than one shard of them, and odd sizes.
#[test]
fn transformer_block() {
    let many: Vec<usize> = (0..11).map(|i| i * 5 % 9).collect();
    let cases: [(&[usize], usize, usize, usize, f32); 4] = [
        (&[7, 3], 2, 6, 5, 0.0),
        (&[1], 1, 2, 1, 0.0),
        (&[19, 0, 2], 3, 5, 24, 0.3),
        (&many, 2, 4, 11, 0.2),
    ];
    let key = Key::root(9);
    for (lengths, heads, head_dim, inner, dropout) in cases {
        let (tokens, width) = (lengths.iter().sum(), heads * head_dim);
        let rotary = Rotary::new(head_dim, 32, 10_000.0);
        let options = BlockOptions {
            heads,
            rotary: &rotary,
            epsilon: 0.1,
            dropout,
            precision: F32,
            name: "layer",
        };
        let square: &[usize] = &[width, width];
        let wide: &[usize] = &[inner, width];
        let dims: [&[usize]; 10] = [
            &[tokens, width],
            &[width],
            square,
            square,
            square,
            square,
            &[width],
            wide,
            wide,
            &[width, inner],
        ];
        check(
            &format!("block over {lengths:?}"),
            &dims,
            &|x| block(x, lengths, options, Mode::Train(&key), false),
            Some(&|x| block(x, lengths, options, Mode::Train(&key), true)),
        );
    }
}

/// In bf16 the twin rounds the two sides of every product forward; what comes back is rounded by the
/// fused one only. Both stay near `f32`, and differ from it.
#[test]
fn products_of_bf16() {
    let key = Key::root(9);
    let lengths: &[usize] = &[19, 0, 2, 7];
    let (heads, head_dim, inner, vocab) = (3, 5, 24, 21);
    let (tokens, width) = (28, heads * head_dim);
    let rotary = Rotary::new(head_dim, 32, 10_000.0);
    let (targets, weights, _) = rows(tokens, vocab);
    let options = |precision| BlockOptions {
        heads,
        rotary: &rotary,
        epsilon: 0.1,
        dropout: 0.2,
        precision,
        name: "layer",
    };
    let (square, wide): (&[usize], &[usize]) = (&[width, width], &[inner, width]);
    let dims: [&[usize]; 11] = [
        &[tokens, width],
        &[width],
        square,
        square,
        square,
        square,
        &[width],
        wide,
        wide,
        &[width, inner],
        &[vocab, width],
    ];
    let stream = &mut Key::root(7).child("bf16").stream();
    let inputs: Vec<Tensor> = dims.iter().map(|dims| (draw(stream, dims) * 0.3).unwrap()).collect();
    let run = |precision, composed: bool| {
        let loss = |x: &[Tensor]| {
            let out = block(x, lengths, options(precision), Mode::Train(&key), composed)?;
            Ok(match composed {
                false => ops::head_cross_entropy(&out, &x[10], &targets, &weights, precision)?,
                true => composed::head_cross_entropy(
                    &out,
                    &x[10],
                    &targets,
                    &weights,
                    None,
                    &[],
                    precision,
                )?,
            }
            .loss)
        };
        evaluate(&loss, &inputs, &mut None)
    };
    let (value, gradients) = run(Precision::Bf16, false);
    let (twin_value, twin_gradients) = run(Precision::Bf16, true);
    let (exact_value, exact_gradients) = run(F32, false);
    assert_close("loss", &numbers(&value), &numbers(&twin_value), 1e-4);
    assert_ne!(numbers(&value), numbers(&exact_value));
    for (i, gradient) in gradients.iter().enumerate() {
        let gradient = numbers(gradient);
        assert_close(&format!("argument {i}"), &gradient, &numbers(&twin_gradients[i]), 0.02);
        assert_close(&format!("argument {i}"), &gradient, &numbers(&exact_gradients[i]), 0.04);
    }
}

/// Targets, weights (some zero, some negative) and entropy weights of `rows` rows.
fn rows(rows: usize, vocab: usize) -> (Vec<u32>, Vec<f32>, Vec<f32>) {
    let mut stream = Key::root(8).stream();
    let targets = (0..rows).map(|_| stream.below(vocab as u64) as u32).collect();
    let weights = (0..rows).map(|i| if i % 4 == 1 { 0.0 } else { stream.normal() * 0.3 }).collect();
    let entropy =
        (0..rows).map(|i| if i % 3 == 1 { 0.0 } else { 0.1 * stream.uniform() }).collect();
    (targets, weights, entropy)
}

#[test]
fn head_cross_entropy() {
    // More rows than a chunk, so that the gradients of the head add up over chunks.
    for (count, vocab) in [(1, 3), (9, 40), (700, 21)] {
        let (targets, weights, entropy) = rows(count, vocab);
        check(
            &format!("head_cross_entropy of {count}"),
            &[&[count, 6], &[vocab, 6]],
            &|x| Ok(ops::head_cross_entropy(&x[0], &x[1], &targets, &weights, F32)?.loss),
            Some(&|x| {
                Ok(composed::head_cross_entropy(&x[0], &x[1], &targets, &weights, None, &[], F32)?
                    .loss)
            }),
        );
        for excluded in [&[][..], &[vocab as u32 - 1]] {
            let support = (vocab - excluded.len()) as u32;
            let targets: Vec<u32> = targets.iter().map(|&target| target % support).collect();
            check(
                &format!("head_policy_loss of {count} without {excluded:?}"),
                &[&[count, 6], &[vocab, 6]],
                &|x| {
                    let (hidden, head) = (&x[0], &x[1]);
                    let loss = ops::head_policy_loss(
                        hidden, head, &targets, &weights, &entropy, excluded, F32,
                    );
                    Ok(loss?.loss)
                },
                Some(&|x| {
                    Ok(composed::head_cross_entropy(
                        &x[0],
                        &x[1],
                        &targets,
                        &weights,
                        Some(&entropy),
                        excluded,
                        F32,
                    )?
                    .loss)
                }),
            );
        }
    }
}

#[test]
fn a_tied_head_gets_both_gradients() {
    let ids = [1, 4, 2, 2];
    let (targets, weights, _) = rows(4, 5);
    check(
        "tied head",
        &[&[5, 6]],
        &|x| {
            let hidden = ops::embedding(&x[0], &ids, 4)?;
            Ok(ops::head_cross_entropy(&hidden, &x[0], &targets, &weights, F32)?.loss)
        },
        Some(&|x| {
            let hidden = composed::embedding(&x[0], &ids, &4.into())?;
            Ok(composed::head_cross_entropy(&hidden, &x[0], &targets, &weights, None, &[], F32)?
                .loss)
        }),
    );
}

#[test]
fn scores_of_rows_agree() {
    let (targets, weights, entropy) = rows(150, 30);
    let stream = &mut Key::root(1).stream();
    let (hidden, head) = (draw(stream, &[150, 6]), draw(stream, &[30, 6]));
    let fused = ops::head_policy_loss(&hidden, &head, &targets, &weights, &entropy, &[], F32)
        .unwrap()
        .scores;
    let twin =
        composed::head_cross_entropy(&hidden, &head, &targets, &weights, Some(&entropy), &[], F32);
    let twin = twin.unwrap().scores;
    assert_close("log-probabilities", &fused.log_probs, &twin.log_probs, 1e-6);
    assert_close("entropies", &fused.entropies, &twin.entropies, 1e-6);
    let alone = ops::head_log_probs(&hidden, &head, &targets, &weights, F32).unwrap();
    for (i, weight) in weights.iter().enumerate() {
        let expected = if *weight == 0.0 { 0.0 } else { fused.log_probs[i] };
        assert_eq!(alone.log_probs[i], expected);
    }
}

#[test]
fn gumbel_head() {
    let key = Key::root(21);
    let sampled: Vec<u32> = (0..300).map(|i| (i * 7) % 21).collect();
    let dims: [&[usize]; 3] = [&[300, 6], &[23, 6], &[23, 5]];
    // The noise is drawn given the logits, so there are no finite differences: the twin is the oracle.
    for relaxation in [Relaxation::StraightThrough, Relaxation::Soft] {
        for (temperature, excluded) in [(0.7, &[][..]), (1.0, &[21, 22]), (3.0, &[22])] {
            let options = GumbelOptions { relaxation, temperature, excluded };
            let inputs: Vec<Tensor> =
                dims.iter().map(|dims| draw(&mut Key::root(3).stream(), dims)).collect();
            let mut probe = None;
            let (out, gradients) = evaluate(
                &|x| ops::gumbel_head(&x[0], &x[1], &x[2], &sampled, options, &key),
                &inputs,
                &mut probe,
            );
            let (twin_out, twin_gradients) = evaluate(
                &|x| composed::gumbel_head(&x[0], &x[1], &x[2], &sampled, options, &key),
                &inputs,
                &mut probe,
            );
            let what = format!("{relaxation:?} at {temperature}");
            assert_close(&what, &numbers(&out), &numbers(&twin_out), 1e-4);
            for (gradient, twin) in gradients.iter().zip(&twin_gradients) {
                assert_close(&what, &numbers(gradient), &numbers(twin), 1e-4);
            }
            // A row of the head that no sampler takes has no gradient.
            let head = gradients[1].to_vec2::<f32>().unwrap();
            assert!(excluded.iter().all(|&id| head[id as usize].iter().all(|&x| x == 0.0)));
        }
    }
}

/// The relaxed samples themselves, of one row of logits repeated: embedding is the identity.
fn relaxed(logits: &[f32], sampled: &[u32], temperature: f32, key: &Key) -> Vec<Vec<f32>> {
    let vocab = logits.len();
    let identity: Vec<f32> =
        (0..vocab * vocab).map(|i| if i % (vocab + 1) == 0 { 1.0 } else { 0.0 }).collect();
    let identity = Tensor::from_vec(identity, (vocab, vocab), &Device::Cpu).unwrap();
    let hidden = Tensor::new(logits, &Device::Cpu).unwrap();
    let hidden = hidden.reshape((1, vocab)).unwrap().repeat((sampled.len(), 1)).unwrap();
    let options = GumbelOptions { relaxation: Relaxation::Soft, temperature, excluded: &[] };
    ops::gumbel_head(&hidden, &identity, &identity, sampled, options, key)
        .unwrap()
        .to_vec2()
        .unwrap()
}

#[test]
fn conditional_noise_has_the_distribution_of_noise_that_made_the_sample() {
    let logits = [0.5f32, -1.0, 1.5, 0.0];
    let (count, temperature) = (40_000, 0.8);
    let mut stream = Key::root(4).stream();
    // Ordinary Gumbel noise, from which the sample is the arg max.
    let (mut sampled, mut expected) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let perturbed: Vec<f32> = logits.iter().map(|l| l + stream.gumbel()).collect();
        let best = (0..4).max_by(|&a, &b| perturbed[a].total_cmp(&perturbed[b])).unwrap();
        let weights: Vec<f32> =
            perturbed.iter().map(|y| ((y - perturbed[best]) / temperature).exp()).collect();
        let sum: f32 = weights.iter().sum();
        sampled.push(best as u32);
        expected.push(weights.into_iter().map(|w| w / sum).collect::<Vec<f32>>());
    }
    let drawn = relaxed(&logits, &sampled, temperature, &Key::root(77));
    for (row, &best) in drawn.iter().zip(&sampled) {
        assert!(row.iter().all(|&p| p <= row[best as usize]), "the sample is the largest");
    }
    let moment = |rows: &[Vec<f32>], f: &dyn Fn(&[f32]) -> f32| {
        rows.iter().map(|row| f64::from(f(row))).sum::<f64>() / f64::from(count)
    };
    for i in 0..4 {
        for j in 0..4 {
            let product = |row: &[f32]| row[i] * row[j];
            let (a, b) = (moment(&drawn, &product), moment(&expected, &product));
            assert!((a - b).abs() < 0.008, "moment {i} {j}: {a}, expected {b}");
        }
        let (a, b) = (moment(&drawn, &|row| row[i]), moment(&expected, &|row| row[i]));
        assert!((a - b).abs() < 0.008, "mean {i}: {a}, expected {b}");
    }
}

#[test]
fn far_away_logits_stay_finite() {
    let rows = relaxed(&[-300.0, 300.0, 0.0], &[1, 0, 2], 0.1, &Key::root(6));
    assert!(rows.iter().flatten().all(|p| p.is_finite()), "{rows:?}");
    assert!(rows[1][0] > 0.99, "{rows:?}");
}

#[test]
fn extreme_logits_of_a_classifier() -> Result<()> {
    let logits = Tensor::new(&[-500f32, -120.0, 0.0, 120.0, 500.0], &Device::Cpu)?;
    let logits = Var::from_tensor(&logits)?;
    let targets = Tensor::new(&[1f32, 0.0, 1.0, 1.0, 0.0], &Device::Cpu)?;
    let loss = ops::bce_with_logits(logits.as_tensor(), &targets).unwrap();
    let expected = (500.0 + 0.0 + 2f32.ln() + 0.0 + 500.0) / 5.0;
    assert!((loss.to_scalar::<f32>()? - expected).abs() < 1e-3);
    let gradient = loss.backward()?.get(logits.as_tensor()).unwrap().to_vec1::<f32>()?;
    assert_close("gradient", &gradient, &[-0.2, 0.0, -0.1, 0.0, 0.2], 1e-6);
    Ok(())
}

/// Frozen weights get no gradient, and the others are the same as if nothing were frozen.
#[test]
fn what_is_frozen_costs_nothing_and_changes_nothing() {
    let stream = &mut Key::root(2).stream();
    let x = Var::from_tensor(&draw(stream, &[4, 6])).unwrap();
    let weight = Var::from_tensor(&draw(stream, &[3, 6])).unwrap();
    let gradients = |weight: &Tensor| {
        let y = ops::linear(x.as_tensor(), weight, None).unwrap();
        y.sqr().unwrap().sum_all().unwrap().backward().unwrap()
    };
    let (all, frozen) = (gradients(weight.as_tensor()), gradients(&weight.as_detached_tensor()));
    let of_x =
        |store: &candle_core::backprop::GradStore| numbers(store.get(x.as_tensor()).unwrap());
    assert_eq!(of_x(&all), of_x(&frozen));
    assert!(frozen.get(weight.as_tensor()).is_none());
}

#[test]
fn wrong_shapes_are_named() {
    let x = draw(&mut Key::root(1).stream(), &[2, 3]);
    let message = |result: textgan_nn::Result<Tensor>| result.unwrap_err().to_string();
    let weight = draw(&mut Key::root(1).stream(), &[2, 4]);
    assert_eq!(
        message(ops::linear(&x, &weight, None)),
        "linear: width of the input and of the weight differ: 3 and 4"
    );
    assert_eq!(
        message(ops::embedding(&x, &[0, 2], 2)),
        "embedding: id 2 is outside of a vocabulary of 2"
    );
    let rotary = Rotary::new(3, 4, 10.0);
    let options = BlockOptions {
        heads: 1,
        rotary: &rotary,
        epsilon: 0.1,
        dropout: 0.0,
        precision: F32,
        name: "layer",
    };
    let all: Vec<Tensor> = (0..10).map(|_| x.clone()).collect();
    assert_eq!(
        message(block(&all, &[1, 2], options, Mode::Evaluate, false)),
        "transformer_block: tokens of the stream and sum of lengths differ: 2 and 3"
    );
    let dropped = ops::dropout(&x, 1.0, Mode::Evaluate, "a");
    assert_eq!(message(dropped), "dropout: p is 1, expected 0 <= p < 1");
}
