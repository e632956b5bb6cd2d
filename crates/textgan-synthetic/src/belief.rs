//! The forward algorithm, one word at a time.

use crate::automaton::{Automaton, END};

/// The states a prefix may have led to, with their probabilities given the prefix.
pub(crate) struct Belief<'a> {
    automaton: &'a Automaton,
    /// Sorted by state; weights sum to 1.
    states: Vec<(u32, f64)>,
}

impl<'a> Belief<'a> {
    /// The belief before the first word: start states and their probabilities.
    pub fn new(automaton: &'a Automaton, states: impl IntoIterator<Item = (u32, f64)>) -> Self {
        Self { automaton, states: states.into_iter().collect() }
    }

    /// Says a word (or [`END`]) and returns its log-probability given the prefix; `None` when it
    /// cannot follow, and then the belief is as it was.
    pub fn advance(&mut self, word: u32) -> Option<f64> {
        let mut next: Vec<(u32, f64)> = Vec::new();
        for &(state, weight) in &self.states {
            let arcs = self.automaton.saying(state, word);
            next.extend(arcs.iter().map(|arc| (arc.next, weight * arc.probability)));
        }
        next.sort_by_key(|&(state, _)| state);
        next.dedup_by(|from, into| {
            let same = from.0 == into.0;
            if same {
                into.1 += from.1;
            }
            same
        });
        let total: f64 = next.iter().map(|&(_, weight)| weight).sum();
        if total <= 0.0 {
            return None;
        }
        next.iter_mut().for_each(|(_, weight)| *weight /= total);
        self.states = next;
        Some(total.ln())
    }

    /// The words that can follow and their probabilities, sorted by word; [`END`] comes last.
    pub fn next(&self) -> Vec<(u32, f64)> {
        let mut next: Vec<(u32, f64)> = Vec::new();
        for &(state, weight) in self.states.iter().filter(|&&(state, _)| state != END) {
            let arcs = self.automaton.arcs(state);
            next.extend(arcs.iter().map(|arc| (arc.word, weight * arc.probability)));
        }
        next.sort_by_key(|&(word, _)| word);
        next.dedup_by(|from, into| {
            let same = from.0 == into.0;
            if same {
                into.1 += from.1;
            }
            same
        });
        next
    }
}
