use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::argument::{fused, same_shape};
use super::composed;
use super::storage::{cpu_slice, tensor, with_slices};
use crate::kernels::Rotary;
use crate::kernels::attention::{self as kernel, Heads, Sequence};
use crate::{Error, Result};

/// Causal self-attention with rotary positions, applied to queries and keys inside.
///
/// Position `t` attends to positions `0..=t`, so padding after the end of a sequence reaches no
/// real position and needs no mask.
///
/// # Shapes
/// `query`, `key`, `value: [batch, time, heads * head_dim]`, head by head; the same out. `rotary`
/// must be made for this `head_dim` and at least `time` positions.
///
/// # Errors
/// If the shapes do not fit.
pub fn causal_attention(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    heads: usize,
    rotary: &Rotary,
) -> Result<Tensor> {
    const NAME: &str = "causal_attention";
    same_shape(NAME, "shapes of query and key", query, key)?;
    same_shape(NAME, "shapes of query and value", query, value)?;
    let [_, time, width] = *query.dims() else {
        let problem = format!("the query has shape {:?}, expected three", query.dims());
        return Err(Error::argument(NAME, problem));
    };
    if heads == 0 || width != heads * rotary.head_dim() {
        let problem =
            format!("width {width} is not {heads} heads of rotary width {}", rotary.head_dim());
        return Err(Error::argument(NAME, problem));
    }
    if time > rotary.positions() {
        let problem = format!("{time} positions, but `rotary` has {}", rotary.positions());
        return Err(Error::argument(NAME, problem));
    }
    if !fused(&[query, key, value]) {
        return composed::causal_attention(query, key, value, heads, rotary);
    }
    let (query, key, value) = (query.contiguous()?, key.contiguous()?, value.contiguous()?);
    let operation = Attention { heads, rotary: rotary.clone(), weights: OnceLock::new() };
    Ok(query.apply_op3(&key, &value, operation)?)
}

struct Attention {
    heads: usize,
    rotary: Rotary,
    /// Attention weights of every sequence, kept for the backward pass.
    weights: OnceLock<Vec<f32>>,
}

impl Attention {
    fn sizes(&self, shape: &Shape) -> candle_core::Result<Heads> {
        let (_, time, _) = shape.dims3()?;
        Ok(Heads { time, heads: self.heads, head_dim: self.rotary.head_dim() })
    }
}

/// Sequence number `i` of a batch.
fn sequence<'a>(batch: Sequence<'a>, i: usize, len: usize) -> Sequence<'a> {
    let part = |x: &'a [f32]| &x[i * len..][..len];
    Sequence { query: part(batch.query), key: part(batch.key), value: part(batch.value) }
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "causal_attention"
    }

    fn cpu_fwd(
        &self,
        query: &CpuStorage,
        query_layout: &Layout,
        key: &CpuStorage,
        key_layout: &Layout,
        value: &CpuStorage,
        value_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let heads = self.sizes(query_layout.shape())?;
        let all = Sequence {
            query: cpu_slice(query, query_layout)?,
            key: cpu_slice(key, key_layout)?,
            value: cpu_slice(value, value_layout)?,
        };
        let mut out = vec![0.0; all.query.len()];
        if out.is_empty() {
            return Ok((CpuStorage::F32(out), query_layout.shape().clone()));
        }
        let (len, weights_len) = (heads.len(), heads.weights_len());
        let mut weights = vec![0.0; out.len() / len * weights_len];
        let parts = out.par_chunks_mut(len).zip(weights.par_chunks_mut(weights_len));
        parts.enumerate().for_each(|(i, (out, weights))| {
            kernel::attention(heads, sequence(all, i, len), &self.rotary, weights, out);
        });
        // Set once: an operation runs forward once.
        let _ = self.weights.set(weights);
        Ok((CpuStorage::F32(out), query_layout.shape().clone()))
    }

    fn bwd(
        &self,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        _out: &Tensor,
        dout: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let shape = query.shape();
        let Some(weights) = self.weights.get() else {
            return Ok((None, None, None));
        };
        let heads = self.sizes(shape)?;
        let (len, weights_len) = (heads.len(), heads.weights_len());
        with_slices([query, key, value, dout], |[query, key, value, dout]| {
            let all = Sequence { query, key, value };
            let zeros = || vec![0.0; dout.len()];
            let (mut dquery, mut dkey, mut dvalue) = (zeros(), zeros(), zeros());
            let inputs = dout.par_chunks(len).zip(weights.par_chunks(weights_len));
            let outputs = dquery
                .par_chunks_mut(len)
                .zip(dkey.par_chunks_mut(len))
                .zip(dvalue.par_chunks_mut(len));
            inputs.zip(outputs).enumerate().for_each(
                |(i, ((dout, weights), ((dquery, dkey), dvalue)))| {
                    let x = sequence(all, i, len);
                    kernel::attention_backward(
                        heads,
                        dout,
                        x,
                        &self.rotary,
                        weights,
                        dquery,
                        dkey,
                        dvalue,
                    );
                },
            );
            Ok((
                Some(tensor(dquery, shape)?),
                Some(tensor(dkey, shape)?),
                Some(tensor(dvalue, shape)?),
            ))
        })
    }
}
