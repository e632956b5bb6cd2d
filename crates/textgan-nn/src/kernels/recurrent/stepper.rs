use super::weights::{Layout, PackedWeights};
use super::{Cell, CellKind, GruCell, LstmCell};
use crate::kernels::{Start, Strided};

/// Single steps of one recurrent layer over plain slices, for a sampler.
///
/// It holds a packed copy of the weights. A step takes place on the calling thread, and the bits of
/// a row do not depend on the rows beside it: split the batch as you like.
///
/// ```
/// use textgan_nn::kernels::{CellKind, Strided, Stepper};
///
/// let (inputs, hidden) = (2, 3);
/// let parameters = vec![0.1; Stepper::parameters(CellKind::Gru, inputs, hidden)];
/// let gru = Stepper::new(CellKind::Gru, inputs, hidden, &parameters);
/// let (mut state, mut scratch) = (vec![0.0; 4 * gru.state_width()], Vec::new());
/// gru.step(4, Strided::rows(&[0.5; 4 * 2], inputs), &mut state, &mut scratch);
/// assert!(state.iter().all(|&h| h > 0.0));
/// ```
#[derive(Clone, Debug)]
pub struct Stepper {
    kind: CellKind,
    weights: PackedWeights,
}

impl Stepper {
    /// A layer with these parameters: PyTorch's `weight_ih: [gates * hidden, inputs]`,
    /// `weight_hh: [gates * hidden, hidden]`, `bias_ih` and `bias_hh: [gates * hidden]`, one after
    /// the other.
    ///
    /// # Panics
    /// If there are not [`Stepper::parameters`] of them.
    pub fn new(kind: CellKind, inputs: usize, hidden: usize, parameters: &[f32]) -> Self {
        let layout = Layout::new(kind, inputs, hidden);
        assert_eq!(parameters.len(), layout.len(), "the number of parameters");
        Self { kind, weights: PackedWeights::new(layout, parameters) }
    }

    /// How many parameters a layer of these sizes has.
    pub fn parameters(kind: CellKind, inputs: usize, hidden: usize) -> usize {
        Layout::new(kind, inputs, hidden).len()
    }

    /// Width of the hidden state, which is the output of the layer and the first part of a state.
    pub fn hidden(&self) -> usize {
        self.weights.layout.hidden
    }

    /// Numbers in the state of a row.
    pub fn state_width(&self) -> usize {
        self.kind.state_width(self.hidden())
    }

    /// One step: `x: [rows, inputs]`, `state: [rows, state_width]`, changed in place.
    ///
    /// `scratch` is overwritten; keep it between steps to save its allocation. A next layer reads
    /// this one's output in place, as `Strided::rows(&state, layer.state_width())`.
    ///
    /// # Panics
    /// If `x` or `state` is too short.
    pub fn step(&self, rows: usize, x: Strided<'_>, state: &mut [f32], scratch: &mut Vec<f32>) {
        match self.kind {
            CellKind::Gru => self.step_of::<GruCell>(rows, x, state, scratch),
            CellKind::Lstm => self.step_of::<LstmCell>(rows, x, state, scratch),
        }
    }

    fn step_of<C: Cell>(
        &self,
        rows: usize,
        x: Strided<'_>,
        state: &mut [f32],
        scratch: &mut Vec<f32>,
    ) {
        let Layout { hidden, gates, .. } = self.weights.layout;
        let (state_width, saved_width) = (C::PARTS * hidden, C::SAVED * hidden);
        scratch.resize(rows * (2 * gates + saved_width), 0.0);
        let (from_input, rest) = scratch.split_at_mut(rows * gates);
        let (from_hidden, saved) = rest.split_at_mut(rows * gates);
        let bias = Start::Bias(&self.weights.input_bias);
        self.weights.input.multiply(rows, x, bias, from_input, gates);
        let bias = Start::Bias(&self.weights.hidden_bias);
        let previous = Strided::rows(state, state_width);
        self.weights.hidden.multiply(rows, previous, bias, from_hidden, gates);
        C::forward(hidden, from_input, from_hidden, &mut state[..rows * state_width], saved);
    }
}
