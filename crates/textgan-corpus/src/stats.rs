use crate::Split;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an ingestion did, stored as `stats.json`. Nothing in it depends on clocks, threads or
/// hardware.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// What was read.
    pub read: ReadStats,
    /// What each cleaning step did, in the configured order.
    pub steps: Vec<StepStats>,
    /// What is in each split.
    pub splits: BTreeMap<Split, SplitStats>,
    /// Rows that one split shares with another, as `cross-split` found them: removed or only
    /// counted, by its action. Empty without that step.
    pub shared: Vec<SharedStats>,
    /// The memory that finding duplicates took, by the step that took it.
    pub memory: Vec<MemoryStats>,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadStats {
    /// Files read, files in archives counted each.
    pub files: u64,
    /// Files in folders, patterns and archives that were passed over: of no known format, or hidden.
    pub skipped_files: u64,
    /// Documents read.
    pub documents: u64,
    /// Blank lines passed over.
    pub blank_lines: u64,
    /// Bytes of text in the documents read.
    pub text_bytes: u64,
    /// Rows that reading itself dropped: without text, or too long.
    pub dropped: u64,
    /// Characters U+FFFD in the documents read: each stands for something that could not be decoded.
    #[serde(default)]
    pub replaced: u64,
}

/// What a cleaning step did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStats {
    /// Its name.
    pub step: String,
    /// Rows that came to it.
    pub rows: u64,
    /// Rows whose text it changed.
    pub changed: u64,
    /// Rows it added, by splitting.
    pub added: u64,
    /// Rows it dropped.
    pub dropped: u64,
}

/// What is in a split.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitStats {
    /// Rows kept.
    pub rows: u64,
    /// Rows dropped, whatever dropped them.
    pub dropped: u64,
    /// Bytes of text.
    pub bytes: u64,
    /// Unicode scalar values of text.
    pub characters: u64,
    /// Words, separated by white space.
    pub words: u64,
    /// Words of the longest row.
    pub longest_words: u64,
    /// Rows of each label; those beyond the first 10,000 labels together, as `(others)`.
    pub labels: BTreeMap<String, u64>,
}

/// Rows that two splits share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedStats {
    /// The split whose rows are counted ...
    pub split: Split,
    /// ... because this one, which was read first, has their text too.
    pub also_in: Split,
    /// How many.
    pub rows: u64,
}

/// The memory of one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStats {
    /// The step's name.
    pub step: String,
    /// Distinct rows it remembers.
    pub rows: u64,
    /// Bytes it takes for them.
    pub bytes: u64,
}

impl ReadStats {
    /// Adds what was read elsewhere.
    pub(crate) fn add(&mut self, other: &Self) {
        let Self { files, skipped_files, documents, blank_lines, text_bytes, dropped, replaced } =
            other;
        self.files += files;
        self.skipped_files += skipped_files;
        self.documents += documents;
        self.blank_lines += blank_lines;
        self.text_bytes += text_bytes;
        self.dropped += dropped;
        self.replaced += replaced;
    }
}

impl StepStats {
    /// Adds what the same step did to other rows.
    pub(crate) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.changed += other.changed;
        self.added += other.added;
        self.dropped += other.dropped;
    }
}

impl Stats {
    /// The statistics as lines to read.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let read = &self.read;
        let mut line = format!(
            "read {} documents from {} files",
            grouped(read.documents),
            grouped(read.files)
        );
        for (n, what) in [
            (read.blank_lines, "blank lines"),
            (read.skipped_files, "files of no known format passed over"),
            (read.dropped, "dropped (no text, or too long)"),
            (read.replaced, "characters that could not be decoded and became U+FFFD"),
        ] {
            if n > 0 {
                line += &format!(", {} {what}", grouped(n));
            }
        }
        lines.push(line);
        for step in &self.steps {
            let mut line = format!("{}: {} rows", step.step, grouped(step.rows));
            for (n, what) in
                [(step.changed, "changed"), (step.added, "added"), (step.dropped, "dropped")]
            {
                if n > 0 {
                    line += &format!(", {} {what}", grouped(n));
                }
            }
            lines.push(line);
        }
        for shared in &self.shared {
            lines.push(format!(
                "{} rows of {} are also in {}",
                grouped(shared.rows),
                shared.split,
                shared.also_in
            ));
        }
        for memory in &self.memory {
            let mib = memory.bytes as f64 / f64::from(1 << 20);
            lines.push(format!(
                "{}: {} distinct rows in {mib:.1} MiB",
                memory.step,
                grouped(memory.rows)
            ));
        }
        for (name, split) in &self.splits {
            let mean = split.words as f64 / split.rows.max(1) as f64;
            let mut line = format!(
                "{name}: {} rows, {} words (mean {mean:.1}, longest {}), {} bytes, {} dropped",
                grouped(split.rows),
                grouped(split.words),
                grouped(split.longest_words),
                grouped(split.bytes),
                grouped(split.dropped),
            );
            if !split.labels.is_empty() {
                line += &format!(", {} labels", split.labels.len());
            }
            lines.push(line);
        }
        lines
    }
}

/// Labels counted one by one: a column of names or numbers must not fill the memory.
const MOST_LABELS: usize = 10_000;
const OTHERS: &str = "(others)";

impl SplitStats {
    pub(crate) fn add(&mut self, text: &str, label: Option<&str>) {
        let words = text.split_whitespace().count() as u64;
        self.rows += 1;
        self.bytes += text.len() as u64;
        self.characters += text.chars().count() as u64;
        self.words += words;
        self.longest_words = self.longest_words.max(words);
        if let Some(label) = label {
            match self.labels.get_mut(label) {
                Some(rows) => *rows += 1,
                None => {
                    let name = if self.labels.len() < MOST_LABELS { label } else { OTHERS };
                    *self.labels.entry(name.into()).or_default() += 1;
                }
            }
        }
    }
}

/// A number with its thousands apart.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (n, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(n), text);
        }
    }
}
