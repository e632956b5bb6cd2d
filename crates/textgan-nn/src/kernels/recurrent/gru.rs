use super::Cell;
use crate::kernels::dispatch::simd;
use crate::kernels::math::{LANES, lanes, load, sigmoid, store, tanh};

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
            for at in (0..width).step_by(LANES) {
                let (x, h) = (load(i_r, at), load(h_r, at));
                let r = lanes(|j| sigmoid(x[j] + h[j]));
                let (x, h) = (load(i_z, at), load(h_z, at));
                let z = lanes(|j| sigmoid(x[j] + h[j]));
                let (x, hn) = (load(i_n, at), load(h_n, at));
                let n = lanes(|j| tanh(x[j] + r[j] * hn[j]));
                let h = load(state, at);
                store(s_r, at, r);
                store(s_z, at, z);
                store(s_n, at, n);
                store(s_hn, at, hn);
                store(s_h, at, h);
                store(state, at, lanes(|j| n[j] + z[j] * (h[j] - n[j])));
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
            for at in (0..width).step_by(LANES) {
                let (r, z, n) = (load(r, at), load(z, at), load(n, at));
                let (h_n, h, g) = (load(h_n, at), load(h, at), load(d_state, at));
                let d_n = lanes(|j| g[j] * (1.0 - z[j]) * (1.0 - n[j] * n[j]));
                let d_z = lanes(|j| g[j] * (h[j] - n[j]) * z[j] * (1.0 - z[j]));
                let d_r = lanes(|j| d_n[j] * h_n[j] * r[j] * (1.0 - r[j]));
                store(di_r, at, d_r);
                store(di_z, at, d_z);
                store(di_n, at, d_n);
                store(dh_r, at, d_r);
                store(dh_z, at, d_z);
                store(dh_n, at, lanes(|j| d_n[j] * r[j]));
                store(d_state, at, lanes(|j| g[j] * z[j]));
            }
        }
    }
}
