use std::collections::HashMap;

use rayon::prelude::*;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::Metaspace;
use tokenizers::pre_tokenizers::split::Split;
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

use crate::pattern::Pattern;
use crate::{Error, Kind, Result, TokenizerConfig};

/// Distinct units kept while counting: about 200 MB with words of usual length.
const MOST_UNITS: usize = 2_000_000;

/// Longer words teach no pieces, and would make the lattice of `unigram` quadratic.
const LONGEST_WORD: usize = 512;

/// Texts that one task counts; large enough to hide the merge of its table.
const TEXTS_A_TASK: usize = 128;

/// How often each unit (a word, a character) occurs, in bounded memory.
///
/// When there are more than [`MOST_UNITS`] distinct ones, the rarest are forgotten and the floor
/// rises, as fastText does. It depends on the order of the texts alone.
pub(crate) struct Counts {
    splitter: Splitter,
    units: HashMap<String, u64>,
    most_units: usize,
    floor: u64,
    /// Occurrences of all units, forgotten ones included.
    pub(crate) total: u64,
    /// Occurrences of forgotten units.
    pub(crate) forgotten: u64,
}

/// The units of a text, cut as the finished tokenizer will cut them.
pub(crate) enum Splitter {
    Words,
    Characters,
    Pattern(Pattern),
    Joined(Split),
    Bytes(ByteLevel),
    Pieces(Metaspace),
}

impl Counts {
    pub(crate) fn new(config: &TokenizerConfig) -> Result<Self> {
        let splitter = match (config.kind, &config.together) {
            (Kind::Word | Kind::File, _) => Splitter::Words,
            (Kind::Character, None) => Splitter::Characters,
            (Kind::Character, Some(together)) => {
                let pattern = TokenizerConfig::pattern_of_characters(Some(together));
                match Pattern::new(&pattern) {
                    Some(pattern) => Splitter::Pattern(pattern),
                    None => Splitter::Joined(
                        TokenizerConfig::cut_characters(together)
                            .map_err(Error::tokenizers("reading tokenizer.together"))?,
                    ),
                }
            }
            (Kind::ByteBpe, _) => Splitter::Bytes(ByteLevel::new(false, true, true)),
            (Kind::Unigram, _) => Splitter::Pieces(Metaspace::default()),
        };
        Ok(Self {
            splitter,
            units: HashMap::new(),
            most_units: MOST_UNITS,
            floor: 0,
            total: 0,
            forgotten: 0,
        })
    }

    /// Counts the units of `texts`.
    pub(crate) fn add<T: AsRef<str> + Sync>(&mut self, texts: &[T]) -> Result<()> {
        let splitter = &self.splitter;
        let tables: Vec<HashMap<String, u64>> = texts
            .par_chunks(TEXTS_A_TASK)
            .map(|texts| count(splitter, texts))
            .collect::<Result<_>>()?;
        for table in tables {
            for (unit, count) in table {
                self.total += count;
                *self.units.entry(unit).or_default() += count;
            }
        }
        while self.units.len() > self.most_units {
            self.floor += 1;
            let (floor, forgotten) = (self.floor, &mut self.forgotten);
            self.units.retain(|_, count| {
                let keep = *count > floor;
                *forgotten += if keep { 0 } else { *count };
                keep
            });
        }
        Ok(())
    }

    pub(crate) fn distinct(&self) -> usize {
        self.units.len()
    }

    /// The units that occur at least `min_frequency` times: most frequent first, ties by their
    /// bytes, so the order says nothing about the hash table.
    pub(crate) fn sorted(&self, min_frequency: u64) -> Vec<(&str, u64)> {
        let mut units: Vec<(&str, u64)> = self
            .units
            .iter()
            .map(|(unit, &count)| (unit.as_str(), count))
            .filter(|&(_, count)| count >= min_frequency)
            .collect();
        units.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        units
    }
}

fn count<T: AsRef<str>>(splitter: &Splitter, texts: &[T]) -> Result<HashMap<String, u64>> {
    let mut table: HashMap<String, u64> = HashMap::new();
    let mut add = |unit: &str| match table.get_mut(unit) {
        Some(count) => *count += 1,
        None => {
            table.insert(unit.to_owned(), 1);
        }
    };
    for text in texts {
        let text = text.as_ref();
        match splitter {
            Splitter::Words => text.split_whitespace().for_each(&mut add),
            Splitter::Characters => {
                let mut utf8 = [0; 4];
                text.chars().for_each(|character| add(character.encode_utf8(&mut utf8)));
            }
            Splitter::Pattern(pattern) => pattern.cut(text, &mut add),
            Splitter::Joined(cut) => cut_words(cut, text, &mut add)?,
            Splitter::Bytes(cut) => cut_words(cut, text, &mut add)?,
            Splitter::Pieces(cut) => cut_words(cut, text, &mut add)?,
        }
    }
    Ok(table)
}

fn cut_words(cut: &impl PreTokenizer, text: &str, add: &mut impl FnMut(&str)) -> Result<()> {
    let mut words = PreTokenizedString::from(text);
    cut.pre_tokenize(&mut words).map_err(Error::tokenizers("cutting a text into words"))?;
    for (word, ..) in words.get_splits(OffsetReferential::Normalized, OffsetType::None) {
        if word.len() <= LONGEST_WORD {
            add(word);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rarest_are_forgotten_when_there_are_too_many() {
        let mut counts = Counts::new(&TokenizerConfig::default()).unwrap();
        counts.most_units = 3;
        counts.add(&["a a a b b c"]).unwrap();
        assert_eq!((counts.distinct(), counts.forgotten), (3, 0));
        counts.add(&["d a"]).unwrap();
        assert_eq!(counts.sorted(1), [("a", 4), ("b", 2)]);
        assert_eq!((counts.total, counts.forgotten), (8, 2));
    }

    #[test]
    fn ties_are_in_the_order_of_their_bytes() {
        let mut counts =
            Counts::new(&TokenizerConfig { kind: Kind::Character, ..Default::default() }).unwrap();
        counts.add(&["bca", "a"]).unwrap();
        assert_eq!(counts.sorted(1), [("a", 2), ("b", 1), ("c", 1)]);
    }
}
