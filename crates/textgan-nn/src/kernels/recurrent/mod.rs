//! Recurrent cells and whole sequences of them over plain slices.
//!
//! `Cell` is what differs between a GRU and an LSTM: the gates of one step and their derivative.
//! Everything else is written once: `forward` and `backward` walk a sequence, [`Stepper`]
//! takes single steps for a sampler, and both use the same weights and the same gates.

mod gru;
mod lstm;
mod sequence;
mod stepper;
mod walk;
mod weights;

use serde::{Deserialize, Serialize};

pub(crate) use gru::GruCell;
pub(crate) use lstm::LstmCell;
pub(crate) use sequence::{Saved, backward, forward, parameter_gradient};
pub use stepper::Stepper;
pub use walk::Direction;
pub(crate) use walk::Walk;
pub(crate) use weights::{Layout, PackedWeights, TransposedWeights};

/// Which recurrent cell; both have PyTorch's form and gate order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CellKind {
    /// Gated recurrent unit (Cho et al., 2014):
    ///
    /// ```text
    /// r = sigmoid(i_r + h_r)    z = sigmoid(i_z + h_z)    n = tanh(i_n + r h_n)    h' = (1 - z) n + z h
    /// ```
    ///
    /// over the parts `r, z, n` of `i = x W_ih^T + b_ih` and of `h W_hh^T + b_hh`. Its state is `h`.
    Gru,
    /// Long short-term memory (Hochreiter and Schmidhuber, 1997; with the forget gate of Gers et
    /// al., 2000):
    ///
    /// ```text
    /// i, f, o = sigmoid(..)    g = tanh(..)    c' = f c + i g    h' = o tanh(c')
    /// ```
    ///
    /// over the parts `i, f, g, o` of `x W_ih^T + b_ih + h W_hh^T + b_hh`. Its state is `h` and
    /// then `c`.
    Lstm,
}

impl CellKind {
    /// Numbers in the state of a cell of this hidden width.
    pub fn state_width(self, hidden: usize) -> usize {
        self.parts() * hidden
    }

    /// Rows of the weights, in units of the hidden width.
    pub fn gates(self) -> usize {
        match self {
            Self::Gru => GruCell::GATES,
            Self::Lstm => LstmCell::GATES,
        }
    }

    fn parts(self) -> usize {
        match self {
            Self::Gru => GruCell::PARTS,
            Self::Lstm => LstmCell::PARTS,
        }
    }
}

/// The gates of a recurrent cell.
///
/// All slices hold the active rows of one step. A row of the state is `PARTS * hidden` numbers, the
/// hidden state first.
pub(crate) trait Cell: Send + Sync + 'static {
    /// Rows of the weights, in units of the hidden width.
    const GATES: usize;
    /// Width of a state, in units of the hidden width.
    const PARTS: usize;
    /// Numbers kept for the backward pass, in units of the hidden width.
    const SAVED: usize;
    /// Whether the gradients of `input` and `hidden` (see [`Cell::forward`]) are the same, as they
    /// are where a cell only adds the two.
    const ADDS: bool;

    /// One step: `input = x W_ih^T + b_ih` and `hidden = h W_hh^T + b_hh`, both
    /// `[rows, GATES * width]`, turn `state: [rows, PARTS * width]` into the next one.
    fn forward(width: usize, input: &[f32], hidden: &[f32], state: &mut [f32], saved: &mut [f32]);

    /// The derivative of that step. `d_state` holds the gradient of the new state and is turned
    /// into the gradient of the old one, but for the part that passes through `hidden`. `d_input`
    /// and, unless the cell `ADDS`, `d_hidden` are overwritten.
    fn backward(
        width: usize,
        saved: &[f32],
        d_state: &mut [f32],
        d_input: &mut [f32],
        d_hidden: &mut [f32],
    );
}
