use candle_core::Tensor;

use crate::kernels::{CellKind, Direction, Stepper};
use crate::ops::{self, RecurrentWeights};
use crate::{Builder, Error, Init, Mode, Result};

/// How to make a [`Recurrent`] network.
#[derive(Clone, Debug, PartialEq)]
pub struct RecurrentConfig {
    /// GRU or LSTM.
    pub kind: CellKind,
    /// Width of the input.
    pub inputs: usize,
    /// Width of the hidden state of each layer and direction.
    pub hidden: usize,
    /// Layers on top of each other. Default: 1.
    pub layers: usize,
    /// Whether each layer also reads from the end. Default: no.
    pub bidirectional: bool,
    /// Dropout between layers (not before the first nor after the last). Default: 0.
    pub dropout: f32,
}

impl RecurrentConfig {
    /// One layer in one direction.
    pub fn new(kind: CellKind, inputs: usize, hidden: usize) -> Self {
        Self { kind, inputs, hidden, layers: 1, bidirectional: false, dropout: 0.0 }
    }

    fn directions(&self) -> &'static [Direction] {
        match self.bidirectional {
            true => &[Direction::Forward, Direction::Reverse],
            false => &[Direction::Forward],
        }
    }
}

/// GRU or LSTM layers with rows of different lengths.
///
/// Parameters have PyTorch's names, shapes, gate order and initial distribution (uniform in
/// `±1/sqrt(hidden)`): `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, then `.._l1` for
/// the second layer, and `.._l0_reverse` for the second direction. See [`ops::recurrent_sequence`]
/// for what happens beyond the length of a row.
#[derive(Clone, Debug)]
pub struct Recurrent {
    config: RecurrentConfig,
    /// Layer by layer, the directions of a layer side by side.
    cells: Vec<CellWeights>,
}

#[derive(Clone, Debug)]
struct CellWeights {
    input: Tensor,
    hidden: Tensor,
    input_bias: Tensor,
    hidden_bias: Tensor,
}

impl Recurrent {
    /// Creates the parameters.
    ///
    /// # Errors
    /// If a size is zero, the dropout is not in `[0, 1)` or a name is taken.
    pub fn new(builder: &mut Builder<'_>, config: &RecurrentConfig) -> Result<Self> {
        if [config.inputs, config.hidden, config.layers].contains(&0) {
            let problem = format!("inputs, hidden and layers must not be 0: {config:?}");
            return Err(Error::argument("Recurrent", problem));
        }
        let gates = config.kind.gates() * config.hidden;
        let bound = 1.0 / (config.hidden as f32).sqrt();
        let mut cells = Vec::new();
        for layer in 0..config.layers {
            let inputs = match layer {
                0 => config.inputs,
                _ => config.directions().len() * config.hidden,
            };
            for direction in config.directions() {
                let suffix = match direction {
                    Direction::Forward => format!("l{layer}"),
                    Direction::Reverse => format!("l{layer}_reverse"),
                };
                let mut get = |name: &str, shape: &[usize]| {
                    builder.get(&format!("{name}_{suffix}"), shape, Init::Uniform { bound })
                };
                cells.push(CellWeights {
                    input: get("weight_ih", &[gates, inputs])?,
                    hidden: get("weight_hh", &[gates, config.hidden])?,
                    input_bias: get("bias_ih", &[gates])?,
                    hidden_bias: get("bias_hh", &[gates])?,
                });
            }
        }
        Ok(Self { config: config.clone(), cells })
    }

    /// The hidden states of the last layer.
    ///
    /// # Shapes
    /// `x: [batch, time, inputs]`, one length a row, `initial: [layers * directions, batch, state]`
    /// (`None`: zeros; a state of an LSTM is the hidden state and then the cell), to `[batch, time,
    /// directions * hidden]`.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn forward(
        &self,
        x: &Tensor,
        lengths: &[usize],
        initial: Option<&Tensor>,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        let directions = self.config.directions();
        if let Some(initial) = initial.filter(|initial| {
            initial.rank() != 3 || initial.dims().first() != Some(&self.cells.len())
        }) {
            let problem = format!(
                "the initial state has shape {:?}, expected [{}, batch, state]",
                initial.dims(),
                self.cells.len()
            );
            return Err(Error::argument("Recurrent", problem));
        }
        let mut x = x.clone();
        for (layer, cells) in self.cells.chunks(directions.len()).enumerate() {
            if layer > 0 {
                x = ops::dropout(&x, self.config.dropout, mode, &format!("layers.{layer}"))?;
            }
            let mut states = Vec::with_capacity(directions.len());
            for (i, (cell, &direction)) in cells.iter().zip(directions).enumerate() {
                let initial = match initial {
                    Some(initial) => Some(initial.get(layer * directions.len() + i)?),
                    None => None,
                };
                let kind = self.config.kind;
                let weights = cell.borrow();
                let initial = initial.as_ref();
                states
                    .push(ops::recurrent_sequence(kind, &x, weights, lengths, direction, initial)?);
            }
            x = match states.as_slice() {
                [states] => states.clone(),
                states => Tensor::cat(states, 2)?,
            };
        }
        Ok(x)
    }

    /// The state after the last token of every row, both directions side by side, out of what
    /// [`Recurrent::forward`] returned: `[batch, time, directions * hidden]` to `[batch, directions
    /// * hidden]`.
    ///
    /// # Errors
    /// If `states` has another shape.
    pub fn last(&self, states: &Tensor) -> Result<Tensor> {
        let hidden = self.config.hidden;
        let (_, time, _) = states.dims3()?;
        let final_position = time.saturating_sub(1);
        let forward = states.narrow(1, final_position, 1)?.narrow(2, 0, hidden)?.squeeze(1)?;
        if !self.config.bidirectional {
            return Ok(forward.contiguous()?);
        }
        let reverse = states.narrow(1, 0, 1)?.narrow(2, hidden, hidden)?.squeeze(1)?;
        Ok(Tensor::cat(&[forward, reverse], 1)?)
    }

    /// The layers for a sampler: a copy of the weights as they are now, first layer first.
    ///
    /// # Errors
    /// If the network also reads from the end, which no sampler can.
    pub fn steppers(&self) -> Result<Vec<Stepper>> {
        if self.config.bidirectional {
            let problem = "a bidirectional network cannot take single steps";
            return Err(Error::argument("Recurrent::steppers", problem));
        }
        let mut steppers = Vec::with_capacity(self.cells.len());
        for cell in &self.cells {
            let inputs = cell.input.dim(1)?;
            let mut parameters = Vec::new();
            for tensor in [&cell.input, &cell.hidden, &cell.input_bias, &cell.hidden_bias] {
                parameters.extend(tensor.flatten_all()?.to_vec1::<f32>()?);
            }
            let (kind, hidden) = (self.config.kind, self.config.hidden);
            steppers.push(Stepper::new(kind, inputs, hidden, &parameters));
        }
        Ok(steppers)
    }

    /// How the network was made.
    pub fn config(&self) -> &RecurrentConfig {
        &self.config
    }

    /// Width of the output.
    pub fn output(&self) -> usize {
        self.config.directions().len() * self.config.hidden
    }
}

impl CellWeights {
    fn borrow(&self) -> RecurrentWeights<'_> {
        let Self { input, hidden, input_bias, hidden_bias } = self;
        RecurrentWeights { input, hidden, input_bias, hidden_bias }
    }
}
