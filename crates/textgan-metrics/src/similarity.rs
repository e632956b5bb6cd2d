//! EmbSim: whether words stand to each other in the samples as they do in real text.

use crate::Error;
use crate::error::check;
use crate::grams::Mix;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;

/// How alike the words of two sets are in what they are like.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct EmbSim {
    /// The mean over words of the cosine between their rows of the two similarity matrices, from 0
    /// (nothing alike) to 1 (the same).
    pub cosine: f64,
    /// How many words went in.
    pub words: usize,
}

impl EmbSim {
    /// The scale of Texygen: the decimal logarithm of the mean cosine; none of a mean of zero.
    pub fn logarithm(&self) -> Option<f64> {
        (self.cosine > 0.0).then(|| self.cosine.log10())
    }
}

/// EmbSim (Zhu et al., 2018): each set gives its words vectors; the cosines of a word with all
/// words are its row of a similarity matrix; the score is the mean over the words of both sets of
/// the cosine between a word's two rows. A word that one set never says scores 0.
///
/// Texygen trains skip-gram vectors, from a random start. Here the vectors are what skip-gram with
/// negative sampling factorises (Levy and Goldberg, 2014), positive pointwise mutual information
/// with the words at most `window` tokens away (Texygen's window is 1): exact, without a seed. So
/// the scale is that of Texygen's definition, and the values are not those of its program.
///
/// # Errors
/// No samples or references, or only empty ones; a `window` of zero.
pub fn embedding_similarity<S, R>(
    samples: &[S],
    references: &[R],
    window: usize,
) -> Result<EmbSim, Error>
where
    S: AsRef<[u32]>,
    R: AsRef<[u32]>,
{
    if window == 0 {
        return Err(Error::Window);
    }
    check("samples", samples)?;
    check("references", references)?;
    let mut numbers = HashMap::default();
    let samples = numbered(samples.iter().map(AsRef::as_ref), &mut numbers);
    let references = numbered(references.iter().map(AsRef::as_ref), &mut numbers);
    let words = numbers.len();
    let vectors = [Vectors::new(&samples, words, window), Vectors::new(&references, words, window)];
    let cosines: Vec<f64> = (0..words)
        .into_par_iter()
        .map(|word| {
            let [a, b] = vectors.each_ref().map(|vectors| vectors.similarities(word));
            let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
            let norms = (product(&a, &a) * product(&b, &b)).sqrt();
            if norms > 0.0 { product(&a, &b) / norms } else { 0.0 }
        })
        .collect();
    Ok(EmbSim { cosine: cosines.iter().sum::<f64>() / words as f64, words })
}

fn numbered<'a>(
    set: impl Iterator<Item = &'a [u32]>,
    numbers: &mut HashMap<u32, u32, BuildHasherDefault<Mix>>,
) -> Vec<Vec<u32>> {
    let mut number = |&token: &u32| {
        let next = numbers.len() as u32;
        *numbers.entry(token).or_insert(next)
    };
    set.map(|sentence| sentence.iter().map(&mut number).collect()).collect()
}

/// Vectors of length one: a word's positive mutual information with each neighbour.
struct Vectors {
    /// By word, its neighbours in order. Being a neighbour is mutual, so a column is a row.
    rows: Vec<Vec<(u32, f64)>>,
    said: Vec<bool>,
    norms: Vec<f64>,
}

impl Vectors {
    fn new(set: &[Vec<u32>], words: usize, window: usize) -> Self {
        let mut pairs: BTreeMap<(u32, u32), u64> = BTreeMap::new();
        let mut said = vec![false; words];
        for sentence in set {
            for (i, &word) in sentence.iter().enumerate() {
                said[word as usize] = true;
                for &neighbour in sentence[i + 1..].iter().take(window) {
                    *pairs.entry((word, neighbour)).or_insert(0) += 1;
                    *pairs.entry((neighbour, word)).or_insert(0) += 1;
                }
            }
        }
        let mut totals = vec![0u64; words];
        pairs.iter().for_each(|(&(word, _), count)| totals[word as usize] += count);
        let all = totals.iter().sum::<u64>() as f64;
        let mut rows = vec![Vec::new(); words];
        for ((word, neighbour), count) in pairs {
            let by_chance = totals[word as usize] as f64 * totals[neighbour as usize] as f64 / all;
            let information = (count as f64 / by_chance).ln();
            if information > 0.0 {
                rows[word as usize].push((neighbour, information));
            }
        }
        let norm = |row: &Vec<(u32, f64)>| row.iter().map(|(_, x)| x * x).sum::<f64>().sqrt();
        let norms = rows.iter().map(norm).collect();
        Self { rows, said, norms }
    }

    /// The cosines of a word with every word.
    fn similarities(&self, word: usize) -> Vec<f64> {
        let mut cosines = vec![0.0; self.rows.len()];
        for &(neighbour, x) in &self.rows[word] {
            for &(other, y) in &self.rows[neighbour as usize] {
                cosines[other as usize] += x * y;
            }
        }
        for (cosine, norm) in cosines.iter_mut().zip(&self.norms) {
            if *cosine > 0.0 {
                *cosine /= norm * self.norms[word];
            }
        }
        // A word is like itself, even without a neighbour that says so.
        cosines[word] = f64::from(u8::from(self.said[word]));
        cosines
    }
}
