//! Dense numbers for n-grams.
//!
//! The n-gram at a position is the pair of the (n-1)-gram there and one more token, so a 64-bit
//! key is exact at every order and no n-gram is ever stored.

use crate::Error;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// An n-gram that was never seen.
pub(crate) const UNSEEN: u32 = u32::MAX;

/// Numbers for all n-grams of orders `1..=max_n`, each order counted from 0 in order of first
/// occurrence.
pub(crate) struct Grams {
    orders: Vec<HashMap<u64, u32, BuildHasherDefault<Mix>>>,
}

impl Grams {
    pub fn new(max_n: usize) -> Self {
        Self { orders: vec![HashMap::default(); max_n] }
    }

    pub fn max_n(&self) -> usize {
        self.orders.len()
    }

    /// Numbers of the sentence's 1-grams, then of its 2-grams, and so on, given to `each` with
    /// their order; new n-grams get the next number.
    pub fn add(
        &mut self,
        sentence: &[u32],
        ids: &mut Vec<u32>,
        mut each: impl FnMut(usize, &[u32]),
    ) -> Result<(), Error> {
        for n in 1..=self.orders.len().min(sentence.len()) {
            let map = &mut self.orders[n - 1];
            if map.len() + sentence.len() >= UNSEEN as usize {
                return Err(Error::TooMany);
            }
            step(sentence, n, ids, |key| {
                let next = map.len() as u32;
                *map.entry(key).or_insert(next)
            });
            each(n, ids);
        }
        Ok(())
    }

    /// As [`Grams::add`], but n-grams that were never added are [`UNSEEN`].
    pub fn look_up(
        &self,
        sentence: &[u32],
        ids: &mut Vec<u32>,
        mut each: impl FnMut(usize, &[u32]),
    ) {
        for n in 1..=self.orders.len().min(sentence.len()) {
            let map = &self.orders[n - 1];
            step(sentence, n, ids, |key| map.get(&key).copied().unwrap_or(UNSEEN));
            each(n, ids);
        }
    }
}

/// Turns the numbers of the (n-1)-grams in `ids` into those of the n-grams.
fn step(sentence: &[u32], n: usize, ids: &mut Vec<u32>, mut number: impl FnMut(u64) -> u32) {
    if n == 1 {
        ids.clear();
        ids.extend(sentence.iter().map(|&token| number(u64::from(token))));
        return;
    }
    ids.pop();
    for (id, &token) in ids.iter_mut().zip(&sentence[n - 1..]) {
        if *id != UNSEEN {
            *id = number(u64::from(*id) << 32 | u64::from(token));
        }
    }
}

/// Runs of equal numbers in a sorted list: each number and how often it stands there.
pub(crate) fn runs(sorted: &[u32]) -> impl Iterator<Item = (u32, u32)> {
    sorted.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u32))
}

/// A multiplicative hash of one 64-bit key. The tables are only looked up, never iterated.
#[derive(Default)]
pub(crate) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, key: u64) {
        // The two halves of the 128-bit product, folded: high bits reach low ones.
        let product = u128::from(key ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0.rotate_left(8) ^ u64::from(byte));
        }
    }
}
