//! A relational memory over whole sequences of one shard of rows, forward and back through time.
//!
//! What is kept of a step lies time after time, and in it row after row, slot after slot, so that the products with
//! words and those of the weights' gradients are one for all times.

#![allow(clippy::too_many_arguments, reason = "kernels are told every slice they touch")]

use super::buffer::Buffer;
use super::dispatch::simd;
use super::math::{LANES, dot, exp, lanes, load, sigmoid, store, tanh};
use super::norm::{rms_norm, rms_norm_backward};
use super::{Packed, Start, Strided};

/// The sizes of a memory, and its constants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryLayout {
    pub slots: usize,
    pub heads: usize,
    /// Numbers of a slot.
    pub width: usize,
    /// Layers that read what was attended to.
    pub layers: usize,
    /// Added to the mean square in RMSNorm.
    pub epsilon: f32,
    /// Added to the gate of what is kept.
    pub forget_bias: f32,
}

impl MemoryLayout {
    /// Numbers of a memory.
    pub fn size(&self) -> usize {
        self.slots * self.width
    }

    /// Shares of attention that a row has in a step.
    fn shares(&self) -> usize {
        self.slots * self.heads * (self.slots + 1)
    }

    /// The lengths of the weights, in the order of [`Weights`].
    fn lengths(&self) -> [usize; 15] {
        let (w, l) = (self.width, self.layers);
        let square = w * w;
        [
            square,
            w,
            square,
            w,
            square,
            w,
            w,
            w,
            w,
            w,
            2 * square,
            2 * square,
            2 * w,
            l * square,
            l * w,
        ]
    }
}

/// All weights: query, key and value, each with its bias; the norms of queries, keys, what was attended to and what
/// was read; the gates of the word; those of the memory with their bias; the layers and their biases.
pub(crate) type Weights<'a> = [&'a [f32]; 15];

/// The weights as the forward pass reads them.
pub(crate) struct PackedMemory<'a> {
    layout: MemoryLayout,
    weights: Weights<'a>,
    /// Query, key and value of a slot.
    own: Packed,
    own_bias: Vec<f32>,
    /// Key, value and gates of a word.
    word: Packed,
    word_bias: Vec<f32>,
    gates: Packed,
    read: Vec<Packed>,
}

impl<'a> PackedMemory<'a> {
    pub fn new(layout: MemoryLayout, weights: Weights<'a>) -> Self {
        let width = layout.width;
        let [query, query_bias, key, key_bias, value, value_bias, ..] = weights;
        let (word_gates, memory_gates, read) = (weights[10], weights[11], weights[13]);
        let pack = |matrix: &[f32]| {
            Packed::new(Strided::transposed(matrix, width), width, matrix.len() / width)
        };
        Self {
            layout,
            weights,
            own: pack(&[query, key, value].concat()),
            own_bias: [query_bias, key_bias, value_bias].concat(),
            word: pack(&[key, value, word_gates].concat()),
            word_bias: [key_bias, value_bias, &vec![0.0; 2 * width]].concat(),
            gates: pack(memory_gates),
            read: read.chunks_exact(width * width).map(pack).collect(),
        }
    }
}

/// The weights as the backward pass reads them.
pub(crate) struct TransposedMemory<'a> {
    layout: MemoryLayout,
    weights: Weights<'a>,
    own: Packed,
    word: Packed,
    gates: Packed,
    read: Vec<Packed>,
}

impl<'a> TransposedMemory<'a> {
    pub fn new(layout: MemoryLayout, weights: Weights<'a>) -> Self {
        let width = layout.width;
        let [query, _, key, _, value, ..] = weights;
        let (word_gates, memory_gates, read) = (weights[10], weights[11], weights[13]);
        let pack =
            |matrix: &[f32]| Packed::new(Strided::rows(matrix, width), matrix.len() / width, width);
        Self {
            layout,
            weights,
            own: pack(&[query, key, value].concat()),
            word: pack(&[key, value, word_gates].concat()),
            gates: pack(memory_gates),
            read: read.chunks_exact(width * width).map(pack).collect(),
        }
    }
}

/// What the backward pass needs of the forward pass of a shard. `n` are times, rows and slots together.
#[derive(Debug)]
pub(crate) struct SavedMemory {
    rows: usize,
    time: usize,
    /// `[time, rows, width]`.
    words: Buffer,
    /// Keys of words before their norm, values, gates: `[time, rows, 4 width]`.
    of_words: Buffer,
    /// Before each step, `[n, width]`, and its `tanh`.
    memory: Buffer,
    squashed: Buffer,
    /// Queries and keys before their norms, and values: `[n, 3 width]`.
    own: Buffer,
    /// After the norm, `[n, width]`.
    queries: Buffer,
    /// Of slots and word, `[time, rows, slots + 1, width]`.
    keys: Buffer,
    values: Buffer,
    /// `[time, rows, slots, heads, slots + 1]`.
    shares: Buffer,
    /// Memory and what was attended to, before and after the norm, `[n, width]`.
    summed: Buffer,
    attended: Buffer,
    /// What each layer gives, `[layers, n, width]`.
    read: Buffer,
    /// What was attended to and what was read, before the norm, `[n, width]`.
    total: Buffer,
    /// What is proposed, how much of it comes, how much of the memory stays: `[n, width]`.
    proposed: Buffer,
    comes: Buffer,
    stays: Buffer,
}

/// Takes a shard of rows through all words.
///
/// `words: [rows, time, width]`, `initial: [rows, slots * width]`, `memories: [rows, time, slots * width]`.
pub(crate) fn forward(
    weights: &PackedMemory<'_>,
    words: &[f32],
    initial: &[f32],
    memories: &mut [f32],
) -> SavedMemory {
    let layout = weights.layout;
    let MemoryLayout { slots, width, layers, epsilon, forget_bias, .. } = layout;
    let size = layout.size();
    let rows = initial.len() / size;
    let time = words.len() / (rows * width);
    let (slot_rows, n) = (rows * slots, time * rows * slots);
    let [.., query_norm, key_norm, attended_norm, read_norm, _, _, gates_bias, _, read_bias] =
        weights.weights;
    let mut saved = SavedMemory {
        rows,
        time,
        words: Buffer::new(time * rows * width),
        of_words: Buffer::new(time * rows * 4 * width),
        memory: Buffer::new(n * width),
        squashed: Buffer::new(n * width),
        own: Buffer::new(n * 3 * width),
        queries: Buffer::new(n * width),
        keys: Buffer::new(time * rows * (slots + 1) * width),
        values: Buffer::new(time * rows * (slots + 1) * width),
        shares: Buffer::new(time * rows * layout.shares()),
        summed: Buffer::new(n * width),
        attended: Buffer::new(n * width),
        read: Buffer::new(layers * n * width),
        total: Buffer::new(n * width),
        proposed: Buffer::new(n * width),
        comes: Buffer::new(n * width),
        stays: Buffer::new(n * width),
    };
    for (row, words) in words.chunks_exact(time * width).enumerate() {
        for (t, word) in words.chunks_exact(width).enumerate() {
            saved.words[(t * rows + row) * width..][..width].copy_from_slice(word);
        }
    }
    let (x, bias) = (Strided::rows(&saved.words, width), Start::Bias(&weights.word_bias));
    weights.word.multiply(time * rows, x, bias, &mut saved.of_words, 4 * width);

    let mut memory = Buffer::new(size * rows);
    memory.copy_from_slice(initial);
    let mut normal = Buffer::new(slot_rows * width);
    let mut gates = Buffer::new(slot_rows * 2 * width);
    let mut rectified = Buffer::new(slot_rows * width);
    for t in 0..time {
        let at = t * slot_rows * width..(t + 1) * slot_rows * width;
        saved.memory[at.clone()].copy_from_slice(&memory);
        let own = &mut saved.own[3 * at.start..3 * at.end];
        let x = Strided::rows(&memory, width);
        weights.own.multiply(slot_rows, x, Start::Bias(&weights.own_bias), own, 3 * width);
        for row in 0..rows {
            let place = t * rows + row;
            let word = &saved.of_words[place * 4 * width..][..4 * width];
            let keys = &mut saved.keys[place * (slots + 1) * width..][..(slots + 1) * width];
            let values = &mut saved.values[place * (slots + 1) * width..][..(slots + 1) * width];
            let queries = &mut saved.queries[place * slots * width..][..slots * width];
            for slot in 0..slots {
                let own = &own[(row * slots + slot) * 3 * width..][..3 * width];
                let of = slot * width..(slot + 1) * width;
                rms_norm(&own[..width], query_norm, epsilon, &mut queries[of.clone()]);
                rms_norm(&own[width..2 * width], key_norm, epsilon, &mut keys[of.clone()]);
                values[of].copy_from_slice(&own[2 * width..]);
            }
            rms_norm(&word[..width], key_norm, epsilon, &mut keys[slots * width..]);
            values[slots * width..].copy_from_slice(&word[width..2 * width]);
            let shares = &mut saved.shares[place * layout.shares()..][..layout.shares()];
            let summed = &mut saved.summed[place * slots * width..][..slots * width];
            attend(layout, queries, keys, values, shares, summed);
        }
        let summed = &mut saved.summed[at.clone()];
        add(summed, &memory);
        let attended = &mut saved.attended[at.clone()];
        rms_norm(summed, attended_norm, epsilon, attended);
        for (layer, packed) in weights.read.iter().enumerate() {
            let place = (layer * n + t * slot_rows) * width;
            let (before, now) = saved.read.split_at_mut(place);
            let now = &mut now[..slot_rows * width];
            let input: &[f32] = match layer {
                0 => &*attended,
                _ => {
                    rectify(&before[place - n * width..][..slot_rows * width], &mut rectified);
                    &rectified
                }
            };
            let bias = Start::Bias(&read_bias[layer * width..][..width]);
            packed.multiply(slot_rows, Strided::rows(input, width), bias, now, width);
        }
        let last = &saved.read[((layers - 1) * n + t * slot_rows) * width..][..slot_rows * width];
        let total = &mut saved.total[at.clone()];
        total.copy_from_slice(attended);
        add(total, last);
        rms_norm(total, read_norm, epsilon, &mut normal);

        let squashed = &mut saved.squashed[at.clone()];
        squash(&memory, squashed);
        let x = Strided::rows(squashed, width);
        weights.gates.multiply(slot_rows, x, Start::Bias(gates_bias), &mut gates, 2 * width);
        for slot in 0..slot_rows {
            let of = slot * width..(slot + 1) * width;
            let word = &saved.of_words[(t * rows + slot / slots) * 4 * width + 2 * width..];
            let here = at.start + of.start..at.start + of.end;
            step(
                &gates[slot * 2 * width..][..2 * width],
                &word[..2 * width],
                forget_bias,
                &normal[of.clone()],
                &mut memory[of],
                &mut saved.proposed[here.clone()],
                &mut saved.comes[here.clone()],
                &mut saved.stays[here],
            );
        }
        for (row, memory) in memory.chunks_exact(size).enumerate() {
            memories[(row * time + t) * size..][..size].copy_from_slice(memory);
        }
    }
    saved
}

/// Back through time. `d_memories: [rows, time, slots * width]`; writes `d_words: [rows, time, width]` and
/// `d_initial: [rows, slots * width]`; gives the gradients of all weights, one after the other.
pub(crate) fn backward(
    weights: &TransposedMemory<'_>,
    saved: &SavedMemory,
    d_memories: &[f32],
    d_words: &mut [f32],
    d_initial: &mut [f32],
) -> Vec<f32> {
    let layout = weights.layout;
    let MemoryLayout { slots, width, layers, epsilon, .. } = layout;
    let (size, &SavedMemory { rows, time, .. }) = (layout.size(), saved);
    let (slot_rows, n) = (rows * slots, time * rows * slots);
    let [.., query_norm, key_norm, attended_norm, read_norm, _, _, _, _, _] = weights.weights;
    let [mut d_query_norm, mut d_key_norm, mut d_attended_norm, mut d_read_norm] =
        std::array::from_fn(|_| vec![0.0; width]);

    let mut d_memory = vec![0.0; slot_rows * width];
    let mut d_own = Buffer::new(n * 3 * width);
    let mut d_of_words = Buffer::new(time * rows * 4 * width);
    let mut d_gates = Buffer::new(n * 2 * width);
    let mut d_read = Buffer::new(layers * n * width);
    let mut d_normal = Buffer::new(slot_rows * width);
    let mut d_total = Buffer::new(slot_rows * width);
    let mut d_attended = Buffer::new(slot_rows * width);
    let mut d_summed = Buffer::new(slot_rows * width);
    let mut d_squashed = Buffer::new(slot_rows * width);
    let mut d_queries = vec![0.0; slots * width];
    let (mut d_keys, mut d_values) =
        (vec![0.0; (slots + 1) * width], vec![0.0; (slots + 1) * width]);
    for t in (0..time).rev() {
        let at = t * slot_rows * width..(t + 1) * slot_rows * width;
        for (row, d_memory) in d_memory.chunks_exact_mut(size).enumerate() {
            add(d_memory, &d_memories[(row * time + t) * size..][..size]);
        }
        let gates = &mut d_gates[2 * at.start..2 * at.end];
        for slot in 0..slot_rows {
            let of = slot * width..(slot + 1) * width;
            let here = at.start + of.start..at.start + of.end;
            step_backward(
                &saved.proposed[here.clone()],
                &saved.comes[here.clone()],
                &saved.stays[here.clone()],
                &saved.memory[here],
                &mut d_memory[of.clone()],
                &mut d_normal[of],
                &mut gates[slot * 2 * width..][..2 * width],
            );
        }
        let x = Strided::rows(gates, 2 * width);
        weights.gates.multiply(slot_rows, x, Start::Zero, &mut d_squashed, width);
        squash_backward(&saved.squashed[at.clone()], &d_squashed, &mut d_memory);

        let total = &saved.total[at.clone()];
        rms_norm_backward(&d_normal, total, read_norm, epsilon, &mut d_total, &mut d_read_norm);
        d_attended.copy_from_slice(&d_total);
        for layer in (0..layers).rev() {
            let place = (layer * n + t * slot_rows) * width;
            if layer + 1 == layers {
                d_read[place..][..slot_rows * width].copy_from_slice(&d_total);
            }
            let (before, now) = d_read.split_at_mut(place);
            let x = Strided::rows(&now[..slot_rows * width], width);
            if layer == 0 {
                weights.read[0].multiply(slot_rows, x, Start::Output, &mut d_attended, width);
                continue;
            }
            let before = &mut before[place - n * width..][..slot_rows * width];
            weights.read[layer].multiply(slot_rows, x, Start::Zero, before, width);
            rectify_backward(&saved.read[place - n * width..][..slot_rows * width], before);
        }
        let summed = &saved.summed[at.clone()];
        let d_norm = &mut d_attended_norm;
        rms_norm_backward(&d_attended, summed, attended_norm, epsilon, &mut d_summed, d_norm);
        add(&mut d_memory, &d_summed);

        let own = &saved.own[3 * at.start..3 * at.end];
        let d_own = &mut d_own[3 * at.start..3 * at.end];
        for row in 0..rows {
            let place = t * rows + row;
            let all = place * (slots + 1) * width..(place + 1) * (slots + 1) * width;
            d_keys.fill(0.0);
            d_values.fill(0.0);
            attend_backward(
                layout,
                &saved.queries[place * slots * width..][..slots * width],
                &saved.keys[all.clone()],
                &saved.values[all],
                &saved.shares[place * layout.shares()..][..layout.shares()],
                &d_summed[row * slots * width..][..slots * width],
                &mut d_queries,
                &mut d_keys,
                &mut d_values,
            );
            let word = &saved.of_words[place * 4 * width..][..4 * width];
            let d_word = &mut d_of_words[place * 4 * width..][..4 * width];
            let (d_key, d_rest) = d_word.split_at_mut(width);
            let (d_value, d_word_gates) = d_rest.split_at_mut(width);
            let last = slots * width;
            let d_norm = &mut d_key_norm;
            rms_norm_backward(&d_keys[last..], &word[..width], key_norm, epsilon, d_key, d_norm);
            d_value.copy_from_slice(&d_values[last..]);
            d_word_gates.fill(0.0);
            for slot in 0..slots {
                let (of, row) = (slot * width..(slot + 1) * width, row * slots + slot);
                let own = &own[row * 3 * width..][..3 * width];
                let d_own = &mut d_own[row * 3 * width..][..3 * width];
                let (d_query, d_rest) = d_own.split_at_mut(width);
                let (d_key, d_value) = d_rest.split_at_mut(width);
                let (query, key) = (&own[..width], &own[width..2 * width]);
                let (d_out, d_norm) = (&d_queries[of.clone()], &mut d_query_norm);
                rms_norm_backward(d_out, query, query_norm, epsilon, d_query, d_norm);
                let (d_out, d_norm) = (&d_keys[of.clone()], &mut d_key_norm);
                rms_norm_backward(d_out, key, key_norm, epsilon, d_key, d_norm);
                d_value.copy_from_slice(&d_values[of]);
                add(d_word_gates, &gates[row * 2 * width..][..2 * width]);
            }
        }
        let x = Strided::rows(d_own, 3 * width);
        weights.own.multiply(slot_rows, x, Start::Output, &mut d_memory, width);
    }
    d_initial.copy_from_slice(&d_memory);
    let mut d_x = Buffer::new(time * rows * width);
    let x = Strided::rows(&d_of_words, 4 * width);
    weights.word.multiply(time * rows, x, Start::Zero, &mut d_x, width);
    for (row, d_words) in d_words.chunks_exact_mut(time * width).enumerate() {
        for (t, d_word) in d_words.chunks_exact_mut(width).enumerate() {
            d_word.copy_from_slice(&d_x[(t * rows + row) * width..][..width]);
        }
    }

    let mut gradient = vec![0.0; layout.lengths().iter().sum()];
    let mut parts = split(&mut gradient, layout.lengths());
    let memory = Packed::new(Strided::rows(&saved.memory, width), n, width);
    let words = Packed::new(Strided::rows(&saved.words, width), time * rows, width);
    for part in 0..3 {
        let of_own = Strided::transposed(&d_own[part * width..], 3 * width);
        memory.multiply(width, of_own, Start::Zero, parts[2 * part], width);
        add_columns(&d_own, 3 * width, part * width, parts[2 * part + 1]);
    }
    for part in 0..2 {
        let of_words = Strided::transposed(&d_of_words[part * width..], 4 * width);
        words.multiply(width, of_words, Start::Output, parts[2 * part + 2], width);
        add_columns(&d_of_words, 4 * width, part * width, parts[2 * part + 3]);
    }
    let norms = [d_query_norm, d_key_norm, d_attended_norm, d_read_norm];
    parts[6..10].iter_mut().zip(&norms).for_each(|(part, norm)| part.copy_from_slice(norm));
    let of_words = Strided::transposed(&d_of_words[2 * width..], 4 * width);
    words.multiply(2 * width, of_words, Start::Zero, parts[10], width);
    let squashed = Packed::new(Strided::rows(&saved.squashed, width), n, width);
    let of_gates = Strided::transposed(&d_gates, 2 * width);
    squashed.multiply(2 * width, of_gates, Start::Zero, parts[11], width);
    add_columns(&d_gates, 2 * width, 0, parts[12]);
    let mut rectified = Buffer::new(n * width);
    for layer in 0..layers {
        let input = match layer {
            0 => &saved.attended,
            _ => {
                rectify(&saved.read[(layer - 1) * n * width..][..n * width], &mut rectified);
                &rectified
            }
        };
        let input = Packed::new(Strided::rows(input, width), n, width);
        let d_read = &d_read[layer * n * width..][..n * width];
        let out = &mut parts[13][layer * width * width..][..width * width];
        input.multiply(width, Strided::transposed(d_read, width), Start::Zero, out, width);
        add_columns(d_read, width, 0, &mut parts[14][layer * width..][..width]);
    }
    gradient
}

/// The parts of a slice, one after the other.
fn split<const N: usize>(mut values: &mut [f32], lengths: [usize; N]) -> [&mut [f32]; N] {
    lengths.map(|length| {
        let (part, rest) = std::mem::take(&mut values).split_at_mut(length);
        values = rest;
        part
    })
}

/// Adds some columns of rows of `stride` numbers, from `first` on, to `sums`.
fn add_columns(rows: &[f32], stride: usize, first: usize, sums: &mut [f32]) {
    let width = sums.len();
    rows.chunks_exact(stride).for_each(|row| add(sums, &row[first..first + width]));
}

simd! {
    fn add(x: &mut [f32], y: &[f32]) {
        x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
    }

    fn rectify(x: &[f32], y: &mut [f32]) {
        // Not `max`, which would hide a NaN.
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = if x <= 0.0 { 0.0 } else { x });
    }

    fn rectify_backward(x: &[f32], d: &mut [f32]) {
        d.iter_mut().zip(x).for_each(|(d, &x)| *d = if x > 0.0 { *d } else { 0.0 });
    }

    fn squash(x: &[f32], y: &mut [f32]) {
        for at in (0..x.len()).step_by(LANES) {
            let x = load(x, at);
            store(y, at, lanes(|j| tanh(x[j])));
        }
    }

    fn squash_backward(squashed: &[f32], d_squashed: &[f32], d: &mut [f32]) {
        for ((d, s), d_s) in d.iter_mut().zip(squashed).zip(d_squashed) {
            *d += d_s * (1.0 - s * s);
        }
    }

    /// One slot's memory after a word: `i tanh(normal) + f memory`, with the gates `i` and `f` of memory and word.
    fn step(
        gates: &[f32],
        word: &[f32],
        forget_bias: f32,
        normal: &[f32],
        memory: &mut [f32],
        proposed: &mut [f32],
        comes: &mut [f32],
        stays: &mut [f32],
    ) {
        let width = normal.len();
        for at in (0..width).step_by(LANES) {
            let (own, other) = (load(&gates[..width], at), load(&word[..width], at));
            let i = lanes(|j| sigmoid(own[j] + other[j]));
            let (own, other) = (load(&gates[width..], at), load(&word[width..], at));
            let f = lanes(|j| sigmoid(own[j] + other[j] + forget_bias));
            let (x, m) = (load(normal, at), load(memory, at));
            let p = lanes(|j| tanh(x[j]));
            store(proposed, at, p);
            store(comes, at, i);
            store(stays, at, f);
            store(memory, at, lanes(|j| i[j] * p[j] + f[j] * m[j]));
        }
    }

    /// Its derivative: `d_memory` of the memory after becomes that of the one before, but for what passes through the
    /// rest; `d_normal` and `d_gates` are overwritten.
    fn step_backward(
        proposed: &[f32],
        comes: &[f32],
        stays: &[f32],
        memory: &[f32],
        d_memory: &mut [f32],
        d_normal: &mut [f32],
        d_gates: &mut [f32],
    ) {
        let width = memory.len();
        let (d_comes, d_stays) = d_gates.split_at_mut(width);
        let (proposed, comes, stays) = (&proposed[..width], &comes[..width], &stays[..width]);
        let (d_memory, d_normal) = (&mut d_memory[..width], &mut d_normal[..width]);
        let (d_comes, d_stays) = (&mut d_comes[..width], &mut d_stays[..width]);
        for k in 0..width {
            let (d, p, i, f) = (d_memory[k], proposed[k], comes[k], stays[k]);
            d_normal[k] = d * i * (1.0 - p * p);
            d_comes[k] = d * p * i * (1.0 - i);
            d_stays[k] = d * memory[k] * f * (1.0 - f);
            d_memory[k] = d * f;
        }
    }

    /// What each slot of a row attends to. `queries, attended: [slots, width]`, `keys, values: [slots + 1, width]`,
    /// `shares: [slots, heads, slots + 1]`.
    fn attend(
        layout: MemoryLayout,
        queries: &[f32],
        keys: &[f32],
        values: &[f32],
        shares: &mut [f32],
        attended: &mut [f32],
    ) {
        let MemoryLayout { slots, heads, width, .. } = layout;
        let each = width / heads;
        let scale = 1.0 / (each as f32).sqrt();
        for (place, shares) in shares.chunks_exact_mut(slots + 1).enumerate() {
            let (slot, first) = (place / heads, place % heads * each);
            let query = &queries[slot * width + first..][..each];
            let mut largest = f32::NEG_INFINITY;
            for (share, key) in shares.iter_mut().zip(keys.chunks_exact(width)) {
                *share = scale * dot(query, &key[first..][..each]);
                largest = if *share <= largest { largest } else { *share };
            }
            let mut total = 0.0;
            for share in shares.iter_mut() {
                *share = exp(*share - largest);
                total += *share;
            }
            let attended = &mut attended[slot * width + first..][..each];
            attended.fill(0.0);
            for (share, value) in shares.iter_mut().zip(values.chunks_exact(width)) {
                *share /= total;
                for (attended, value) in attended.iter_mut().zip(&value[first..][..each]) {
                    *attended += *share * value;
                }
            }
        }
    }

    /// Its derivative; `d_queries` is overwritten, the others are added to.
    fn attend_backward(
        layout: MemoryLayout,
        queries: &[f32],
        keys: &[f32],
        values: &[f32],
        shares: &[f32],
        d_attended: &[f32],
        d_queries: &mut [f32],
        d_keys: &mut [f32],
        d_values: &mut [f32],
    ) {
        let MemoryLayout { slots, heads, width, .. } = layout;
        let each = width / heads;
        let scale = 1.0 / (each as f32).sqrt();
        for (place, shares) in shares.chunks_exact(slots + 1).enumerate() {
            let (slot, first) = (place / heads, place % heads * each);
            let of = slot * width + first..slot * width + first + each;
            let (query, d_out) = (&queries[of.clone()], &d_attended[of.clone()]);
            // What a share is worth, in the mean of all.
            let mut mean = 0.0;
            for (share, value) in shares.iter().zip(values.chunks_exact(width)) {
                mean += share * dot(d_out, &value[first..][..each]);
            }
            let d_query = &mut d_queries[of];
            d_query.fill(0.0);
            for (index, share) in shares.iter().enumerate() {
                let at = index * width + first..index * width + first + each;
                let worth = dot(d_out, &values[at.clone()]);
                let d_score = scale * share * (worth - mean);
                for (d, x) in d_values[at.clone()].iter_mut().zip(d_out) {
                    *d += share * x;
                }
                for (d, x) in d_keys[at.clone()].iter_mut().zip(query) {
                    *d += d_score * x;
                }
                for (d, x) in d_query.iter_mut().zip(&keys[at]) {
                    *d += d_score * x;
                }
            }
        }
    }
}
