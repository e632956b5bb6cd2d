//! Named, seekable random streams.
//!
//! Every random draw of an experiment comes from a stream that has a *name*, such as
//! `seed / "train" / "dropout" / step / row`. Two draws with different names are independent; the
//! same name gives the same bits whatever ran before, on however many threads, before or after a
//! resume. Nothing has to be carried along: a stream is made where it is needed.
//!
//! A [`Key`] is a node in the tree of names (32 bytes, derived with BLAKE3); [`Key::stream`] opens
//! the ChaCha8 generator that belongs to it.
//!
//! ```
//! use textgan_random::Key;
//!
//! let train = Key::root(42).child("train");
//! let mut dropout = train.child("dropout").index(17).stream();
//! let first = dropout.uniform();
//! assert!((0.0..1.0).contains(&first));
//!
//! // The same name, asked for again: the same draw.
//! assert_eq!(first, train.child("dropout").index(17).stream().uniform());
//! ```

mod stream;

pub use rand_core::RngCore;
pub use stream::Stream;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

/// A node in the tree of names; cheap to copy, and all that is needed to draw again.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// The root of an experiment's tree, from its seed.
    pub fn root(seed: u64) -> Self {
        Self(blake3::derive_key("textgan random root v1", &seed.to_le_bytes()))
    }

    /// The node `name` below this one.
    pub fn child(&self, name: &str) -> Self {
        self.derive(b'n', name.as_bytes())
    }

    /// The node number `index` below this one: a step, a row, a shard.
    ///
    /// Numbers and names never meet: `index(1)` differs from `child("1")`.
    pub fn index(&self, index: u64) -> Self {
        self.derive(b'i', &index.to_le_bytes())
    }

    /// Opens the stream of this node, at its beginning.
    pub fn stream(&self) -> Stream {
        Stream::new(ChaCha8Rng::from_seed(self.0))
    }

    /// The node as bytes, to store beside a result.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn derive(&self, kind: u8, part: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&[kind]);
        hasher.update(part);
        Self(*hasher.finalize().as_bytes())
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({:02x}{:02x}{:02x}{:02x}..)", self.0[0], self.0[1], self.0[2], self.0[3])
    }
}

/// The blocks of the README, which are tested with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
