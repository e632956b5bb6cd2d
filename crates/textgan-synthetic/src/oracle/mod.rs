//! An LSTM with known parameters as the true distribution.

mod exp;
mod head;
mod npy;
mod walk;

use crate::Error;
use head::Head;
use rayon::prelude::*;
use std::ops::Range;
use std::path::{Path, PathBuf};
use textgan_random::{Key, Stream};
use walk::Walk;

/// The gates in the order in which they are kept side by side: input, forget, output, candidate.
const GATES: [&str; 4] = ["i", "f", "og", "c"];

/// The token that comes before the first one of every sequence. It can be drawn like any other.
const START: u32 = 0;

/// Rows that are computed together when many are; each row's bits are the same with any number.
const TOGETHER: usize = 4;

/// A one-layer LSTM whose parameters are known: the oracle of SeqGAN (Yu et al., 2017).
///
/// From the start token 0 and a zero state, for the embedding `x` of the last token,
/// ```text
/// i, f, o = sigmoid(x W + h U + b)      c' = tanh(x Wc + h Uc + bc)
/// c <- f c + i c'      h <- o tanh(c)      p(next token) = softmax(h Wo + bo)
/// ```
/// Sequences have no end of their own: the length is given. A token written as a word is its number.
///
/// ```
/// use textgan_random::Key;
/// use textgan_synthetic::{Oracle, OracleSizes};
///
/// let sizes = OracleSizes { vocabulary: 50, embedding: 8, hidden: 8 };
/// let oracle = Oracle::random(sizes, &Key::root(7));
/// let sequence = oracle.sample(20, &mut Key::root(1).stream());
/// let nll = -oracle.log_prob(&sequence)? / 20.0;
/// assert!(nll > 0.0 && nll < 10.0);
/// # Ok::<(), textgan_synthetic::Error>(())
/// ```
pub struct Oracle {
    name: String,
    sizes: OracleSizes,
    /// `x W + b` of every token, the gates side by side: `[vocabulary, 4 hidden]`.
    input: Vec<f32>,
    /// `[hidden, 4 hidden]`, the gates side by side.
    recurrent: Vec<f32>,
    head: Head,
}

/// The shape of an oracle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OracleSizes {
    /// Tokens.
    pub vocabulary: usize,
    /// Width of the embeddings.
    pub embedding: usize,
    /// Width of the state.
    pub hidden: usize,
}

/// Those of SeqGAN.
impl Default for OracleSizes {
    fn default() -> Self {
        Self { vocabulary: 5000, embedding: 32, hidden: 32 }
    }
}

impl Oracle {
    /// Reads the 15 arrays of a folder: `embedding.npy` `[vocabulary, embedding]`; for each gate
    /// `g` of `i`, `f`, `og` and `c` the files `w<g>.npy` `[embedding, hidden]`, `u<g>.npy`
    /// `[hidden, hidden]` and `b<g>.npy` `[hidden]`; `wo.npy` `[hidden, vocabulary]`, `bo.npy`.
    ///
    /// # Errors
    /// An array that is missing, is no NumPy file of little-endian `f32`, or has another shape than
    /// the rest.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let (embedding, shape) = npy::read(&folder.join("embedding.npy"))?;
        let (bias, hidden) = npy::read(&folder.join("bi.npy"))?;
        let [vocabulary, width] = shape[..] else {
            let message = format!("has the shape {shape:?}; it must be [vocabulary, embedding]");
            return Err(Error::array(folder.join("embedding.npy"), message));
        };
        let sizes = OracleSizes { vocabulary, embedding: width, hidden: bias.len() };
        if hidden.len() != 1 || vocabulary == 0 || width == 0 || bias.is_empty() {
            let message = format!("has the shape {hidden:?}; it must be [hidden], with no size 0");
            return Err(Error::array(folder.join("bi.npy"), message));
        }
        Self::assemble(sizes, embedding, |name, shape| {
            let path = folder.join(format!("{name}.npy"));
            let (values, found) = npy::read(&path)?;
            if found != shape {
                let message = format!(
                    "has the shape {found:?}; beside this embedding.npy and bi.npy it must be {shape:?}: \
                     take all arrays from one oracle"
                );
                return Err(Error::array(path, message));
            }
            Ok(values)
        })
    }

    /// The files that [`Oracle::load`] reads from a folder.
    pub fn files(folder: &Path) -> Vec<PathBuf> {
        let gates =
            GATES.iter().flat_map(|gate| ["w", "u", "b"].map(|kind| format!("{kind}{gate}")));
        let names = gates.chain(["embedding", "wo", "bo"].map(str::to_owned));
        names.map(|name| folder.join(format!("{name}.npy"))).collect()
    }

    /// An oracle with parameters drawn from the standard normal distribution, as SeqGAN draws its
    /// own; each array has a stream of its own below `key`.
    ///
    /// # Panics
    /// When a size is 0.
    pub fn random(sizes: OracleSizes, key: &Key) -> Self {
        let OracleSizes { vocabulary, embedding, hidden } = sizes;
        assert!(vocabulary * embedding * hidden > 0, "an oracle of size 0: {sizes:?}");
        let draw = |name: &str, shape: &[usize]| {
            let mut values = vec![0.0; shape.iter().product()];
            key.child(name).stream().fill_normal(&mut values);
            values
        };
        let embeddings = draw("embedding", &[vocabulary, embedding]);
        let drawn = Self::assemble(sizes, embeddings, |name, shape| Ok(draw(name, shape)));
        drawn.unwrap_or_else(|_| unreachable!("drawing cannot fail"))
    }

    fn assemble(
        sizes: OracleSizes,
        embedding: Vec<f32>,
        mut array: impl FnMut(&str, &[usize]) -> Result<Vec<f32>, Error>,
    ) -> Result<Self, Error> {
        let OracleSizes { vocabulary, embedding: width, hidden } = sizes;
        let mut sum = Checksum::new();
        sum.add(&embedding);
        let mut input = vec![0.0; vocabulary * 4 * hidden];
        let mut recurrent = vec![0.0; hidden * 4 * hidden];
        for (gate, name) in GATES.iter().enumerate() {
            let w = array(&format!("w{name}"), &[width, hidden])?;
            let u = array(&format!("u{name}"), &[hidden, hidden])?;
            let b = array(&format!("b{name}"), &[hidden])?;
            [&w, &u, &b].into_iter().for_each(|values| sum.add(values));
            let place = gate * hidden..(gate + 1) * hidden;
            let rows = input.chunks_exact_mut(4 * hidden);
            for (row, x) in rows.zip(embedding.chunks_exact(width)) {
                let row = &mut row[place.clone()];
                row.copy_from_slice(&b);
                for (x, w) in x.iter().zip(w.chunks_exact(hidden)) {
                    row.iter_mut().zip(w).for_each(|(sum, w)| *sum += x * w);
                }
            }
            for (row, u) in recurrent.chunks_exact_mut(4 * hidden).zip(u.chunks_exact(hidden)) {
                row[place.clone()].copy_from_slice(u);
            }
        }
        let wo = array("wo", &[hidden, vocabulary])?;
        let bo = array("bo", &[vocabulary])?;
        [&wo, &bo].into_iter().for_each(|values| sum.add(values));
        let name = format!("lstm-{vocabulary}x{hidden}-{:08x}", sum.0);
        Ok(Self { name, sizes, input, recurrent, head: Head::new(&wo, &bo) })
    }

    /// A name that tells oracles apart: its sizes and a checksum of its parameters.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its shape.
    pub fn sizes(&self) -> OracleSizes {
        self.sizes
    }

    /// A sequence as text: the numbers of its tokens, separated by spaces.
    pub fn text(&self, tokens: &[u32]) -> String {
        tokens.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
    }

    /// The token of a word, if there is one.
    pub fn token(&self, word: &str) -> Option<u32> {
        let token = word.parse().ok().filter(|&token| (token as usize) < self.sizes.vocabulary)?;
        // One token has one word: neither `+7` nor `07`.
        (u32::to_string(&token) == word).then_some(token)
    }

    /// Draws a sequence of `length` tokens.
    pub fn sample(&self, length: usize, stream: &mut Stream) -> Vec<u32> {
        let mut walk = Walk::<1>::new(self);
        let mut token = START;
        let mut drawn = Vec::with_capacity(length);
        for _ in 0..length {
            walk.advance([token]);
            token = walk.draw(0, stream);
            drawn.push(token);
        }
        drawn
    }

    /// Draws a sequence of `length` tokens for each row, in parallel; row `r` is
    /// `sample(length, key.index(r))`.
    pub fn sample_rows(&self, rows: Range<u64>, length: usize, key: &Key) -> Vec<Vec<u32>> {
        self.sample_scored(rows, length, key).into_iter().map(|(tokens, _)| tokens).collect()
    }

    /// As [`Oracle::sample_rows`], with the log-probability of each token, which is known anyway.
    pub fn sample_scored(
        &self,
        rows: Range<u64>,
        length: usize,
        key: &Key,
    ) -> Vec<(Vec<u32>, Vec<f64>)> {
        let rows: Vec<u64> = rows.collect();
        let tile = |rows: &[u64]| {
            let mut streams: Vec<Stream> =
                rows.iter().map(|&row| key.index(row).stream()).collect();
            let room = || (Vec::with_capacity(length), Vec::with_capacity(length));
            let mut drawn: Vec<(Vec<u32>, Vec<f64>)> = rows.iter().map(|_| room()).collect();
            let mut walk = Walk::<TOGETHER>::new(self);
            let mut last = [START; TOGETHER];
            for _ in 0..length {
                walk.advance(last);
                let streams = streams.iter_mut().zip(&mut drawn);
                for (row, (stream, (tokens, log_probs))) in streams.enumerate() {
                    last[row] = walk.draw(row, stream);
                    tokens.push(last[row]);
                    log_probs.push(walk.log_prob(row, last[row]));
                }
            }
            drawn
        };
        rows.par_chunks(TOGETHER).flat_map_iter(tile).collect()
    }

    /// The exact log-probability of a sequence in nats, given its length; 0 for an empty one.
    ///
    /// # Errors
    /// A token that the oracle does not have.
    pub fn log_prob(&self, tokens: &[u32]) -> Result<f64, Error> {
        Ok(self.log_probs(&[tokens])?.into_iter().flatten().sum())
    }

    /// The exact log-probability of every token of every row, in nats, in parallel.
    ///
    /// # Errors
    /// A token that the oracle does not have.
    pub fn log_probs<R>(&self, rows: &[R]) -> Result<Vec<Vec<f64>>, Error>
    where
        R: AsRef<[u32]> + Sync,
    {
        let known = |token: &&u32| (**token as usize) >= self.sizes.vocabulary;
        if let Some(&token) = rows.iter().find_map(|row| row.as_ref().iter().find(known)) {
            return Err(Error::UnknownToken { token, vocabulary: self.sizes.vocabulary });
        }
        let tile = |rows: &[R]| -> Vec<Vec<f64>> {
            let mut walk = Walk::<TOGETHER>::new(self);
            let mut scores: Vec<Vec<f64>> =
                rows.iter().map(|row| Vec::with_capacity(row.as_ref().len())).collect();
            let length = rows.iter().map(|row| row.as_ref().len()).max().unwrap_or(0);
            let mut last = [START; TOGETHER];
            for time in 0..length {
                walk.advance(last);
                for (row, scores) in scores.iter_mut().enumerate() {
                    if let Some(&token) = rows[row].as_ref().get(time) {
                        scores.push(walk.log_prob(row, token));
                        last[row] = token;
                    }
                }
            }
            scores
        };
        Ok(rows.par_chunks(TOGETHER).flat_map_iter(tile).collect())
    }

    /// The probability of every token after `prefix`.
    ///
    /// # Errors
    /// A token that the oracle does not have.
    pub fn next_tokens(&self, prefix: &[u32]) -> Result<Vec<f64>, Error> {
        self.log_prob(prefix)?;
        let mut walk = Walk::<1>::new(self);
        walk.advance([START]);
        prefix.iter().for_each(|&token| walk.advance([token]));
        Ok((0..self.sizes.vocabulary as u32).map(|token| walk.log_prob(0, token).exp()).collect())
    }
}

impl std::fmt::Debug for Oracle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Oracle")
            .field("name", &self.name)
            .field("sizes", &self.sizes)
            .finish_non_exhaustive()
    }
}

/// FNV-1a over the bits of the parameters: tells oracles apart, and guards against nothing else.
struct Checksum(u32);

impl Checksum {
    fn new() -> Self {
        Self(0x811c_9dc5)
    }

    fn add(&mut self, values: &[f32]) {
        for byte in values.iter().flat_map(|value| value.to_le_bytes()) {
            self.0 = (self.0 ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two tokens, one unit; all numbers chosen by hand.
    fn by_hand() -> Oracle {
        let sizes = OracleSizes { vocabulary: 2, embedding: 1, hidden: 1 };
        let array = |name: &str, _: &[usize]| {
            Ok(match name {
                "wi" => vec![0.5],
                "ui" => vec![-0.25],
                "bi" => vec![0.1],
                "wf" => vec![-1.0],
                "uf" => vec![0.75],
                "bf" => vec![0.2],
                "wog" => vec![0.3],
                "uog" => vec![1.5],
                "bog" => vec![-0.4],
                "wc" => vec![2.0],
                "uc" => vec![-0.6],
                "bc" => vec![0.05],
                "wo" => vec![1.25, -0.8],
                _ => vec![0.3, -0.1],
            })
        };
        Oracle::assemble(sizes, vec![0.7, -1.2], array).unwrap()
    }

    #[test]
    fn a_tiny_oracle_agrees_with_the_formula_in_double_precision() {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let (mut h, mut c) = (0.0_f64, 0.0_f64);
        let mut expect = Vec::new();
        let sequence = [1_u32, 0, 1, 1];
        let mut last = 0_usize;
        for &token in &sequence {
            let x = [0.7, -1.2][last];
            let i = sigmoid(0.5 * x - 0.25 * h + 0.1);
            let f = sigmoid(-x + 0.75 * h + 0.2);
            let o = sigmoid(0.3 * x + 1.5 * h - 0.4);
            c = f * c + i * (2.0 * x - 0.6 * h + 0.05).tanh();
            h = o * c.tanh();
            let logits = [1.25 * h + 0.3, -0.8 * h - 0.1];
            let sum = logits.iter().map(|logit| logit.exp()).sum::<f64>();
            expect.push(logits[token as usize] - sum.ln());
            last = token as usize;
        }
        let found = by_hand().log_probs(&[sequence]).unwrap();
        for (found, expect) in found[0].iter().zip(&expect) {
            assert!((found - expect).abs() < 1e-6, "{found} against {expect}");
        }
    }

    #[test]
    fn words_are_numbers_of_tokens_and_nothing_else() {
        let oracle = by_hand();
        assert_eq!(oracle.text(&[1, 0]), "1 0");
        for (word, token) in
            [("0", Some(0)), ("1", Some(1)), ("2", None), ("01", None), ("+1", None), ("a", None)]
        {
            assert_eq!(oracle.token(word), token, "{word}");
        }
        let unknown = oracle.log_prob(&[0, 2]).unwrap_err().to_string();
        assert!(unknown.contains("no token 2"), "{unknown}");
    }
}
