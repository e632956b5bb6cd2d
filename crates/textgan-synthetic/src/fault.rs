use crate::Grammar;
use crate::automaton::END;
use std::fmt;

/// Where and why a text stops being the beginning of a sentence of the grammar.
///
/// Its [`Display`](fmt::Display) is a sentence to show to a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How many words could be read.
    pub position: usize,
    /// The words that could be read, joined by spaces.
    pub before: String,
    /// The word that could not, or `None` when the text ends too early.
    pub found: Option<String>,
    /// Whether the grammar has the word at all (`false` for an end).
    pub known: bool,
    /// What could have followed, at most five, most likely first; `None` is the end.
    pub expected: Vec<Option<String>>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            None => write!(f, "it ends too early")?,
            Some(word) if !self.known => {
                write!(f, "word {}, `{word}`, is not in the vocabulary", self.position + 1)?;
            }
            Some(word) => write!(f, "word {}, `{word}`, cannot come here", self.position + 1)?,
        }
        if !self.before.is_empty() {
            write!(f, " after `{}`", self.before)?;
        }
        let expected: Vec<String> = self
            .expected
            .iter()
            .map(|word| word.as_ref().map_or("the end".to_owned(), |word| format!("`{word}`")))
            .collect();
        write!(f, ": expected {}", expected.join(", "))
    }
}

impl Grammar {
    /// The log-probability of a sentence in nats, or why the grammar cannot say it.
    ///
    /// # Errors
    /// The first word after which no sentence can go on.
    pub fn explain(&self, sentence: &str) -> Result<f64, Fault> {
        let mut belief = self.belief();
        let mut log_prob = 0.0;
        let words = sentence.split_whitespace().map(Some).chain([None]);
        for (position, word) in words.enumerate() {
            let id = word.map_or(Some(END), |word| self.word_id(word));
            match id.and_then(|id| belief.advance(id)) {
                Some(step) => log_prob += step,
                None => {
                    let mut next = belief.next();
                    next.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                    return Err(Fault {
                        position,
                        before: sentence
                            .split_whitespace()
                            .take(position)
                            .collect::<Vec<_>>()
                            .join(" "),
                        found: word.map(str::to_owned),
                        known: word.is_some() && id.is_some(),
                        expected: next
                            .iter()
                            .take(5)
                            .map(|&(id, _)| self.word(id).map(str::to_owned))
                            .collect(),
                    });
                }
            }
        }
        Ok(log_prob)
    }
}
