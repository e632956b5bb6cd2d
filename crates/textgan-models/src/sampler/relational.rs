//! One step of the relational memory.

use textgan_nn::kernels::{self, Packed, Start, Strided};
use textgan_nn::layers::Linear;

use super::tiled::{StepModel, Tile};
use super::weights::{ConditionWeights, pack, values};
use crate::generator::{
    FORGET_BIAS, Frame, NORM_EPSILON, RelationalConfig, RelationalNetwork, Sizes,
};
use crate::{Placement, Result};

/// A snapshot of the weights.
///
/// A row remembers its memory after every token, so that any of its prefixes can be continued.
pub(crate) struct RelationalWeights {
    config: RelationalConfig,
    sizes: Sizes,
    condition: ConditionWeights,
    embedding: Vec<f32>,
    blank: Vec<f32>,
    input: Layer,
    query: Layer,
    /// Key and value side by side.
    key_value: Layer,
    query_norm: Vec<f32>,
    key_norm: Vec<f32>,
    attended_norm: Vec<f32>,
    mlp: Vec<Layer>,
    mlp_norm: Vec<f32>,
    word_gates: Layer,
    memory_gates: Layer,
    head: Packed,
}

/// A linear layer, or several of one input side by side.
struct Layer {
    weight: Packed,
    bias: Vec<f32>,
}

impl Layer {
    fn new(layers: &[&Linear]) -> Result<Self> {
        let weights: Vec<_> = layers.iter().map(|layer| layer.weight()).collect();
        let biases = layers.iter().map(|layer| layer.bias().map_or(Ok(Vec::new()), values));
        Ok(Self { weight: pack(&weights)?, bias: biases.collect::<Result<Vec<_>>>()?.concat() })
    }

    /// `x: [rows, inputs]` to `y: [rows, outputs]`.
    fn forward(&self, rows: usize, x: &[f32], y: &mut Vec<f32>) {
        let (inputs, outputs) = (self.weight.depth(), self.weight.columns());
        y.resize(rows * outputs, 0.0);
        let start = if self.bias.is_empty() { Start::Zero } else { Start::Bias(&self.bias) };
        self.weight.multiply(rows, Strided::rows(x, inputs), start, y, outputs);
    }
}

/// Buffers of a tile.
#[derive(Default)]
pub(crate) struct Scratch {
    embedded: Vec<f32>,
    words: Vec<f32>,
    /// Slots and word of each row.
    all: Vec<f32>,
    memory: Vec<f32>,
    queries: Vec<f32>,
    keys_values: Vec<f32>,
    attended: Vec<f32>,
    read: Vec<f32>,
    next: Vec<f32>,
    word_gates: Vec<f32>,
    memory_gates: Vec<f32>,
    shares: Vec<f32>,
}

impl RelationalWeights {
    pub fn new(frame: &Frame, network: &RelationalNetwork) -> Result<Self> {
        let core = &network.core;
        Ok(Self {
            condition: ConditionWeights::new(&frame.conditioning, frame.noise.placement)?,
            embedding: values(&frame.embedding)?,
            blank: network.layout.blank(),
            input: Layer::new(&[&core.input])?,
            query: Layer::new(&[&core.query])?,
            key_value: Layer::new(&[&core.key, &core.value])?,
            query_norm: values(&core.query_norm)?,
            key_norm: values(&core.key_norm)?,
            attended_norm: values(&core.attended_norm)?,
            mlp: core.mlp.iter().map(|layer| Layer::new(&[layer])).collect::<Result<_>>()?,
            mlp_norm: values(&core.mlp_norm)?,
            word_gates: Layer::new(&[&core.word_gates])?,
            memory_gates: Layer::new(&[&core.memory_gates])?,
            head: pack(&[&frame.head])?,
            sizes: frame.sizes,
            config: network.layout.clone(),
        })
    }

    /// What each slot of a row attends to, by heads: `attended: [slots, width]`.
    fn attend(
        &self,
        queries: &[f32],
        keys_values: &[f32],
        shares: &mut Vec<f32>,
        attended: &mut [f32],
    ) {
        let (width, each) = (self.config.width(), self.config.head_width);
        let scale = 1.0 / (each as f32).sqrt();
        let slots = queries.chunks_exact(width).zip(attended.chunks_exact_mut(width));
        for (query, attended) in slots {
            let heads = query.chunks_exact(each).zip(attended.chunks_exact_mut(each));
            for (head, (query, attended)) in heads.enumerate() {
                let rows = || keys_values.chunks_exact(2 * width);
                shares.clear();
                shares.extend(rows().map(|row| {
                    let key = &row[head * each..][..each];
                    scale * query.iter().zip(key).map(|(q, k)| q * k).sum::<f32>()
                }));
                let largest = shares.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                shares.iter_mut().for_each(|share| *share = (*share - largest).exp());
                let total: f32 = shares.iter().sum();
                attended.fill(0.0);
                for (share, row) in shares.iter().zip(rows()) {
                    let value = &row[width + head * each..][..each];
                    attended.iter_mut().zip(value).for_each(|(a, v)| *a += share / total * v);
                }
            }
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    0.5 * (0.5 * x).tanh() + 0.5
}

/// Normalises rows of the weight's width where they lie.
fn norm(x: &mut [f32], weight: &[f32], buffer: &mut Vec<f32>) {
    buffer.resize(x.len(), 0.0);
    kernels::rms_norm(x, weight, NORM_EPSILON, buffer);
    x.copy_from_slice(buffer);
}

impl StepModel for RelationalWeights {
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

    fn max_length(&self) -> usize {
        self.sizes.max_length
    }

    fn scratch(&self, _rows: usize) -> Scratch {
        Scratch::default()
    }

    fn condition_size(&self) -> usize {
        self.config.condition_width(self.condition.placement())
    }

    fn state_size(&self) -> usize {
        // Before the first token, and after each: `BOS` and the longest content.
        (self.sizes.max_length + 2) * self.config.memory()
    }

    fn condition(&self, noise: &[f32], label: Option<u32>, condition: &mut [f32]) {
        self.condition.project(noise, label, condition);
    }

    fn start(&self, condition: &[f32], state: &mut [f32]) {
        let memory = &mut state[..self.config.memory()];
        memory.copy_from_slice(&self.blank);
        if self.condition.placement() == Placement::Begin {
            memory.iter_mut().zip(condition).for_each(|(m, c)| *m += c);
        }
    }

    fn copy_state(&self, from: &[f32], to: &mut [f32], tokens: usize) {
        let used = (tokens + 1) * self.config.memory();
        to[..used].copy_from_slice(&from[..used]);
    }

    fn step(&self, tile: Tile<'_>, scratch: &mut Scratch) {
        let (rows, embedding) = (tile.tokens.len(), self.config.embedding);
        let (slots, width) = (self.config.slots, self.config.width());
        let (size, state_size) = (self.config.memory(), self.state_size());
        let s = scratch;

        s.embedded.resize(rows * embedding, 0.0);
        for (token, row) in tile.tokens.iter().zip(s.embedded.chunks_exact_mut(embedding)) {
            row.copy_from_slice(&self.embedding[*token as usize * embedding..][..embedding]);
        }
        if self.condition.placement() == Placement::Every {
            s.embedded.iter_mut().zip(tile.conditions).for_each(|(x, c)| *x += c);
        }
        self.input.forward(rows, &s.embedded, &mut s.words);
        s.memory.clear();
        s.all.clear();
        let states = tile.states.chunks_exact(state_size).zip(tile.positions);
        for ((state, position), word) in states.zip(s.words.chunks_exact(width)) {
            let memory = &state[position * size..][..size];
            s.memory.extend_from_slice(memory);
            s.all.extend_from_slice(memory);
            s.all.extend_from_slice(word);
        }

        self.query.forward(rows * slots, &s.memory, &mut s.queries);
        norm(&mut s.queries, &self.query_norm, &mut s.next);
        self.key_value.forward(rows * (slots + 1), &s.all, &mut s.keys_values);
        for row in s.keys_values.chunks_exact_mut(2 * width) {
            norm(&mut row[..width], &self.key_norm, &mut s.next);
        }
        s.attended.resize(rows * size, 0.0);
        let each =
            s.queries.chunks_exact(size).zip(s.keys_values.chunks_exact((slots + 1) * 2 * width));
        for ((queries, keys_values), attended) in each.zip(s.attended.chunks_exact_mut(size)) {
            self.attend(queries, keys_values, &mut s.shares, attended);
        }
        s.attended.iter_mut().zip(&s.memory).for_each(|(a, m)| *a += m);
        norm(&mut s.attended, &self.attended_norm, &mut s.next);
        s.read.clear();
        s.read.extend_from_slice(&s.attended);
        for (index, layer) in self.mlp.iter().enumerate() {
            if index > 0 {
                s.read.iter_mut().for_each(|x| *x = x.max(0.0));
            }
            layer.forward(rows * slots, &s.read, &mut s.next);
            std::mem::swap(&mut s.read, &mut s.next);
        }
        s.read.iter_mut().zip(&s.attended).for_each(|(r, a)| *r += a);
        norm(&mut s.read, &self.mlp_norm, &mut s.next);

        s.attended.iter_mut().zip(&s.memory).for_each(|(a, m)| *a = m.tanh());
        self.memory_gates.forward(rows * slots, &s.attended, &mut s.memory_gates);
        self.word_gates.forward(rows, &s.words, &mut s.word_gates);
        let proposed = s.read.chunks_exact(width).zip(s.memory_gates.chunks_exact(2 * width));
        let slots_of = s.memory.chunks_exact_mut(width).zip(proposed).enumerate();
        for (index, (memory, (proposed, gates))) in slots_of {
            let words = &s.word_gates[index / slots * 2 * width..][..2 * width];
            for (at, (m, proposed)) in memory.iter_mut().zip(proposed).enumerate() {
                let comes = sigmoid(gates[at] + words[at]);
                let stays = sigmoid(gates[width + at] + words[width + at] + FORGET_BIAS);
                *m = comes * proposed.tanh() + stays * *m;
            }
        }
        let states = tile.states.chunks_exact_mut(state_size).zip(tile.positions);
        for ((state, position), memory) in states.zip(s.memory.chunks_exact(size)) {
            state[(position + 1) * size..][..size].copy_from_slice(memory);
        }
        let x = Strided::rows(&s.memory, size);
        self.head.multiply(rows, x, Start::Zero, tile.logits, self.sizes.vocab);
    }
}
