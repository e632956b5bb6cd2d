//! The embedding that needs no encoder.

use rayon::prelude::*;

/// The name of [`hashed_projection`], to store with every number that was measured in it.
pub const HASHED_PROJECTION: &str = "hashed-ngram-projection-v1-256";

/// Numbers of a row of [`hashed_projection`].
pub const DIMENSIONS: usize = 256;

/// Orders of the n-grams that are projected.
const ORDERS: usize = 3;

/// A fixed random projection of n-gram counts, `[sentences, 256]`: it knows which words stand next
/// to each other and nothing of what they mean.
///
/// Every n-gram of one to three tokens has a hash, which draws 256 signs; the n-grams of one order
/// add up and are divided by the root of their number, so that each order weighs the same; the row
/// is scaled to length one (feature hashing, Weinberger et al., 2009, with dense signs as in
/// Achlioptas, 2003). An empty sentence is a row of zeros. The hash is of token ids: only sentences
/// of one vocabulary compare.
pub fn hashed_projection<S: AsRef<[u32]> + Sync>(sentences: &[S]) -> Vec<f32> {
    let mut rows = vec![0.0; sentences.len() * DIMENSIONS];
    rows.par_chunks_exact_mut(DIMENSIONS)
        .zip(sentences)
        .for_each(|(row, sentence)| project(sentence.as_ref(), row));
    rows
}

fn project(sentence: &[u32], row: &mut [f32]) {
    let mut sums = [0i32; DIMENSIONS];
    for n in 1..=ORDERS.min(sentence.len()) {
        sums.fill(0);
        for gram in sentence.windows(n) {
            let mut state = gram.iter().fold(n as u64, |hash, &token| mix(hash ^ u64::from(token)));
            for signs in sums.chunks_exact_mut(64) {
                state = mix(state);
                for (bit, sum) in signs.iter_mut().enumerate() {
                    *sum += 1 - 2 * (state >> bit & 1) as i32;
                }
            }
        }
        let scale = ((sentence.len() + 1 - n) as f32).sqrt().recip();
        row.iter_mut().zip(&sums).for_each(|(x, &sum)| *x += sum as f32 * scale);
    }
    let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm > 0.0 {
        row.iter_mut().for_each(|x| *x /= norm);
    }
}

/// SplitMix64 (Steele et al., 2014).
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
