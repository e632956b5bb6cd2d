use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_random::Key;

use super::argument::{fused, ids_in_range, matrix, same};
use super::composed;
use super::embedding::add_rows_by_id;
use super::storage::{cpu_slice, tensor, with_slices};
use crate::kernels::gemm::{Matrix, TILE, product};
use crate::kernels::{Noise, gumbel};
use crate::{Error, Result};

/// How a sampled token is made differentiable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Relaxation {
    /// Forward the sampled token itself, backward the gradient of the soft one (Bengio et al., 2013;
    /// Jang et al., 2017).
    StraightThrough,
    /// The Gumbel softmax itself (Jang et al., 2017; Maddison et al., 2017).
    Soft,
}

/// A head, the Gumbel relaxation of its sampled tokens, and the other network's embedding of them.
///
/// With `logits = hidden head^T`, noise `g` and `p = softmax((logits + g) / temperature)`, row `i`
/// of the result is `p_i embedding` ([`Relaxation::Soft`]), or `embedding[sampled_i]` with the
/// gradient of `p_i embedding` ([`Relaxation::StraightThrough`]).
///
/// The noise is drawn from `key` *given that* `sampled` is where `logits + g` is largest (Maddison
/// et al., 2014): the pair has the same distribution as if the noise had made the sample. The
/// sample must come from `softmax(logits)` itself, untruncated and at temperature one. Noise and
/// probabilities exist for a chunk of rows at a time, and are made again for the backward pass.
///
/// # Shapes
/// `hidden: [rows, width]`, `head: [vocab, width]`, `embedding: [vocab, embed]`, `sampled`: one a
/// row, to `[rows, embed]`.
///
/// # Errors
/// If the shapes do not fit, an id is outside of the vocabulary, or the temperature is
/// not positive.
pub fn gumbel_head(
    hidden: &Tensor,
    head: &Tensor,
    embedding: &Tensor,
    sampled: &[u32],
    temperature: f32,
    relaxation: Relaxation,
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
    if !(temperature > 0.0 && temperature.is_finite()) {
        let problem = format!("the temperature is {temperature}, expected a positive number");
        return Err(Error::argument(NAME, problem));
    }
    if !fused(&[hidden, head, embedding]) {
        return composed::gumbel_head(
            hidden,
            head,
            embedding,
            sampled,
            temperature,
            relaxation,
            key,
        );
    }
    let operation =
        GumbelHead { sampled: sampled.to_vec(), temperature, relaxation, noise: Noise::new(key) };
    Ok(hidden.contiguous()?.apply_op3(&head.contiguous()?, &embedding.contiguous()?, operation)?)
}

struct GumbelHead {
    sampled: Vec<u32>,
    temperature: f32,
    relaxation: Relaxation,
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

/// Rows whose probabilities exist at the same time, in the backward pass.
const CHUNK: usize = 4 * TILE;
/// Rows of the head and of the embedding whose gradients one task computes.
const VOCAB_TILE: usize = 512;

impl GumbelHead {
    /// The relaxed samples `[rows, vocab]` of one tile of rows, the first of which is `first`.
    fn relaxed(&self, x: Inputs<'_>, first: usize, hidden: &[f32], out: &mut [f32]) {
        let rows = out.len() / x.vocab;
        let hidden = Matrix::new(hidden, rows, x.width);
        product(hidden, Matrix::new(x.head, x.vocab, x.width).transposed(), out, x.vocab, false);
        let mut uniform = vec![0.0; x.vocab];
        for (row, out) in out.chunks_exact_mut(x.vocab).enumerate() {
            self.noise.uniform_open((first + row) as u64, &mut uniform);
            gumbel::perturb_row(out, &uniform, self.sampled[first + row] as usize);
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
                let tiles = x.hidden.par_chunks(TILE * x.width);
                tiles.zip(out.par_chunks_mut(TILE * x.embed)).enumerate().for_each(
                    |(tile, (hidden, out))| {
                        let rows = out.len() / x.embed;
                        let mut relaxed = vec![0.0; rows * x.vocab];
                        self.relaxed(x, tile * TILE, hidden, &mut relaxed);
                        let embedding = Matrix::new(x.embedding, x.vocab, x.embed);
                        product(
                            Matrix::new(&relaxed, rows, x.vocab),
                            embedding,
                            out,
                            x.embed,
                            false,
                        );
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
        let (mut relaxed, mut dlogits) = (vec![0.0; size], vec![0.0; size]);
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
                    self.relaxed(x, first + tile * TILE, hidden, relaxed);
                    self.logit_gradients(x, relaxed, dout, dlogits);
                    let rows = dlogits.len() / x.vocab;
                    let head = Matrix::new(x.head, x.vocab, x.width);
                    product(Matrix::new(dlogits, rows, x.vocab), head, dhidden, x.width, false);
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

    fn logit_gradients(&self, x: Inputs<'_>, relaxed: &[f32], dout: &[f32], dlogits: &mut [f32]) {
        let rows = dlogits.len() / x.vocab;
        let embedding = Matrix::new(x.embedding, x.vocab, x.embed).transposed();
        product(Matrix::new(dout, rows, x.embed), embedding, dlogits, x.vocab, false);
        for (p, d) in relaxed.chunks_exact(x.vocab).zip(dlogits.chunks_exact_mut(x.vocab)) {
            gumbel::relax_row_backward(p, d, self.temperature);
        }
    }
}

/// `table[vocab, width] += a[rows, vocab]^T b[rows, width]`, each task owning rows of the table.
fn add_over_rows(a: &[f32], b: &[f32], rows: usize, vocab: usize, table: &mut [f32]) {
    let width = b.len() / rows;
    table.par_chunks_mut(VOCAB_TILE * width).enumerate().for_each(|(tile, table)| {
        let a = Matrix::strided(&a[tile * VOCAB_TILE..], rows, table.len() / width, vocab);
        product(a.transposed(), Matrix::new(b, rows, width), table, width, true);
    });
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
