//! Many texts, a piece at a time.

use crate::{Result, Sequences};

/// Numbers that a piece may keep while it is scored.
const PIECE: usize = 20_000_000;

/// Scores `texts` in pieces of about the same size. `kept` is how many numbers a text keeps while
/// it is scored; `score` takes tokens, lengths and labels of a piece and gives one number a text.
pub(super) fn score(
    texts: &Sequences,
    kept: usize,
    mut score: impl FnMut(&[u32], &[usize], Option<&[u32]>) -> Result<Vec<f32>>,
) -> Result<Vec<f32>> {
    let (batch, time) = (texts.batch(), texts.time());
    let pieces = batch.saturating_mul(kept).div_ceil(PIECE).clamp(1, batch);
    let rows = batch.div_ceil(pieces);
    let mut scores = Vec::with_capacity(batch);
    for first in (0..batch).step_by(rows) {
        let piece = first..batch.min(first + rows);
        let tokens = &texts.targets()[piece.start * time..piece.end * time];
        let labels = texts.labels().map(|labels| &labels[piece.clone()]);
        scores.extend(score(tokens, &texts.lengths()[piece], labels)?);
    }
    Ok(scores)
}
