//! One corpus by several processes: each reads, cleans and hashes a shard of the input; one compares the rows of all
//! of them and writes the tables.

use super::cleaning::Cleaning;
use super::plan::{Shard, Share};
use super::{Batch, Batches, finish, flow, make, prepare, read_all};
use super::{reading, say_rate, streams, tables, work, write_json};
use crate::clean::{Fate, Precomputed, READ, Row, Signature, TextHash};
use crate::read::Watch;
use crate::stats::{ReadStats, StepStats};
use crate::write::{SHARD_MANIFEST, SHARD_ROWS, beginning};
use crate::{CorpusConfig, Error, Split, Stats};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;
use textgan_artifact::table::{ShardRow, ShardedWriter, TableReader, shards};
use textgan_artifact::{Fingerprint, Progress, hash_file};
use textgan_random::{Key, RngCore};

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

/// What stands in [`SHARD_MANIFEST`].
#[derive(Serialize, Deserialize)]
struct ShardManifest {
    shard: Shard,
    /// Of config and key.
    fingerprint: String,
    /// How the input was cut: [`ShardInputs::cut`](super::plan::ShardInputs::cut).
    cut: String,
    stats: ShardStats,
    /// The hash of each table, by name.
    tables: BTreeMap<String, String>,
    /// A hash of all the above.
    checksum: String,
}

impl ShardManifest {
    /// What [`checksum`](Self::checksum) should be.
    fn sum(&self) -> Result<String, Error> {
        let Self { shard, fingerprint, cut, stats, tables, .. } = self;
        let whole = Fingerprint::new("shard", 1)
            .field("shard", shard)
            .field("fingerprint", fingerprint)
            .field("cut", cut)
            .field("stats", stats)
            .field("tables", tables);
        Ok(whole.finish()?)
    }
}

/// Reads and cleans one shard of a corpus into the folder `out`, for [`merge_shards`]: as much as can be done with rows
/// without knowing of those of other shards, and the hashes and signatures that the rest asks for.
///
/// A source is cut between its files, and within those of plain lines, a synthetic one anywhere; what is behind an
/// address of a file, and a source with a `limit`, is one piece, and so is every object of a bucket.
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
    let manifest = result?;
    write_json(&out.join(SHARD_MANIFEST), &manifest)?;
    let read = manifest.stats.read;
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
) -> Result<ShardManifest, Error> {
    let streams = streams(config);
    let Share { pieces, cut } = Share::new(config, &streams, key, shard)?;
    progress.begin("ingest", work(&pieces));
    let reading = reading(config, out);
    let mut table = ShardedWriter::create(out, SHARD_ROWS, config.rows_per_shard as u64)?;
    let mut cleaning = Cleaning::new(config, key, &streams);
    let readers = flow(
        &reading.watch,
        progress,
        |out| read_all(&pieces, &reading, out),
        |Batch { stream, of }| {
            Ok(Batch { stream, of: cleaning.per_row(stream, of, &reading.rules)? })
        },
        |stream, row| Ok(table.push(stored(stream, row))?),
    )?;
    table.finish()?;
    let mut tables = BTreeMap::new();
    for path in shards(out, SHARD_ROWS)? {
        tables.insert(name(&path), hash_file(&path)?);
    }
    let (fingerprint, stats) = (fingerprint(config, key)?, cleaning.shard(&readers));
    let checksum = String::new();
    let mut manifest = ShardManifest { shard, fingerprint, cut, stats, tables, checksum };
    manifest.checksum = manifest.sum()?;
    Ok(manifest)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Merges all shards of a corpus, each in a folder of [`ingest_shard`], into what [`ingest`](super::ingest) would have
/// written to the folder `out`: the same bytes, whatever the number of shards.
///
/// # Errors
/// [`Error::Shard`] for a folder that is none, that was changed, or is of another config, and when one is missing or
/// there twice.
pub fn merge_shards(
    config: &CorpusConfig,
    key: &Key,
    folders: &[PathBuf],
    out: &Path,
    progress: &dyn Progress,
) -> Result<Stats, Error> {
    config.validate()?;
    let found = Found::all(config, key, folders, out)?;
    make(config, out, progress, || merge(config, key, &found, out, progress))
}

/// A shard that is there.
struct Found<'a> {
    folder: &'a Path,
    manifest: ShardManifest,
    tables: Vec<PathBuf>,
}

impl<'a> Found<'a> {
    /// All shards of a corpus, in order.
    fn all(
        config: &CorpusConfig,
        key: &Key,
        folders: &'a [PathBuf],
        out: &Path,
    ) -> Result<Vec<Self>, Error> {
        let fingerprint = fingerprint(config, key)?;
        let streams = streams(config).len();
        let mut all = Vec::new();
        for folder in folders {
            let same = |a: &Path, b: &Path| Some(a.canonicalize().ok()? == b.canonicalize().ok()?);
            if same(folder, out) == Some(true) {
                let problem = "the merge would write into this shard; give it another folder";
                return Err(wrong(folder, problem));
            }
            let found = Self::at(folder)?;
            let ShardManifest { fingerprint: theirs, stats, .. } = &found.manifest;
            let steps = stats.steps.iter().all(|steps| steps.len() == config.steps.len());
            if *theirs != fingerprint {
                let problem =
                    "the shard was made by another config or seed; make it again by this one";
                return Err(wrong(folder, problem));
            }
            if (stats.documents.len(), stats.steps.len(), steps) != (streams, streams, true) {
                return Err(wrong(folder, format!("its {SHARD_MANIFEST} was changed; {AGAIN}")));
            }
            all.push(found);
        }
        all.sort_by_key(|found| found.manifest.shard.number());
        let Some(first) = all.first() else {
            return Err(wrong(out, "no shards are given to merge"));
        };
        let (count, cut) = (first.manifest.shard.count(), &first.manifest.cut);
        for found in &all {
            let shard = found.manifest.shard;
            if shard.count() != count {
                let problem =
                    format!("it is shard {shard}, and others are of {count}; give one kind");
                return Err(wrong(found.folder, problem));
            }
            if found.manifest.cut != *cut {
                let problem = "files have changed in size since, or before, the other shards were made: the input is \
                               cut in other places; make all of them again";
                return Err(wrong(found.folder, problem));
            }
        }
        for number in 1..=count {
            let mut of = all.iter().filter(|found| found.manifest.shard.number() == number);
            match (of.next(), of.next()) {
                (Some(_), None) => {}
                (_, Some(twice)) => {
                    let problem = format!("shard {number}/{count} is there twice; give it once");
                    return Err(wrong(twice.folder, problem));
                }
                (None, None) => {
                    let problem = format!(
                        "shard {number}/{count} is missing among those beside it; make it by `ingest --shard {number}/{count}`"
                    );
                    return Err(wrong(all[0].folder, problem));
                }
            }
        }
        Ok(all)
    }

    /// The shard in a folder, whole and as it was written.
    fn at(folder: &'a Path) -> Result<Self, Error> {
        let bytes = std::fs::read(folder.join(SHARD_MANIFEST)).map_err(|error| {
            wrong(
                folder,
                format!("no {SHARD_MANIFEST} ({error}): it is no shard, or not finished; {AGAIN}"),
            )
        })?;
        let manifest: ShardManifest = serde_json::from_slice(&bytes).map_err(|error| {
            wrong(folder, format!("its {SHARD_MANIFEST} cannot be read ({error}); {AGAIN}"))
        })?;
        if manifest.checksum != manifest.sum()? {
            return Err(wrong(folder, format!("its {SHARD_MANIFEST} was changed; {AGAIN}")));
        }
        let tables = shards(folder, SHARD_ROWS)?;
        if !tables.iter().map(|path| name(path)).eq(manifest.tables.keys().cloned()) {
            return Err(wrong(
                folder,
                format!("its tables are not those it was made with; {AGAIN}"),
            ));
        }
        for (path, hash) in tables.iter().zip(manifest.tables.values()) {
            if hash_file(path)? != *hash {
                let problem = format!("{} was changed since it was made; {AGAIN}", name(path));
                return Err(wrong(folder, problem));
            }
        }
        Ok(Self { folder, manifest, tables })
    }
}

/// What helps a shard that is broken.
const AGAIN: &str = "make the shard again by `ingest --shard`, with `--force`";

fn merge(
    config: &CorpusConfig,
    key: &Key,
    all: &[Found<'_>],
    out: &Path,
    progress: &dyn Progress,
) -> Result<Stats, Error> {
    let streams = streams(config);
    let splits: Vec<Split> =
        streams.iter().map(|stream| stream.own.map_or(Split::Train, |(split, _)| split)).collect();
    let steps: Vec<&'static str> = config.steps.iter().map(crate::Step::name).collect();
    let bytes = all.iter().map(|found| found.manifest.stats.read.text_bytes);
    progress.begin("merge", Some(bytes.fold(0, u64::saturating_add)));
    let mut tables = tables(config, out)?;
    let mut cleaning = Cleaning::new(config, key, &streams);
    let mut readers = ReadStats::default();
    for found in all {
        // Documents are numbered within the shard.
        let before = cleaning.documents.clone();
        let stored = Stored { found, before: &before, splits: &splits, steps: &steps };
        let watch = Watch::new();
        flow(
            &watch,
            progress,
            |out| {
                if let Err(error) = stored.read(&watch, out) {
                    let _ = out.send(Err(error));
                }
            },
            |Batch { stream, of }| Ok(Batch { stream, of: cleaning.across_rows(stream, of) }),
            |_, row| tables.push(row),
        )?;
        cleaning.add(&found.manifest.stats);
        readers.add(&found.manifest.stats.read);
    }
    finish(config, tables, &cleaning, &readers)
}

fn wrong(folder: &Path, problem: impl Into<String>) -> Error {
    Error::Shard { folder: folder.to_owned(), problem: problem.into() }
}

/// A hash of everything that decides what is in shards, but the files.
fn fingerprint(config: &CorpusConfig, key: &Key) -> Result<String, Error> {
    let fingerprint = Fingerprint::new("ingest-shard", 1)
        .field("corpus", config)
        .field("key", &key.child("shards").stream().next_u64());
    Ok(fingerprint.finish()?)
}

/// A row as it lies in the table of a shard.
fn stored(stream: usize, row: Row) -> ShardRow {
    let Row { mut text, label, metadata, source, document, fate, precomputed, .. } = row;
    let (step, reason) = match fate {
        Fate::Kept => (None, None),
        Fate::Dropped { step, reason } => {
            text = beginning(text);
            (Some(step.to_owned()), Some(reason))
        }
    };
    let Precomputed { hash, signature } = precomputed;
    ShardRow {
        stream: stream as u32,
        document,
        text,
        label,
        source: source.to_string(),
        metadata,
        step,
        reason,
        hash: hash.map_or_else(Vec::new, TextHash::words),
        signature: signature.map_or_else(Vec::new, |signature| signature.words()),
    }
}

/// The tables of a shard, to be read.
struct Stored<'a> {
    found: &'a Found<'a>,
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
        for path in &self.found.tables {
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
        let broken = |what: &str| wrong(self.found.folder, format!("a row has {what}; {AGAIN}"));
        let stream = row.stream as usize;
        let documents = &self.found.manifest.stats.documents;
        let of_stream = (self.before.get(stream), self.splits.get(stream), documents.get(stream));
        let (Some(&before), Some(&split), Some(&documents)) = of_stream else {
            return Err(broken("a stream that the config has not"));
        };
        if row.document >= documents {
            return Err(broken("a document that was not read"));
        }
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
            precomputed: Precomputed { hash: hash.transpose()?, signature: signature.transpose()? },
        })
    }
}
