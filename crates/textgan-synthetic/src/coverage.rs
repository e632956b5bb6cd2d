use crate::automaton::END;
use crate::{Error, Grammar};
use std::collections::BTreeSet;

/// How much of the grammar's distribution a set of samples covers; every figure is exact.
///
/// A *choice* is one use of an alternative: a sentence shape, a number, an optional modifier, a
/// word from a list. The grammar makes about twenty in a sentence, so choices show within a few
/// thousand samples what whole sentences, of which there are too many, cannot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coverage {
    /// How many samples were given.
    pub samples: usize,
    /// Share of the samples that are grammatical.
    pub grammatical: f64,
    /// How many different grammatical sentences there are among them.
    pub distinct: usize,
    /// The probability, under the grammar, of that set of different sentences.
    pub mass: f64,
    /// Share of the grammar's running words that occur in the grammatical samples.
    pub words: f64,
    /// Share of the choices the grammar makes whose alternative occurs in the grammatical samples.
    pub choices: f64,
    /// Kullback-Leibler divergence, in nats a sentence, from the choices of the grammatical
    /// samples to the grammar's, choices taken as independent given their rule. Even samples of
    /// the grammar itself have about (free parameters) / (2 x samples). Zero when there are none.
    pub divergence: f64,
}

impl Grammar {
    /// How much of the distribution these samples cover, and how faithfully.
    ///
    /// A sentence with several derivations counts with its most likely one.
    ///
    /// # Errors
    /// No samples.
    pub fn coverage<S: AsRef<str>>(&self, samples: &[S]) -> Result<Coverage, Error> {
        if samples.is_empty() {
            return Err(Error::NoSamples);
        }
        let expected = &self.statistics;
        let mut words = vec![false; expected.word_counts.len()];
        let mut counts = vec![0u64; expected.choice_counts.len()];
        let mut sentences = BTreeSet::new();
        let (mut grammatical, mut mass) = (0usize, 0.0);
        for sample in samples {
            let Some(derivation) = self.derivation(sample.as_ref()) else { continue };
            grammatical += 1;
            derivation.choices.iter().for_each(|&choice| counts[choice as usize] += 1);
            derivation.words.iter().for_each(|&word| words[word as usize] = true);
            if sentences.insert(derivation.words) {
                mass += self.log_prob(sample.as_ref()).map_or(0.0, f64::exp);
            }
        }
        Ok(Coverage {
            samples: samples.len(),
            grammatical: grammatical as f64 / samples.len() as f64,
            distinct: sentences.len(),
            mass,
            words: share(&expected.word_counts, |i| words[i]),
            choices: self.choice_share(&counts),
            divergence: self.divergence(&counts, grammatical),
        })
    }

    fn choice_share(&self, counts: &[u64]) -> f64 {
        let mut expected = self.statistics.choice_counts.clone();
        let mut first = 0;
        for &alternatives in &self.alternatives {
            if alternatives == 1 {
                expected[first] = 0.0; // not a choice
            }
            first += alternatives as usize;
        }
        share(&expected, |i| counts[i] > 0)
    }

    fn divergence(&self, counts: &[u64], sentences: usize) -> f64 {
        let mut total = 0.0;
        let mut first = 0;
        for &alternatives in &self.alternatives {
            let range = first..first + alternatives as usize;
            first = range.end;
            let used: u64 = counts[range.clone()].iter().sum();
            let expected: f64 = self.statistics.choice_counts[range.clone()].iter().sum();
            for i in range.filter(|&i| counts[i] > 0) {
                let count = counts[i] as f64;
                total += count
                    * ((count / used as f64) / (self.statistics.choice_counts[i] / expected)).ln();
            }
        }
        if sentences == 0 { 0.0 } else { total / sentences as f64 }
    }

    /// The most likely derivation of a sentence (Viterbi, 1967).
    fn derivation(&self, sentence: &str) -> Option<Derivation> {
        let words = sentence
            .split_whitespace()
            .map(|word| self.word_id(word))
            .collect::<Option<Vec<u32>>>()?;
        let automaton = &self.automaton;
        // After each word, the best way into each state.
        let starts = automaton.starts.iter().zip(self.priors());
        let first = starts.map(|(&state, prior)| Way {
            state,
            log_prob: prior.ln(),
            before: 0,
            choices: &[],
        });
        let mut ways: Vec<Vec<Way>> = vec![first.collect()];
        for &word in words.iter().chain([&END]) {
            let mut next: Vec<Way> = Vec::new();
            for (before, way) in ways[ways.len() - 1].iter().enumerate() {
                next.extend(automaton.saying(way.state, word).iter().map(|arc| Way {
                    state: arc.next,
                    log_prob: way.log_prob + arc.probability.ln(),
                    before,
                    choices: automaton.choices(arc),
                }));
            }
            next.sort_by(|a, b| a.state.cmp(&b.state).then(b.log_prob.total_cmp(&a.log_prob)));
            next.dedup_by_key(|way| way.state);
            ways.push(next);
        }
        let mut choices = Vec::new();
        let mut at = 0;
        ways.last()?.first()?;
        for step in ways.iter().rev() {
            choices.extend_from_slice(step[at].choices);
            at = step[at].before;
        }
        Some(Derivation { words, choices })
    }
}

/// The best way into a state.
struct Way<'a> {
    state: u32,
    log_prob: f64,
    /// Index of the way it continues, among those after the word before.
    before: usize,
    /// The alternatives chosen for its last word.
    choices: &'a [u32],
}

struct Derivation {
    words: Vec<u32>,
    /// The alternatives chosen, in no particular order.
    choices: Vec<u32>,
}

/// The share of a total weight that lies on the indices that `has` accepts.
fn share(weights: &[f64], has: impl Fn(usize) -> bool) -> f64 {
    let total: f64 = weights.iter().sum();
    let part: f64 = weights.iter().enumerate().filter(|&(i, _)| has(i)).map(|(_, w)| w).sum();
    if total > 0.0 { part / total } else { 1.0 }
}
