//! Whether some sentence has two derivations.

use crate::automaton::{Automaton, END};
use std::collections::HashSet;

/// A shortest sentence with two paths through the automaton (from any of its starts), as word ids.
///
/// Breadth-first search over pairs of states that the same words lead to. A pair of different
/// states comes from two different paths, as does a pair of equal states reached by different
/// arcs; such a pair that can end together is an ambiguity.
pub(crate) fn witness(automaton: &Automaton) -> Option<Vec<u32>> {
    let mut search = Search { parents: Vec::new(), known: HashSet::new() };
    for (i, &a) in automaton.starts.iter().enumerate() {
        for (j, &b) in automaton.starts.iter().enumerate().skip(i) {
            search.reach(Pair { a, b, split: i != j }, None);
        }
    }
    let mut done = 0;
    while done < search.parents.len() {
        let (pair, _) = search.parents[done];
        for (i, left) in automaton.arcs(pair.a).iter().enumerate() {
            // Before the paths split, each unordered pair of arcs is looked at once.
            let (from, right) = if pair.a == pair.b && !pair.split {
                (i, &automaton.arcs(pair.a)[i..])
            } else {
                (usize::MAX, automaton.saying(pair.b, left.word))
            };
            for (j, right) in right.iter().take_while(|arc| arc.word == left.word).enumerate() {
                let split = pair.split || (from == i && j > 0);
                if left.word == END {
                    if split {
                        return Some(search.sentence(done));
                    }
                    continue;
                }
                let (a, b) = (left.next.min(right.next), left.next.max(right.next));
                search.reach(Pair { a, b, split }, Some((done, left.word)));
            }
        }
        done += 1;
    }
    None
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Pair {
    a: u32,
    b: u32,
    split: bool,
}

struct Search {
    /// Every pair reached, in order, with the pair and the word it was first reached by.
    parents: Vec<(Pair, Option<(usize, u32)>)>,
    known: HashSet<Pair>,
}

impl Search {
    fn reach(&mut self, pair: Pair, parent: Option<(usize, u32)>) {
        if self.known.insert(pair) {
            self.parents.push((pair, parent));
        }
    }

    fn sentence(&self, mut at: usize) -> Vec<u32> {
        let mut words = Vec::new();
        while let (_, Some((parent, word))) = self.parents[at] {
            words.push(word);
            at = parent;
        }
        words.reverse();
        words
    }
}
