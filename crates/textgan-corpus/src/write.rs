//! From rows to tables.

use crate::clean::{Fate, READ, Row};
use crate::stats::SplitStats;
use crate::{Error, Split};
use std::collections::BTreeMap;
use std::path::Path;
use textgan_artifact::table::{Document, Dropped, ShardedWriter, TableWriter};

/// A dropped text is kept up to this many characters.
const DROPPED_CHARACTERS: usize = 10_000;

const DROPPED: &str = "dropped.parquet";
/// What a shard of an ingestion came to; written last, so that a folder that has it is complete.
pub(crate) const SHARD_MANIFEST: &str = "shard.json";
/// Digits of the number of a table's file.
const NUMBER: usize = 5;
/// The tables of a shard: `rows-00000-of-00001.parquet`.
pub(crate) const SHARD_ROWS: &str = "rows";

/// The tables of an ingestion, in the making. What is not finished leaves nothing behind.
pub(crate) struct Tables {
    splits: BTreeMap<Split, (ShardedWriter<Document>, SplitStats)>,
    dropped: TableWriter<Dropped>,
    /// Rows dropped, by split and step.
    reasons: BTreeMap<(Split, &'static str), u64>,
    next_id: u64,
}

/// What was written.
pub(crate) struct Written {
    pub(crate) splits: BTreeMap<Split, SplitStats>,
    /// Rows that reading dropped.
    pub(crate) unread: u64,
}

impl Tables {
    pub(crate) fn create(out: &Path, splits: &[Split], rows_per_shard: u64) -> Result<Self, Error> {
        let mut writers = BTreeMap::new();
        for &split in splits {
            let writer = ShardedWriter::create(out, split.name(), rows_per_shard)?;
            writers.insert(split, (writer, SplitStats::default()));
        }
        let dropped = TableWriter::create(out.join(DROPPED))?;
        Ok(Self { splits: writers, dropped, reasons: BTreeMap::new(), next_id: 0 })
    }

    pub(crate) fn push(&mut self, row: Row) -> Result<(), Error> {
        let id = self.next_id;
        self.next_id += 1;
        let Row { text, label, metadata, source, split, fate, .. } = row;
        let Some((writer, stats)) = self.splits.get_mut(&split) else { return Ok(()) };
        match fate {
            Fate::Kept => {
                stats.add(&text, label.as_deref());
                writer.push(Document { id, text, label, source: source.to_string(), metadata })?;
            }
            Fate::Dropped { step, reason } => {
                stats.dropped += 1;
                *self.reasons.entry((split, step)).or_default() += 1;
                self.dropped.push(Dropped {
                    id,
                    text: beginning(text),
                    source: source.to_string(),
                    split: split.name().into(),
                    step: step.into(),
                    reason,
                })?;
            }
        }
        Ok(())
    }

    /// Rows of a split so far.
    pub(crate) fn stats(&self, split: Split) -> Option<&SplitStats> {
        self.splits.get(&split).map(|(_, stats)| stats)
    }

    /// The step that dropped most rows of a split, if any did.
    pub(crate) fn main_reason(&self, split: Split) -> Option<(&'static str, u64)> {
        let of_split = self.reasons.iter().filter(|((other, _), _)| *other == split);
        of_split.map(|((_, step), &rows)| (*step, rows)).max_by_key(|&(_, rows)| rows)
    }

    /// Completes the files.
    pub(crate) fn finish(self) -> Result<Written, Error> {
        let unread =
            self.reasons.iter().filter(|((_, step), _)| *step == READ).map(|(_, rows)| rows).sum();
        let mut splits = BTreeMap::new();
        for (split, (writer, stats)) in self.splits {
            writer.finish()?;
            splits.insert(split, stats);
        }
        self.dropped.finish()?;
        Ok(Written { splits, unread })
    }
}

/// What is kept of a dropped text.
pub(crate) fn beginning(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(DROPPED_CHARACTERS) {
        text.truncate(end);
    }
    text
}

/// Removes what an earlier ingestion, perhaps a killed one, left in `out`; nothing else.
pub(crate) fn clear(out: &Path) -> Result<(), Error> {
    let fail = |source| Error::Write { path: out.to_path_buf(), source };
    for entry in std::fs::read_dir(out).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let table = |of: &str| {
            let rest = name.strip_prefix(of).and_then(|rest| rest.strip_prefix('-'));
            let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
            rest.and_then(|rest| rest.split_at_checked(NUMBER)).is_some_and(|(number, rest)| {
                is_number(number) && (rest.starts_with("-of-") || rest.starts_with(".parquet"))
            })
        };
        let named = |of: &&str| name.trim_start_matches('.').starts_with(of);
        let others = [DROPPED, "stats.json", SHARD_MANIFEST];
        if Split::ALL.iter().any(|split| table(split.name()))
            || table(SHARD_ROWS)
            || others.iter().any(named)
        {
            std::fs::remove_file(entry.path()).map_err(fail)?;
        }
    }
    Ok(())
}
