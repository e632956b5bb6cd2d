// Lanes are indexed, so that the compiler sees one vector.
#![allow(clippy::needless_range_loop)]
use textgan_random::Key;

use super::dispatch::simd;
use super::math::LANES;

/// A table of random numbers that never ends and is never stored: number `i` of row `r`, for any
/// `r` and `i`, in any order and from any thread.
///
/// Dropout masks and Gumbel noise are made where they are needed and once more in the backward
/// pass; a counter-based generator (Philox4x32-10; Salmon et al., 2011) has no state to carry.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    key: [u32; 2],
}

/// How many words one call of the generator makes: four from each of [`LANES`] counters.
const BLOCK: usize = 4 * LANES;

impl Noise {
    /// The table that belongs to `key`.
    pub fn new(key: &Key) -> Self {
        let b = key.as_bytes();
        let word = |i: usize| u32::from_le_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
        Self { key: [word(0), word(4)] }
    }

    /// Writes the beginning of row `row`: uniform draws in `(0, 1)`, with 23 bits.
    pub fn uniform_open(&self, row: u64, out: &mut [f32]) {
        fill(self.key, row, out);
    }

    /// Writes whole rows of `width` numbers, from row 0 on.
    ///
    /// # Panics
    /// If the width is zero.
    pub fn table(&self, width: usize, out: &mut [f32]) {
        for (row, out) in (0..).zip(out.chunks_mut(width)) {
            self.uniform_open(row, out);
        }
    }
}

simd! {
    fn fill(key: [u32; 2], row: u64, out: &mut [f32]) {
        let mut counter = 0;
        let mut blocks = out.chunks_exact_mut(BLOCK);
        for block in &mut blocks {
            for (out, words) in block.chunks_exact_mut(LANES).zip(philox(key, row, counter)) {
                for (out, word) in out.iter_mut().zip(words) {
                    *out = uniform(word);
                }
            }
            counter += LANES as u64;
        }
        let rest = blocks.into_remainder();
        for (out, words) in rest.chunks_mut(LANES).zip(philox(key, row, counter)) {
            for (out, word) in out.iter_mut().zip(words) {
                *out = uniform(word);
            }
        }
    }
}

#[inline(always)]
fn uniform(word: u32) -> f32 {
    ((word >> 9) as i32 as f32 + 0.5) * (1.0 / (1u32 << 23) as f32)
}

/// The four words of each counter `first..first + LANES`, word by word.
#[inline(always)]
fn philox(mut key: [u32; 2], row: u64, first: u64) -> [[u32; LANES]; 4] {
    let mut x = [[0; LANES]; 4];
    for lane in 0..LANES {
        let counter = first + lane as u64;
        x[0][lane] = counter as u32;
        x[1][lane] = (counter >> 32) as u32;
        x[2][lane] = row as u32;
        x[3][lane] = (row >> 32) as u32;
    }
    for _ in 0..10 {
        for lane in 0..LANES {
            let a = u64::from(x[0][lane]) * 0xD251_1F53;
            let b = u64::from(x[2][lane]) * 0xCD9E_8D57;
            (x[0][lane], x[2][lane]) =
                ((b >> 32) as u32 ^ x[1][lane] ^ key[0], (a >> 32) as u32 ^ x[3][lane] ^ key[1]);
            (x[1][lane], x[3][lane]) = (b as u32, a as u32);
        }
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of `philox4x32-10` from Random123's `kat_vectors`.
    #[test]
    fn known_answers() {
        let word = |key, row, counter| philox(key, row, counter).map(|lanes| lanes[0]);
        assert_eq!(word([0, 0], 0, 0), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(
            word([0xa4093822, 0x299f31d0], 0x0370_7344_1319_8a2e, 0x85a3_08d3_243f_6a88),
            [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]
        );
    }

    #[test]
    fn a_row_does_not_depend_on_how_much_of_it_is_asked_for() {
        let noise = Noise::new(&Key::root(1));
        let mut long = vec![0.0; 300];
        noise.uniform_open(5, &mut long);
        for n in [0, 1, 63, 64, 65, 200] {
            let mut short = vec![0.0; n];
            noise.uniform_open(5, &mut short);
            assert_eq!(short, long[..n]);
        }
        let mut other = vec![0.0; 300];
        noise.uniform_open(6, &mut other);
        assert_ne!(other, long);
    }

    #[test]
    fn uniform_moments_and_range() {
        let mut draws = vec![0.0; 100_000];
        Noise::new(&Key::root(2)).uniform_open(0, &mut draws);
        assert!(draws.iter().all(|&u| u > 0.0 && u < 1.0));
        let mean = draws.iter().map(|&u| f64::from(u)).sum::<f64>() / 1e5;
        let square = draws.iter().map(|&u| f64::from(u).powi(2)).sum::<f64>() / 1e5;
        assert!((mean - 0.5).abs() < 0.003, "{mean}");
        assert!((square - 1.0 / 3.0).abs() < 0.003, "{square}");
    }
}
