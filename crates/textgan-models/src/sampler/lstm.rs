//! One step of the LSTM from its recurrent state.

use textgan_nn::kernels::{Packed, Start, Stepper, Strided};

use super::tiled::{StepModel, Tile};
use super::weights::{ConditionWeights, pack, values};
use crate::generator::{Frame, LstmConfig, LstmNetwork, Sizes};
use crate::{Placement, Result};

/// A snapshot of the weights.
///
/// A row remembers its state after every token, so that any of its prefixes can be continued: for
/// each, layer after layer, `h` and `c`.
pub(crate) struct LstmWeights {
    config: LstmConfig,
    sizes: Sizes,
    condition: ConditionWeights,
    embedding: Vec<f32>,
    layers: Vec<Stepper>,
    head: Packed,
}

/// Buffers of a tile; each begins with its rows.
pub(crate) struct Scratch {
    input: Vec<f32>,
    /// State of each layer.
    states: Vec<Vec<f32>>,
    gates: Vec<f32>,
}

impl LstmWeights {
    pub fn new(frame: &Frame, network: &LstmNetwork) -> Result<Self> {
        let config = network.layout.clone();
        Ok(Self {
            condition: ConditionWeights::new(&frame.conditioning, frame.noise.placement)?,
            embedding: values(&frame.embedding)?,
            layers: network.recurrent.steppers()?,
            head: pack(&[&frame.head])?,
            sizes: frame.sizes,
            config,
        })
    }

    /// Numbers in the states of all layers after one token.
    fn moment(&self) -> usize {
        2 * self.config.layers * self.config.hidden
    }
}

impl StepModel for LstmWeights {
    type Scratch = Scratch;

    fn vocab_size(&self) -> usize {
        self.sizes.vocab
    }

    fn noise_dimension(&self) -> usize {
        self.condition.noise_dimension()
    }

    fn label_count(&self) -> usize {
        self.sizes.labels
    }

    fn copy_state(&self, from: &[f32], to: &mut [f32], tokens: usize) {
        let used = (tokens + 1) * self.moment();
        to[..used].copy_from_slice(&from[..used]);
    }

    fn max_length(&self) -> usize {
        self.sizes.max_length
    }

    fn scratch(&self, rows: usize) -> Scratch {
        Scratch {
            input: vec![0.0; rows * self.config.embedding],
            states: vec![vec![0.0; rows * 2 * self.config.hidden]; self.config.layers],
            gates: Vec::new(),
        }
    }

    fn condition_size(&self) -> usize {
        self.config.condition_width(self.condition.placement())
    }

    fn state_size(&self) -> usize {
        // Before the first token, and after each: `BOS` and the longest content.
        (self.sizes.max_length + 2) * self.moment()
    }

    fn condition(&self, noise: &[f32], label: Option<u32>, condition: &mut [f32]) {
        self.condition.project(noise, label, condition);
    }

    fn start(&self, condition: &[f32], state: &mut [f32]) {
        if self.condition.placement() == Placement::Begin {
            let hidden = self.config.hidden;
            let layers = state[..self.moment()].chunks_exact_mut(2 * hidden);
            for (layer, condition) in layers.zip(condition.chunks_exact(hidden)) {
                layer[..hidden].copy_from_slice(condition);
            }
        }
    }

    fn step(&self, tile: Tile<'_>, scratch: &mut Scratch) {
        let embedding = self.config.embedding;
        let (rows, moment, state_size) = (tile.tokens.len(), self.moment(), self.state_size());
        let Scratch { input, states, gates } = scratch;

        for (token, input) in tile.tokens.iter().zip(input.chunks_exact_mut(embedding)) {
            input.copy_from_slice(&self.embedding[*token as usize * embedding..][..embedding]);
        }
        if self.condition.placement() == Placement::Every {
            input.iter_mut().zip(tile.conditions).for_each(|(x, c)| *x += c);
        }
        let mut x = Strided::rows(input, embedding);
        for (index, (layer, state)) in self.layers.iter().zip(states.iter_mut()).enumerate() {
            let width = layer.state_width();
            for ((past, position), state) in tile
                .states
                .chunks_exact(state_size)
                .zip(tile.positions)
                .zip(state.chunks_exact_mut(width))
            {
                state.copy_from_slice(&past[position * moment + index * width..][..width]);
            }
            layer.step(rows, x, state, gates);
            for ((past, position), state) in tile
                .states
                .chunks_exact_mut(state_size)
                .zip(tile.positions)
                .zip(state.chunks_exact(width))
            {
                past[(position + 1) * moment + index * width..][..width].copy_from_slice(state);
            }
            x = Strided::rows(state, width);
        }
        self.head.multiply(rows, x, Start::Zero, tile.logits, self.sizes.vocab);
    }
}
