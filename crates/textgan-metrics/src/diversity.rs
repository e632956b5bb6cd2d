//! Counting metrics: how varied a set is, and how much of it was copied.

use crate::Error;
use crate::error::check;
use crate::grams::Grams;
use std::collections::HashSet;

/// Distinct-n (Li et al., 2016): different n-grams over all n-grams of the set. Zero when no
/// sentence is long enough to have one.
///
/// It falls as a set grows: compare sets of one size only.
///
/// # Errors
/// No samples; `n` of zero.
pub fn distinct_n<S: AsRef<[u32]>>(samples: &[S], n: usize) -> Result<f64, Error> {
    let counts = counts(samples, n)?;
    let total: u64 = counts.iter().sum();
    Ok(if total == 0 { 0.0 } else { counts.len() as f64 / total as f64 })
}

/// Entropy of the set's n-gram frequencies, in nats. Zero when no sentence is long enough.
///
/// # Errors
/// No samples; `n` of zero.
pub fn ngram_entropy<S: AsRef<[u32]>>(samples: &[S], n: usize) -> Result<f64, Error> {
    let counts = counts(samples, n)?;
    let total = counts.iter().sum::<u64>() as f64;
    Ok(counts.iter().map(|&count| count as f64 / total).map(|p| -p * p.ln()).sum())
}

/// N-grams that occur exactly once in the whole set, over all its n-grams. Zero when no sentence is
/// long enough to have one.
///
/// The `unique-n` of TextBox (Li et al., 2021). It falls as a set grows.
///
/// # Errors
/// No samples; `n` of zero.
pub fn unique_ngrams<S: AsRef<[u32]>>(samples: &[S], n: usize) -> Result<f64, Error> {
    let counts = counts(samples, n)?;
    let total: u64 = counts.iter().sum();
    let once = counts.iter().filter(|&&count| count == 1).count();
    Ok(if total == 0 { 0.0 } else { once as f64 / total as f64 })
}

/// Zipf's coefficient: minus the slope of the least-squares line through the logarithms of rank and
/// frequency of the `most` most frequent tokens (Holtzman et al., 2020, who take 5,000).
///
/// About 1 for natural text; larger where few words do most of the work.
///
/// # Errors
/// No samples; fewer than two different tokens among the `most`.
pub fn zipf_coefficient<S: AsRef<[u32]>>(samples: &[S], most: usize) -> Result<f64, Error> {
    let mut counts = counts(samples, 1)?;
    counts.sort_unstable_by(|a, b| b.cmp(a));
    counts.truncate(most);
    if counts.len() < 2 {
        return Err(Error::Rank { tokens: counts.len() });
    }
    let points = || (1..).zip(&counts).map(|(r, &c)| (f64::from(r).ln(), (c as f64).ln()));
    let size = counts.len() as f64;
    let mean_x = points().map(|(x, _)| x).sum::<f64>() / size;
    let mean_y = points().map(|(_, y)| y).sum::<f64>() / size;
    let covariance: f64 = points().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = points().map(|(x, _)| (x - mean_x).powi(2)).sum();
    Ok(-covariance / variance)
}

/// Different sentences over all sentences.
///
/// # Errors
/// No samples.
pub fn distinct_sentences<S: AsRef<[u32]>>(samples: &[S]) -> Result<f64, Error> {
    if samples.is_empty() {
        return Err(Error::Nothing { set: "samples" });
    }
    let distinct: HashSet<&[u32]> = samples.iter().map(AsRef::as_ref).collect();
    Ok(distinct.len() as f64 / samples.len() as f64)
}

/// Share of the samples that stand word for word in the training set.
///
/// # Errors
/// No samples, or no training sentences.
pub fn exact_copy_rate<S, T>(samples: &[S], training: &[T]) -> Result<f64, Error>
where
    S: AsRef<[u32]>,
    T: AsRef<[u32]>,
{
    if samples.is_empty() {
        return Err(Error::Nothing { set: "samples" });
    }
    if training.is_empty() {
        return Err(Error::Nothing { set: "training sentences" });
    }
    let known: HashSet<&[u32]> = training.iter().map(AsRef::as_ref).collect();
    let copies = samples.iter().filter(|sample| known.contains(sample.as_ref())).count();
    Ok(copies as f64 / samples.len() as f64)
}

/// The lengths of a set's sentences, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Lengths {
    /// The mean.
    pub mean: f64,
    /// The standard deviation of the set (not of a population it was drawn from).
    pub deviation: f64,
    /// The shortest.
    pub min: usize,
    /// The longest.
    pub max: usize,
    /// How many sentences have no token at all.
    pub empty: usize,
}

/// Statistics of sentence lengths.
///
/// # Errors
/// No samples.
pub fn lengths<S: AsRef<[u32]>>(samples: &[S]) -> Result<Lengths, Error> {
    let lengths = || samples.iter().map(|sample| sample.as_ref().len());
    let (Some(min), Some(max)) = (lengths().min(), lengths().max()) else {
        return Err(Error::Nothing { set: "samples" });
    };
    let count = samples.len() as f64;
    let mean = lengths().sum::<usize>() as f64 / count;
    let variance = lengths().map(|length| (length as f64 - mean).powi(2)).sum::<f64>() / count;
    let empty = lengths().filter(|&length| length == 0).count();
    Ok(Lengths { mean, deviation: variance.sqrt(), min, max, empty })
}

/// How often each different n-gram occurs, in order of first occurrence.
fn counts<S: AsRef<[u32]>>(samples: &[S], n: usize) -> Result<Vec<u64>, Error> {
    if n == 0 {
        return Err(Error::Order);
    }
    match check("samples", samples) {
        Ok(()) | Err(Error::AllEmpty { .. }) => {}
        Err(error) => return Err(error),
    }
    let mut grams = Grams::new(n);
    let mut counts: Vec<u64> = Vec::new();
    let mut ids = Vec::new();
    for sample in samples {
        grams.add(sample.as_ref(), &mut ids, |order, ids| {
            if order == n {
                for &id in ids.iter() {
                    let id = id as usize;
                    if id == counts.len() {
                        counts.push(0);
                    }
                    counts[id] += 1;
                }
            }
        })?;
    }
    Ok(counts)
}
