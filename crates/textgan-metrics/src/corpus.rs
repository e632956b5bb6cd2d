//! Corpus BLEU: matches summed over all sentences before any division.

use crate::bleu::{References, TASK};
use crate::error::{Error, check};
use crate::smoothing::Counts;
use rayon::prelude::*;

/// What no match at an order counts as: sacrebleu's `smooth_method`.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CorpusSmoothing {
    /// `none`: nothing, so the score is zero.
    None,
    /// `floor`: this many matches; sacrebleu's default is 0.1.
    Floor(f64),
    /// `add-k`: this many more matches and n-grams from order 2 on; sacrebleu's default is 1.
    AddK(f64),
    /// `exp`, sacrebleu's default: the k-th order without a match counts as `1 / 2^k` matches.
    #[default]
    Exp,
}

/// A corpus BLEU and what it is made of. Shares are from 0 to 1, where sacrebleu prints percent.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct CorpusBleu {
    /// BLEU.
    pub score: f64,
    /// The smoothed precision of each order.
    pub precisions: Vec<f64>,
    /// The brevity penalty: 1 where the samples are at least as long as their closest references.
    pub brevity: f64,
    /// Tokens of all samples.
    pub length: u64,
    /// Tokens of the closest reference of each sample, summed.
    pub reference_length: u64,
}

/// Corpus BLEU (Papineni et al., 2002) of samples with references of their own: `references[i]`
/// are those of `samples[i]`.
///
/// Equals sacrebleu's `corpus_bleu` of the same tokens (Post, 2018), with `max_n` of 4 there. An
/// order that no sample is long enough for makes the score zero, as there.
/// [`References::corpus_bleu`] is for samples that share one set of references.
///
/// # Errors
/// No samples, or only empty ones; a sample without a reference; not as many lists of references
/// as samples; `max_n` of zero; a smoothing value that is negative or no number.
pub fn corpus_bleu<S, R, T>(
    samples: &[S],
    references: &[R],
    max_n: usize,
    smoothing: CorpusSmoothing,
) -> Result<CorpusBleu, Error>
where
    S: AsRef<[u32]> + Sync,
    R: AsRef<[T]> + Sync,
    T: AsRef<[u32]>,
{
    smoothing.check()?;
    check("samples", samples)?;
    if max_n == 0 {
        return Err(Error::Order);
    }
    if samples.len() != references.len() {
        return Err(Error::Unpaired { samples: samples.len(), references: references.len() });
    }
    if let Some(sample) = references.iter().position(|list| list.as_ref().is_empty()) {
        return Err(Error::NoReference { sample });
    }
    let parts: Result<Vec<Sums>, Error> = samples
        .par_chunks(TASK)
        .zip(references.par_chunks(TASK))
        .map(|(samples, references)| {
            let mut sums = Sums::new(max_n);
            for (sample, references) in samples.iter().zip(references) {
                let index = References::unchecked(references.as_ref(), max_n)?;
                index.counter().count(sample.as_ref(), |counts| sums.add(counts));
            }
            Ok(sums)
        })
        .collect();
    Ok(parts?.iter().fold(Sums::new(max_n), Sums::with).score(smoothing))
}

impl References {
    /// Corpus BLEU of samples that all have this set as their references; see [`corpus_bleu`].
    ///
    /// # Errors
    /// No samples, or only empty ones; a smoothing value that is negative or no number.
    pub fn corpus_bleu<S: AsRef<[u32]> + Sync>(
        &self,
        samples: &[S],
        smoothing: CorpusSmoothing,
    ) -> Result<CorpusBleu, Error> {
        smoothing.check()?;
        check("samples", samples)?;
        let parts: Vec<Sums> = samples
            .par_chunks(TASK)
            .map(|samples| {
                let mut sums = Sums::new(self.max_n());
                let mut counter = self.counter();
                for sample in samples {
                    counter.count(sample.as_ref(), |counts| sums.add(counts));
                }
                sums
            })
            .collect();
        Ok(parts.iter().fold(Sums::new(self.max_n()), Sums::with).score(smoothing))
    }
}

impl CorpusSmoothing {
    fn check(self) -> Result<(), Error> {
        match self {
            Self::Floor(value) | Self::AddK(value) if !value.is_finite() || value < 0.0 => {
                Err(Error::SmoothingValue { value: value.to_string() })
            }
            _ => Ok(()),
        }
    }
}

/// Whole numbers, so that their sum has no order.
struct Sums {
    matches: Vec<u64>,
    grams: Vec<u64>,
    length: u64,
    closest: u64,
}

impl Sums {
    fn new(max_n: usize) -> Self {
        Self { matches: vec![0; max_n], grams: vec![0; max_n], length: 0, closest: 0 }
    }

    fn add(&mut self, counts: Counts<'_>) {
        for (i, (matches, grams)) in self.matches.iter_mut().zip(&mut self.grams).enumerate() {
            *matches += u64::from(counts.matches[i]);
            *grams += counts.length.saturating_sub(i) as u64;
        }
        self.length += counts.length as u64;
        self.closest += counts.closest as u64;
    }

    fn with(mut self, other: &Self) -> Self {
        self.matches.iter_mut().zip(&other.matches).for_each(|(sum, part)| *sum += part);
        self.grams.iter_mut().zip(&other.grams).for_each(|(sum, part)| *sum += part);
        self.length += other.length;
        self.closest += other.closest;
        self
    }

    fn score(&self, smoothing: CorpusSmoothing) -> CorpusBleu {
        let brevity = match (self.length, self.closest) {
            (length, closest) if length >= closest => 1.0,
            (0, _) => 0.0,
            (length, closest) => (1.0 - closest as f64 / length as f64).exp(),
        };
        let mut precisions = vec![0.0; self.matches.len()];
        if self.matches.iter().any(|&matches| matches > 0) {
            let mut half = 1.0;
            for (i, precision) in precisions.iter_mut().enumerate() {
                let (mut matches, mut grams) = (self.matches[i] as f64, self.grams[i] as f64);
                match smoothing {
                    CorpusSmoothing::AddK(k) if i > 0 => {
                        matches += k;
                        grams += k;
                    }
                    CorpusSmoothing::Floor(floor) if matches == 0.0 => matches = floor,
                    CorpusSmoothing::Exp if matches == 0.0 && grams > 0.0 => {
                        half /= 2.0;
                        matches = half;
                    }
                    _ => {}
                }
                if grams == 0.0 {
                    break;
                }
                *precision = matches / grams;
            }
        }
        let logarithms: f64 = precisions.iter().map(|p| p.ln()).sum();
        CorpusBleu {
            // The logarithm of a precision of zero is minus infinity, and its exponential zero.
            score: brevity * (logarithms / precisions.len() as f64).exp(),
            precisions,
            brevity,
            length: self.length,
            reference_length: self.closest,
        }
    }
}
