use std::marker::PhantomData;
use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Layout as TensorLayout, Shape, Tensor};
use rayon::prelude::*;

use super::argument::{fused, same};
use super::bundle::Bundle;
use super::composed;
use super::storage::{cpu_slice, gradient, with_slices};
use crate::kernels::{
    Cell, CellKind, Direction, GruCell, Layout, LstmCell, PackedWeights, Saved, TransposedWeights,
    Walk, backward, forward, parameter_gradient,
};
use crate::{Error, Result};

/// Rows of a batch that one thread works on at a time.
const SHARD: usize = 16;

const NAME: &str = "recurrent_sequence";

/// The parameters of one recurrent layer in one direction, with PyTorch's names and gate order.
#[derive(Clone, Copy, Debug)]
pub struct RecurrentWeights<'a> {
    /// `weight_ih: [gates * hidden, inputs]`.
    pub input: &'a Tensor,
    /// `weight_hh: [gates * hidden, hidden]`.
    pub hidden: &'a Tensor,
    /// `bias_ih: [gates * hidden]`.
    pub input_bias: &'a Tensor,
    /// `bias_hh: [gates * hidden]`.
    pub hidden_bias: &'a Tensor,
}

/// A recurrent layer over whole sequences, in one direction: one custom operation with
/// back-propagation through time.
///
/// A row takes as many steps as its length says and then keeps its state: what lies in `x` beyond
/// the length changes nothing and gets a zero gradient, and the state at a padded position is a
/// copy. So in [`Direction::Forward`] the last position holds the final state of every row. In
/// [`Direction::Reverse`] a row begins at its own last token, position 0 holds the final state, and
/// padded positions the initial one. (PyTorch's packed sequences have zeros there.)
///
/// # Shapes
/// `x: [batch, time, inputs]`, one length a row (at most `time`; 0 is allowed), `initial: [batch,
/// state]` (`None`: zeros), to the hidden states `[batch, time, hidden]`. A state of a GRU is
/// `hidden` wide, that of an LSTM twice that: the hidden state and then the cell.
///
/// # Errors
/// If the shapes do not fit or a length exceeds `time`.
pub fn recurrent_sequence(
    kind: CellKind,
    x: &Tensor,
    weights: RecurrentWeights<'_>,
    lengths: &[usize],
    direction: Direction,
    initial: Option<&Tensor>,
) -> Result<Tensor> {
    let sizes = sizes(kind, x, weights, lengths, initial)?;
    if !fused(&[x, weights.input]) {
        return composed::recurrent_sequence(kind, x, weights, lengths, direction, initial);
    }
    let RecurrentWeights { input, hidden, input_bias, hidden_bias } = weights;
    let weights = Bundle::new([input, hidden, input_bias, hidden_bias])?;
    let token = weights.token().clone();
    let initial = match initial {
        Some(initial) => initial.contiguous()?,
        None => {
            let width = kind.state_width(sizes.layout.hidden);
            Tensor::zeros((sizes.batch, width), x.dtype(), x.device())?
        }
    };
    let (x, lengths) = (x.contiguous()?, lengths.to_vec());
    Ok(match kind {
        CellKind::Gru => {
            let sequence = Sequence::<GruCell>::new(sizes, weights, lengths, direction);
            x.apply_op3(&token, &initial, sequence)
        }
        CellKind::Lstm => {
            let sequence = Sequence::<LstmCell>::new(sizes, weights, lengths, direction);
            x.apply_op3(&token, &initial, sequence)
        }
    }?)
}

#[derive(Clone, Copy, Debug)]
struct Sizes {
    batch: usize,
    time: usize,
    layout: Layout,
}

fn sizes(
    kind: CellKind,
    x: &Tensor,
    weights: RecurrentWeights<'_>,
    lengths: &[usize],
    initial: Option<&Tensor>,
) -> Result<Sizes> {
    let [batch, time, inputs] = *x.dims() else {
        let problem = format!("x has shape {:?}, expected [batch, time, inputs]", x.dims());
        return Err(Error::argument(NAME, problem));
    };
    same(NAME, "number of rows and of lengths", batch, lengths.len())?;
    if let Some(length) = lengths.iter().find(|&&length| length > time) {
        return Err(Error::argument(NAME, format!("a length is {length}, but time is {time}")));
    }
    let hidden = match *weights.hidden.dims() {
        [_, hidden] => hidden,
        ref dims => {
            let problem = format!("the hidden weight has shape {dims:?}, expected a matrix");
            return Err(Error::argument(NAME, problem));
        }
    };
    if [batch, time, inputs, hidden].contains(&0) {
        let problem = format!("x has shape {:?} and hidden is {hidden}: none may be 0", x.dims());
        return Err(Error::argument(NAME, problem));
    }
    let layout = Layout::new(kind, inputs, hidden);
    let expect = |name: &str, tensor: &Tensor, dims: &[usize]| match tensor.dims() == dims {
        true => Ok(()),
        false => {
            let problem = format!("{name} has shape {:?}, expected {dims:?}", tensor.dims());
            Err(Error::argument(NAME, problem))
        }
    };
    expect("the input weight", weights.input, &[layout.gates, inputs])?;
    expect("the hidden weight", weights.hidden, &[layout.gates, hidden])?;
    expect("the input bias", weights.input_bias, &[layout.gates])?;
    expect("the hidden bias", weights.hidden_bias, &[layout.gates])?;
    if let Some(initial) = initial {
        expect("the initial state", initial, &[batch, kind.state_width(hidden)])?;
    }
    Ok(Sizes { batch, time, layout })
}

/// `x`, the weights, the initial state.
struct Sequence<C> {
    sizes: Sizes,
    weights: Bundle<4>,
    lengths: Vec<usize>,
    direction: Direction,
    /// One a shard.
    saved: OnceLock<Vec<Saved>>,
    cell: PhantomData<C>,
}

impl<C> Sequence<C> {
    fn new(sizes: Sizes, weights: Bundle<4>, lengths: Vec<usize>, direction: Direction) -> Self {
        Self { sizes, weights, lengths, direction, saved: OnceLock::new(), cell: PhantomData }
    }
}

impl<C: Cell> CustomOp3 for Sequence<C> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &TensorLayout,
        _token: &CpuStorage,
        _token_layout: &TensorLayout,
        s3: &CpuStorage,
        l3: &TensorLayout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, initial) = (cpu_slice(s1, l1)?, cpu_slice(s3, l3)?);
        let Sizes { batch, time, layout } = self.sizes;
        let weights = self
            .weights
            .with_slices(|weights| Ok(PackedWeights::new(layout, &weights.concat())))?;
        let mut states = vec![0.0; batch * time * layout.hidden];
        let saved = x
            .par_chunks(SHARD * time * layout.inputs)
            .zip(self.lengths.par_chunks(SHARD))
            .zip(initial.par_chunks(SHARD * C::PARTS * layout.hidden))
            .zip(states.par_chunks_mut(SHARD * time * layout.hidden))
            .map(|(((x, lengths), initial), states)| {
                let walk = Walk::new(lengths, time, self.direction);
                forward::<C>(&weights, walk, x, initial, states)
            })
            .collect();
        if self.saved.set(saved).is_err() {
            candle_core::bail!("{NAME}: the forward pass of one operation ran twice");
        }
        Ok((CpuStorage::F32(states), (batch, time, layout.hidden).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _token: &Tensor,
        initial: &Tensor,
        _states: &Tensor,
        d_states: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(saved) = self.saved.get() else {
            candle_core::bail!("{NAME}: backward without forward");
        };
        let Sizes { batch, time, layout } = self.sizes;
        let mut d_x = vec![0.0; if x.track_op() { batch * time * layout.inputs } else { 0 }];
        let mut d_initial = vec![0.0; batch * C::PARTS * layout.hidden];
        let weights = self
            .weights
            .with_slices(|weights| Ok(TransposedWeights::new(layout, &weights.concat())))?;
        let d_gates = with_slices([d_states], |[d_states]| {
            // `None` for every shard when `x` wants no gradient.
            let d_x: Vec<_> = match d_x.is_empty() {
                true => saved.iter().map(|_| None).collect(),
                false => d_x.chunks_mut(SHARD * time * layout.inputs).map(Some).collect(),
            };
            Ok(d_states
                .par_chunks(SHARD * time * layout.hidden)
                .zip(d_x)
                .zip(d_initial.par_chunks_mut(SHARD * C::PARTS * layout.hidden))
                .zip(saved)
                .map(|(((d_states, d_x), d_initial), saved)| {
                    (saved, backward::<C>(&weights, saved, d_states, d_x, d_initial))
                })
                .collect::<Vec<_>>())
        })?;
        let d_x = gradient(x, || d_x)?;
        let d_weights = match self.weights.wanted() {
            true => Some(self.weights.hand_out(parameter_gradient(layout, &d_gates))?),
            false => None,
        };
        let d_initial = gradient(initial, || d_initial)?;
        Ok((d_x, d_weights, d_initial))
    }
}
