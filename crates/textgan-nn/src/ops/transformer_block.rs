use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, Layout as TensorLayout, Shape, Tensor};

use super::argument::{fused, matrix, same};
use super::bundle::Bundle;
use super::composed;
use super::storage::{cpu_slice, tensor, with_slices};
use crate::kernels::block::{self, Kept, Layout, Pass, Weights};
use crate::kernels::{Noise, Precision, Rotary};
use crate::{Error, Mode, Result};

const NAME: &str = "transformer_block";

/// Sequences that one task takes through the block.
const SHARD: usize = 4;

/// The weights of a block; products are `[out, in]`, as in Llama of Hugging Face `transformers`.
#[derive(Clone, Copy, Debug)]
pub struct BlockWeights<'a> {
    /// Gains of the first RMSNorm, `[width]`.
    pub attention_norm: &'a Tensor,
    /// `[width, width]`.
    pub query: &'a Tensor,
    /// `[width, width]`.
    pub key: &'a Tensor,
    /// `[width, width]`.
    pub value: &'a Tensor,
    /// `[width, width]`.
    pub output: &'a Tensor,
    /// Gains of the second RMSNorm, `[width]`.
    pub feed_forward_norm: &'a Tensor,
    /// `[inner, width]`.
    pub gate: &'a Tensor,
    /// `[inner, width]`.
    pub up: &'a Tensor,
    /// `[width, inner]`.
    pub down: &'a Tensor,
}

impl<'a> BlockWeights<'a> {
    /// In the order in which the kernel cuts them.
    fn all(&self) -> [&'a Tensor; 9] {
        [
            self.attention_norm,
            self.query,
            self.key,
            self.value,
            self.output,
            self.feed_forward_norm,
            self.gate,
            self.up,
            self.down,
        ]
    }
}

/// What a block is besides its weights.
#[derive(Clone, Copy, Debug)]
pub struct BlockOptions<'a> {
    /// Attention heads.
    pub heads: usize,
    /// Positions of queries and keys; at least as many as the longest sequence.
    pub rotary: &'a Rotary,
    /// Added to the mean square in RMSNorm.
    pub epsilon: f32,
    /// Dropout, in training, of what attention and SwiGLU add to the stream.
    pub dropout: f32,
    /// Numbers that the products with weights multiply; everything else is `f32`.
    pub precision: Precision,
    /// Names the two masks, `{name}.attention` and `{name}.mlp`.
    pub name: &'a str,
}

/// A block of a decoder-only transformer in the layout of Llama (Touvron et al., 2023):
/// `h = x + dropout(W_o attention(rms_norm(x)))`, `y = h + dropout(W_down swiglu(rms_norm(h)))`,
/// with causal attention and rotary positions.
///
/// Sequences lie one after the other without padding, so padding costs nothing. Each task takes a
/// few of them through the whole block, with its buffers near; backward they are taken through
/// again, and then the gradient of each weight is one product over all tokens.
///
/// # Shapes
/// `stream: [tokens, width]`, `lengths`: tokens of each sequence, in their order; the same out.
///
/// # Errors
/// If the shapes do not fit.
pub fn transformer_block(
    stream: &Tensor,
    weights: BlockWeights<'_>,
    lengths: &[usize],
    options: BlockOptions<'_>,
    mode: Mode<'_>,
) -> Result<Tensor> {
    let layout = check(stream, weights, lengths, options)?;
    let key = |part: &str| {
        let key = mode.key(&format!("{}.{part}", options.name));
        key.filter(|_| options.dropout > 0.0)
    };
    let keys = [key("attention"), key("mlp")];
    if !fused(&[stream, weights.query]) {
        return composed::transformer_block(stream, weights, lengths, options, keys);
    }
    let weights = Bundle::new(weights.all())?;
    let token = weights.token().clone();
    let operation = Block {
        layout,
        weights,
        rotary: options.rotary.clone(),
        lengths: lengths.to_vec(),
        epsilon: options.epsilon,
        precision: options.precision,
        dropout: options.dropout,
        noise: keys.map(|key| key.map(|key| Noise::new(&key))),
        kept: OnceLock::new(),
    };
    Ok(stream.contiguous()?.apply_op2(&token, operation)?)
}

fn check(
    stream: &Tensor,
    weights: BlockWeights<'_>,
    lengths: &[usize],
    options: BlockOptions<'_>,
) -> Result<Layout> {
    let (tokens, width) = matrix(NAME, "the stream", stream)?;
    same(NAME, "tokens of the stream and sum of lengths", tokens, lengths.iter().sum())?;
    let (inner, _) = matrix(NAME, "the gate", weights.gate)?;
    let heads = options.heads;
    let head_dim = options.rotary.head_dim();
    if heads == 0 || width != heads * head_dim {
        let problem = format!("width {width} is not {heads} heads of rotary width {head_dim}");
        return Err(Error::argument(NAME, problem));
    }
    let positions = options.rotary.positions();
    if let Some(length) = lengths.iter().find(|&&length| length > positions) {
        let problem = format!("a length is {length}, but `rotary` has {positions} positions");
        return Err(Error::argument(NAME, problem));
    }
    if !(0.0..1.0).contains(&options.dropout) {
        let problem = format!("dropout is {}, expected 0 <= p < 1", options.dropout);
        return Err(Error::argument(NAME, problem));
    }
    let square = [width, width];
    let shapes: [&[usize]; 9] = [
        &[width],
        &square,
        &square,
        &square,
        &square,
        &[width],
        &[inner, width],
        &[inner, width],
        &[width, inner],
    ];
    for (weight, shape) in weights.all().into_iter().zip(shapes) {
        if weight.dims() != shape {
            let problem = format!("a weight has shape {:?}, expected {shape:?}", weight.dims());
            return Err(Error::argument(NAME, problem));
        }
    }
    Ok(Layout { width, heads, inner })
}

/// The stream, and the weights.
struct Block {
    layout: Layout,
    weights: Bundle<9>,
    rotary: Rotary,
    lengths: Vec<usize>,
    epsilon: f32,
    precision: Precision,
    dropout: f32,
    /// Of what attention and SwiGLU add.
    noise: [Option<Noise>; 2],
    kept: OnceLock<Kept>,
}

impl Block {
    fn pass(&self) -> Pass<'_> {
        Pass {
            layout: self.layout,
            rotary: &self.rotary,
            epsilon: self.epsilon,
            precision: self.precision,
            dropout: self.dropout,
            noise: self.noise,
            lengths: &self.lengths,
            shard: SHARD,
        }
    }
}

impl CustomOp2 for Block {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        stream: &CpuStorage,
        stream_layout: &TensorLayout,
        _token: &CpuStorage,
        _token_layout: &TensorLayout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let stream = cpu_slice(stream, stream_layout)?;
        let mut out = vec![0.0; stream.len()];
        let kept = self.weights.with_slices(|weights| {
            Ok(block::forward(self.pass(), Weights::from(weights), stream, &mut out))
        })?;
        if self.kept.set(kept).is_err() {
            candle_core::bail!("{NAME}: the forward pass of one operation ran twice");
        }
        Ok((CpuStorage::F32(out), stream_layout.shape().clone()))
    }

    fn bwd(
        &self,
        stream: &Tensor,
        _token: &Tensor,
        _out: &Tensor,
        dout: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let Some(kept) = self.kept.get() else {
            candle_core::bail!("{NAME}: backward without forward");
        };
        let wanted = self.weights.wanted();
        let (dstream, dweights) = with_slices([stream, dout], |[x, dout]| {
            let mut dstream = vec![0.0; x.len()];
            let dweights = self.weights.with_slices(|weights| {
                let weights = Weights::from(weights);
                Ok(block::backward(self.pass(), weights, kept, x, dout, &mut dstream, wanted))
            })?;
            Ok((dstream, dweights))
        })?;
        let dweights = dweights.map(|dweights| self.weights.hand_out(dweights)).transpose()?;
        Ok((Some(tensor(dstream, stream.shape())?), dweights))
    }
}
