use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_random::Key;

use super::argument::{fused, ids_in_range, matrix, same};
use super::composed;
use super::embedding::add_rows_by_id;
use super::head;
use super::storage::{cpu_slice, tensor, with_slices};
use crate::kernels::buffer::Buffer;
use crate::kernels::{Noise, Packed, Start, Strided, gumbel};
use crate::{Error, Result};

/// How a sampled token is made differentiable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Relaxation {
    /// Forward the sampled token itself, backward the gradient of the soft one (Bengio et al., 2013;
    /// Jang et al., 2017).
    StraightThrough,
    /// The Gumbel softmax itself (Jang et al., 2017; Maddison et al., 2017).
    Soft,
}

/// How [`gumbel_head`] relaxes.
#[derive(Clone, Copy, Debug)]
pub struct GumbelOptions<'a> {
    /// What is handed on.
    pub relaxation: Relaxation,
    /// Of the softmax; positive.
    pub temperature: f32,
    /// Tokens that have probability zero, because the sampler never takes them.
    pub excluded: &'a [u32],
}

/// A head, the Gumbel relaxation of its sampled tokens, and the other network's embedding of them.
///
/// With `logits = hidden head^T`, noise `g` and `p = softmax((logits + g) / temperature)`, row `i`
/// of the result is `p_i embedding` ([`Relaxation::Soft`]), or `embedding[sampled_i]` with the
/// gradient of `p_i embedding` ([`Relaxation::StraightThrough`]).
///
/// The noise is drawn from `key` *given that* `sampled` is where `logits + g` is largest (Maddison
/// et al., 2014): the pair has the same distribution as if the noise had made the sample. The
/// sample must come from `softmax(logits)` itself over all tokens but the excluded ones, untruncated
/// and at temperature one. Noise and probabilities exist for a chunk of rows at a time, and are made again for the backward pass.
///
/// # Shapes
/// `hidden: [rows, width]`, `head: [vocab, width]`, `embedding: [vocab, embed]`, `sampled`: one a
/// row, to `[rows, embed]`.
///
/// # Errors
/// If the shapes do not fit, an id is outside of the vocabulary, a sample or every token is excluded, or
/// the temperature is not positive.
pub fn gumbel_head(
    hidden: &Tensor,
    head: &Tensor,
    embedding: &Tensor,
    sampled: &[u32],
    options: GumbelOptions<'_>,
    key: &Key,
) -> Result<Tensor> {
    const NAME: &str = "gumbel_head";
    let (rows, width) = matrix(NAME, "hidden", hidden)?;
    let (vocab, head_width) = matrix(NAME, "the head", head)?;
    let (embedded, _) = matrix(NAME, "the embedding", embedding)?;
    same(NAME, "width of hidden and of the head", width, head_width)?;
    same(NAME, "vocabulary of the head and of the embedding", vocab, embedded)?;
    same(NAME, "number of rows and of samples", rows, sampled.len())?;
    ids_in_range(NAME, sampled, vocab)?;
    let GumbelOptions { relaxation, temperature, excluded } = options;
    head::check_excluded(NAME, excluded, vocab, sampled, |_| true)?;
    if !(temperature > 0.0 && temperature.is_finite()) {
        let problem = format!("the temperature is {temperature}, expected a positive number");
        return Err(Error::argument(NAME, problem));
    }
    if !fused(&[hidden, head, embedding]) {
        return composed::gumbel_head(hidden, head, embedding, sampled, options, key);
    }
    let operation = GumbelHead {
        sampled: sampled.to_vec(),
        temperature,
        relaxation,
        excluded: excluded.to_vec(),
        noise: Noise::new(key),
    };
    Ok(hidden.contiguous()?.apply_op3(&head.contiguous()?, &embedding.contiguous()?, operation)?)
}

struct GumbelHead {
    sampled: Vec<u32>,
    temperature: f32,
    relaxation: Relaxation,
    excluded: Vec<u32>,
    noise: Noise,
}

/// The matrices of a call and their sizes.
#[derive(Clone, Copy)]
struct Inputs<'a> {
    hidden: &'a [f32],
    head: &'a [f32],
    embedding: &'a [f32],
    width: usize,
    vocab: usize,
    embed: usize,
}

/// Rows that one task takes.
const TILE: usize = 48;
/// Rows whose probabilities exist at the same time, in the backward pass.
const CHUNK: usize = 8 * TILE;

impl GumbelHead {
    /// The relaxed samples `[rows, vocab]` of one tile of rows, the first of which is `first`.
    fn relaxed(
        &self,
        x: Inputs<'_>,
        outward: &Packed,
        first: usize,
        hidden: &[f32],
        out: &mut [f32],
    ) {
        let hidden = Strided::rows(hidden, x.width);
        outward.multiply(out.len() / x.vocab, hidden, Start::Zero, out, x.vocab);
        let mut uniform = vec![0.0; x.vocab];
        for (row, out) in out.chunks_exact_mut(x.vocab).enumerate() {
            self.noise.uniform_open((first + row) as u64, &mut uniform);
            head::exclude(out, &self.excluded);
            gumbel::perturb_row(out, &uniform, self.sampled[first + row] as usize);
            head::exclude(out, &self.excluded);
            gumbel::relax_row(out, self.temperature);
        }
    }

    fn forward(&self, x: Inputs<'_>) -> Vec<f32> {
        let mut out = vec![0.0; self.sampled.len() * x.embed];
        if out.is_empty() {
            return out;
        }
        match self.relaxation {
            Relaxation::StraightThrough => {
                for (out, &id) in out.chunks_exact_mut(x.embed).zip(&self.sampled) {
                    out.copy_from_slice(&x.embedding[id as usize * x.embed..][..x.embed]);
                }
            }
            Relaxation::Soft => {
                let head = x.packed_head();
                let embedding = Packed::new(Strided::rows(x.embedding, x.embed), x.vocab, x.embed);
                let tiles = x.hidden.par_chunks(TILE * x.width);
                tiles.zip(out.par_chunks_mut(TILE * x.embed)).enumerate().for_each(
                    |(tile, (hidden, out))| {
                        let rows = out.len() / x.embed;
                        let mut relaxed = Buffer::new(rows * x.vocab);
                        self.relaxed(x, &head, tile * TILE, hidden, &mut relaxed);
                        let relaxed = Strided::rows(&relaxed, x.vocab);
                        embedding.multiply(rows, relaxed, Start::Zero, out, x.embed);
                    },
                );
            }
        }
        out
    }

    fn backward(&self, x: Inputs<'_>, dout: &[f32], wanted: [bool; 3]) -> [Vec<f32>; 3] {
        let zeros = |wanted: bool, len: usize| vec![0.0; if wanted { len } else { 0 }];
        let mut dhidden = vec![0.0; x.hidden.len()];
        let mut dhead = zeros(wanted[1], x.head.len());
        let mut dembedding = zeros(wanted[2], x.embedding.len());
        if dout.is_empty() {
            return [dhidden, dhead, dembedding];
        }
        if self.relaxation == Relaxation::StraightThrough && wanted[2] {
            add_rows_by_id(&self.sampled, dout, x.embed, &mut dembedding);
        }
        let soft_embedding = self.relaxation == Relaxation::Soft && wanted[2];
        let size = CHUNK.min(self.sampled.len()) * x.vocab;
        let (mut relaxed, mut dlogits) = (Buffer::new(size), Buffer::new(size));
        let head = x.packed_head();
        let head_back = Packed::new(Strided::rows(x.head, x.width), x.vocab, x.width);
        let embedding = Packed::new(Strided::transposed(x.embedding, x.embed), x.embed, x.vocab);
        let chunks = x.hidden.chunks(CHUNK * x.width).zip(dout.chunks(CHUNK * x.embed));
        for (chunk, (hidden, dout)) in chunks.enumerate() {
            let first = chunk * CHUNK;
            let rows = dout.len() / x.embed;
            let (relaxed, dlogits) =
                (&mut relaxed[..rows * x.vocab], &mut dlogits[..rows * x.vocab]);
            relaxed
                .par_chunks_mut(TILE * x.vocab)
                .zip(dlogits.par_chunks_mut(TILE * x.vocab))
                .zip(hidden.par_chunks(TILE * x.width).zip(dout.par_chunks(TILE * x.embed)))
                .zip(dhidden[first * x.width..].par_chunks_mut(TILE * x.width))
                .enumerate()
                .for_each(|(tile, (((relaxed, dlogits), (hidden, dout)), dhidden))| {
                    self.relaxed(x, &head, first + tile * TILE, hidden, relaxed);
                    let rows = dlogits.len() / x.vocab;
                    let dout = Strided::rows(dout, x.embed);
                    embedding.multiply(rows, dout, Start::Zero, dlogits, x.vocab);
                    let both = relaxed.chunks_exact(x.vocab).zip(dlogits.chunks_exact_mut(x.vocab));
                    both.for_each(|(p, d)| gumbel::relax_row_backward(p, d, self.temperature));
                    let dlogits = Strided::rows(dlogits, x.vocab);
                    head_back.multiply(rows, dlogits, Start::Zero, dhidden, x.width);
                });
            if wanted[1] {
                add_over_rows(dlogits, hidden, rows, x.vocab, &mut dhead);
            }
            if soft_embedding {
                add_over_rows(relaxed, dout, rows, x.vocab, &mut dembedding);
            }
        }
        [dhidden, dhead, dembedding]
    }
}

impl Inputs<'_> {
    fn packed_head(&self) -> Packed {
        Packed::new(Strided::transposed(self.head, self.width), self.width, self.vocab)
    }
}

/// `table[vocab, width] += a[rows, vocab]^T b[rows, width]`.
fn add_over_rows(a: &[f32], b: &[f32], rows: usize, vocab: usize, table: &mut [f32]) {
    let width = b.len() / rows;
    let b = Packed::new(Strided::rows(b, width), rows, width);
    b.multiply_on_all_threads(vocab, Strided::transposed(a, vocab), Start::Output, table, width);
}

impl CustomOp3 for GumbelHead {
    fn name(&self) -> &'static str {
        "gumbel_head"
    }

    fn cpu_fwd(
        &self,
        hidden: &CpuStorage,
        hidden_layout: &Layout,
        head: &CpuStorage,
        head_layout: &Layout,
        embedding: &CpuStorage,
        embedding_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (vocab, width) = head_layout.shape().dims2()?;
        let (_, embed) = embedding_layout.shape().dims2()?;
        let inputs = Inputs {
            hidden: cpu_slice(hidden, hidden_layout)?,
            head: cpu_slice(head, head_layout)?,
            embedding: cpu_slice(embedding, embedding_layout)?,
            width,
            vocab,
            embed,
        };
        Ok((CpuStorage::F32(self.forward(inputs)), Shape::from((self.sampled.len(), embed))))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        head: &Tensor,
        embedding: &Tensor,
        _out: &Tensor,
        dout: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (vocab, width) = head.dims2()?;
        let (_, embed) = embedding.dims2()?;
        let wanted = [hidden, head, embedding].map(Tensor::track_op);
        let tensors = [hidden, head, embedding, dout];
        let [dhidden, dhead, dembedding] =
            with_slices(tensors, |[hidden, head, embedding, dout]| {
                let inputs = Inputs { hidden, head, embedding, width, vocab, embed };
                Ok(self.backward(inputs, dout, wanted))
            })?;
        let gradient = |wanted: bool, values: Vec<f32>, argument: &Tensor| {
            wanted.then(|| tensor(values, argument.shape())).transpose()
        };
        Ok((
            gradient(wanted[0], dhidden, hidden)?,
            gradient(wanted[1], dhead, head)?,
            gradient(wanted[2], dembedding, embedding)?,
        ))
    }
}
