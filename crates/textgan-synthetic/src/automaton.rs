//! The grammar as an acyclic automaton over words.
//!
//! A state is what is still to be said: a stack of words and symbols, as a top-down parser keeps
//! it. Stacks are shared (hash-consed), so equal continuations are one state. An arc says a word
//! and carries the probability of the choices made on the way to it; a path is one leftmost
//! derivation, and the sum over the paths of a sentence is its exact probability.

use crate::Error;
use crate::plain::{Item, Plain};
use std::collections::HashMap;

/// The "word" of the arc that ends a sentence.
pub(crate) const END: u32 = u32::MAX;
/// More arcs than this are refused (some hundred megabytes).
const ARC_LIMIT: usize = 4_000_000;

pub(crate) struct Arc {
    pub word: u32,
    pub next: u32,
    pub probability: f64,
    choices: (u32, u32),
}

pub(crate) struct Automaton {
    arcs: Vec<Arc>,
    /// Where the arcs of each state begin, and one more.
    offsets: Vec<usize>,
    choices: Vec<u32>,
    /// The start state of each of the grammar's starts.
    pub starts: Vec<u32>,
    /// Every state before all that follow it.
    pub order: Vec<u32>,
}

/// Hash-consed stacks; 0 is the empty one.
#[derive(Default)]
struct Stacks {
    cells: Vec<(Item, u32)>,
    known: HashMap<(Item, u32), u32>,
}

impl Stacks {
    fn push(&mut self, item: Item, tail: u32) -> u32 {
        *self.known.entry((item, tail)).or_insert_with(|| {
            self.cells.push((item, tail));
            self.cells.len() as u32
        })
    }

    fn pop(&self, stack: u32) -> Option<(Item, u32)> {
        (stack as usize).checked_sub(1).map(|i| self.cells[i])
    }
}

impl Automaton {
    pub fn build(grammar: &Plain) -> Result<Self, Error> {
        let mut first_choice = Vec::with_capacity(grammar.symbols.len());
        let mut count = 0;
        for symbol in &grammar.symbols {
            first_choice.push(count);
            count += symbol.alternatives.len() as u32;
        }
        let mut stacks = Stacks::default();
        // The lookup is by key only; ids are given in order of discovery.
        let mut states: HashMap<u32, u32> = HashMap::new();
        let mut queue: Vec<u32> = Vec::new();
        let mut state_of = |stack: u32, queue: &mut Vec<u32>| {
            *states.entry(stack).or_insert_with(|| {
                queue.push(stack);
                queue.len() as u32 - 1
            })
        };
        let starts: Vec<u32> = grammar
            .starts
            .iter()
            .map(|start| state_of(stacks.push(Item::Symbol(start.symbol), 0), &mut queue))
            .collect();
        let (mut arcs, mut offsets, mut choices) = (Vec::new(), vec![0], Vec::new());
        let mut done = 0;
        while done < queue.len() {
            let mut open = vec![(queue[done], 1.0, Vec::new())];
            while let Some((stack, probability, made)) = open.pop() {
                let (word, next) = match stacks.pop(stack) {
                    Some((Item::Symbol(symbol), tail)) => {
                        let first = first_choice[symbol as usize];
                        let alternatives = &grammar.symbols[symbol as usize].alternatives;
                        for (i, alternative) in alternatives.iter().enumerate() {
                            let rest = alternative
                                .items
                                .iter()
                                .rev()
                                .fold(tail, |tail, &item| stacks.push(item, tail));
                            let mut made = made.clone();
                            made.push(first + i as u32);
                            open.push((rest, probability * alternative.probability, made));
                        }
                        if open.len() + arcs.len() + choices.len() / 8 > ARC_LIMIT {
                            return Err(Error::TooLarge { limit: ARC_LIMIT });
                        }
                        continue;
                    }
                    Some((Item::Word(word), tail)) => (word, state_of(tail, &mut queue)),
                    None => (END, u32::MAX),
                };
                let from = choices.len() as u32;
                choices.extend_from_slice(&made);
                arcs.push(Arc { word, next, probability, choices: (from, choices.len() as u32) });
            }
            let from = *offsets.last().unwrap_or(&0);
            arcs[from..].sort_by_key(|arc: &Arc| (arc.word, arc.next));
            offsets.push(arcs.len());
            done += 1;
        }
        let order = order(&arcs, &offsets);
        Ok(Self { arcs, offsets, choices, starts, order })
    }

    pub fn states(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The arcs of a state, sorted by word; the one that ends the sentence comes last.
    pub fn arcs(&self, state: u32) -> &[Arc] {
        &self.arcs[self.offsets[state as usize]..self.offsets[state as usize + 1]]
    }

    /// The arcs of a state that say `word`.
    pub fn saying(&self, state: u32, word: u32) -> &[Arc] {
        let arcs = self.arcs(state);
        let from = arcs.partition_point(|arc| arc.word < word);
        let to = from + arcs[from..].partition_point(|arc| arc.word == word);
        &arcs[from..to]
    }

    /// The alternatives chosen before this arc's word.
    pub fn choices(&self, arc: &Arc) -> &[u32] {
        &self.choices[arc.choices.0 as usize..arc.choices.1 as usize]
    }
}

/// Kahn's topological order; all states are reached from a start and there is no loop.
fn order(arcs: &[Arc], offsets: &[usize]) -> Vec<u32> {
    let states = offsets.len() - 1;
    let mut incoming = vec![0u32; states];
    for arc in arcs.iter().filter(|arc| arc.word != END) {
        incoming[arc.next as usize] += 1;
    }
    let mut order: Vec<u32> = (0..states as u32).filter(|&s| incoming[s as usize] == 0).collect();
    let mut done = 0;
    while done < order.len() {
        let state = order[done] as usize;
        for arc in arcs[offsets[state]..offsets[state + 1]].iter().filter(|arc| arc.word != END) {
            incoming[arc.next as usize] -= 1;
            if incoming[arc.next as usize] == 0 {
                order.push(arc.next);
            }
        }
        done += 1;
    }
    order
}
