use super::Cell;
use crate::kernels::dispatch::simd;
use crate::kernels::math::{sigmoid, tanh};

/// The gates of [`CellKind::Gru`](super::CellKind::Gru).
pub(crate) struct GruCell;

impl Cell for GruCell {
    const GATES: usize = 3;
    const PARTS: usize = 1;
    /// `r, z, n, h_n, h`.
    const SAVED: usize = 5;
    const ADDS: bool = false;

    fn forward(width: usize, input: &[f32], hidden: &[f32], state: &mut [f32], saved: &mut [f32]) {
        forward(width, input, hidden, state, saved);
    }

    fn backward(
        width: usize,
        saved: &[f32],
        d_state: &mut [f32],
        d_input: &mut [f32],
        d_hidden: &mut [f32],
    ) {
        backward(width, saved, d_state, d_input, d_hidden);
    }
}

simd! {
    fn forward(width: usize, input: &[f32], hidden: &[f32], state: &mut [f32], saved: &mut [f32]) {
        let rows = input
            .chunks_exact(3 * width)
            .zip(hidden.chunks_exact(3 * width))
            .zip(state.chunks_exact_mut(width))
            .zip(saved.chunks_exact_mut(5 * width));
        for (((input, hidden), state), saved) in rows {
            let (i_r, rest) = input.split_at(width);
            let (i_z, i_n) = rest.split_at(width);
            let (h_r, rest) = hidden.split_at(width);
            let (h_z, h_n) = rest.split_at(width);
            let (s_r, rest) = saved.split_at_mut(width);
            let (s_z, rest) = rest.split_at_mut(width);
            let (s_n, rest) = rest.split_at_mut(width);
            let (s_hn, s_h) = rest.split_at_mut(width);
            for j in 0..width {
                let r = sigmoid(i_r[j] + h_r[j]);
                let z = sigmoid(i_z[j] + h_z[j]);
                let n = tanh(i_n[j] + r * h_n[j]);
                let h = state[j];
                (s_r[j], s_z[j], s_n[j], s_hn[j], s_h[j]) = (r, z, n, h_n[j], h);
                state[j] = n + z * (h - n);
            }
        }
    }
}

simd! {
    fn backward(
        width: usize,
        saved: &[f32],
        d_state: &mut [f32],
        d_input: &mut [f32],
        d_hidden: &mut [f32],
    ) {
        let rows = saved
            .chunks_exact(5 * width)
            .zip(d_state.chunks_exact_mut(width))
            .zip(d_input.chunks_exact_mut(3 * width))
            .zip(d_hidden.chunks_exact_mut(3 * width));
        for (((saved, d_state), d_input), d_hidden) in rows {
            let (r, rest) = saved.split_at(width);
            let (z, rest) = rest.split_at(width);
            let (n, rest) = rest.split_at(width);
            let (h_n, h) = rest.split_at(width);
            let (di_r, rest) = d_input.split_at_mut(width);
            let (di_z, di_n) = rest.split_at_mut(width);
            let (dh_r, rest) = d_hidden.split_at_mut(width);
            let (dh_z, dh_n) = rest.split_at_mut(width);
            for j in 0..width {
                let g = d_state[j];
                let d_n = g * (1.0 - z[j]) * (1.0 - n[j] * n[j]);
                let d_z = g * (h[j] - n[j]) * z[j] * (1.0 - z[j]);
                let d_r = d_n * h_n[j] * r[j] * (1.0 - r[j]);
                (di_r[j], di_z[j], di_n[j]) = (d_r, d_z, d_n);
                (dh_r[j], dh_z[j], dh_n[j]) = (d_r, d_z, d_n * r[j]);
                d_state[j] = g * z[j];
            }
        }
    }
}
