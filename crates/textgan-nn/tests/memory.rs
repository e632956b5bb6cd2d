//! The relational memory: the fused operation against its composed twin and finite differences.

use candle_core::{DType, Device, Result, Tensor, Var};
use textgan_nn::ops::{self, MemoryOptions, MemoryWeights};
use textgan_random::Key;

struct Case {
    options: MemoryOptions,
    /// Words, the initial memory, and the weights in the order of [`MemoryWeights`].
    variables: Vec<Var>,
    /// What the loss multiplies the memories with.
    weights: Tensor,
}

impl Case {
    fn new([batch, time, width]: [usize; 3], [slots, heads, layers]: [usize; 3]) -> Self {
        let draw = |name: &str, shape: &[usize], mean: f32, deviation: f32| {
            let mut stream = Key::root(1).child(name).stream();
            let values = (0..shape.iter().product()).map(|_| mean + deviation * stream.normal());
            Var::from_vec(values.collect::<Vec<f32>>(), shape, &Device::Cpu).unwrap()
        };
        let matrix = |name: &str, rows: usize| draw(name, &[rows, width], 0.0, 0.4);
        let norm = |name: &str| draw(name, &[width], 1.0, 0.3);
        let bias = |name: &str, rows: usize| draw(name, &[rows], 0.0, 0.3);
        let variables = vec![
            draw("words", &[batch, time, width], 0.0, 1.0),
            draw("initial", &[batch, slots * width], 0.0, 0.7),
            matrix("query", width),
            bias("query bias", width),
            matrix("key", width),
            bias("key bias", width),
            matrix("value", width),
            bias("value bias", width),
            norm("query norm"),
            norm("key norm"),
            norm("attended norm"),
            norm("read norm"),
            matrix("word gates", 2 * width),
            matrix("memory gates", 2 * width),
            bias("memory gates bias", 2 * width),
            draw("read", &[layers, width, width], 0.0, 0.4),
            draw("read bias", &[layers, width], 0.0, 0.3),
        ];
        let weights = draw("loss", &[batch, time, slots * width], 0.0, 1.0);
        let options = MemoryOptions { slots, heads, epsilon: 1e-5, forget_bias: 1.0 };
        Self { options, variables, weights: weights.as_detached_tensor() }
    }

    fn memories(&self, tensors: &[Tensor], composed: bool) -> Result<Tensor> {
        let [words, initial, q, q_bias, k, k_bias, v, v_bias, rest @ ..] = tensors else {
            panic!()
        };
        let [q_norm, k_norm, a_norm, r_norm, word, own, own_bias, read, read_bias] = rest else {
            panic!()
        };
        let weights = MemoryWeights {
            query: (q, q_bias),
            key: (k, k_bias),
            value: (v, v_bias),
            query_norm: q_norm,
            key_norm: k_norm,
            attended_norm: a_norm,
            read_norm: r_norm,
            word_gates: word,
            memory_gates: (own, own_bias),
            read: (read, read_bias),
        };
        let memory = match composed {
            true => ops::composed::relational_memory,
            false => ops::relational_memory,
        };
        Ok(memory(words, initial, weights, self.options).unwrap())
    }

    fn tensors(&self) -> Vec<Tensor> {
        self.variables.iter().map(|variable| variable.as_tensor().clone()).collect()
    }

    /// The memories, and the gradient of every variable.
    fn run(&self, composed: bool) -> Result<(Tensor, Vec<Tensor>)> {
        let memories = self.memories(&self.tensors(), composed)?;
        let gradients = (&memories * &self.weights)?.sum_all()?.backward()?;
        let gradients =
            self.variables.iter().map(|variable| gradients.get(variable).unwrap().clone());
        Ok((memories, gradients.collect()))
    }
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(left: &Tensor, right: &Tensor, tolerance: f32, what: &str) {
    assert_eq!(left.dims(), right.dims(), "{what}");
    let largest = values(right).iter().fold(1.0f32, |most, x| most.max(x.abs()));
    for (i, (a, b)) in values(left).iter().zip(values(right)).enumerate() {
        assert!((a - b).abs() <= tolerance * largest, "{what}[{i}]: {a} and {b}");
    }
}

#[test]
fn fused_equals_composed() -> Result<()> {
    for (sizes, memory) in [
        ([3, 4, 6], [1, 2, 1]),
        ([2, 3, 8], [3, 2, 2]),
        ([1, 1, 4], [2, 1, 3]),
        // More than one shard, and panels and lanes that are not full.
        ([37, 5, 21], [2, 3, 2]),
    ] {
        let case = Case::new(sizes, memory);
        let (memories, gradients) = case.run(false)?;
        let (expected_memories, expected) = case.run(true)?;
        assert_close(&memories, &expected_memories, 1e-5, "memories");
        for (i, (gradient, expected)) in gradients.iter().zip(&expected).enumerate() {
            assert_close(gradient, expected, 2e-5, &format!("{sizes:?} {memory:?} gradient {i}"));
        }
    }
    Ok(())
}

#[test]
fn gradients_equal_finite_differences() -> Result<()> {
    let case = Case::new([2, 3, 4], [2, 2, 2]);
    let (_, gradients) = case.run(false)?;
    // The composed twin in f64, so that differences have digits left.
    let weights = case.weights.to_dtype(DType::F64)?;
    let loss = |which: usize, element: usize, change: f64| -> Result<f64> {
        let mut tensors = Vec::new();
        for (i, tensor) in case.tensors().iter().enumerate() {
            let mut values: Vec<f64> = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
            if i == which {
                values[element] += change;
            }
            tensors.push(Tensor::from_vec(values, tensor.shape(), &Device::Cpu)?);
        }
        (case.memories(&tensors, true)? * &weights)?.sum_all()?.to_scalar()
    };
    for (which, gradient) in gradients.iter().enumerate() {
        for (element, &found) in values(gradient).iter().enumerate() {
            let slope = (loss(which, element, 1e-5)? - loss(which, element, -1e-5)?) / 2e-5;
            let difference = (slope - f64::from(found)).abs();
            assert!(difference < 1e-3 * (1.0 + slope.abs()), "{which}[{element}]: {found} {slope}");
        }
    }
    Ok(())
}

#[test]
fn frozen_weights_pass_a_gradient_on_and_shapes_are_told() -> Result<()> {
    let case = Case::new([3, 4, 6], [2, 2, 1]);
    let (_, gradients) = case.run(false)?;
    let mut tensors: Vec<Tensor> = case.variables.iter().map(Var::as_detached_tensor).collect();
    tensors[0] = case.variables[0].as_tensor().clone();
    let memories = case.memories(&tensors, false)?;
    let found = (&memories * &case.weights)?.sum_all()?.backward()?;
    assert_close(found.get(&case.variables[0]).unwrap(), &gradients[0], 0.0, "words");
    assert!(case.variables[1..].iter().all(|variable| found.get(variable).is_none()));

    let all = case.tensors();
    let weights = MemoryWeights {
        query: (&all[2], &all[3]),
        key: (&all[4], &all[5]),
        value: (&all[6], &all[7]),
        query_norm: &all[8],
        key_norm: &all[9],
        attended_norm: &all[10],
        read_norm: &all[11],
        word_gates: &all[12],
        memory_gates: (&all[13], &all[14]),
        read: (&all[15], &all[16]),
    };
    for (options, expect) in [
        (MemoryOptions { heads: 4, ..case.options }, "heads of a whole width"),
        (MemoryOptions { slots: 3, ..case.options }, "the initial memory has shape [3, 12]"),
        (MemoryOptions { slots: 0, ..case.options }, "none may be 0"),
    ] {
        let error = ops::relational_memory(&all[0], &all[1], weights, options).unwrap_err();
        assert!(error.to_string().contains(expect), "{error}");
    }
    Ok(())
}
