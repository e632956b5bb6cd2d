use std::ops::Range;

use super::CellKind;
use crate::kernels::{Packed, Strided};

/// Where the four parameters of a recurrent layer lie in one flat slice: `weight_ih:
/// [gates * hidden, inputs]`, `weight_hh: [gates * hidden, hidden]`, `bias_ih` and `bias_hh:
/// [gates * hidden]`, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) inputs: usize,
    pub(crate) hidden: usize,
    /// `gates * hidden`.
    pub(crate) gates: usize,
}

impl Layout {
    pub(crate) fn new(kind: CellKind, inputs: usize, hidden: usize) -> Self {
        Self { inputs, hidden, gates: kind.gates() * hidden }
    }

    pub(crate) fn len(&self) -> usize {
        self.gates * (self.inputs + self.hidden + 2)
    }

    /// The ranges of the four.
    pub(crate) fn ranges(&self) -> [Range<usize>; 4] {
        let sizes = [self.gates * self.inputs, self.gates * self.hidden, self.gates, self.gates];
        let mut start = 0;
        sizes.map(|size| {
            start += size;
            start - size..start
        })
    }
}

/// The weights of a layer, packed for the forward pass.
#[derive(Clone, Debug)]
pub(crate) struct PackedWeights {
    pub(crate) layout: Layout,
    pub(crate) input: Packed,
    pub(crate) hidden: Packed,
    pub(crate) input_bias: Vec<f32>,
    pub(crate) hidden_bias: Vec<f32>,
}

impl PackedWeights {
    pub(crate) fn new(layout: Layout, parameters: &[f32]) -> Self {
        let [input, hidden, input_bias, hidden_bias] = layout.ranges();
        Self {
            layout,
            input: Packed::new(
                Strided::transposed(&parameters[input], layout.inputs),
                layout.inputs,
                layout.gates,
            ),
            hidden: Packed::new(
                Strided::transposed(&parameters[hidden], layout.hidden),
                layout.hidden,
                layout.gates,
            ),
            input_bias: parameters[input_bias].to_vec(),
            hidden_bias: parameters[hidden_bias].to_vec(),
        }
    }
}

/// The same weights, packed for the backward pass: products with `W` instead of `W^T`.
#[derive(Debug)]
pub(crate) struct TransposedWeights {
    pub(crate) layout: Layout,
    pub(crate) input: Packed,
    pub(crate) hidden: Packed,
}

impl TransposedWeights {
    pub(crate) fn new(layout: Layout, parameters: &[f32]) -> Self {
        let [input, hidden, ..] = layout.ranges();
        Self {
            layout,
            input: Packed::new(
                Strided::rows(&parameters[input], layout.inputs),
                layout.gates,
                layout.inputs,
            ),
            hidden: Packed::new(
                Strided::rows(&parameters[hidden], layout.hidden),
                layout.gates,
                layout.hidden,
            ),
        }
    }
}
