use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::counts::Counts;
use crate::{Error, Kind, Result, TokenizerConfig};

/// What `stats.json` of the tokenize stage holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// The vocabulary.
    pub vocabulary: Vocabulary,
    /// Names of the labels, by id.
    pub labels: Vec<String>,
    /// What happened to each split.
    pub splits: BTreeMap<String, SplitStatistics>,
}

/// What there is to say about a vocabulary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vocabulary {
    /// How it cuts text.
    pub kind: Kind,
    /// The configured size.
    pub requested: Option<usize>,
    /// Its size, the four special tokens included.
    pub size: usize,
    /// Distinct words or characters of the train split.
    pub distinct: usize,
    /// Share of the train split's words or characters that are in the vocabulary; only where
    /// tokens are whole words or characters.
    pub coverage: Option<f64>,
    /// Occurrences of words so rare that counting forgot them to stay in memory.
    pub forgotten: u64,
    /// What a reader should know, in one sentence.
    pub note: Option<String>,
}

/// What happened to one split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SplitStatistics {
    /// Documents read.
    pub documents: u64,
    /// Sequences written.
    pub sequences: u64,
    /// Tokens written.
    pub tokens: u64,
    /// Unknown tokens among them.
    pub unknown: u64,
    /// `unknown / tokens`.
    pub unknown_rate: f64,
    /// Documents without any token, which are left out.
    pub empty: u64,
    /// Documents with more than the most tokens, shortened.
    pub truncated: u64,
    /// Documents with more than the most tokens, left out.
    pub dropped: u64,
    /// Tokens of the longest document before any shortening.
    pub longest: usize,
    /// Lengths of the sequences written.
    pub lengths: LengthHistogram,
}

/// How many sequences have how many tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LengthHistogram {
    /// Mean length.
    pub mean: f64,
    /// Half of the sequences have at most so many tokens.
    pub median: usize,
    /// 95 of 100 sequences have at most so many tokens.
    pub percentile_95: usize,
    /// `counts[n]`: sequences of `n` tokens.
    pub counts: Vec<u64>,
}

impl Statistics {
    /// Reads `stats.json` of a folder that [`tokenize`](crate::tokenize) wrote.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read, [`Error::Format`] when it is something else.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("stats.json");
        let bytes =
            std::fs::read(&path).map_err(|source| Error::File { path: path.clone(), source })?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::Format { path, message: error.to_string() })
    }
}

impl Vocabulary {
    pub(crate) fn adopted(size: usize) -> Self {
        Self {
            kind: Kind::File,
            requested: None,
            size,
            distinct: 0,
            coverage: None,
            forgotten: 0,
            note: None,
        }
    }

    pub(crate) fn learned(
        config: &TokenizerConfig,
        counts: &Counts,
        units: &[(&str, u64)],
        size: usize,
    ) -> Self {
        let covered: u64 = units.iter().map(|unit| unit.1).sum();
        let whole = matches!(config.kind, Kind::Word | Kind::Character);
        let aim = match config.kind {
            Kind::ByteBpe | Kind::Unigram => {
                config.vocabulary_size.or(Some(TokenizerConfig::UNASKED_SIZE))
            }
            _ => config.vocabulary_size,
        };
        let note = aim.filter(|&aim| size < aim).map(|aim| {
            format!("the text has {size} tokens, fewer than the {aim} that there was room for")
        });
        Self {
            kind: config.kind,
            requested: config.vocabulary_size,
            size,
            distinct: counts.distinct(),
            coverage: whole.then(|| covered as f64 / counts.total as f64),
            forgotten: counts.forgotten,
            note,
        }
    }
}

impl SplitStatistics {
    pub(crate) fn finish(&mut self, counts: Vec<u64>) {
        if self.tokens > 0 {
            self.unknown_rate = self.unknown as f64 / self.tokens as f64;
        }
        let at_most = |share: f64| {
            let wanted = (self.sequences as f64 * share).ceil() as u64;
            let mut seen = 0;
            counts.iter().position(|count| {
                seen += count;
                seen >= wanted
            })
        };
        self.lengths = LengthHistogram {
            mean: if self.sequences > 0 { self.tokens as f64 / self.sequences as f64 } else { 0.0 },
            median: at_most(0.5).unwrap_or(0),
            percentile_95: at_most(0.95).unwrap_or(0),
            counts,
        };
    }
}
