//! Recurrent sequences: the fused operation against its composed twin, finite differences and
//! PyTorch.

use candle_core::{DType, Device, Result, Tensor, Var};
use textgan_nn::kernels::{CellKind, Direction, Stepper, Strided};
use textgan_nn::layers::{Recurrent, RecurrentConfig};
use textgan_nn::ops::{self, RecurrentWeights};
use textgan_nn::{Builder, Mode, Parameters};
use textgan_random::Key;

const KINDS: [CellKind; 2] = [CellKind::Gru, CellKind::Lstm];
const DIRECTIONS: [Direction; 2] = [Direction::Forward, Direction::Reverse];

struct Case {
    kind: CellKind,
    direction: Direction,
    lengths: Vec<usize>,
    /// `x`, the four parameters, the initial state.
    variables: Vec<Var>,
    /// What the loss multiplies the states with.
    weights: Tensor,
}

impl Case {
    fn new(kind: CellKind, direction: Direction, lengths: &[usize], sizes: [usize; 3]) -> Self {
        let [time, inputs, hidden] = sizes;
        let (batch, gates) = (lengths.len(), kind.gates() * hidden);
        let draw = |name: &str, shape: &[usize]| {
            let mut stream = Key::root(1).child(name).stream();
            let values: Vec<f32> =
                (0..shape.iter().product()).map(|_| 0.5 * stream.normal()).collect();
            Var::from_vec(values, shape, &Device::Cpu).unwrap()
        };
        let variables = vec![
            draw("x", &[batch, time, inputs]),
            draw("weight_ih", &[gates, inputs]),
            draw("weight_hh", &[gates, hidden]),
            draw("bias_ih", &[gates]),
            draw("bias_hh", &[gates]),
            draw("initial", &[batch, kind.state_width(hidden)]),
        ];
        let weights = draw("weights", &[batch, time, hidden]).as_detached_tensor();
        Self { kind, direction, lengths: lengths.to_vec(), variables, weights }
    }

    fn small(kind: CellKind, direction: Direction) -> Self {
        Self::new(kind, direction, &[4, 1, 0, 3, 5], [5, 3, 4])
    }

    fn states(&self, variables: &[Tensor], composed: bool) -> Result<Tensor> {
        let [x, input, hidden, input_bias, hidden_bias, initial] = variables else { panic!() };
        let weights = RecurrentWeights { input, hidden, input_bias, hidden_bias };
        let sequence = match composed {
            true => ops::composed::recurrent_sequence,
            false => ops::recurrent_sequence,
        };
        Ok(sequence(self.kind, x, weights, &self.lengths, self.direction, Some(initial)).unwrap())
    }

    fn tensors(&self) -> Vec<Tensor> {
        self.variables.iter().map(|variable| variable.as_tensor().clone()).collect()
    }

    /// The states, and the gradient of every variable.
    fn run(&self, composed: bool) -> Result<(Tensor, Vec<Tensor>)> {
        let states = self.states(&self.tensors(), composed)?;
        let gradients = (&states * &self.weights)?.sum_all()?.backward()?;
        let gradients =
            self.variables.iter().map(|variable| gradients.get(variable).unwrap().clone());
        Ok((states, gradients.collect()))
    }
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(left: &Tensor, right: &Tensor, tolerance: f32, what: &str) {
    assert_eq!(left.dims(), right.dims(), "{what}");
    for (i, (a, b)) in values(left).iter().zip(values(right)).enumerate() {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{what}[{i}]: {a} and {b}");
    }
}

#[test]
fn fused_equals_composed() -> Result<()> {
    for kind in KINDS {
        for direction in DIRECTIONS {
            let long: Vec<usize> = (0..37).map(|i| i * 7 % 10).collect();
            for case in [
                Case::small(kind, direction),
                // More than one shard, and panels that are not full.
                Case::new(kind, direction, &long, [9, 18, 21]),
            ] {
                let (states, gradients) = case.run(false)?;
                let (expected_states, expected) = case.run(true)?;
                let name = format!("{kind:?} {direction:?}");
                assert_close(&states, &expected_states, 1e-5, &name);
                for (i, (gradient, expected)) in gradients.iter().zip(&expected).enumerate() {
                    assert_close(gradient, expected, 1e-5, &format!("{name} gradient {i}"));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn gradients_equal_finite_differences() -> Result<()> {
    for kind in KINDS {
        for direction in DIRECTIONS {
            let case = Case::small(kind, direction);
            let (_, gradients) = case.run(false)?;
            // The composed twin in f64, so that differences have digits left.
            let weights = case.weights.to_dtype(DType::F64)?;
            let loss = |which: usize, element: usize, change: f64| -> Result<f64> {
                let mut tensors = Vec::new();
                for (i, tensor) in case.tensors().iter().enumerate() {
                    let mut values: Vec<f64> =
                        tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
                    if i == which {
                        values[element] += change;
                    }
                    tensors.push(Tensor::from_vec(values, tensor.shape(), &Device::Cpu)?);
                }
                (case.states(&tensors, true)? * &weights)?.sum_all()?.to_scalar()
            };
            for (which, gradient) in gradients.iter().enumerate() {
                for (element, gradient) in values(gradient).into_iter().enumerate() {
                    let step = 1e-5;
                    let up = loss(which, element, step)?;
                    let expected = (up - loss(which, element, -step)?) / (2.0 * step);
                    let error = (f64::from(gradient) - expected).abs();
                    assert!(
                        error < 1e-5 * (1.0 + expected.abs()),
                        "{kind:?} {direction:?} {which}[{element}]: {gradient}, {expected}"
                    );
                }
            }
        }
    }
    Ok(())
}

#[test]
fn padding_changes_nothing_and_gets_no_gradient() -> Result<()> {
    for kind in KINDS {
        for direction in DIRECTIONS {
            let case = Case::small(kind, direction);
            let (states, gradients) = case.run(false)?;
            let mut tensors = case.tensors();
            let (batch, time, inputs) = tensors[0].dims3()?;
            let mut x = values(&tensors[0]);
            for (row, &length) in x.chunks_exact_mut(time * inputs).zip(&case.lengths) {
                row[length * inputs..].fill(f32::NAN);
            }
            tensors[0] = Tensor::from_vec(x, (batch, time, inputs), &Device::Cpu)?;
            assert_eq!(values(&case.states(&tensors, false)?), values(&states));

            let d_x = gradients[0].to_vec3::<f32>()?;
            for (row, &length) in d_x.iter().zip(&case.lengths) {
                for (t, d_x) in row.iter().enumerate() {
                    assert_eq!(d_x.iter().all(|&g| g == 0.0), t >= length, "{d_x:?}");
                }
            }
            let states = states.to_vec3::<f32>()?;
            let initial = tensors[5].to_vec2::<f32>()?;
            for (row, (states, &length)) in states.iter().zip(&case.lengths).enumerate() {
                for state in &states[length..] {
                    let kept = match (direction, length) {
                        (Direction::Forward, 1..) => &states[length - 1][..],
                        _ => &initial[row][..state.len()],
                    };
                    assert_eq!(state, kept);
                }
            }
        }
    }
    Ok(())
}

#[test]
fn bits_do_not_depend_on_threads_or_neighbours() -> Result<()> {
    for kind in KINDS {
        let lengths: Vec<usize> = (0..70).map(|i| 1 + i * 5 % 8).collect();
        let case = Case::new(kind, Direction::Forward, &lengths, [8, 24, 40]);
        let bits = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (states, gradients) = pool.install(|| case.run(false)).unwrap();
            let mut bits = vec![values(&states)];
            bits.extend(gradients.iter().map(values));
            bits
        };
        let one = bits(1);
        assert_eq!(one, bits(2));
        assert_eq!(one, bits(4));

        let row = 33;
        let mut tensors = case.tensors();
        tensors[0] = tensors[0].narrow(0, row, 1)?;
        tensors[5] = tensors[5].narrow(0, row, 1)?;
        let alone = Case { lengths: vec![lengths[row]], ..case };
        let states = values(&alone.states(&tensors, false)?);
        assert_eq!(states, one[0][row * states.len()..][..states.len()]);
    }
    Ok(())
}

#[test]
fn single_steps_are_the_sequence() -> Result<()> {
    for kind in KINDS {
        let case = Case::new(kind, Direction::Forward, &[6; 3], [6, 5, 7]);
        let tensors = case.tensors();
        let states = case.states(&tensors, false)?.to_vec3::<f32>()?;
        let parameters: Vec<f32> = tensors[1..5].iter().flat_map(values).collect();
        let stepper = Stepper::new(kind, 5, 7, &parameters);
        let (x, mut state) = (values(&tensors[0]), values(&tensors[5]));
        let mut scratch = Vec::new();
        for t in 0..6 {
            stepper.step(3, Strided::rows(&x[t * 5..], 6 * 5), &mut state, &mut scratch);
            for (state, states) in state.chunks_exact(stepper.state_width()).zip(&states) {
                assert_eq!(state[..7], states[t]);
            }
        }
    }
    Ok(())
}

#[test]
fn frozen_weights_get_no_gradient_and_the_input_does() -> Result<()> {
    let case = Case::small(CellKind::Gru, Direction::Forward);
    let (_, expected) = case.run(false)?;
    let mut tensors = case.tensors();
    tensors[1..].iter_mut().for_each(|tensor| *tensor = tensor.detach());
    let states = case.states(&tensors, false)?;
    let gradients = (states * &case.weights)?.sum_all()?.backward()?;
    assert_eq!(values(gradients.get(&case.variables[0]).unwrap()), values(&expected[0]));
    assert!(case.variables[1..].iter().all(|variable| gradients.get(variable).is_none()));
    Ok(())
}

#[test]
fn layers_and_directions_are_composed_of_single_ones() -> Result<()> {
    for kind in KINDS {
        let config =
            RecurrentConfig { layers: 2, bidirectional: true, ..RecurrentConfig::new(kind, 3, 4) };
        let mut parameters = Parameters::new();
        let mut builder = Builder::new(&mut parameters, Key::root(5), &Device::Cpu);
        let network = Recurrent::new(&mut builder, &config).unwrap();
        assert_eq!(parameters.len(), 16);
        let case = Case::new(kind, Direction::Forward, &[2, 5], [5, 3, 4]);
        let x = case.tensors()[0].clone();
        let states = network.forward(&x, &case.lengths, None, Mode::Evaluate).unwrap();
        assert_eq!(states.dims(), [2, 5, 8]);

        let single = |x: &Tensor, suffix: &str, direction| {
            let get = |name: &str| parameters.get(&format!("{name}_{suffix}")).unwrap().as_tensor();
            let weights = RecurrentWeights {
                input: get("weight_ih"),
                hidden: get("weight_hh"),
                input_bias: get("bias_ih"),
                hidden_bias: get("bias_hh"),
            };
            ops::recurrent_sequence(kind, x, weights, &case.lengths, direction, None).unwrap()
        };
        let mut expected = x;
        for layer in ["l0", "l1"] {
            let forward = single(&expected, layer, Direction::Forward);
            let reverse = single(&expected, &format!("{layer}_reverse"), Direction::Reverse);
            expected = Tensor::cat(&[forward, reverse], 2)?;
        }
        assert_eq!(values(&states), values(&expected));
        let last = network.last(&states).unwrap().to_vec2::<f32>()?;
        let states = states.to_vec3::<f32>()?;
        for (row, &length) in case.lengths.iter().enumerate() {
            assert_eq!(last[row][..4], states[row][length - 1][..4]);
            assert_eq!(last[row][4..], states[row][0][4..]);
        }
        assert!(network.steppers().is_err());
    }
    Ok(())
}

#[test]
fn dropout_between_layers_follows_the_key() -> Result<()> {
    let config =
        RecurrentConfig { layers: 2, dropout: 0.5, ..RecurrentConfig::new(CellKind::Gru, 3, 16) };
    let mut parameters = Parameters::new();
    let mut builder = Builder::new(&mut parameters, Key::root(5), &Device::Cpu);
    let network = Recurrent::new(&mut builder, &config).unwrap();
    let x = Tensor::ones((2, 4, 3), DType::F32, &Device::Cpu)?;
    let run = |mode: Mode<'_>| values(&network.forward(&x, &[4, 4], None, mode).unwrap());
    let (one, two) = (Key::root(1), Key::root(2));
    assert_eq!(run(Mode::Train(&one)), run(Mode::Train(&one)));
    assert_ne!(run(Mode::Train(&one)), run(Mode::Train(&two)));
    assert_ne!(run(Mode::Train(&one)), run(Mode::Evaluate));
    Ok(())
}

/// Numbers from PyTorch's `GRU(2, 2)` and `LSTM(2, 2)`, as this computes them:
///
/// ```python
/// import torch
/// for kind, gates in ((torch.nn.GRU, 3), (torch.nn.LSTM, 4)):
///     net = kind(2, 2, batch_first=True)
///     with torch.no_grad():
///         for n, p in net.named_parameters():
///             p.copy_((torch.arange(p.numel()) % 7 - 3).reshape(p.shape) * 0.1)
///     print(net(torch.tensor([[[1., -1.], [0.5, 2.]]]))[0].flatten().tolist())
/// ```
#[test]
fn the_gates_are_those_of_pytorch() -> Result<()> {
    for (kind, expected) in [(CellKind::Gru, GRU), (CellKind::Lstm, LSTM)] {
        let gates = 2 * kind.gates();
        let fill = |shape: &[usize]| {
            let n: usize = shape.iter().product();
            let values: Vec<f32> = (0..n).map(|i| ((i % 7) as f32 - 3.0) * 0.1).collect();
            Tensor::from_vec(values, shape, &Device::Cpu)
        };
        let (input, hidden) = (fill(&[gates, 2])?, fill(&[gates, 2])?);
        let (input_bias, hidden_bias) = (fill(&[gates])?, fill(&[gates])?);
        let weights = RecurrentWeights {
            input: &input,
            hidden: &hidden,
            input_bias: &input_bias,
            hidden_bias: &hidden_bias,
        };
        let x = Tensor::new(&[[[1f32, -1.0], [0.5, 2.0]]], &Device::Cpu)?;
        let states =
            ops::recurrent_sequence(kind, &x, weights, &[2], Direction::Forward, None).unwrap();
        for (state, expected) in values(&states).iter().zip(expected) {
            assert!((state - expected).abs() < 1e-6, "{kind:?}: {:?}", values(&states));
        }
    }
    Ok(())
}
const GRU: [f32; 4] = [0.0190537, 0.0615594, -0.0659964, 0.2977136];
const LSTM: [f32; 4] = [0.0205779, 0.0363471, -0.0054259, 0.0588704];

#[test]
fn what_does_not_fit_is_refused() {
    let case = Case::small(CellKind::Gru, Direction::Forward);
    let refused = |change: &dyn Fn(&mut Vec<Tensor>, &mut Vec<usize>), expected: &str| {
        let (mut tensors, mut lengths) = (case.tensors(), case.lengths.clone());
        change(&mut tensors, &mut lengths);
        let [x, input, hidden, input_bias, hidden_bias, initial] = &tensors[..] else { panic!() };
        let weights = RecurrentWeights { input, hidden, input_bias, hidden_bias };
        let message =
            ops::recurrent_sequence(case.kind, x, weights, &lengths, case.direction, Some(initial))
                .unwrap_err()
                .to_string();
        assert!(message.contains(expected), "{message}");
    };
    refused(&|_, lengths| lengths[0] = 6, "a length is 6, but time is 5");
    refused(&|_, lengths| lengths.truncate(2), "number of rows and of lengths differ: 5 and 2");
    refused(&|t, _| t[0] = t[0].get(0).unwrap(), "expected [batch, time, inputs]");
    refused(&|t, _| t[1] = t[2].clone(), "the input weight has shape [12, 4], expected [12, 3]");
    refused(&|t, _| t[4] = t[3].narrow(0, 0, 4).unwrap(), "the hidden bias has shape [4]");
    refused(&|t, _| t[5] = t[0].clone(), "the initial state has shape [5, 5, 3]");
}
