//! A suffix automaton of many sentences.
//!
//! Its states are classes of token runs that end at the same places (Blumer et al., 1985). Every run
//! of a sentence leads from the root to one state, and a run that cannot be continued is shortened
//! by following links. It is built online, one token at a time, in time and memory linear in the
//! text; a sentence after the first starts at the root again (Mohri et al., 2009).

use crate::Error;
use crate::grams::Mix;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;

/// The state of the empty run.
pub(crate) const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;

pub(crate) struct Automaton {
    /// Tokens of the longest run of each state.
    lengths: Vec<u32>,
    /// The state of the longest suffix that ends at more places.
    links: Vec<u32>,
    /// From a state and a token to a state.
    edges: HashMap<u64, u32, BuildHasherDefault<Mix>>,
}

/// While it is built: which tokens lead out of a state, as lists.
struct Builder {
    automaton: Automaton,
    /// By state, its first token in `tokens`.
    heads: Vec<u32>,
    /// A token and where the next one stands.
    tokens: Vec<(u32, u32)>,
}

impl Automaton {
    pub fn new<'a>(sentences: impl Iterator<Item = &'a [u32]>) -> Result<Self, Error> {
        let empty = Self { lengths: Vec::new(), links: Vec::new(), edges: HashMap::default() };
        let mut builder = Builder { automaton: empty, heads: Vec::new(), tokens: Vec::new() };
        builder.state(0, NONE);
        for sentence in sentences {
            // A token makes two states at most.
            if builder.heads.len() + 2 * sentence.len() >= NONE as usize {
                return Err(Error::TooMany);
            }
            sentence.iter().fold(ROOT, |last, &token| builder.extend(last, token));
        }
        Ok(builder.automaton)
    }

    /// How many states there are.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Tokens of the longest run of a state.
    pub fn length(&self, state: u32) -> u32 {
        self.lengths[state as usize]
    }

    /// The state of the longest suffix that ends at more places; the root has none.
    pub fn link(&self, state: u32) -> Option<u32> {
        Some(self.links[state as usize]).filter(|&link| link != NONE)
    }

    pub fn step(&self, state: u32, token: u32) -> Option<u32> {
        self.edges.get(&key(state, token)).copied()
    }

    /// States with those of longer runs first.
    pub fn longest_first(&self) -> Vec<u32> {
        let mut states: Vec<u32> = (0..self.len() as u32).collect();
        states.sort_by_key(|&state| std::cmp::Reverse(self.length(state)));
        states
    }
}

impl Builder {
    fn state(&mut self, length: u32, link: u32) -> u32 {
        self.automaton.lengths.push(length);
        self.automaton.links.push(link);
        self.heads.push(NONE);
        self.heads.len() as u32 - 1
    }

    fn connect(&mut self, from: u32, token: u32, to: u32) {
        if self.automaton.edges.insert(key(from, token), to).is_none() {
            let head = &mut self.heads[from as usize];
            self.tokens.push((token, *head));
            *head = self.tokens.len() as u32 - 1;
        }
    }

    /// The state of a run with one more token.
    fn extend(&mut self, last: u32, token: u32) -> u32 {
        if self.automaton.step(last, token).is_some() {
            return self.exact(last, token);
        }
        let new = self.state(self.automaton.length(last) + 1, ROOT);
        let mut state = Some(last);
        while let Some(from) = state
            && self.automaton.step(from, token).is_none()
        {
            self.connect(from, token, new);
            state = self.automaton.link(from);
        }
        if let Some(from) = state {
            self.automaton.links[new as usize] = self.exact(from, token);
        }
        new
    }

    /// The state behind an edge, split if its longest run is longer than the one that leads there.
    fn exact(&mut self, from: u32, token: u32) -> u32 {
        let edge = key(from, token);
        let whole = self.automaton.edges[&edge];
        let length = self.automaton.length(from) + 1;
        if self.automaton.length(whole) == length {
            return whole;
        }
        let part = self.state(length, self.automaton.links[whole as usize]);
        let mut at = self.heads[whole as usize];
        while at != NONE {
            let (token, next) = self.tokens[at as usize];
            self.connect(part, token, self.automaton.edges[&key(whole, token)]);
            at = next;
        }
        self.automaton.links[whole as usize] = part;
        let mut state = Some(from);
        while let Some(from) = state
            && self.automaton.step(from, token) == Some(whole)
        {
            self.connect(from, token, part);
            state = self.automaton.link(from);
        }
        part
    }
}

fn key(state: u32, token: u32) -> u64 {
    u64::from(state) << 32 | u64::from(token)
}
