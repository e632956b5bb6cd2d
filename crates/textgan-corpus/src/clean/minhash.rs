//! Near-duplicates by MinHash (Broder, 1997) with banding (Leskovec, Rajaraman, Ullman, *Mining of
//! Massive Datasets*, chapter 3).
//!
//! A text is the set of its shingles. A signature holds, for each of many hash functions, the
//! smallest hash among them; two signatures agree at a place with the probability of the sets'
//! Jaccard similarity. Signatures are cut into bands: rows that agree in a whole band are
//! candidates, and the similarity estimated from the whole signatures decides. Of each place only
//! 8 bits are kept (b-bit minwise hashing; Li and König, 2010).

use super::distinct::AsIs;
use crate::{NearDuplicates, Shingle};
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use textgan_random::{Key, RngCore};

/// The detection probability wanted at the threshold.
const RECALL: f64 = 0.95;

/// Candidates looked at in one band: boilerplate can fill a bucket, and the search must not become
/// quadratic. The newest come first.
const MOST_CANDIDATES: usize = 64;

const NONE: u32 = u32::MAX;

/// The hash functions and the shape of the bands.
pub(super) struct MinHash {
    config: NearDuplicates,
    /// `h_i(x) = (a_i x + b_i) mod 2^64 >> 32`, with odd `a_i` (Dietzfelbinger, 1996).
    functions: Vec<(u64, u64)>,
    bands: usize,
    rows: usize,
}

/// One text's signature: a hash for each band, and 8 bits of each place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signature {
    bands: Vec<u64>,
    places: Vec<u8>,
}

impl Signature {
    /// Whether the text had no shingles.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// As words of 32 bits, for a table: the number of bands, the bands, and four places in each of the rest.
    pub(crate) fn words(&self) -> Vec<u32> {
        let mut words = vec![self.bands.len() as u32];
        words.extend(self.bands.iter().flat_map(|&band| [band as u32, (band >> 32) as u32]));
        words.push(self.places.len() as u32);
        words.extend(self.places.chunks(4).map(|places| {
            places.iter().rev().fold(0, |word, &place| word << 8 | u32::from(place))
        }));
        words
    }

    /// The signature of such [`words`](Self::words).
    pub(crate) fn from_words(words: &[u32]) -> Option<Self> {
        let (&bands, rest) = words.split_first()?;
        let (bands, rest) = rest.split_at_checked((bands as usize).checked_mul(2)?)?;
        let (&places, rest) = rest.split_first()?;
        let places = places as usize;
        if rest.len() != places.div_ceil(4) {
            return None;
        }
        let pair = |pair: &[u32]| u64::from(pair[1]) << 32 | u64::from(pair[0]);
        let bytes = rest.iter().flat_map(|word| word.to_le_bytes()).take(places);
        Some(Self { bands: bands.chunks_exact(2).map(pair).collect(), places: bytes.collect() })
    }
}

impl MinHash {
    pub(super) fn new(config: &NearDuplicates) -> Self {
        // A fixed key: which rows are near-duplicates is no matter of the experiment's seed.
        let mut stream = Key::root(0).child("minhash").stream();
        let functions =
            (0..config.permutations).map(|_| (stream.next_u64() | 1, stream.next_u64())).collect();
        let (bands, rows) = shape(config.permutations, config.threshold);
        Self { config: config.clone(), functions, bands, rows }
    }

    /// Whether a signature is one of these functions and bands.
    pub(super) fn fits(&self, signature: &Signature) -> bool {
        let sizes = (signature.bands.len(), signature.places.len());
        sizes == (self.bands, self.functions.len()) || sizes == (0, 0)
    }

    /// The signature; an empty one for a text without shingles.
    pub(super) fn signature(&self, text: &str) -> Signature {
        let shingles = self.shingles(text);
        if shingles.is_empty() {
            return Signature::default();
        }
        let mut smallest = vec![u32::MAX; self.functions.len()];
        for shingle in shingles {
            for (smallest, &(a, b)) in smallest.iter_mut().zip(&self.functions) {
                let hash = (a.wrapping_mul(shingle).wrapping_add(b) >> 32) as u32;
                *smallest = (*smallest).min(hash);
            }
        }
        let bands = smallest
            .chunks_exact(self.rows)
            .take(self.bands)
            .map(|band| band.iter().fold(0_u64, |hash, &place| mix(hash ^ u64::from(place))))
            .collect();
        Signature { bands, places: smallest.into_iter().map(|place| place as u8).collect() }
    }

    fn shingles(&self, text: &str) -> Vec<u64> {
        let units: Vec<u64> = match self.config.shingle {
            Shingle::Words => {
                text.split_whitespace().map(|word| hash_bytes(word.as_bytes())).collect()
            }
            Shingle::Characters => text.chars().map(|c| mix(u64::from(c as u32) + 1)).collect(),
        };
        if units.is_empty() {
            return units;
        }
        let size = self.config.size.min(units.len());
        units
            .windows(size)
            .map(|window| window.iter().fold(0_u64, |hash, &unit| mix(hash.rotate_left(5) ^ unit)))
            .collect()
    }
}

/// Bands and rows a band: the longest bands that still find a pair at the threshold with the wanted
/// probability `1 - (1 - threshold^rows)^bands`, since long bands have few false candidates.
fn shape(permutations: usize, threshold: f64) -> (usize, usize) {
    (1..=permutations)
        .rev()
        .map(|rows| (permutations / rows, rows))
        .find(|&(bands, rows)| {
            1.0 - (1.0 - threshold.powi(rows as i32)).powi(bands as i32) >= RECALL
        })
        .unwrap_or((permutations, 1))
}

/// FNV-1a, finished by [`mix`].
fn hash_bytes(bytes: &[u8]) -> u64 {
    mix(bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    }))
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// The signatures of the rows kept so far, found by band.
pub(super) struct Index {
    threshold: f64,
    bands: usize,
    /// By band: from the band's hash to the newest row that has it.
    newest: Vec<HashMap<u64, u32, BuildHasherDefault<AsIs>>>,
    /// For each row and band, the next older row with the same hash.
    older: Vec<u32>,
    places: Vec<u8>,
    rows: u32,
}

impl Index {
    pub(super) fn new(minhash: &MinHash) -> Self {
        Self {
            threshold: minhash.config.threshold,
            bands: minhash.bands,
            newest: (0..minhash.bands).map(|_| HashMap::default()).collect(),
            older: Vec::new(),
            places: Vec::new(),
            rows: 0,
        }
    }

    /// The estimated similarity to an earlier row, if one is near enough; else the row is added.
    pub(super) fn find_or_insert(&mut self, signature: &Signature) -> Option<f64> {
        for (band, hash) in signature.bands.iter().enumerate() {
            let mut row = self.newest[band].get(hash).copied().unwrap_or(NONE);
            for _ in 0..MOST_CANDIDATES {
                if row == NONE {
                    break;
                }
                let similarity = self.similarity(row, signature);
                if similarity >= self.threshold {
                    return Some(similarity);
                }
                row = self.older[row as usize * self.bands + band];
            }
        }
        // Four thousand million rows would need half a terabyte of signatures.
        if self.rows < NONE - 1 {
            for (band, &hash) in signature.bands.iter().enumerate() {
                let older = self.newest[band].insert(hash, self.rows);
                self.older.push(older.unwrap_or(NONE));
            }
            self.places.extend_from_slice(&signature.places);
            self.rows += 1;
        }
        None
    }

    /// Jaccard similarity, corrected for places whose 8 bits agree by chance.
    fn similarity(&self, row: u32, signature: &Signature) -> f64 {
        let n = signature.places.len();
        let places = &self.places[row as usize * n..][..n];
        let equal = places.iter().zip(&signature.places).filter(|(a, b)| a == b).count();
        let chance = 1.0 / 256.0;
        ((equal as f64 / n as f64 - chance) / (1.0 - chance)).max(0.0)
    }

    pub(super) fn len(&self) -> u64 {
        u64::from(self.rows)
    }

    /// The memory it takes.
    pub(super) fn bytes(&self) -> u64 {
        let places = |capacity: usize| {
            if capacity == 0 { 0 } else { (capacity * 8 / 7).next_power_of_two() }
        };
        let maps: usize = self.newest.iter().map(|map| places(map.capacity()) * 17).sum();
        (maps + self.older.capacity() * 4 + self.places.capacity()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jaccard(a: &str, b: &str, size: usize) -> f64 {
        let shingles = |text: &str| {
            let words: Vec<&str> = text.split(' ').collect();
            words.windows(size).map(|w| w.join(" ")).collect::<std::collections::BTreeSet<_>>()
        };
        let (a, b) = (shingles(a), shingles(b));
        a.intersection(&b).count() as f64 / a.union(&b).count() as f64
    }

    /// `n` words, of which the last `changed` differ from those of another text.
    fn text(n: usize, changed: usize, kind: &str) -> String {
        (0..n)
            .map(|i| if i + changed < n { format!("w{i}") } else { format!("{kind}{i}") })
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn the_estimate_is_near_the_truth() {
        let config = NearDuplicates { permutations: 512, ..NearDuplicates::default() };
        let minhash = MinHash::new(&config);
        for changed in [0, 10, 50, 100, 200] {
            let (a, b) = (text(400, changed, "a"), text(400, changed, "b"));
            let mut index = Index::new(&minhash);
            assert_eq!(index.find_or_insert(&minhash.signature(&a)), None);
            let estimate = index.similarity(0, &minhash.signature(&b));
            let truth = jaccard(&a, &b, 3);
            assert!((estimate - truth).abs() < 0.07, "{changed}: {estimate} for {truth}");
        }
    }

    #[test]
    fn near_rows_are_found_and_others_are_not() {
        let minhash = MinHash::new(&NearDuplicates::default());
        let mut index = Index::new(&minhash);
        let add = |index: &mut Index, text: &str| {
            index.find_or_insert(&minhash.signature(text)).is_some()
        };
        assert!(!add(&mut index, &text(200, 4, "a")));
        assert!(add(&mut index, &text(200, 4, "b")));
        assert!(!add(&mut index, &text(200, 80, "c")));
        assert!(!add(&mut index, "two words"));
        assert!(add(&mut index, "two words"));
        assert!(minhash.signature("  ").is_empty());
        assert_eq!(index.len(), 3);
    }

    #[test]
    fn signatures_go_to_words_and_back() {
        for permutations in [1, 7, 128] {
            let minhash =
                MinHash::new(&NearDuplicates { permutations, ..NearDuplicates::default() });
            for text in ["a b c d e f", ""] {
                let signature = minhash.signature(text);
                let words = signature.words();
                assert_eq!(Signature::from_words(&words), Some(signature));
                assert_eq!(Signature::from_words(&words[..words.len() - 1]), None);
            }
        }
        assert_eq!(Signature::from_words(&[]), None);
        assert_eq!(Signature::from_words(&[u32::MAX]), None);
    }

    #[test]
    fn bands_find_pairs_at_the_threshold() {
        for (permutations, threshold) in [(128, 0.8), (128, 0.5), (256, 0.9), (8, 0.3), (64, 1.0)] {
            let (bands, rows) = shape(permutations, threshold);
            assert!(bands * rows <= permutations);
            let found = 1.0 - (1.0 - threshold.powi(rows as i32)).powi(bands as i32);
            assert!(
                found >= RECALL || rows == 1,
                "{permutations} {threshold}: {bands} x {rows} finds {found}"
            );
        }
    }
}
