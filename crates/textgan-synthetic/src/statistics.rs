//! Expectations over the whole language, by dynamic programming over the automaton.

use crate::automaton::{Automaton, END};

pub(crate) struct Statistics {
    /// Entropy of the derivation and its label, in nats.
    pub derivation_entropy: f64,
    /// Expected number of each word in a sentence.
    pub word_counts: Vec<f64>,
    /// Expected number of times each alternative is chosen in a sentence.
    pub choice_counts: Vec<f64>,
    /// Probability of each sentence length.
    pub lengths: Vec<f64>,
}

impl Statistics {
    pub fn new(automaton: &Automaton, priors: &[f64], words: usize, choices: usize) -> Self {
        let mut visits: Vec<Counts> = (0..automaton.states()).map(|_| Counts::default()).collect();
        for (&start, &prior) in automaton.starts.iter().zip(priors) {
            visits[start as usize] = Counts { first: 0, probabilities: vec![prior] };
        }
        let mut word_counts = vec![0.0; words];
        let mut choice_counts = vec![0.0; choices];
        let mut ends = Counts::default();
        let mut derivation_entropy = -priors.iter().map(|p| p * p.ln()).sum::<f64>();
        for &state in &automaton.order {
            let here = std::mem::take(&mut visits[state as usize]);
            let visited: f64 = here.probabilities.iter().sum();
            for arc in automaton.arcs(state) {
                let taken = visited * arc.probability;
                derivation_entropy -= taken * arc.probability.ln();
                automaton.choices(arc).iter().for_each(|&c| choice_counts[c as usize] += taken);
                if arc.word == END {
                    ends.add(here.first, &here.probabilities, arc.probability);
                } else {
                    word_counts[arc.word as usize] += taken;
                    visits[arc.next as usize].add(
                        here.first + 1,
                        &here.probabilities,
                        arc.probability,
                    );
                }
            }
        }
        let mut lengths = vec![0.0; ends.first];
        lengths.append(&mut ends.probabilities);
        Self { derivation_entropy, word_counts, choice_counts, lengths }
    }
}

/// Probabilities of numbers of words, from the smallest possible one on.
#[derive(Default)]
struct Counts {
    first: usize,
    probabilities: Vec<f64>,
}

impl Counts {
    /// Adds `from[n] * factor` to the probability of `first + n` words.
    fn add(&mut self, first: usize, from: &[f64], factor: f64) {
        if self.probabilities.is_empty() {
            self.first = first;
        }
        if first < self.first {
            self.probabilities.splice(0..0, std::iter::repeat_n(0.0, self.first - first));
            self.first = first;
        }
        let shift = first - self.first;
        if self.probabilities.len() < from.len() + shift {
            self.probabilities.resize(from.len() + shift, 0.0);
        }
        for (into, from) in self.probabilities[shift..].iter_mut().zip(from) {
            *into += from * factor;
        }
    }
}
