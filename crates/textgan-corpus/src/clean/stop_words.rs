//! Stop-word removal.

use crate::StopWords;
use std::collections::HashSet;
use unicode_segmentation::UnicodeSegmentation;

pub(super) struct Remover {
    words: HashSet<String>,
}

impl Remover {
    pub(super) fn new(config: &StopWords) -> Self {
        let listed = stop_words::lookup(&config.language).unwrap_or_default().iter().copied();
        let mut words: HashSet<String> =
            listed.chain(config.extra.iter().map(String::as_str)).map(fold).collect();
        for word in &config.keep {
            words.remove(&fold(word));
        }
        Self { words }
    }

    /// The text without its stop words, in either case, and without the white space before each.
    pub(super) fn remove(&self, text: &str) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        let mut removed = false;
        for piece in text.split_word_bounds() {
            if self.words.contains(&fold(piece)) {
                removed = true;
                out.truncate(out.trim_end().len());
            } else if !(out.is_empty() && piece.trim().is_empty()) {
                out.push_str(piece);
            }
        }
        removed.then_some(out)
    }
}

/// Lower case, and one kind of apostrophe.
fn fold(word: &str) -> String {
    word.to_lowercase().replace('\u{2019}', "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remove(text: &str, extra: &[&str], keep: &[&str]) -> Option<String> {
        let own = |words: &[&str]| words.iter().map(|&word| word.into()).collect();
        Remover::new(&StopWords { language: "en".into(), extra: own(extra), keep: own(keep) })
            .remove(text)
    }

    #[test]
    fn stop_words_go_and_their_space_with_them() {
        for (text, expected) in [
            ("The cat is on the mat", Some("cat mat")),
            ("cat mat", None),
            ("I don\u{2019}t bark, the dog", Some("bark, dog")),
            ("the", Some("")),
        ] {
            assert_eq!(remove(text, &[], &[]).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn the_list_can_be_changed() {
        assert_eq!(remove("the Cat sat", &["cat"], &["the"]).as_deref(), Some("the sat"));
    }
}
