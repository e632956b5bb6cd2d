use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use rayon::prelude::*;
use textgan_artifact::table::{Document, ShardedWriter, SplitReader, TokenRow};
use textgan_artifact::{Progress, write_atomic};

use crate::{
    Error, Overlong, Result, SplitStatistics, Statistics, Tokenizer, TokenizerConfig, Trainer,
    special,
};

const SPLITS: [&str; 3] = ["train", "valid", "test"];

const ROWS_PER_SHARD: u64 = 1 << 20;

/// More labels than this are identifiers, not categories.
const MOST_LABELS: usize = 10_000;

/// Turns the documents of `documents` (`{train,valid,test}-*.parquet`) into token sequences.
///
/// The vocabulary is learned from the train split alone. Writes into `out`, a folder that exists:
/// `{train,valid,test}-*.parquet` of [`TokenRow`]s in the order of the documents,
/// `tokenizer.json`, `labels.json` (the label names in sorted order; a row's label is its place in
/// it) and `stats.json`.
///
/// Memory holds a batch of documents and the table of distinct words, whatever the size of the
/// corpus.
///
/// # Errors
/// [`Error::EmptySplit`] when nothing is left of a split, the errors of [`Trainer::finish`], and
/// those of reading and writing.
pub fn tokenize(
    config: &TokenizerConfig,
    documents: &Path,
    out: &Path,
    progress: &dyn Progress,
) -> Result<Statistics> {
    let began = Instant::now();
    let mut bytes = 0;
    let mut trainer = Trainer::new(config)?;
    let mut labels = BTreeSet::new();
    let [train, valid, test] = SPLITS.map(|split| SplitReader::open(documents, split));
    let splits = [train?, valid?, test?];
    let total: u64 = splits.iter().map(SplitReader::rows).sum();

    progress.begin("reading words and labels", Some(total));
    for (split, reader) in SPLITS.into_iter().zip(splits) {
        each_batch(reader, progress, |batch| {
            bytes += batch.iter().map(|document| document.text.len() as u64).sum::<u64>();
            if split == "train" {
                // Classes are what there is to learn from; another split has none of its own.
                note_labels(&mut labels, &batch)?;
                let texts: Vec<&str> =
                    batch.iter().map(|document| document.text.as_str()).collect();
                trainer.feed(&texts)?;
            }
            Ok(())
        })?;
    }
    progress.finish();
    progress.begin("learning the vocabulary", None);
    let (tokenizer, vocabulary) = trainer.finish()?;
    progress.finish();
    if let Some(note) = &vocabulary.note {
        progress.message(note);
    }

    let labels: Vec<String> = labels.into_iter().collect();
    let label_ids: BTreeMap<&str, u32> = labels.iter().map(String::as_str).zip(0..).collect();
    progress.begin("encoding", Some(total));
    let mut splits = BTreeMap::new();
    for split in SPLITS {
        let mut encoder = Encoder::new(config, &tokenizer, &label_ids, split);
        let mut writer = ShardedWriter::create(out, split, ROWS_PER_SHARD)?;
        each_batch(SplitReader::open(documents, split)?, progress, |batch| {
            for row in encoder.encode(&batch)? {
                writer.push(row)?;
            }
            Ok(())
        })?;
        writer.finish()?;
        let statistics = encoder.finish();
        if statistics.sequences == 0 {
            return Err(Error::EmptySplit {
                split,
                folder: documents.to_owned(),
                documents: statistics.documents,
                dropped: statistics.empty + statistics.dropped,
            });
        }
        splits.insert(split.to_owned(), statistics);
    }
    progress.finish();

    let statistics = Statistics { vocabulary, labels, splits };
    write_atomic(out.join("tokenizer.json"), tokenizer.to_json()?.as_bytes())?;
    write_atomic(out.join("labels.json"), &json(&statistics.labels)?)?;
    write_atomic(out.join("stats.json"), &json(&statistics)?)?;
    let (megabytes, seconds) = (bytes as f64 / 1e6, began.elapsed().as_secs_f64());
    progress.message(&format!(
        "{megabytes:.1} MB of text in {seconds:.1} s: {:.1} MB/s",
        megabytes / seconds
    ));
    Ok(statistics)
}

fn each_batch(
    reader: SplitReader<Document>,
    progress: &dyn Progress,
    mut visit: impl FnMut(Vec<Document>) -> Result<()>,
) -> Result<()> {
    for batch in reader {
        if progress.stop_requested() {
            return Err(Error::Interrupted);
        }
        let batch = batch?;
        progress.advance(batch.len() as u64);
        visit(batch)?;
    }
    Ok(())
}

fn note_labels(labels: &mut BTreeSet<String>, documents: &[Document]) -> Result<()> {
    for label in documents.iter().filter_map(|document| document.label.as_deref()) {
        let label = label.trim();
        // A blank cell is no label.
        if !label.is_empty() && !labels.contains(label) {
            labels.insert(label.to_owned());
        }
        if labels.len() > MOST_LABELS {
            return Err(Error::TooManyLabels { limit: MOST_LABELS, example: label.to_owned() });
        }
    }
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| Error::Tokenizers {
        action: "writing statistics",
        message: error.to_string(),
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Encodes the documents of one split and counts what happens to them.
struct Encoder<'a> {
    config: &'a TokenizerConfig,
    tokenizer: &'a Tokenizer,
    labels: &'a BTreeMap<&'a str, u32>,
    split: &'static str,
    statistics: SplitStatistics,
    lengths: Vec<u64>,
}

impl<'a> Encoder<'a> {
    fn new(
        config: &'a TokenizerConfig,
        tokenizer: &'a Tokenizer,
        labels: &'a BTreeMap<&'a str, u32>,
        split: &'static str,
    ) -> Self {
        let statistics = SplitStatistics::default();
        Self { config, tokenizer, labels, split, statistics, lengths: Vec::new() }
    }

    /// The rows of `documents`, encoded in parallel, in order.
    fn encode(&mut self, documents: &[Document]) -> Result<Vec<TokenRow>> {
        let encoded: Vec<Vec<u32>> = documents
            .par_iter()
            .with_min_len(64)
            .map(|document| self.tokenizer.encode(&document.text))
            .collect::<Result<_>>()?;
        let mut rows = Vec::with_capacity(documents.len());
        for (document, tokens) in documents.iter().zip(encoded) {
            let cut = tokens.len() > self.config.max_length;
            if let Some(tokens) = self.statistics.admit(self.config, tokens, &mut self.lengths) {
                rows.push(TokenRow { id: document.id, label: self.label(document)?, tokens, cut });
            }
        }
        Ok(rows)
    }

    /// The label's number; none where the training text has no labels.
    fn label(&self, document: &Document) -> Result<Option<u32>> {
        if self.labels.is_empty() {
            return Ok(None);
        }
        let label = document.label.as_deref().map(str::trim).filter(|label| !label.is_empty());
        let known = || self.labels.keys().take(5).copied().collect::<Vec<_>>().join("`, `");
        let problem = match label {
            Some(label) => match self.labels.get(label) {
                Some(id) => return Ok(Some(*id)),
                None => format!(
                    "has the label `{label}`, which no text of the training split has (it has `{}`{})",
                    known(),
                    if self.labels.len() > 5 { ", .." } else { "" }
                ),
            },
            None => "has no label, while texts of the training split have".to_owned(),
        };
        let (split, document, source) = (self.split, document.id, document.source.clone());
        Err(Error::Label { split, document, source_file: source, problem })
    }

    fn finish(mut self) -> SplitStatistics {
        self.statistics.finish(self.lengths);
        self.statistics
    }
}

impl SplitStatistics {
    /// Applies the length policy to one document and counts it; `None` leaves it out.
    fn admit(
        &mut self,
        config: &TokenizerConfig,
        mut tokens: Vec<u32>,
        lengths: &mut Vec<u64>,
    ) -> Option<Vec<u32>> {
        self.documents += 1;
        self.longest = self.longest.max(tokens.len());
        if tokens.is_empty() {
            self.empty += 1;
            return None;
        }
        if tokens.len() > config.max_length {
            match config.overlong {
                Overlong::Truncate => {
                    tokens.truncate(config.max_length);
                    self.truncated += 1;
                }
                Overlong::Drop => {
                    self.dropped += 1;
                    return None;
                }
            }
        }
        self.sequences += 1;
        self.tokens += tokens.len() as u64;
        self.unknown += tokens.iter().filter(|&&id| id == special::UNKNOWN).count() as u64;
        if lengths.len() <= tokens.len() {
            lengths.resize(tokens.len() + 1, 0);
        }
        lengths[tokens.len()] += 1;
        Some(tokens)
    }
}
