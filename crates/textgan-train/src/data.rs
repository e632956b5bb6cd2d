//! What a run reads: tokenized sentences and what is known about them.

use std::path::Path;

use textgan_artifact::table::TokenRow;
use textgan_models::{ModelCard, Sequences};

use crate::{Error, Result};

/// The id of a word, if the vocabulary has it.
pub type WordId<'a> = &'a (dyn Fn(&str) -> Option<u32> + Sync);

/// Whether content tokens are a text that could be real.
pub type WellFormed<'a> = &'a (dyn Fn(&[u32]) -> bool + Sync);

/// Tokenized text with its vocabulary.
///
/// Rows hold content tokens only; the models add the beginning and the end.
pub struct TrainData<'a> {
    /// Sentences to learn from.
    pub train: &'a [TokenRow],
    /// Held-out sentences, for the validation loss and the quality of samples.
    pub valid: &'a [TokenRow],
    /// Names of the labels, by number; empty for text without labels.
    pub labels: &'a [String],
    /// Entries of the vocabulary, the four special ones included.
    pub vocab_size: usize,
    /// Most content tokens of a sentence.
    pub max_length: usize,
    /// Turns content tokens back into text.
    pub decode: &'a (dyn Fn(&[u32]) -> String + Sync),
    /// The words of the vocabulary by id; needed only by a discriminator that begins with word
    /// vectors.
    pub words: Option<&'a [String]>,
    /// The tokenizer's file, to be kept in model folders.
    pub tokenizer: Option<&'a Path>,
    /// The id of a word, where texts are of words.
    pub id: Option<WordId<'a>>,
    /// Whether content tokens are a text that could be real, where that is known exactly: of a grammar
    /// or of a notation. How well a discriminator tells is measured with it.
    pub well_formed: Option<WellFormed<'a>>,
    /// What model folders say of the model; labels and facts of training are added.
    pub card: &'a ModelCard,
}

impl TrainData<'_> {
    /// Refuses what the models could not read.
    pub(crate) fn check(&self) -> Result<()> {
        for (split, rows) in [("train", self.train), ("valid", self.valid)] {
            if rows.is_empty() {
                return Err(Error::EmptySplit { split });
            }
            for (row, tokens) in rows.iter().enumerate() {
                let problem = if let Some(token) =
                    tokens.tokens.iter().find(|&&t| t as usize >= self.vocab_size)
                {
                    format!("token {token} is outside the vocabulary of {}", self.vocab_size)
                } else if tokens.tokens.len() > self.max_length {
                    format!(
                        "{} tokens are more than max_length {}",
                        tokens.tokens.len(),
                        self.max_length
                    )
                } else if tokens.label.is_some_and(|label| label as usize >= self.labels.len()) {
                    format!(
                        "label {:?} is not one of the {} labels",
                        tokens.label,
                        self.labels.len()
                    )
                } else if !self.labels.is_empty() && tokens.label.is_none() {
                    "it has no label, while other rows have".to_owned()
                } else {
                    continue;
                };
                return Err(Error::Row { split, row, problem });
            }
        }
        Ok(())
    }

    /// Pairs of words as ids.
    pub(crate) fn confusions(&self, pairs: &[[String; 2]]) -> Result<Vec<(u32, u32)>> {
        let id = |word: &String| {
            let found = self.id.and_then(|id| id(word));
            found.ok_or_else(|| Error::Train {
                problem: format!("evaluation.confusions: {word:?} is not in the vocabulary"),
            })
        };
        pairs.iter().map(|[one, other]| Ok((id(one)?, id(other)?))).collect()
    }

    /// The chosen `rows` as the models read them; labels only where the models are conditional.
    pub(crate) fn sequences<'r>(
        &self,
        rows: impl Iterator<Item = &'r TokenRow> + Clone,
    ) -> Result<Sequences> {
        let tokens: Vec<&[u32]> = rows.clone().map(|row| row.tokens.as_slice()).collect();
        let labels: Option<Vec<u32>> = (!self.labels.is_empty())
            .then(|| rows.clone().map(|row| row.label.unwrap_or_default()).collect());
        // A text that was cut does not end there.
        let ended: Vec<bool> = rows.map(|row| !row.cut).collect();
        Ok(Sequences::from_samples(&tokens, &ended, labels.as_deref())?)
    }
}

/// Which rows of the training split a learner reads, where its phase is cross-fitted; else all do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Rows 0, 2, 4, ...
    Generator,
    /// Rows 1, 3, 5, ...
    Discriminator,
}

impl Rows {
    /// The rows' numbers, of a split of `rows`.
    pub(crate) fn of(self, rows: usize, cross_fit: bool) -> Vec<usize> {
        match self {
            _ if !cross_fit => (0..rows).collect(),
            Self::Generator => (0..rows).step_by(2).collect(),
            Self::Discriminator => (1..rows).step_by(2).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cross_fitted_halves_are_disjoint_and_complete() {
        for rows in [1, 2, 9] {
            let generator = Rows::Generator.of(rows, true);
            let discriminator = Rows::Discriminator.of(rows, true);
            assert!(generator.iter().all(|row| !discriminator.contains(row)));
            let mut all = [generator, discriminator].concat();
            all.sort_unstable();
            assert_eq!(all, Rows::Generator.of(rows, false));
        }
    }
}
