//! Text convolutions: the fused operation against its composed twin, finite differences and the
//! definition.

use candle_core::{DType, Device, Result, Tensor, Var};
use textgan_nn::layers::{TextConv, TextConvConfig};
use textgan_nn::{Builder, Parameters, ops};
use textgan_random::Key;

struct Case {
    lengths: Vec<usize>,
    /// `x`, weight, bias.
    variables: [Var; 3],
    /// What the loss multiplies the features with.
    weights: Tensor,
}

impl Case {
    fn new(lengths: &[usize], sizes: [usize; 4]) -> Self {
        let [time, embed, width, filters] = sizes;
        let draw = |name: &str, shape: &[usize]| {
            let mut stream = Key::root(2).child(name).stream();
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
            Var::from_vec(values, shape, &Device::Cpu).unwrap()
        };
        let variables = [
            draw("x", &[lengths.len(), time, embed]),
            draw("weight", &[filters, 1, width, embed]),
            draw("bias", &[filters]),
        ];
        let weights = draw("weights", &[lengths.len(), filters]).as_detached_tensor();
        Self { lengths: lengths.to_vec(), variables, weights }
    }

    /// Rows longer than, as long as, shorter than the filters, and empty; the last case is a batch
    /// that is shorter as a whole.
    fn all() -> Vec<Self> {
        vec![
            Self::new(&[6, 3, 2, 1, 0, 5], [6, 4, 3, 10]),
            Self::new(&[6, 1, 5], [6, 3, 1, 4]),
            Self::new(&[2, 1], [2, 3, 5, 17]),
            // More than one shard, and panels that are not full.
            Self::new(&(0..37).map(|i| i % 10).collect::<Vec<_>>(), [9, 7, 4, 37]),
        ]
    }

    fn features(&self, tensors: &[Tensor], composed: bool) -> Tensor {
        let [x, weight, bias] = tensors else { panic!() };
        let convolution = match composed {
            true => ops::composed::text_convolution,
            false => ops::text_convolution,
        };
        convolution(x, weight, bias, &self.lengths).unwrap()
    }

    fn tensors(&self) -> Vec<Tensor> {
        self.variables.iter().map(|variable| variable.as_tensor().clone()).collect()
    }

    fn run(&self, composed: bool) -> Result<(Tensor, Vec<Tensor>)> {
        let features = self.features(&self.tensors(), composed);
        let gradients = (&features * &self.weights)?.sum_all()?.backward()?;
        let gradients =
            self.variables.iter().map(|variable| gradients.get(variable).unwrap().clone());
        Ok((features, gradients.collect()))
    }
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(left: &Tensor, right: &Tensor, what: &str) {
    assert_eq!(left.dims(), right.dims(), "{what}");
    for (i, (a, b)) in values(left).iter().zip(values(right)).enumerate() {
        assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{what}[{i}]: {a} and {b}");
    }
}

#[test]
fn fused_equals_composed() -> Result<()> {
    for (number, case) in Case::all().iter().enumerate() {
        let (features, gradients) = case.run(false)?;
        let (expected_features, expected) = case.run(true)?;
        assert_close(&features, &expected_features, &format!("case {number}"));
        for (i, (gradient, expected)) in gradients.iter().zip(&expected).enumerate() {
            assert_close(gradient, expected, &format!("case {number} gradient {i}"));
        }
    }
    Ok(())
}

#[test]
fn features_equal_the_definition() -> Result<()> {
    for case in Case::all() {
        let [x, weight, bias] = &case.tensors()[..] else { panic!() };
        let (x, bias) = (x.to_vec3::<f32>()?, bias.to_vec1::<f32>()?);
        let weight = weight.squeeze(1)?.to_vec3::<f32>()?;
        let features = case.features(&case.tensors(), false).to_vec2::<f32>()?;
        for (row, &length) in case.lengths.iter().enumerate() {
            for (filter, weight) in weight.iter().enumerate() {
                let windows = if length < weight.len() { 1 } else { length - weight.len() + 1 };
                let score = |t: usize| {
                    let mut sum = bias[filter];
                    for (k, weight) in weight.iter().enumerate().take(length - t.min(length)) {
                        sum += x[row][t + k].iter().zip(weight).map(|(x, w)| x * w).sum::<f32>();
                    }
                    sum
                };
                let expected = (0..windows).map(score).fold(0.0, f32::max);
                let found = features[row][filter];
                assert!((found - expected).abs() < 1e-5 * (1.0 + expected), "{found} {expected}");
            }
        }
    }
    Ok(())
}

#[test]
fn gradients_equal_finite_differences() -> Result<()> {
    for case in &Case::all()[..3] {
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
            (case.features(&tensors, true) * &weights)?.sum_all()?.to_scalar()
        };
        for (which, gradient) in gradients.iter().enumerate() {
            for (element, gradient) in values(gradient).into_iter().enumerate() {
                let step = 1e-6;
                let expected =
                    (loss(which, element, step)? - loss(which, element, -step)?) / (2.0 * step);
                let error = (f64::from(gradient) - expected).abs();
                assert!(
                    error < 1e-5 * (1.0 + expected.abs()),
                    "{which}[{element}]: {gradient}, {expected}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn padding_changes_nothing_and_gets_no_gradient() -> Result<()> {
    for case in Case::all() {
        let (features, gradients) = case.run(false)?;
        let mut tensors = case.tensors();
        let (batch, time, embed) = tensors[0].dims3()?;
        let mut x = values(&tensors[0]);
        for (row, &length) in x.chunks_exact_mut(time * embed).zip(&case.lengths) {
            row[length * embed..].fill(f32::NAN);
        }
        tensors[0] = Tensor::from_vec(x, (batch, time, embed), &Device::Cpu)?;
        assert_eq!(values(&case.features(&tensors, false)), values(&features));
        for (d_x, &length) in gradients[0].to_vec3::<f32>()?.iter().zip(&case.lengths) {
            assert!(d_x[length..].iter().flatten().all(|&g| g == 0.0));
        }
    }
    Ok(())
}

#[test]
fn the_first_of_equal_windows_takes_the_gradient() -> Result<()> {
    let x = Var::ones((1, 4, 2), DType::F32, &Device::Cpu)?;
    let weight = Var::ones((1, 1, 2, 2), DType::F32, &Device::Cpu)?;
    let bias = Tensor::zeros(1, DType::F32, &Device::Cpu)?;
    for convolution in [ops::text_convolution, ops::composed::text_convolution] {
        let features = convolution(&x, &weight, &bias, &[4]).unwrap();
        assert_eq!(features.to_vec2::<f32>()?, [[4.0]]);
        let d_x = values(features.backward()?.get(&x).unwrap());
        assert_eq!(d_x, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    }
    Ok(())
}

#[test]
fn bits_do_not_depend_on_threads() -> Result<()> {
    let case = Case::new(&(1..71).map(|i| 1 + i % 12).collect::<Vec<_>>(), [12, 16, 3, 50]);
    let bits = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (features, gradients) = pool.install(|| case.run(false)).unwrap();
        let mut bits = vec![values(&features)];
        bits.extend(gradients.iter().map(values));
        bits
    };
    let one = bits(1);
    assert_eq!(one, bits(2));
    assert_eq!(one, bits(4));
    Ok(())
}

#[test]
fn banks_are_side_by_side() -> Result<()> {
    let config = TextConvConfig { embed: 4, filters: vec![(1, 3), (2, 5)] };
    let mut parameters = Parameters::new();
    let mut builder = Builder::new(&mut parameters, Key::root(5), &Device::Cpu);
    let layer = TextConv::new(&mut builder, &config).unwrap();
    assert_eq!(layer.output(), 8);
    let x = Tensor::ones((2, 3, 4), DType::F32, &Device::Cpu)?;
    let features = layer.forward(&x, &[3, 1]).unwrap();
    let get = |name: &str| parameters.get(name).unwrap().as_tensor();
    let second =
        ops::text_convolution(&x, get("convs.1.weight"), get("convs.1.bias"), &[3, 1]).unwrap();
    assert_eq!(features.narrow(1, 3, 5)?.to_vec2::<f32>()?, second.to_vec2::<f32>()?);

    for filters in [vec![], vec![(0, 3)], vec![(3, 0)]] {
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, Key::root(5), &Device::Cpu);
        assert!(TextConv::new(&mut builder, &TextConvConfig { embed: 4, filters }).is_err());
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let case = Case::new(&[3, 2], [3, 4, 2, 5]);
    let [x, weight, bias] = &case.tensors()[..] else { panic!() };
    let refused = |x: &Tensor, weight: &Tensor, bias: &Tensor, lengths: &[usize], expected| {
        let message = ops::text_convolution(x, weight, bias, lengths).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    refused(x, weight, bias, &[4, 2], "a length is 4, but time is 3");
    refused(x, weight, bias, &[3], "number of rows and of lengths differ: 2 and 1");
    refused(x, &weight.squeeze(1)?, bias, &[3, 2], "expected [batch, time, embed]");
    refused(&x.narrow(2, 0, 3)?, weight, bias, &[3, 2], "differ: 3 and 4");
    refused(x, weight, &bias.narrow(0, 0, 4)?, &[3, 2], "the bias has shape [4], expected [5]");
    Ok(())
}
