//! A transformer block over sequences that lie one after the other, forward and backward.
//!
//! With `n1`, `n2` the two norms, `a` the attention, `s` SwiGLU and `d` dropout:
//! `h = x + d(a(n1(x) W_qkv) W_o)`, `y = h + d(s(n2(h) W_gate_up) W_down)`.

use rayon::prelude::*;

use super::attention::{Heads, Sequence, attention, attention_backward};
use super::buffer::Buffer;
use super::norm::{rms_norm, rms_norm_backward};
use super::pointwise::{add, add_dropped, dropout, swiglu, swiglu_backward};
use super::{Noise, Packed, Precision, Rotary, Start, Strided};

/// Sizes of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) width: usize,
    pub(crate) heads: usize,
    /// Width inside of SwiGLU.
    pub(crate) inner: usize,
}

/// The weights of a block; products are `[out, in]`.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    norm_1: &'a [f32],
    /// Queries, keys and values have one input.
    qkv: [&'a [f32]; 3],
    output: &'a [f32],
    norm_2: &'a [f32],
    /// Gate and input of SwiGLU have one input.
    gate_up: [&'a [f32]; 2],
    down: &'a [f32],
}

impl<'a> From<[&'a [f32]; 9]> for Weights<'a> {
    fn from(weights: [&'a [f32]; 9]) -> Self {
        let [norm_1, query, key, value, output, norm_2, gate, up, down] = weights;
        let (qkv, gate_up) = ([query, key, value], [gate, up]);
        Self { norm_1, qkv, output, norm_2, gate_up, down }
    }
}

/// The products of a block, those with the same input as one.
struct Products {
    qkv: Packed,
    output: Packed,
    gate_up: Packed,
    down: Packed,
}

/// The way that a pass takes through a block.
#[derive(Clone, Copy)]
enum Towards {
    /// `y = x W^T`.
    Outputs,
    /// `dx = dy W`.
    Inputs,
}

impl Weights<'_> {
    /// The weights, packed for the products of one direction.
    fn pack(&self, pass: Pass<'_>, towards: Towards) -> Products {
        let Layout { width, inner, .. } = pass.layout;
        let pack = |weight: &[f32], outputs: usize, inputs: usize| match towards {
            Towards::Outputs => {
                let weight = Strided::transposed(weight, inputs);
                Packed::with_precision(pass.precision, weight, inputs, outputs)
            }
            Towards::Inputs => {
                let weight = Strided::rows(weight, inputs);
                Packed::with_precision(pass.precision, weight, outputs, inputs)
            }
        };
        let ((qkv, output), (gate_up, down)) = rayon::join(
            || (pack(&self.qkv.concat(), 3 * width, width), pack(self.output, width, width)),
            || (pack(&self.gate_up.concat(), 2 * inner, width), pack(self.down, width, inner)),
        );
        Products { qkv, output, gate_up, down }
    }
}

impl Layout {
    /// Of the gradient's parts: the weights in their order.
    fn sizes(self) -> [usize; 6] {
        let Self { width, inner, .. } = self;
        let square = width * width;
        [width, 3 * square, square, width, 2 * inner * width, width * inner]
    }

    fn sequence(self, time: usize) -> Heads {
        let head_dim = self.width / self.heads;
        Heads { time, heads: self.heads, head_dim, stride: 3 * self.width }
    }
}

/// A block and what a pass over it needs besides numbers.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) layout: Layout,
    pub(crate) rotary: &'a Rotary,
    pub(crate) epsilon: f32,
    /// Of the products with weights; attention is computed in `f32`.
    pub(crate) precision: Precision,
    /// The share that the two dropouts set to zero.
    pub(crate) dropout: f32,
    /// The masks of what attention and SwiGLU add: row `i` is token `i`. None: no dropout.
    pub(crate) noise: [Option<Noise>; 2],
    /// Tokens of each sequence.
    pub(crate) lengths: &'a [usize],
    /// Sequences of one task.
    pub(crate) shard: usize,
}

/// What the backward pass needs of the forward pass; of each token a row.
pub(crate) struct Kept {
    normed_1: Buffer,
    /// Queries and keys turned to their positions, and values.
    qkv: Buffer,
    /// Attention weights of each sequence.
    attention: Buffer,
    attended: Buffer,
    middle: Buffer,
    normed_2: Buffer,
    gate_up: Buffer,
    gated: Buffer,
}

/// Hands out the beginning of a slice, again and again.
struct Cutter<'a>(&'a mut [f32]);

impl<'a> Cutter<'a> {
    fn take(&mut self, len: usize) -> &'a mut [f32] {
        let (part, rest) = std::mem::take(&mut self.0).split_at_mut(len);
        self.0 = rest;
        part
    }
}

/// A few sequences, and their rows of each buffer.
struct ForwardShard<'a> {
    lengths: &'a [usize],
    first_token: usize,
    x: &'a [f32],
    normed_1: &'a mut [f32],
    qkv: &'a mut [f32],
    attention: &'a mut [f32],
    attended: &'a mut [f32],
    middle: &'a mut [f32],
    normed_2: &'a mut [f32],
    gate_up: &'a mut [f32],
    gated: &'a mut [f32],
    y: &'a mut [f32],
}

/// `y = block(x)`, both `[tokens, width]`.
pub(crate) fn forward(pass: Pass<'_>, weights: Weights<'_>, x: &[f32], y: &mut [f32]) -> Kept {
    let Layout { width, inner, .. } = pass.layout;
    let tokens = x.len() / width;
    let attention_len =
        |lengths: &[usize]| lengths.iter().map(|&t| pass.layout.sequence(t).weights_len()).sum();
    let mut kept = Kept {
        normed_1: Buffer::new(tokens * width),
        qkv: Buffer::new(tokens * 3 * width),
        attention: Buffer::new(attention_len(pass.lengths)),
        attended: Buffer::new(tokens * width),
        middle: Buffer::new(tokens * width),
        normed_2: Buffer::new(tokens * width),
        gate_up: Buffer::new(tokens * 2 * inner),
        gated: Buffer::new(tokens * inner),
    };
    let Products { qkv, output, gate_up, down } = weights.pack(pass, Towards::Outputs);

    let mut cut_normed_1 = Cutter(&mut kept.normed_1);
    let mut cut_qkv = Cutter(&mut kept.qkv);
    let mut cut_attention = Cutter(&mut kept.attention);
    let mut cut_attended = Cutter(&mut kept.attended);
    let mut cut_middle = Cutter(&mut kept.middle);
    let mut cut_normed_2 = Cutter(&mut kept.normed_2);
    let mut cut_gate_up = Cutter(&mut kept.gate_up);
    let mut cut_gated = Cutter(&mut kept.gated);
    let mut cut_y = Cutter(y);
    let mut first_token = 0;
    let shards = pass.lengths.chunks(pass.shard).map(|lengths| {
        let first = first_token;
        let rows: usize = lengths.iter().sum();
        first_token += rows;
        ForwardShard {
            lengths,
            first_token: first,
            x: &x[first * width..][..rows * width],
            normed_1: cut_normed_1.take(rows * width),
            qkv: cut_qkv.take(rows * 3 * width),
            attention: cut_attention.take(attention_len(lengths)),
            attended: cut_attended.take(rows * width),
            middle: cut_middle.take(rows * width),
            normed_2: cut_normed_2.take(rows * width),
            gate_up: cut_gate_up.take(rows * 2 * inner),
            gated: cut_gated.take(rows * inner),
            y: cut_y.take(rows * width),
        }
    });
    let shards: Vec<_> = shards.collect();
    shards.into_par_iter().for_each(|s| {
        let rows = s.x.len() / width;
        let product = |weight: &Packed, x: &[f32], y: &mut [f32]| {
            let (depth, columns) = (weight.depth(), weight.columns());
            weight.multiply(rows, Strided::rows(x, depth), Start::Zero, y, columns);
        };
        rms_norm(s.x, weights.norm_1, pass.epsilon, s.normed_1);
        product(&qkv, s.normed_1, s.qkv);
        pass.attend(s.lengths, s.qkv, s.attention, s.attended);
        product(&output, s.attended, s.middle);
        pass.add_to(s.x, 0, s.first_token, s.middle);

        rms_norm(s.middle, weights.norm_2, pass.epsilon, s.normed_2);
        product(&gate_up, s.normed_2, s.gate_up);
        for (both, gated) in s.gate_up.chunks_exact(2 * inner).zip(s.gated.chunks_exact_mut(inner))
        {
            let (gate, up) = both.split_at(inner);
            swiglu(gate, up, gated);
        }
        product(&down, s.gated, s.y);
        pass.add_to(s.middle, 1, s.first_token, s.y);
    });
    kept
}

impl Pass<'_> {
    /// Turns queries and keys, and attends within each sequence.
    fn attend(&self, lengths: &[usize], qkv: &mut [f32], weights: &mut [f32], out: &mut [f32]) {
        let width = self.layout.width;
        let (mut qkv, mut weights, mut out) = (Cutter(qkv), Cutter(weights), Cutter(out));
        let mut packed = Packed::default();
        for &time in lengths {
            let qkv = qkv.take(time * 3 * width);
            for (position, row) in qkv.chunks_exact_mut(3 * width).enumerate() {
                self.rotary.turn(&mut row[..2 * width], position);
            }
            let heads = self.layout.sequence(time);
            let weights = weights.take(heads.weights_len());
            let sequence = Sequence::stacked(qkv, width);
            attention(heads, sequence, weights, out.take(time * width), &mut packed);
        }
    }

    /// `added = x + dropout(added)`.
    fn add_to(&self, x: &[f32], which: usize, first_token: usize, added: &mut [f32]) {
        let Some(noise) = self.noise[which] else { return add(added, x) };
        let width = self.layout.width;
        let mut uniform = vec![0.0; width];
        let rows = x.chunks_exact(width).zip(added.chunks_exact_mut(width));
        for (token, (x, added)) in (first_token as u64..).zip(rows) {
            noise.uniform_open(token, &mut uniform);
            add_dropped(added, x, &uniform, self.dropout);
        }
    }

    /// The gradient of what was added, given that of the sum.
    fn dropped(&self, dy: &[f32], which: usize, first_token: usize, dadded: &mut [f32]) {
        let Some(noise) = self.noise[which] else { return dadded.copy_from_slice(dy) };
        let width = self.layout.width;
        let mut uniform = vec![0.0; width];
        let rows = dy.chunks_exact(width).zip(dadded.chunks_exact_mut(width));
        for (token, (dy, dadded)) in (first_token as u64..).zip(rows) {
            noise.uniform_open(token, &mut uniform);
            dropout(dy, &uniform, self.dropout, dadded);
        }
    }
}

/// A few sequences on the way back.
struct BackwardShard<'a> {
    lengths: &'a [usize],
    first_token: usize,
    x: &'a [f32],
    qkv: &'a [f32],
    attention: &'a [f32],
    middle: &'a [f32],
    gate_up: &'a [f32],
    dy: &'a [f32],
    dqkv: &'a mut [f32],
    /// Of what attention adds.
    dadded_1: &'a mut [f32],
    dgate_up: &'a mut [f32],
    /// Of what SwiGLU adds.
    dadded_2: &'a mut [f32],
    dx: &'a mut [f32],
}

/// Writes `dx` and returns the gradient of the weights, one after the other, if it is wanted.
pub(crate) fn backward(
    pass: Pass<'_>,
    weights: Weights<'_>,
    kept: &Kept,
    x: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    weights_wanted: bool,
) -> Option<Vec<f32>> {
    let Layout { width, inner, .. } = pass.layout;
    let tokens = x.len() / width;
    let sizes = pass.layout.sizes();
    let Products { qkv, output, gate_up, down } = weights.pack(pass, Towards::Inputs);

    let mut dqkv = Buffer::new(tokens * 3 * width);
    let mut dadded_1 = Buffer::new(tokens * width);
    let mut dgate_up = Buffer::new(tokens * 2 * inner);
    let mut dadded_2 = Buffer::new(tokens * width);
    let (mut cut_dqkv, mut cut_dadded_1) = (Cutter(&mut dqkv), Cutter(&mut dadded_1));
    let (mut cut_dgate_up, mut cut_dadded_2) = (Cutter(&mut dgate_up), Cutter(&mut dadded_2));
    let mut cut_dx = Cutter(dx);
    let (mut first_token, mut first_weight) = (0, 0);
    let shards = pass.lengths.chunks(pass.shard).map(|lengths| {
        let (first, from) = (first_token, first_weight);
        let rows: usize = lengths.iter().sum();
        let weights: usize = lengths.iter().map(|&t| pass.layout.sequence(t).weights_len()).sum();
        first_token += rows;
        first_weight += weights;
        let part = |width: usize| first * width..(first + rows) * width;
        BackwardShard {
            lengths,
            first_token: first,
            x: &x[part(width)],
            qkv: &kept.qkv[part(3 * width)],
            attention: &kept.attention[from..][..weights],
            middle: &kept.middle[part(width)],
            gate_up: &kept.gate_up[part(2 * inner)],
            dy: &dy[part(width)],
            dqkv: cut_dqkv.take(rows * 3 * width),
            dadded_1: cut_dadded_1.take(rows * width),
            dgate_up: cut_dgate_up.take(rows * 2 * inner),
            dadded_2: cut_dadded_2.take(rows * width),
            dx: cut_dx.take(rows * width),
        }
    });
    let shards: Vec<_> = shards.collect();
    let gains: Vec<[Vec<f32>; 2]> = shards
        .into_par_iter()
        .map(|s| {
            let rows = s.x.len() / width;
            let product = |weight: &Packed, dy: &[f32], dx: &mut [f32]| {
                let (depth, columns) = (weight.depth(), weight.columns());
                weight.multiply(rows, Strided::rows(dy, depth), Start::Zero, dx, columns);
            };
            let (mut dnorm_1, mut dnorm_2) = (vec![0.0; width], vec![0.0; width]);
            let mut narrow = Buffer::new(rows * width);
            let mut dmiddle = Buffer::new(rows * width);
            let mut dgated = Buffer::new(rows * inner);

            pass.dropped(s.dy, 1, s.first_token, s.dadded_2);
            product(&down, s.dadded_2, &mut dgated);
            let both =
                s.gate_up.chunks_exact(2 * inner).zip(s.dgate_up.chunks_exact_mut(2 * inner));
            for (dgated, (both, dboth)) in dgated.chunks_exact(inner).zip(both) {
                let ((gate, up), (dgate, dup)) = (both.split_at(inner), dboth.split_at_mut(inner));
                swiglu_backward(dgated, gate, up, dgate, dup);
            }
            product(&gate_up, s.dgate_up, &mut narrow);
            let epsilon = pass.epsilon;
            rms_norm_backward(
                &narrow,
                s.middle,
                weights.norm_2,
                epsilon,
                &mut dmiddle,
                &mut dnorm_2,
            );
            add(&mut dmiddle, s.dy);

            pass.dropped(&dmiddle, 0, s.first_token, s.dadded_1);
            product(&output, s.dadded_1, &mut narrow);
            pass.attend_back(s.lengths, s.qkv, s.attention, &narrow, s.dqkv);
            product(&qkv, s.dqkv, &mut narrow);
            rms_norm_backward(&narrow, s.x, weights.norm_1, epsilon, s.dx, &mut dnorm_1);
            add(s.dx, &dmiddle);
            [dnorm_1, dnorm_2]
        })
        .collect();
    if !weights_wanted {
        return None;
    }

    let mut gradient = vec![0.0; sizes.iter().sum()];
    let mut rest = Cutter(&mut gradient);
    let [norm_1, dw_qkv, dw_output, norm_2, dw_gate_up, dw_down] =
        sizes.map(|size| rest.take(size));
    for [dnorm_1, dnorm_2] in &gains {
        add(norm_1, dnorm_1);
        add(norm_2, dnorm_2);
    }
    // `dW = dy^T x` over all tokens.
    let product = |dy: &[f32], outputs: usize, x: &[f32], inputs: usize, dweight: &mut [f32]| {
        let x = Strided::rows(x, inputs);
        let x = Packed::with_precision(pass.precision, x, tokens, inputs);
        let dy = Strided::transposed(dy, outputs);
        x.multiply_on_all_threads(outputs, dy, Start::Zero, dweight, inputs);
    };
    product(&dqkv, 3 * width, &kept.normed_1, width, dw_qkv);
    product(&dadded_1, width, &kept.attended, width, dw_output);
    product(&dgate_up, 2 * inner, &kept.normed_2, width, dw_gate_up);
    product(&dadded_2, width, &kept.gated, inner, dw_down);
    Some(gradient)
}

impl Pass<'_> {
    /// Gradients of queries, keys and values before they were turned.
    fn attend_back(
        &self,
        lengths: &[usize],
        qkv: &[f32],
        weights: &[f32],
        dout: &[f32],
        dqkv: &mut [f32],
    ) {
        let width = self.layout.width;
        let mut dqkv = Cutter(dqkv);
        let mut packed = Packed::default();
        let (mut first, mut from) = (0, 0);
        for &time in lengths {
            let heads = self.layout.sequence(time);
            let sequence = Sequence::stacked(&qkv[first * 3 * width..][..time * 3 * width], width);
            let weights = &weights[from..][..heads.weights_len()];
            let dout = &dout[first * width..][..time * width];
            let dqkv = dqkv.take(time * 3 * width);
            attention_backward(heads, dout, sequence, weights, dqkv, &mut packed);
            for (position, row) in dqkv.chunks_exact_mut(3 * width).enumerate() {
                self.rotary.turn_back(&mut row[..2 * width], position);
            }
            first += time;
            from += weights.len();
        }
    }
}
