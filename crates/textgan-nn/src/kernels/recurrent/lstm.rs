use super::Cell;
use crate::kernels::dispatch::simd;
use crate::kernels::math::{LANES, lanes, load, sigmoid, store, tanh};

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
            for at in (0..width).step_by(LANES) {
                let (x, h) = (load(i_i, at), load(h_i, at));
                let i = lanes(|j| sigmoid(x[j] + h[j]));
                let (x, h) = (load(i_f, at), load(h_f, at));
                let f = lanes(|j| sigmoid(x[j] + h[j]));
                let (x, h) = (load(i_g, at), load(h_g, at));
                let g = lanes(|j| tanh(x[j] + h[j]));
                let (x, h) = (load(i_o, at), load(h_o, at));
                let o = lanes(|j| sigmoid(x[j] + h[j]));
                let c = load(state_c, at);
                let next = lanes(|j| f[j] * c[j] + i[j] * g[j]);
                let t = lanes(|j| tanh(next[j]));
                store(s_i, at, i);
                store(s_f, at, f);
                store(s_g, at, g);
                store(s_o, at, o);
                store(s_c, at, c);
                store(s_t, at, t);
                store(state_h, at, lanes(|j| o[j] * t[j]));
                store(state_c, at, next);
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
            for at in (0..width).step_by(LANES) {
                let (i, f, g) = (load(i, at), load(f, at), load(g, at));
                let (o, c, t) = (load(o, at), load(c, at), load(t, at));
                let (dh, old) = (load(d_h, at), load(d_c, at));
                let dc = lanes(|j| old[j] + dh[j] * o[j] * (1.0 - t[j] * t[j]));
                store(d_i, at, lanes(|j| dc[j] * g[j] * i[j] * (1.0 - i[j])));
                store(d_f, at, lanes(|j| dc[j] * c[j] * f[j] * (1.0 - f[j])));
                store(d_g, at, lanes(|j| dc[j] * i[j] * (1.0 - g[j] * g[j])));
                store(d_o, at, lanes(|j| dh[j] * t[j] * o[j] * (1.0 - o[j])));
                // All of h's own past lies behind `hidden`.
                store(d_h, at, [0.0; LANES]);
                store(d_c, at, lanes(|j| dc[j] * f[j]));
            }
        }
    }
}
