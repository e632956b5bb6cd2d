//! The training sentence nearest to a sample.
//!
//! Nearest by edit distance over tokens (Levenshtein, 1966): how many tokens must be inserted,
//! deleted or replaced. An inverted index counts how many of the sample's rarest tokens each training
//! sentence has; whoever lacks more of them than the best found so far is apart cannot be nearer. So
//! the most frequent tokens, which almost every sentence has, need not be counted, and few sentences
//! are compared. The answer is exact.

use crate::Error;
use crate::grams::Mix;
use rayon::prelude::*;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;

/// Samples a parallel task takes at a time.
const TASK: usize = 64;

/// Tokens that are counted beyond what a sentence may lack: the more, the fewer are compared.
const MARGIN: usize = 6;

/// Training sentences, indexed by their tokens.
pub struct Nearest {
    numbers: HashMap<u32, u32, BuildHasherDefault<Mix>>,
    /// All sentences, their tokens numbered from 0.
    tokens: Lists,
    /// By token number, the sentences that have it, in order.
    holders: Lists,
    /// By length, the first sentence of it; sorted by length.
    lengths: Vec<(usize, u32)>,
}

/// The training sentence nearest to a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Neighbour {
    /// Tokens to insert, delete or replace.
    pub distance: usize,
    /// Its position in the training set; the first of several.
    pub sentence: usize,
}

impl Nearest {
    /// Indexes training sentences.
    ///
    /// # Errors
    /// No training sentences.
    pub fn new<T: AsRef<[u32]>>(training: &[T]) -> Result<Self, Error> {
        if training.is_empty() {
            return Err(Error::Nothing { set: "training sentences" });
        }
        if training.len() >= u32::MAX as usize {
            return Err(Error::TooMany);
        }
        let mut numbers = HashMap::default();
        let mut tokens = Lists::default();
        let mut last_holder: Vec<u32> = Vec::new();
        let mut sizes: Vec<usize> = Vec::new();
        let mut held = Vec::new();
        for (sentence, text) in training.iter().enumerate() {
            for &token in text.as_ref() {
                let next = numbers.len() as u32;
                let number = *numbers.entry(token).or_insert(next);
                if number == next {
                    last_holder.push(u32::MAX);
                    sizes.push(0);
                }
                tokens.items.push(number);
                let last = &mut last_holder[number as usize];
                if *last != sentence as u32 {
                    *last = sentence as u32;
                    sizes[number as usize] += 1;
                    held.push((number, sentence as u32));
                }
            }
            tokens.ends.push(tokens.items.len());
        }
        let holders = Lists::gathered(&sizes, &held);
        let mut lengths: Vec<(usize, u32)> =
            training.iter().zip(0..).map(|(text, i)| (text.as_ref().len(), i)).collect();
        lengths.sort_unstable();
        lengths.dedup_by_key(|&mut (length, _)| length);
        Ok(Self { numbers, tokens, holders, lengths })
    }

    /// The nearest training sentence of every sample.
    pub fn find_all<S: AsRef<[u32]> + Sync>(&self, samples: &[S]) -> Vec<Neighbour> {
        let chunks = samples.par_chunks(TASK);
        chunks
            .flat_map_iter(|samples| {
                let mut search = Search::new(self);
                samples.iter().map(move |sample| search.find(sample.as_ref()))
            })
            .collect()
    }

    /// The nearest training sentence of one sample.
    pub fn find(&self, sample: &[u32]) -> Neighbour {
        Search::new(self).find(sample)
    }

    /// A sentence that shares nothing is as far as the longer of the two is long. The first of the
    /// nearest such, as if it shared nothing.
    fn stranger(&self, length: usize) -> Neighbour {
        let fitting = self.lengths.partition_point(|&(l, _)| l <= length);
        let first = self.lengths[..fitting].iter().map(|&(_, sentence)| sentence).min();
        match first {
            Some(sentence) => Neighbour { distance: length, sentence: sentence as usize },
            None => {
                let (distance, sentence) = self.lengths[0];
                Neighbour { distance, sentence: sentence as usize }
            }
        }
    }
}

/// Lists in one piece of memory.
#[derive(Default)]
struct Lists {
    items: Vec<u32>,
    /// Where each list ends.
    ends: Vec<usize>,
}

impl Lists {
    /// From pairs of list and item.
    fn gathered(sizes: &[usize], pairs: &[(u32, u32)]) -> Self {
        let mut ends = sizes.to_vec();
        let mut total = 0;
        for end in &mut ends {
            let begin = total;
            total += *end;
            *end = begin;
        }
        let mut items = vec![0; total];
        for &(list, item) in pairs {
            let end = &mut ends[list as usize];
            items[*end] = item;
            *end += 1;
        }
        Self { items, ends }
    }

    fn get(&self, list: usize) -> &[u32] {
        let begin = if list == 0 { 0 } else { self.ends[list - 1] };
        &self.items[begin..self.ends[list]]
    }
}

/// One search after another, with buffers that are used again.
struct Search<'a> {
    index: &'a Nearest,
    /// By sentence, tokens of the sample that it has: at least as many as both share.
    shared: Vec<u16>,
    /// Sentences that may be nearer, and the least distance they can have.
    candidates: Vec<(usize, u32)>,
    distance: Distance,
}

impl<'a> Search<'a> {
    fn new(index: &'a Nearest) -> Self {
        Self {
            index,
            shared: vec![0; index.tokens.ends.len()],
            candidates: Vec::new(),
            distance: Distance::new(index.holders.ends.len()),
        }
    }

    fn find(&mut self, sample: &[u32]) -> Neighbour {
        let index = self.index;
        let numbered: Vec<Option<u32>> =
            sample.iter().map(|token| index.numbers.get(token).copied()).collect();
        let mut rarest: Vec<&[u32]> = numbered
            .iter()
            .map(|number| number.map_or(&[][..], |number| index.holders.get(number as usize)))
            .collect();
        rarest.sort_by_key(|holders| holders.len());
        self.distance.begin(&numbered);
        self.shared.fill(0);
        // The rarer half, and those that have most of it: a distance that few others can beat.
        let half = sample.len().div_ceil(2);
        self.count(&rarest[..half]);
        let most = self.shared.iter().copied().max().unwrap_or(0).max(1);
        let mut best = index.stranger(sample.len());
        self.compare(sample.len(), half, most, &mut best);
        // So many that whoever is as near has some of them.
        let counted = (best.distance + MARGIN).clamp(half, sample.len());
        self.count(&rarest[half..counted]);
        self.compare(sample.len(), counted, 1, &mut best);
        self.distance.end(&numbered);
        best
    }

    /// Counts tokens of the sample at every sentence that has them.
    fn count(&mut self, tokens: &[&[u32]]) {
        for &sentence in tokens.iter().copied().flatten() {
            let shared = &mut self.shared[sentence as usize];
            *shared = shared.saturating_add(1);
        }
    }

    /// Compares the sentences that have at least `least_shared` of the `counted` tokens and may be as
    /// near as the best.
    fn compare(&mut self, length: usize, counted: usize, least_shared: u16, best: &mut Neighbour) {
        self.candidates.clear();
        for (sentence, &shared) in (0u32..).zip(&self.shared) {
            // A count that is full says nothing.
            let lacks = if shared == u16::MAX { 0 } else { counted - usize::from(shared) };
            if shared < least_shared || lacks > best.distance {
                continue;
            }
            let text = self.index.tokens.get(sentence as usize).len();
            let least = (lacks + text.saturating_sub(length)).max(length.saturating_sub(text));
            if least <= best.distance {
                self.candidates.push((least, sentence));
            }
        }
        self.candidates.sort_unstable();
        for &(least, sentence) in &self.candidates {
            if least > best.distance {
                break;
            }
            let distance = self.distance.to(self.index.tokens.get(sentence as usize));
            let sentence = sentence as usize;
            if (distance, sentence) < (best.distance, best.sentence) {
                *best = Neighbour { distance, sentence };
            }
        }
    }
}

/// The edit distance of many sentences to one sample: bit-parallel (Myers, 1999; Hyyrö, 2003) up to
/// 64 tokens, row by row beyond.
struct Distance {
    /// By token number, where it stands in the sample.
    places: Vec<u64>,
    sample: Vec<Option<u32>>,
    row: Vec<usize>,
}

impl Distance {
    fn new(tokens: usize) -> Self {
        Self { places: vec![0; tokens], sample: Vec::new(), row: Vec::new() }
    }

    fn begin(&mut self, sample: &[Option<u32>]) {
        self.sample.clear();
        self.sample.extend_from_slice(sample);
        if sample.len() <= 64 {
            for (i, number) in sample.iter().enumerate() {
                if let Some(number) = number {
                    self.places[*number as usize] |= 1 << i;
                }
            }
        }
    }

    fn end(&mut self, sample: &[Option<u32>]) {
        for number in sample.iter().flatten() {
            self.places[*number as usize] = 0;
        }
    }

    fn to(&mut self, text: &[u32]) -> usize {
        match self.sample.len() {
            0 => text.len(),
            1..=64 => self.bits(text),
            _ => self.rows(text),
        }
    }

    /// Bit `i` says whether the distance grows or shrinks by one from token `i - 1` to token `i` of
    /// the sample, in the column of the text's token.
    fn bits(&self, text: &[u32]) -> usize {
        let last = 1u64 << (self.sample.len() - 1);
        let (mut grows, mut shrinks, mut distance) = (u64::MAX, 0u64, self.sample.len());
        for &token in text {
            let equal = self.places[token as usize];
            let diagonal = (((equal & grows).wrapping_add(grows)) ^ grows) | equal | shrinks;
            let mut right_grows = shrinks | !(diagonal | grows);
            let mut right_shrinks = grows & diagonal;
            if right_grows & last != 0 {
                distance += 1;
            }
            if right_shrinks & last != 0 {
                distance -= 1;
            }
            right_grows = right_grows << 1 | 1;
            right_shrinks <<= 1;
            grows = right_shrinks | !(diagonal | right_grows);
            shrinks = right_grows & diagonal;
        }
        distance
    }

    fn rows(&mut self, text: &[u32]) -> usize {
        self.row.clear();
        self.row.extend(0..=self.sample.len());
        for &token in text {
            let mut diagonal = self.row[0];
            self.row[0] += 1;
            for (i, number) in self.sample.iter().enumerate() {
                let replaced = diagonal + usize::from(*number != Some(token));
                diagonal = self.row[i + 1];
                self.row[i + 1] = replaced.min(diagonal + 1).min(self.row[i] + 1);
            }
        }
        self.row[self.sample.len()]
    }
}
