//! The longest run of tokens that each sample shares with the training set.
//!
//! The samples, not the training set, are indexed: one suffix automaton of all of them. Each
//! training sentence walks through it once and leaves at every state the longest run it reached
//! there. Time is linear in both texts and memory in that of the samples alone, so a million
//! sentences can be searched.

use crate::Error;
use crate::automaton::{Automaton, ROOT};
use rayon::prelude::*;

/// Training sentences a parallel task takes at a time.
const TASK: usize = 4096;

/// A run of tokens that stands in a sample and in a training sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Run {
    /// Its tokens.
    pub length: usize,
    /// Where it begins in the sample; the first such place.
    pub start: usize,
    /// A training sentence that has it.
    pub sentence: usize,
}

/// For every sample its longest run of consecutive tokens that one training sentence has too;
/// `None` where not a single token is shared.
///
/// # Errors
/// No samples, or no training sentences.
pub fn longest_runs<S, T>(samples: &[S], training: &[T]) -> Result<Vec<Option<Run>>, Error>
where
    S: AsRef<[u32]> + Sync,
    T: AsRef<[u32]> + Sync,
{
    if samples.is_empty() {
        return Err(Error::Nothing { set: "samples" });
    }
    if training.is_empty() {
        return Err(Error::Nothing { set: "training sentences" });
    }
    if training.len() >= u32::MAX as usize {
        return Err(Error::TooMany);
    }
    let automaton = Automaton::new(samples.iter().map(AsRef::as_ref))?;
    let mut reached = training
        .par_chunks(TASK)
        .enumerate()
        .fold(
            || vec![Reached::default(); automaton.len()],
            |mut reached, (task, sentences)| {
                for (i, sentence) in sentences.iter().enumerate() {
                    walk(&automaton, sentence.as_ref(), (task * TASK + i) as u32, &mut reached);
                }
                reached
            },
        )
        .reduce(
            || vec![Reached::default(); automaton.len()],
            |mut all, part| {
                all.iter_mut().zip(&part).for_each(|(all, &part)| *all = (*all).max(part));
                all
            },
        );
    settle(&automaton, &mut reached);
    Ok(samples.par_iter().map(|sample| longest(&automaton, &reached, sample.as_ref())).collect())
}

/// The longest run of a state that stands in a training sentence, and the first sentence that
/// reached so far. As one number: length, then the sentence counted backwards, so the largest is
/// the same in whichever order they come.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Reached(u64);

impl Reached {
    fn new(length: u32, sentence: u32) -> Self {
        Self(u64::from(length) << 32 | u64::from(u32::MAX - sentence))
    }

    fn length(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn sentence(self) -> u32 {
        u32::MAX - self.0 as u32
    }
}

/// Leaves the longest run of a sentence at every state it comes through.
fn walk(automaton: &Automaton, sentence: &[u32], number: u32, reached: &mut [Reached]) {
    let (mut state, mut length) = (ROOT, 0);
    for &token in sentence {
        (state, length) = loop {
            if let Some(next) = automaton.step(state, token) {
                break (next, length + 1);
            }
            let Some(link) = automaton.link(state) else { break (ROOT, 0) };
            (state, length) = (link, automaton.length(link));
        };
        let reached = &mut reached[state as usize];
        *reached = (*reached).max(Reached::new(length, number));
    }
}

/// What reached a state also reached its suffixes, whole; and a state that nothing reached has the
/// run of its longest suffix that something did.
fn settle(automaton: &Automaton, reached: &mut [Reached]) {
    let states = automaton.longest_first();
    for &state in &states {
        let here = reached[state as usize];
        if let Some(link) = automaton.link(state)
            && here.length() > 0
        {
            let suffix = Reached::new(automaton.length(link), here.sentence());
            reached[link as usize] = reached[link as usize].max(suffix);
        }
    }
    for &state in states.iter().rev() {
        if let Some(link) = automaton.link(state)
            && reached[state as usize].length() == 0
        {
            reached[state as usize] = reached[link as usize];
        }
    }
}

fn longest(automaton: &Automaton, reached: &[Reached], sample: &[u32]) -> Option<Run> {
    let (mut state, mut best) = (ROOT, None);
    for (i, &token) in sample.iter().enumerate() {
        // Every sample is in the automaton.
        state = automaton.step(state, token)?;
        let here = reached[state as usize];
        let length = here.length() as usize;
        if length > best.map_or(0, |run: Run| run.length) {
            let (start, sentence) = (i + 1 - length, here.sentence() as usize);
            best = Some(Run { length, start, sentence });
        }
    }
    best
}
