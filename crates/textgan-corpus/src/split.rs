use crate::Fractions;
use serde::{Deserialize, Serialize};
use std::fmt;
use textgan_random::Key;

/// A part of the corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// What models are trained on.
    Train,
    /// What decides between models.
    Valid,
    /// What is looked at once.
    Test,
}

impl Split {
    /// All splits.
    pub const ALL: [Self; 3] = [Self::Train, Self::Valid, Self::Test];

    /// The name in file names and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// More than the rounding of a quotient that should be whole, less than a document.
const ROUNDING: f64 = 1e-6;

/// Says of each document of a stream, in order, which split it belongs to.
///
/// Stratified: of each stretch of `1 / (valid + test)` documents one is held out, at a place drawn
/// by the seed, and the held-out ones take turns. So the counts are within two of what was asked
/// for, whatever the length of the corpus, which need not be known.
pub(crate) struct Draw {
    /// Held-out documents for each document.
    rate: f64,
    /// Test documents for each held-out one.
    test_share: f64,
    key: Key,
    /// The stratum whose held-out document is `held_out`.
    stratum: u64,
    held_out: u64,
    next: u64,
}

impl Draw {
    pub(crate) fn new(fractions: Fractions, key: &Key) -> Self {
        let rate = fractions.valid + fractions.test;
        let test_share = if rate > 0.0 { fractions.test / rate } else { 0.0 };
        let mut draw = Self { rate, test_share, key: *key, stratum: 0, held_out: 0, next: 0 };
        draw.held_out = draw.place(0);
        draw
    }

    /// The split of the next document.
    pub(crate) fn next(&mut self) -> Split {
        let index = self.next;
        self.next += 1;
        if self.rate <= 0.0 || index != self.held_out {
            return Split::Train;
        }
        let turn = self.stratum;
        self.stratum += 1;
        self.held_out = self.place(self.stratum);
        let due = |n: u64| (n as f64 * self.test_share + ROUNDING).floor();
        if due(turn + 1) > due(turn) { Split::Test } else { Split::Valid }
    }

    /// The document held out in a stratum.
    fn place(&self, stratum: u64) -> u64 {
        if self.rate <= 0.0 {
            return u64::MAX;
        }
        // The rate is below 1, so a stratum has at least one document.
        let border = |stratum: u64| (stratum as f64 / self.rate + ROUNDING) as u64;
        let (first, end) = (border(stratum), border(stratum + 1));
        first + self.key.index(stratum).stream().below(end - first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(valid: f64, test: f64, documents: u64, seed: u64) -> [u64; 3] {
        let mut draw =
            Draw::new(Fractions { valid, test, ..Fractions::default() }, &Key::root(seed));
        let mut counts = [0; 3];
        for _ in 0..documents {
            counts[draw.next() as usize] += 1;
        }
        counts
    }

    #[test]
    fn counts_are_what_was_asked_for() {
        for (valid, test) in
            [(0.05, 0.05), (0.1, 0.0), (0.0, 0.2), (0.01, 0.002), (0.3, 0.1), (0.6, 0.39)]
        {
            for documents in [1_000_u64, 12_345] {
                let [_, v, t] = count(valid, test, documents, 3);
                let n = documents as f64;
                assert!(
                    (v as f64 - n * valid).abs() <= 2.0,
                    "{valid} {test} {documents}: {v} valid"
                );
                assert!((t as f64 - n * test).abs() <= 2.0, "{valid} {test} {documents}: {t} test");
            }
        }
    }

    #[test]
    fn forty_documents_are_enough_for_two_twentieths() {
        for seed in 0..200 {
            let [train, valid, test] = count(0.05, 0.05, 40, seed);
            assert_eq!((train, valid, test), (36, 2, 2), "seed {seed}");
        }
    }

    #[test]
    fn the_seed_decides() {
        let draw = |seed| {
            let mut draw = Draw::new(Fractions::default(), &Key::root(seed));
            (0..500).map(|_| draw.next()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn nothing_is_held_out_at_zero() {
        assert_eq!(count(0.0, 0.0, 1_000, 1), [1_000, 0, 0]);
    }
}
