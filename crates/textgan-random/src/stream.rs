use rand_chacha::ChaCha8Rng;
use rand_core::RngCore;

/// A random stream: uniform bits plus the draws that training and sampling need.
///
/// It can be moved to any position ([`Stream::seek`]), and it implements [`RngCore`], so the rest
/// of the `rand` ecosystem can draw from it too.
#[derive(Clone, Debug)]
pub struct Stream {
    generator: ChaCha8Rng,
}

impl Stream {
    pub(crate) fn new(generator: ChaCha8Rng) -> Self {
        Self { generator }
    }

    /// Uniform in `[0, 1)`, with the 24 bits that an `f32` mantissa holds.
    pub fn uniform(&mut self) -> f32 {
        (self.generator.next_u32() >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
    }

    /// Uniform in `(0, 1)`: safe under a logarithm.
    pub fn uniform_open(&mut self) -> f32 {
        ((self.generator.next_u32() >> 9) as f32 + 0.5) * (1.0 / (1u32 << 23) as f32)
    }

    /// Uniform in `[0, 1)`, with 53 bits.
    pub fn uniform_f64(&mut self) -> f64 {
        (self.generator.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Standard normal, by the Box-Muller transform (Box and Muller, 1958). Two words a draw, so
    /// the position of a stream after `n` draws does not depend on the values drawn.
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * self.uniform_open().ln()).sqrt();
        let angle = std::f32::consts::TAU * self.uniform();
        radius * angle.cos()
    }

    /// Standard Gumbel, `-ln(-ln(u))`.
    pub fn gumbel(&mut self) -> f32 {
        -(-self.uniform_open().ln()).ln()
    }

    /// Uniform integer in `0..bound`, without bias (Lemire, 2019).
    ///
    /// # Panics
    /// If `bound` is zero: there is no such integer.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "below(0): an empty range has no element to draw");
        let mut product = u128::from(self.generator.next_u64()) * u128::from(bound);
        if (product as u64) < bound {
            let threshold = bound.wrapping_neg() % bound;
            while (product as u64) < threshold {
                product = u128::from(self.generator.next_u64()) * u128::from(bound);
            }
        }
        (product >> 64) as u64
    }

    /// Shuffles `items` in place (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    /// Fills `out` with standard normal draws.
    pub fn fill_normal(&mut self, out: &mut [f32]) {
        out.fill_with(|| self.normal());
    }

    /// The position, in 32-bit words from the beginning.
    pub fn position(&self) -> u128 {
        self.generator.get_word_pos()
    }

    /// Moves to a position that [`Stream::position`] returned.
    pub fn seek(&mut self, position: u128) {
        self.generator.set_word_pos(position);
    }
}

impl RngCore for Stream {
    fn next_u32(&mut self) -> u32 {
        self.generator.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.generator.next_u64()
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        self.generator.fill_bytes(out);
    }
}

#[cfg(test)]
mod tests {
    use crate::Key;

    #[test]
    fn names_and_numbers_are_different_streams() {
        let root = Key::root(7);
        let mut draws: Vec<u64> = [
            root.child("a"),
            root.child("b"),
            root.child("1"),
            root.index(1),
            root.child("a").child("b"),
            root.child("ab"),
            Key::root(8).child("a"),
        ]
        .iter()
        .map(|key| key.stream().below(u64::MAX))
        .collect();
        draws.sort_unstable();
        draws.dedup();
        assert_eq!(draws.len(), 7);
    }

    /// A change of these bits changes every experiment ever run: it needs a new version of the names.
    #[test]
    fn bits_are_fixed() {
        let mut stream = Key::root(1).child("golden").index(2).stream();
        let words: Vec<u64> = (0..2).map(|_| stream.below(1 << 32)).collect();
        assert_eq!(words, GOLDEN);
    }
    const GOLDEN: [u64; 2] = [3_826_616_863, 3_173_578_378];

    #[test]
    fn seeking_returns_to_the_same_draws() {
        let mut stream = Key::root(3).stream();
        stream.normal();
        let position = stream.position();
        let expected: Vec<f32> = (0..5).map(|_| stream.gumbel()).collect();
        stream.seek(position);
        let again: Vec<f32> = (0..5).map(|_| stream.gumbel()).collect();
        assert_eq!(expected, again);
    }

    #[test]
    fn draws_have_the_moments_of_their_distributions() {
        let mut stream = Key::root(11).stream();
        let n = 200_000;
        let check = |name: &str, mean: f64, variance: f64, draws: Vec<f64>| {
            let m = draws.iter().sum::<f64>() / n as f64;
            let v = draws.iter().map(|x| (x - m).powi(2)).sum::<f64>() / n as f64;
            assert!((m - mean).abs() < 0.01, "{name}: mean {m}");
            assert!((v - variance).abs() < 0.03, "{name}: variance {v}");
        };
        let mut draw = |f: &mut dyn FnMut(&mut super::Stream) -> f32| {
            (0..n).map(|_| f64::from(f(&mut stream))).collect::<Vec<_>>()
        };
        check("uniform", 0.5, 1.0 / 12.0, draw(&mut |s| s.uniform()));
        check("normal", 0.0, 1.0, draw(&mut |s| s.normal()));
        check("gumbel", 0.577_216, 1.644_934, draw(&mut |s| s.gumbel()));
        check("below", 4.5, 8.25, draw(&mut |s| s.below(10) as f32));
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..100).collect();
        Key::root(5).stream().shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
