//! One corpus by several processes: each reads, cleans and hashes a shard of the input; one compares the rows of all
//! of them and writes the tables.

use super::cleaning::Cleaning;
use super::{Batch, Batches, Piece, Stream, finish, flow, make, pieces, prepare, read_all};
use super::{reading, rules, say_rate, streams, tables, work, write_json};
use crate::clean::{Ahead, Fate, READ, Row, Signature, TextHash};
use crate::read::{self, Part, Watch};
use crate::stats::{ReadStats, StepStats};
use crate::write::{SHARD_LABEL, SHARD_ROWS};
use crate::{CorpusConfig, Error, Source, Split, Stats};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;
use textgan_artifact::table::{ShardRow, ShardedWriter, TableReader, shards};
use textgan_artifact::{Fingerprint, Progress};
use textgan_random::{Key, RngCore};

/// A shard of an ingestion, `2/4` in text: the second of four.
///
/// ```
/// use textgan_corpus::Shard;
///
/// let shard: Shard = "2/4".parse()?;
/// assert_eq!((shard.number(), shard.count()), (2, 4));
/// assert_eq!(shard.to_string(), "2/4");
/// assert!("0/4".parse::<Shard>().is_err() && "5/4".parse::<Shard>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    number: u32,
    count: u32,
}

impl Shard {
    /// Shard `number`, from 1, of `count`.
    ///
    /// # Errors
    /// There is no such shard.
    pub fn new(number: u32, count: u32) -> Result<Self, String> {
        match (1..=count).contains(&number) {
            true => Ok(Self { number, count }),
            false => Err(format!("there is no shard {number} of {count}: they are 1/N to N/N")),
        }
    }

    /// Which one, from 1.
    pub fn number(self) -> u32 {
        self.number
    }

    /// Of how many.
    pub fn count(self) -> u32 {
        self.count
    }

    /// The pieces of the input that are this shard's, those that follow each other in a file as one.
    fn pieces<'a>(
        self,
        streams: &[Stream<'a>],
        config: &CorpusConfig,
        key: &Key,
    ) -> Result<Vec<Piece<'a>>, Error> {
        let mut small = Vec::new();
        for Piece { stream, source, key, part } in pieces(streams, key)? {
            let parts = match source {
                Source::Files(files) => read::cut(part, files, rules(config)),
                Source::Synthetic(_) | Source::Oracle(_) => vec![part],
            };
            small.extend(parts.into_iter().map(|part| Piece { stream, source, key, part }));
        }
        let mut mine: Vec<Piece<'a>> = Vec::new();
        for piece in self.of(small, Piece::weight) {
            let last = mine.last_mut().filter(|last| last.stream == piece.stream);
            if let Some(Piece { part: Part::Lines { path, range, .. }, .. }) = last
                && let Part::Lines { path: next, range: more, .. } = &piece.part
                && (&*path, range.end) == (next, more.start)
            {
                range.end = more.end;
            } else {
                mine.push(piece);
            }
        }
        Ok(mine)
    }

    /// Those of `pieces` that are this shard's: each belongs to the shard that its middle lies in when the input is
    /// cut into shards of like size. So they are in the order of reading within shards and across them.
    fn of<T>(self, pieces: Vec<T>, size: impl Fn(&T) -> u64) -> Vec<T> {
        let total: u128 = pieces.iter().map(|piece| u128::from(size(piece))).sum();
        let mut before = 0_u128;
        let mut mine = Vec::new();
        for piece in pieces {
            let size = u128::from(size(&piece));
            let middle = 2 * before + size;
            before += size;
            let shard = (middle * u128::from(self.count)).checked_div(2 * total).unwrap_or(0);
            if shard.min(u128::from(self.count - 1)) == u128::from(self.number - 1) {
                mine.push(piece);
            }
        }
        mine
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(number, count)| {
            Some((number.trim().parse().ok()?, count.trim().parse().ok()?))
        });
        let Some((number, count)) = numbers else {
            return Err(format!("`{text}` is no shard: write 2/4 for the second of four"));
        };
        Self::new(number, count)
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

/// The files of this machine that a shard of a corpus reads, sorted.
///
/// # Errors
/// A file that is not there.
pub fn shard_inputs(config: &CorpusConfig, shard: Shard) -> Result<Vec<PathBuf>, Error> {
    let streams = streams(config);
    // Which samples are drawn is no matter here.
    let pieces = shard.pieces(&streams, config, &Key::root(0))?;
    let mut files = Vec::new();
    for Piece { source, part, .. } in &pieces {
        match part {
            Part::File { path, .. } | Part::Lines { path, .. } => files.push(path.clone()),
            Part::Whole { .. } | Part::Samples(_) => files.append(&mut source.inputs()?),
        }
    }
    files.sort();
    files.dedup();
    Ok(files)
}

/// What a shard came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct ShardStats {
    /// What was read.
    pub(super) read: ReadStats,
    /// Documents, by stream.
    pub(super) documents: Vec<u64>,
    /// What each step did, by stream.
    pub(super) steps: Vec<Vec<StepStats>>,
}

/// What stands in [`SHARD_LABEL`].
#[derive(Serialize, Deserialize)]
struct Label {
    shard: Shard,
    /// Of everything that decides what is in the shards, but the files.
    recipe: String,
    stats: ShardStats,
}

/// What a piece counts whose size nobody knows.
const UNKNOWN_BYTES: u64 = 64 << 20;
/// About the size of a sample of a grammar or an oracle, in bytes.
const SAMPLE_BYTES: u64 = 64;

/// Reads and cleans one shard of a corpus into the folder `out`, for [`merge_shards`]: as much as can be done with rows
/// without knowing of those of other shards, and the hashes and signatures that the rest asks for.
///
/// A source is cut between its files, and within those of plain lines, a synthetic one anywhere; what is behind an
/// address, and a source with a `limit`, is one piece.
///
/// # Errors
/// [`Error`] says which file, line or key is wrong. `out` has no `shard.json` then.
pub fn ingest_shard(
    config: &CorpusConfig,
    key: &Key,
    shard: Shard,
    out: &Path,
    progress: &dyn Progress,
) -> Result<ReadStats, Error> {
    config.validate()?;
    prepare(out)?;
    let began = Instant::now();
    let result = write_shard(config, key, shard, out, progress);
    progress.finish();
    let label = result?;
    write_json(&out.join(SHARD_LABEL), &label)?;
    let read = label.stats.read;
    progress
        .message(&format!("shard {shard}: {} documents from {} files", read.documents, read.files));
    say_rate(read.text_bytes, began, progress);
    Ok(read)
}

fn write_shard(
    config: &CorpusConfig,
    key: &Key,
    shard: Shard,
    out: &Path,
    progress: &dyn Progress,
) -> Result<Label, Error> {
    let streams = streams(config);
    let pieces = shard.pieces(&streams, config, key)?;
    progress.begin("ingest", work(&pieces));
    let reading = reading(config, out);
    let mut table = ShardedWriter::create(out, SHARD_ROWS, config.rows_per_shard as u64)?;
    let mut cleaning = Cleaning::new(config, key, &streams);
    let readers = flow(
        &reading.watch,
        progress,
        |out| read_all(&pieces, &reading, out),
        |Batch { stream, of }| {
            Ok(Batch { stream, of: cleaning.alone(stream, of, &reading.rules)? })
        },
        |stream, row| Ok(table.push(stored(stream, row))?),
    )
    .map_err(|error| at_its_line(error, &pieces))?;
    table.finish()?;
    Ok(Label { shard, recipe: recipe(config, key)?, stats: cleaning.shard(&readers) })
}

/// Merges all shards of a corpus, each in a folder of [`ingest_shard`], into what [`ingest`](super::ingest) would have
/// written to the folder `out`: the same bytes, whatever the number of shards.
///
/// # Errors
/// [`Error::Shard`] for a folder that is none, or of another config, and when one is missing or there twice.
pub fn merge_shards(
    config: &CorpusConfig,
    key: &Key,
    folders: &[PathBuf],
    out: &Path,
    progress: &dyn Progress,
) -> Result<Stats, Error> {
    make(config, out, progress, || merge(config, key, folders, out, progress))
}

fn merge(
    config: &CorpusConfig,
    key: &Key,
    folders: &[PathBuf],
    out: &Path,
    progress: &dyn Progress,
) -> Result<Stats, Error> {
    let recipe = recipe(config, key)?;
    let mut labels: Vec<(&Path, Label)> = Vec::new();
    for folder in folders {
        labels.push((folder, label(folder, &recipe)?));
    }
    labels.sort_by_key(|(_, label)| label.shard.number);
    let count = labels.first().map_or(1, |(_, label)| label.shard.count);
    for number in 1..=count {
        let of_number: Vec<_> =
            labels.iter().filter(|(_, label)| label.shard.number == number).collect();
        let problem = match of_number.as_slice() {
            [] => format!("shard {number}/{count} is missing among {}", folders.len()),
            [_] => continue,
            _ => format!("shard {number}/{count} is there twice"),
        };
        return Err(wrong(of_number.first().map_or(out, |(folder, _)| folder), problem));
    }
    if let Some((folder, label)) = labels.iter().find(|(_, label)| label.shard.count != count) {
        return Err(wrong(folder, format!("is shard {}, and others are of {count}", label.shard)));
    }

    let streams = streams(config);
    let splits: Vec<Split> =
        streams.iter().map(|stream| stream.own.map_or(Split::Train, |(split, _)| split)).collect();
    let steps: Vec<&'static str> = config.steps.iter().map(crate::Step::name).collect();
    let watch = Watch::new();
    let total = labels.iter().map(|(_, label)| label.stats.read.text_bytes).sum();
    progress.begin("merge", Some(total));
    let mut tables = tables(config, out)?;
    let mut cleaning = Cleaning::new(config, key, &streams);
    let mut readers = ReadStats::default();
    for (folder, label) in &labels {
        // Documents are numbered within the shard.
        let before = cleaning.documents.clone();
        let stored = Stored { folder, before: &before, splits: &splits, steps: &steps };
        flow(
            &watch,
            progress,
            |out| {
                if let Err(error) = stored.read(&watch, out) {
                    let _ = out.send(Err(error));
                }
            },
            |Batch { stream, of }| Ok(Batch { stream, of: cleaning.together(stream, of) }),
            |_, row| tables.push(row),
        )?;
        cleaning.add(&label.stats);
        readers.add(&label.stats.read);
    }
    finish(config, tables, &cleaning, &readers)
}

/// The error with the line as it is counted from the beginning of the file.
fn at_its_line(mut error: Error, pieces: &[Piece<'_>]) -> Error {
    let Some(place) = error.place_mut() else { return error };
    let cut = pieces.iter().find_map(|piece| match &piece.part {
        Part::Lines { path, range, .. } if *path.to_string_lossy() == *place.file => {
            Some((path, range.start))
        }
        _ => None,
    });
    // An error must be told, with a line that is too low if need be.
    if let Some((path, start)) = cut
        && let Ok(lines) = read::lines_before(path, start)
    {
        place.line += lines;
    }
    error
}

/// Reads what a folder of a shard says it is.
fn label(folder: &Path, recipe: &str) -> Result<Label, Error> {
    let path = folder.join(SHARD_LABEL);
    let bytes = std::fs::read(&path).map_err(|error| {
        wrong(folder, format!("has no {SHARD_LABEL} ({error}): it is no shard, or not finished"))
    })?;
    let label: Label = serde_json::from_slice(&bytes).map_err(|error| {
        wrong(folder, format!("has a {SHARD_LABEL} that cannot be read: {error}"))
    })?;
    match label.recipe == recipe {
        true => Ok(label),
        false => Err(wrong(folder, "was made by another config or seed".to_owned())),
    }
}

fn wrong(folder: &Path, problem: String) -> Error {
    Error::Shard { folder: folder.to_owned(), problem }
}

/// A hash of everything that decides what is in shards, but the files.
fn recipe(config: &CorpusConfig, key: &Key) -> Result<String, Error> {
    let fingerprint = Fingerprint::new("ingest-shard", 1)
        .field("corpus", config)
        .field("key", &key.child("shards").stream().next_u64());
    Ok(fingerprint.finish()?)
}

/// A row as it lies in the table of a shard.
fn stored(stream: usize, row: Row) -> ShardRow {
    let Row { text, label, metadata, source, document, fate, ahead, .. } = row;
    let (step, reason) = match fate {
        Fate::Kept => (None, None),
        Fate::Dropped { step, reason } => (Some(step.to_owned()), Some(reason)),
    };
    ShardRow {
        stream: stream as u32,
        document,
        text,
        label,
        source: source.to_string(),
        metadata,
        step,
        reason,
        hash: ahead.hash.map_or_else(Vec::new, TextHash::words),
        signature: ahead.signature.map_or_else(Vec::new, |signature| signature.words()),
    }
}

/// The tables of a shard, to be read.
struct Stored<'a> {
    folder: &'a Path,
    /// Documents of earlier shards, by stream.
    before: &'a [u64],
    /// The split of the rows of each stream.
    splits: &'a [Split],
    /// The names of steps.
    steps: &'a [&'static str],
}

impl Stored<'_> {
    /// Sends all rows, in order.
    fn read(&self, watch: &Watch, out: &Batches<Row>) -> Result<(), Error> {
        // Rows of a file have its name in common.
        let mut source: Arc<str> = "".into();
        for path in shards(self.folder, SHARD_ROWS)? {
            for rows in TableReader::<ShardRow>::open(path)? {
                let mut rows = rows?;
                while let Some(first) = rows.first() {
                    let stream = first.stream;
                    let end = rows.iter().position(|row| row.stream != stream);
                    let rest = rows.split_off(end.unwrap_or(rows.len()));
                    let bytes = rows.iter().map(|row| row.text.len() as u64).sum();
                    let of = rows.into_iter().map(|row| self.row(row, &mut source));
                    let of = of.collect::<Result<Vec<_>, _>>()?;
                    watch.bytes.fetch_add(bytes, Relaxed);
                    if out.send(Ok(Batch { stream: stream as usize, of })).is_err() {
                        return Ok(());
                    }
                    rows = rest;
                }
            }
        }
        Ok(())
    }

    fn row(&self, row: ShardRow, last: &mut Arc<str>) -> Result<Row, Error> {
        let broken = |what: &str| wrong(self.folder, format!("has a row with {what}"));
        let stream = row.stream as usize;
        let (Some(&before), Some(&split)) = (self.before.get(stream), self.splits.get(stream))
        else {
            return Err(broken("a stream that the config has not"));
        };
        if **last != *row.source {
            *last = row.source.into();
        }
        let fate = match (row.step, row.reason) {
            (Some(step), reason) => {
                let known = self.steps.iter().copied().chain([READ]).find(|name| *name == step);
                let step = known.ok_or_else(|| broken("a step that the config has not"))?;
                Fate::Dropped { step, reason: reason.unwrap_or_default() }
            }
            (None, _) => Fate::Kept,
        };
        let hash = (!row.hash.is_empty()).then(|| {
            TextHash::from_words(&row.hash).ok_or_else(|| broken("a hash of another length"))
        });
        let signature = (!row.signature.is_empty()).then(|| {
            Signature::from_words(&row.signature)
                .map(Box::new)
                .ok_or_else(|| broken("a signature of another length"))
        });
        Ok(Row {
            text: row.text,
            label: row.label,
            metadata: row.metadata,
            source: Arc::clone(last),
            document: before + row.document,
            split,
            fate,
            ahead: Ahead { hash: hash.transpose()?, signature: signature.transpose()? },
        })
    }
}

impl Piece<'_> {
    /// How much work it is, beside others.
    fn weight(&self) -> u64 {
        match (&self.part, self.size()) {
            (Part::Samples(_), Some(samples)) => samples * SAMPLE_BYTES,
            (_, size) => size.unwrap_or(UNKNOWN_BYTES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every piece is in one shard, in order, and shards of like pieces are of like size.
    #[test]
    fn shards_share_everything_once() {
        for (pieces, count) in [(1, 1), (1, 4), (7, 3), (100, 16), (0, 2), (5, 5)] {
            let all: Vec<u64> = (0..pieces).collect();
            for size in [(|_: &u64| 1) as fn(&u64) -> u64, |x| *x, |_| 0] {
                let mut joined = Vec::new();
                for number in 1..=count {
                    let shard = Shard::new(number, count).unwrap();
                    joined.extend(shard.of(all.clone(), size));
                }
                assert_eq!(joined, all, "{pieces} in {count}");
            }
        }
        let sizes: Vec<usize> = (1..=16)
            .map(|number| Shard::new(number, 16).unwrap().of(vec![(); 160], |()| 1).len())
            .collect();
        assert_eq!(sizes, [10; 16]);
    }
}
