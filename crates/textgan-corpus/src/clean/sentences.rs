//! Sentence splitting.

use crate::Sentences;
use std::collections::HashSet;
use unicode_segmentation::UnicodeSegmentation;

/// Splits by the rules of Unicode (UAX #29), mended where a full stop belongs to an abbreviation or
/// an initial. Works on text whose punctuation is set apart by spaces, too.
pub(super) struct Splitter {
    abbreviations: HashSet<String>,
}

impl Splitter {
    pub(super) fn new(config: &Sentences) -> Self {
        Self { abbreviations: config.abbreviations.iter().cloned().collect() }
    }

    /// The sentences, trimmed; none is empty.
    pub(super) fn split(&self, text: &str) -> Vec<String> {
        let mut sentences = Vec::new();
        let mut begin = 0;
        let mut end = 0;
        for piece in text.split_sentence_bounds() {
            end += piece.len();
            if !self.goes_on(&text[begin..end]) {
                push(&mut sentences, &text[begin..end]);
                begin = end;
            }
        }
        push(&mut sentences, &text[begin..end]);
        sentences
    }

    /// Whether the full stop at the end of `text` is one of an abbreviation or an initial.
    fn goes_on(&self, text: &str) -> bool {
        // A line end is stronger than any abbreviation.
        let Some(stem) = text.trim_end_matches(' ').strip_suffix('.') else { return false };
        let stem = stem.trim_end_matches(' ');
        let word = stem.rsplit(char::is_whitespace).next().unwrap_or(stem);
        let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
        let mut characters = word.chars();
        let initial = matches!((characters.next(), characters.next()), (Some(c), None) if c.is_uppercase() && c != 'I');
        initial || self.abbreviations.contains(word)
    }
}

fn push(sentences: &mut Vec<String>, text: &str) {
    let text = text.trim();
    if !text.is_empty() {
        sentences.push(text.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str) -> Vec<String> {
        Splitter::new(&Sentences::default()).split(text)
    }

    #[test]
    fn sentences_end_where_a_reader_ends_them() {
        for (text, expected) in [
            ("One. Two! Three? Four", vec!["One.", "Two!", "Three?", "Four"]),
            (
                "Mr. Smith met J. K. Rowling. She left.",
                vec!["Mr. Smith met J. K. Rowling.", "She left."],
            ),
            (
                "It costs 3.5 dollars. (Really.) Yes",
                vec!["It costs 3.5 dollars.", "(Really.)", "Yes"],
            ),
            ("Donald J . Trump won . He said so .", vec!["Donald J . Trump won .", "He said so ."]),
            ("So did I. Then we left.", vec!["So did I.", "Then we left."]),
            (
                "\u{4F60}\u{597D}\u{3002}\u{518D}\u{89C1}\u{3002}",
                vec!["\u{4F60}\u{597D}\u{3002}", "\u{518D}\u{89C1}\u{3002}"],
            ),
            ("line one\nline two", vec!["line one", "line two"]),
            ("  ", vec![]),
        ] {
            assert_eq!(split(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_word_is_lost(text in "[A-Za-z.!? \n]{0,80}") {
            let words = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
            let joined = split(&text).join(" ");
            // A full stop may be followed by a word without white space between.
            prop_assert_eq!(words(&joined).concat(), words(&text).concat());
        }
    }
}
