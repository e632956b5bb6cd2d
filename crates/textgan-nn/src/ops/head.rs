//! The one loop under every loss that a language model's head is part of.

use std::borrow::Cow;
use std::ops::Range;

use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::argument::{matrix, same};
use super::storage::tensor;
use crate::kernels::buffer::Buffer;
use crate::kernels::{Packed, Precision, Start, Strided};
use crate::{Error, Result};

/// Rows that one task scores.
pub(super) const TILE: usize = 48;
/// Rows whose logits exist at the same time.
pub(super) const CHUNK: usize = 16 * TILE;

/// Below every logit, so that a token's probability is zero. Not infinity: the difference of two
/// such logits is zero.
const EXCLUDED: f32 = -1e30;

/// Checks a hidden state and its head; returns rows and vocabulary.
pub(super) fn check(
    operation: &'static str,
    hidden: &Tensor,
    head: &Tensor,
) -> Result<(usize, usize)> {
    let (rows, width) = matrix(operation, "hidden", hidden)?;
    let (vocab, head_width) = matrix(operation, "the head", head)?;
    same(operation, "width of hidden and of the head", width, head_width)?;
    Ok((rows, vocab))
}

/// Fails unless what is excluded leaves something, and no row that counts targets it.
pub(super) fn check_excluded(
    operation: &'static str,
    excluded: &[u32],
    vocab: usize,
    targets: &[u32],
    counts: impl Fn(usize) -> bool,
) -> Result<()> {
    super::argument::ids_in_range(operation, excluded, vocab)?;
    let mut distinct = excluded.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    if vocab > 0 && distinct.len() == vocab {
        return Err(Error::argument(operation, "every token is excluded"));
    }
    let mut rows = targets.iter().enumerate();
    match rows.find(|&(row, target)| counts(row) && excluded.contains(target)) {
        None => Ok(()),
        Some((row, target)) => Err(Error::argument(
            operation,
            format!("token {target} of row {row} is one of those that are excluded"),
        )),
    }
}

/// Takes tokens out of the support of a row of logits.
pub(super) fn exclude(logits: &mut [f32], excluded: &[u32]) {
    for &id in excluded {
        logits[id as usize] = EXCLUDED;
    }
}

/// Takes the gradient of tokens that are out of the support away.
pub(super) fn exclude_gradient(dlogits: &mut [f32], excluded: &[u32]) {
    for &id in excluded {
        dlogits[id as usize] = 0.0;
    }
}

/// Which gradients anybody asks for.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) hidden: bool,
    pub(super) head: bool,
}

impl Wanted {
    pub(super) const NOTHING: Self = Self { hidden: false, head: false };

    pub(super) fn of(hidden: &Tensor, head: &Tensor) -> Self {
        Self { hidden: hidden.track_op(), head: head.track_op() }
    }

    pub(super) fn any(self) -> bool {
        self.hidden || self.head
    }
}

/// A head and the rows of hidden states that count.
pub(super) struct HeadRows<'a> {
    /// `[counted, width]`.
    packed: Cow<'a, [f32]>,
    /// `[vocab, width]`.
    head: &'a [f32],
    width: usize,
    /// Columns of the logits.
    pub(super) vocab: usize,
    /// The rows that count, ascending.
    pub(super) counted: &'a [usize],
    /// How many there are in all.
    all: usize,
    precision: Precision,
}

/// `[rows, width]` and `[vocab, width]`, or empty where nobody asked.
pub(super) struct Gradients {
    hidden: Vec<f32>,
    head: Vec<f32>,
}

impl<'a> HeadRows<'a> {
    /// `hidden: [all, width]`, of which the rows `counted` are taken.
    pub(super) fn new(
        hidden: &'a [f32],
        head: &'a [f32],
        width: usize,
        counted: &'a [usize],
        all: usize,
        precision: Precision,
    ) -> Self {
        let packed = match counted.len() == all {
            true => Cow::Borrowed(hidden),
            false => {
                let rows = counted.iter().flat_map(|&row| &hidden[row * width..][..width]);
                Cow::Owned(rows.copied().collect())
            }
        };
        let vocab = head.len() / width.max(1);
        Self { packed, head, width, vocab, counted, all, precision }
    }

    fn pack(&self, matrix: Strided<'_>, depth: usize, columns: usize) -> Packed {
        Packed::with_precision(self.precision, matrix, depth, columns)
    }

    /// The head, for products that make logits.
    pub(super) fn outward(&self) -> Packed {
        self.pack(Strided::transposed(self.head, self.width), self.width, self.vocab)
    }

    /// The logits of some rows, from the counted row `first` on, on the calling thread.
    pub(super) fn logits(&self, outward: &Packed, first: usize, logits: &mut [f32]) {
        let hidden = Strided::rows(&self.packed[first * self.width..], self.width);
        let rows = logits.len() / self.vocab;
        outward.multiply(rows, hidden, Start::Zero, logits, self.vocab);
    }

    /// Calls `finish` with the logits of a tile of rows, the index in `counted` of the first of
    /// them, and a place for what each of them says. Where a gradient is wanted it leaves that of
    /// the logits in their place. A tile is the work of one thread.
    pub(super) fn run<S: Clone + Default + Send>(
        &self,
        wanted: Wanted,
        finish: impl Fn(&mut [f32], usize, &mut [S]) + Sync,
    ) -> (Vec<S>, Gradients) {
        let all = self.counted.len();
        if wanted.any() {
            let chunks = (0..all).step_by(CHUNK).map(|first| first..all.min(first + CHUNK));
            return self.run_chunks(&chunks.collect::<Vec<_>>(), wanted, finish, |_, _, _| {});
        }
        let mut said = vec![S::default(); all];
        let outward = self.outward();
        said.par_chunks_mut(TILE).enumerate().for_each(|(tile, said)| {
            let mut logits = Buffer::new(said.len() * self.vocab);
            self.logits(&outward, tile * TILE, &mut logits);
            finish(&mut logits, tile * TILE, said);
        });
        (said, Gradients { hidden: Vec::new(), head: Vec::new() })
    }

    /// As [`HeadRows::run`], for gradients that depend on what several rows say: `finish` leaves
    /// whatever it likes, and `weigh` is called with all logits of a chunk, the index of the first
    /// of its rows, and what they said. It leaves the gradient of the logits. The chunks cover what
    /// counts, in order.
    pub(super) fn run_chunks<S: Clone + Default + Send>(
        &self,
        chunks: &[Range<usize>],
        wanted: Wanted,
        finish: impl Fn(&mut [f32], usize, &mut [S]) + Sync,
        mut weigh: impl FnMut(&mut [f32], usize, &[S]),
    ) -> (Vec<S>, Gradients) {
        let Self { packed, head, width, vocab, counted, .. } = self;
        let (width, vocab) = (*width, *vocab);
        let mut said = vec![S::default(); counted.len()];
        let mut dpacked = vec![0.0; if wanted.hidden { packed.len() } else { 0 }];
        let mut dhead = vec![0.0; if wanted.head { head.len() } else { 0 }];
        let outward = self.outward();
        let inward = wanted.hidden.then(|| self.pack(Strided::rows(head, width), vocab, width));
        let largest = chunks.iter().map(Range::len).max().unwrap_or(0);
        let mut logits = Buffer::new(largest * vocab);
        for chunk in chunks {
            let (first, rows) = (chunk.start, chunk.len());
            if rows == 0 {
                continue;
            }
            let said = &mut said[chunk.clone()];
            let logits = &mut logits[..rows * vocab];
            let tiles = logits.par_chunks_mut(TILE * vocab).zip(said.par_chunks_mut(TILE));
            tiles.enumerate().for_each(|(tile, (logits, said))| {
                let first = first + tile * TILE;
                self.logits(&outward, first, logits);
                finish(logits, first, said);
            });
            weigh(logits, first, said);
            if let Some(inward) = &inward {
                let dpacked = &mut dpacked[first * width..][..rows * width];
                let gradients = Strided::rows(logits, vocab);
                inward.multiply_on_all_threads(rows, gradients, Start::Zero, dpacked, width);
            }
            if wanted.head {
                let packed = &packed[first * width..][..rows * width];
                let hidden = self.pack(Strided::rows(packed, width), rows, width);
                let gradients = Strided::transposed(logits, vocab);
                hidden.multiply_on_all_threads(vocab, gradients, Start::Output, &mut dhead, width);
            }
        }
        let dhidden = match wanted.hidden {
            true => self.scatter(dpacked),
            false => Vec::new(),
        };
        (said, Gradients { hidden: dhidden, head: dhead })
    }

    /// Rows that count back in their places.
    fn scatter(&self, packed: Vec<f32>) -> Vec<f32> {
        let width = self.width;
        if self.counted.len() == self.all {
            return packed;
        }
        let mut x = vec![0.0; self.all * width];
        for (&row, packed) in self.counted.iter().zip(packed.chunks_exact(width)) {
            x[row * width..][..width].copy_from_slice(packed);
        }
        x
    }

    /// What each row that counts said, in its place; `S::default()` for the others.
    pub(super) fn spread<S: Copy, T: Clone + Default>(
        &self,
        said: &[S],
        part: impl Fn(S) -> T,
    ) -> Vec<T> {
        let mut all = vec![T::default(); self.all];
        for (&row, &said) in self.counted.iter().zip(said) {
            all[row] = part(said);
        }
        all
    }
}

impl Gradients {
    /// As tensors, for [`candle_core::CustomOp2::bwd`] of a hidden state and a head.
    pub(super) fn tensors(
        self,
        wanted: Wanted,
        hidden: &Tensor,
        head: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((
            wanted.hidden.then(|| tensor(self.hidden, hidden.shape())).transpose()?,
            wanted.head.then(|| tensor(self.head, head.shape())).transpose()?,
        ))
    }
}

/// A scalar function of a hidden state and a head whose value and gradients are known already.
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) value: f32,
    pub(super) gradients: (Option<Tensor>, Option<Tensor>),
}

impl CustomOp2 for Known {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        _hidden: &CpuStorage,
        _hidden_layout: &Layout,
        _head: &CpuStorage,
        _head_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![self.value]), Shape::from(())))
    }

    fn bwd(
        &self,
        _hidden: &Tensor,
        _head: &Tensor,
        _loss: &Tensor,
        dloss: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let scale = f64::from(dloss.to_scalar::<f32>()?);
        let scaled = |gradient: &Option<Tensor>| match gradient {
            Some(gradient) if scale == 1.0 => Ok(Some(gradient.clone())),
            Some(gradient) => (gradient * scale).map(Some),
            None => Ok(None),
        };
        let (dhidden, dhead) = &self.gradients;
        Ok((scaled(dhidden)?, scaled(dhead)?))
    }
}
