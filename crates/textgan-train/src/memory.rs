//! What an algorithm remembers between steps, by name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Named memory of a phase. It is all that changes besides weights and moments, so it is part of
/// every checkpoint, and an algorithm that keeps nothing elsewhere resumes to the same bits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    numbers: BTreeMap<String, f64>,
    texts: BTreeMap<String, Vec<StoredText>>,
}

/// A text that is kept, such as an older sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredText {
    /// Its content tokens.
    pub tokens: Vec<u32>,
    /// Whether it ended by itself.
    pub ended: bool,
    /// Its label, where there are labels.
    pub label: Option<u32>,
    /// The noise it was made of; empty where there is none.
    pub noise: Vec<f32>,
}

impl Memory {
    /// The number of that name.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.numbers.get(name).copied()
    }

    /// Keeps a number, or forgets it.
    pub fn set_number(&mut self, name: &str, value: Option<f64>) {
        match value {
            Some(value) => self.numbers.insert(name.to_owned(), value),
            None => self.numbers.remove(name),
        };
    }

    /// The texts kept under that name, oldest first.
    pub fn texts(&self, name: &str) -> &[StoredText] {
        self.texts.get(name).map_or(&[], Vec::as_slice)
    }

    /// Keeps texts, and of all under that name the `most` newest.
    pub fn keep_texts(
        &mut self,
        name: &str,
        texts: impl IntoIterator<Item = StoredText>,
        most: usize,
    ) {
        let kept = self.texts.entry(name.to_owned()).or_default();
        kept.extend(texts);
        let surplus = kept.len().saturating_sub(most);
        kept.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_texts_stay() {
        let text =
            |token| StoredText { tokens: vec![token], ended: true, label: None, noise: vec![] };
        let mut memory = Memory::default();
        memory.keep_texts("fake", [text(1), text(2)], 3);
        memory.keep_texts("fake", [text(3), text(4)], 3);
        let tokens: Vec<u32> = memory.texts("fake").iter().map(|text| text.tokens[0]).collect();
        assert_eq!(tokens, [2, 3, 4]);
        assert!(memory.texts("other").is_empty());
        memory.set_number("mean", Some(0.5));
        assert_eq!(memory.number("mean"), Some(0.5));
        memory.set_number("mean", None);
        assert_eq!(memory.number("mean"), None);
    }
}
