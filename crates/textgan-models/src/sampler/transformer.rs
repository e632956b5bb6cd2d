//! One step of the transformer with a cache of keys and values.

use textgan_nn::kernels::{self, Cache, Packed, Rotary, Start, Strided};

use super::tiled::{StepModel, Tile};
use super::weights::{ConditionWeights, pack, values};
use crate::generator::{Frame, Sizes, TransformerConfig, TransformerNetwork};
use crate::{Placement, Result};

/// A snapshot of the weights.
pub(crate) struct TransformerWeights {
    config: TransformerConfig,
    sizes: Sizes,
    condition: ConditionWeights,
    rotary: Rotary,
    embedding: Vec<f32>,
    blocks: Vec<BlockWeights>,
    norm: Vec<f32>,
    head: Packed,
}

struct BlockWeights {
    attention_norm: Vec<f32>,
    /// Query, key and value side by side: `[width, 3 width]`.
    query_key_value: Packed,
    output: Packed,
    feed_forward_norm: Vec<f32>,
    /// Gate and up side by side: `[width, 2 inner]`.
    gate_up: Packed,
    down: Packed,
}

/// Buffers of a tile; each begins with its rows of what the name says.
pub(crate) struct Scratch {
    stream: Vec<f32>,
    normed: Vec<f32>,
    query_key_value: Vec<f32>,
    attended: Vec<f32>,
    gate_up: Vec<f32>,
    gated: Vec<f32>,
    scores: Vec<f32>,
}

impl TransformerWeights {
    pub fn new(frame: &Frame, network: &TransformerNetwork) -> Result<Self> {
        let blocks = network
            .blocks
            .iter()
            .map(|block| {
                Ok(BlockWeights {
                    attention_norm: values(&block.attention_norm)?,
                    query_key_value: pack(&[&block.query, &block.key, &block.value])?,
                    output: pack(&[&block.output])?,
                    feed_forward_norm: values(&block.feed_forward_norm)?,
                    gate_up: pack(&[&block.gate, &block.up])?,
                    down: pack(&[&block.down])?,
                })
            })
            .collect::<Result<_>>()?;
        let config = network.layout.clone();
        Ok(Self {
            condition: ConditionWeights::new(&frame.conditioning, frame.noise.placement)?,
            rotary: network.rotary.clone(),
            embedding: values(&frame.embedding)?,
            blocks,
            norm: values(&network.norm)?,
            head: pack(&[&frame.head])?,
            sizes: frame.sizes,
            config,
        })
    }

    /// Numbers in the keys and in the values of one layer, which follow each other in a row's state.
    fn cached(&self) -> [usize; 2] {
        let (positions, width) = (self.sizes.max_length + 1, self.config.width);
        [kernels::keys_len(positions, width), positions * width]
    }

    /// Attention of the newest position of one row over its past.
    fn attend(
        &self,
        layer: usize,
        position: usize,
        query_key_value: &mut [f32],
        state: &mut [f32],
        scores: &mut Vec<f32>,
        attended: &mut [f32],
    ) {
        let width = self.config.width;
        let (query_key, value) = query_key_value.split_at_mut(2 * width);
        self.rotary.turn(query_key, position);
        let (query, key) = query_key.split_at(width);
        let [keys, values] = self.cached();
        let (keys, values) = state[layer * (keys + values)..][..keys + values].split_at_mut(keys);
        kernels::store_key(key, position, keys);
        values[position * width..][..width].copy_from_slice(value);
        let cache = Cache { keys, values, stride: width, positions: position + 1 };
        kernels::attend(self.config.heads, query, cache, scores, attended);
    }
}

impl StepModel for TransformerWeights {
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
        let [keys, values] = self.cached();
        let width = self.config.width;
        let used = [0..kernels::keys_len(tokens, width), keys..keys + tokens * width];
        let layers = from.chunks_exact(keys + values).zip(to.chunks_exact_mut(keys + values));
        for (from, to) in layers {
            for used in used.clone() {
                to[used.clone()].copy_from_slice(&from[used]);
            }
        }
    }

    fn max_length(&self) -> usize {
        self.sizes.max_length
    }

    fn scratch(&self, rows: usize) -> Scratch {
        let (width, inner) = (self.config.width, self.config.feed_forward_width());
        Scratch {
            stream: vec![0.0; rows * width],
            normed: vec![0.0; rows * width],
            query_key_value: vec![0.0; rows * 3 * width],
            attended: vec![0.0; rows * width],
            gate_up: vec![0.0; rows * 2 * inner],
            gated: vec![0.0; rows * inner],
            scores: Vec::new(),
        }
    }

    fn condition_size(&self) -> usize {
        self.config.width
    }

    fn state_size(&self) -> usize {
        self.config.layers * self.cached().iter().sum::<usize>()
    }

    fn condition(&self, noise: &[f32], label: Option<u32>, condition: &mut [f32]) {
        self.condition.project(noise, label, condition);
    }

    fn start(&self, _condition: &[f32], _state: &mut [f32]) {}

    fn step(&self, tile: Tile<'_>, scratch: &mut Scratch) {
        let (width, inner) = (self.config.width, self.config.feed_forward_width());
        let (rows, epsilon) = (tile.tokens.len(), self.config.norm_epsilon);
        let stream = &mut scratch.stream[..rows * width];
        let normed = &mut scratch.normed[..rows * width];
        let query_key_value = &mut scratch.query_key_value[..rows * 3 * width];
        let attended = &mut scratch.attended[..rows * width];
        let gate_up = &mut scratch.gate_up[..rows * 2 * inner];
        let gated = &mut scratch.gated[..rows * inner];
        let norm = |stream: &[f32], gain: &[f32], normed: &mut [f32]| {
            kernels::rms_norm(stream, gain, epsilon, normed);
        };

        let inputs =
            tile.tokens.iter().zip(tile.positions).zip(tile.conditions.chunks_exact(width));
        for (((token, position), condition), stream) in inputs.zip(stream.chunks_exact_mut(width)) {
            stream.copy_from_slice(&self.embedding[*token as usize * width..][..width]);
            if self.condition.placement() == Placement::Every || *position == 0 {
                stream.iter_mut().zip(condition).for_each(|(x, c)| *x += c);
            }
        }
        let state_size = self.state_size();
        for (layer, block) in self.blocks.iter().enumerate() {
            norm(stream, &block.attention_norm, normed);
            multiply(rows, normed, &block.query_key_value, Start::Zero, query_key_value);
            let each = tile
                .positions
                .iter()
                .zip(query_key_value.chunks_exact_mut(3 * width))
                .zip(tile.states.chunks_exact_mut(state_size))
                .zip(attended.chunks_exact_mut(width));
            for (((position, qkv), state), attended) in each {
                self.attend(layer, *position, qkv, state, &mut scratch.scores, attended);
            }
            multiply(rows, attended, &block.output, Start::Output, stream);

            norm(stream, &block.feed_forward_norm, normed);
            multiply(rows, normed, &block.gate_up, Start::Zero, gate_up);
            for (both, gated) in gate_up.chunks_exact(2 * inner).zip(gated.chunks_exact_mut(inner))
            {
                let (gate, up) = both.split_at(inner);
                kernels::swiglu(gate, up, gated);
            }
            multiply(rows, gated, &block.down, Start::Output, stream);
        }
        norm(stream, &self.norm, normed);
        multiply(rows, normed, &self.head, Start::Zero, tile.logits);
    }
}

/// `y = start + x W` over the first `rows` rows.
fn multiply(rows: usize, x: &[f32], weights: &Packed, start: Start<'_>, y: &mut [f32]) {
    let x = Strided::rows(x, weights.depth());
    weights.multiply(rows, x, start, y, weights.columns());
}
