//! The set of texts seen so far.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

/// A hash of a text: 72 bits of BLAKE3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TextHash {
    shard: u8,
    rest: u64,
}

impl TextHash {
    pub(crate) fn of(text: &str) -> Self {
        let hash = blake3::hash(text.as_bytes());
        let bytes = hash.as_bytes();
        let mut rest = [0; 8];
        rest.copy_from_slice(&bytes[1..9]);
        Self { shard: bytes[0], rest: u64::from_le_bytes(rest) }
    }

    /// As words of 32 bits, for a table.
    pub(crate) fn words(self) -> Vec<u32> {
        vec![u32::from(self.shard), self.rest as u32, (self.rest >> 32) as u32]
    }

    /// The hash of such [`words`](Self::words).
    pub(crate) fn from_words(words: &[u32]) -> Option<Self> {
        let &[shard, low, high] = words else { return None };
        let rest = u64::from(high) << 32 | u64::from(low);
        Some(Self { shard: u8::try_from(shard).ok()?, rest })
    }
}

/// A set of 72-bit hashes: among `n` texts the probability that any two different ones meet is below
/// `n^2 / 2^73` (at 100 million rows, one in a million).
///
/// It is cut into 256 sets, so that growing one needs little memory beside it.
pub(crate) struct DistinctSet {
    shards: Vec<HashSet<u64, BuildHasherDefault<AsIs>>>,
}

impl DistinctSet {
    pub(crate) fn new() -> Self {
        Self { shards: (0..=u8::MAX).map(|_| HashSet::default()).collect() }
    }

    /// Adds a text; says whether it is new.
    pub(crate) fn insert(&mut self, hash: TextHash) -> bool {
        self.shards[usize::from(hash.shard)].insert(hash.rest)
    }

    pub(crate) fn contains(&self, hash: TextHash) -> bool {
        self.shards[usize::from(hash.shard)].contains(&hash.rest)
    }

    pub(crate) fn len(&self) -> u64 {
        self.shards.iter().map(|shard| shard.len() as u64).sum()
    }

    /// The memory it takes: the standard set keeps a byte of control beside each place, and at least
    /// an eighth of its places free.
    pub(crate) fn bytes(&self) -> u64 {
        let places = |capacity: usize| {
            if capacity == 0 { 0 } else { (capacity * 8 / 7).next_power_of_two() }
        };
        let places: usize = self.shards.iter().map(|shard| places(shard.capacity())).sum();
        places as u64 * 9
    }
}

/// The values are hashes already.
#[derive(Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_new_once() {
        let mut set = DistinctSet::new();
        for i in 0..5_000 {
            assert!(set.insert(TextHash::of(&i.to_string())));
        }
        for i in 0..5_000 {
            assert!(!set.insert(TextHash::of(&i.to_string())));
        }
        assert!(!set.contains(TextHash::of("another")));
        assert_eq!(set.len(), 5_000);
        assert!((5_000 * 9..5_000 * 9 * 3).contains(&set.bytes()), "{}", set.bytes());
    }
}
