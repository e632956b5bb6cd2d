use super::Cell;
use crate::kernels::dispatch::simd;
use crate::kernels::math::{sigmoid, tanh};

/// The gates of [`CellKind::Lstm`](super::CellKind::Lstm).
pub(crate) struct LstmCell;

impl Cell for LstmCell {
    const GATES: usize = 4;
    const PARTS: usize = 2;
    /// `i, f, g, o, c, tanh(c')`.
    const SAVED: usize = 6;
    const ADDS: bool = true;

    fn forward(width: usize, input: &[f32], hidden: &[f32], state: &mut [f32], saved: &mut [f32]) {
        forward(width, input, hidden, state, saved);
    }

    fn backward(
        width: usize,
        saved: &[f32],
        d_state: &mut [f32],
        d_input: &mut [f32],
        _d_hidden: &mut [f32],
    ) {
        backward(width, saved, d_state, d_input);
    }
}

simd! {
    fn forward(width: usize, input: &[f32], hidden: &[f32], state: &mut [f32], saved: &mut [f32]) {
        let rows = input
            .chunks_exact(4 * width)
            .zip(hidden.chunks_exact(4 * width))
            .zip(state.chunks_exact_mut(2 * width))
            .zip(saved.chunks_exact_mut(6 * width));
        for (((input, hidden), state), saved) in rows {
            let (i_i, rest) = input.split_at(width);
            let (i_f, rest) = rest.split_at(width);
            let (i_g, i_o) = rest.split_at(width);
            let (h_i, rest) = hidden.split_at(width);
            let (h_f, rest) = rest.split_at(width);
            let (h_g, h_o) = rest.split_at(width);
            let (s_i, rest) = saved.split_at_mut(width);
            let (s_f, rest) = rest.split_at_mut(width);
            let (s_g, rest) = rest.split_at_mut(width);
            let (s_o, rest) = rest.split_at_mut(width);
            let (s_c, s_t) = rest.split_at_mut(width);
            let (state_h, state_c) = state.split_at_mut(width);
            for j in 0..width {
                let i = sigmoid(i_i[j] + h_i[j]);
                let f = sigmoid(i_f[j] + h_f[j]);
                let g = tanh(i_g[j] + h_g[j]);
                let o = sigmoid(i_o[j] + h_o[j]);
                let c = state_c[j];
                let next = f * c + i * g;
                let t = tanh(next);
                (s_i[j], s_f[j], s_g[j], s_o[j], s_c[j], s_t[j]) = (i, f, g, o, c, t);
                (state_h[j], state_c[j]) = (o * t, next);
            }
        }
    }
}

simd! {
    fn backward(width: usize, saved: &[f32], d_state: &mut [f32], d_input: &mut [f32]) {
        let rows = saved
            .chunks_exact(6 * width)
            .zip(d_state.chunks_exact_mut(2 * width))
            .zip(d_input.chunks_exact_mut(4 * width));
        for ((saved, d_state), d_input) in rows {
            let (i, rest) = saved.split_at(width);
            let (f, rest) = rest.split_at(width);
            let (g, rest) = rest.split_at(width);
            let (o, rest) = rest.split_at(width);
            let (c, t) = rest.split_at(width);
            let (d_i, rest) = d_input.split_at_mut(width);
            let (d_f, rest) = rest.split_at_mut(width);
            let (d_g, d_o) = rest.split_at_mut(width);
            let (d_h, d_c) = d_state.split_at_mut(width);
            for j in 0..width {
                let dh = d_h[j];
                let dc = d_c[j] + dh * o[j] * (1.0 - t[j] * t[j]);
                d_i[j] = dc * g[j] * i[j] * (1.0 - i[j]);
                d_f[j] = dc * c[j] * f[j] * (1.0 - f[j]);
                d_g[j] = dc * i[j] * (1.0 - g[j] * g[j]);
                d_o[j] = dh * t[j] * o[j] * (1.0 - o[j]);
                // All of h's own past lies behind `hidden`.
                (d_h[j], d_c[j]) = (0.0, dc * f[j]);
            }
        }
    }
}
