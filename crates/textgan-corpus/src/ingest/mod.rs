//! From sources to tables: in one process, or by shards that are merged.

mod cleaning;
mod documents;
mod plan;
mod shard;

pub use documents::read_documents;
pub use plan::{Shard, ShardInputs};
pub use shard::{ingest_shard, merge_shards};

use crate::clean::Row;
use crate::read::{self, Part, Reading, Record, Rules, Watch};
use crate::stats::ReadStats;
use crate::write::{Tables, clear};
use crate::{Clean, CorpusConfig, Error, Source, Split, SplitBy, Stats};
use cleaning::Cleaning;
use std::ops::ControlFlow::Continue;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use textgan_artifact::Progress;
use textgan_random::Key;

/// A batch of records ends at this many ...
const BATCH_RECORDS: usize = 8192;
/// ... or this many bytes. Results do not depend on where batches end.
const BATCH_BYTES: usize = 2 << 20;
/// Batches that wait between two threads.
const WAITING: usize = 2;
/// How often a waiting ingestion asks whether it should stop.
const PATIENCE: Duration = Duration::from_millis(100);

/// Reads, cleans and splits a corpus, and writes it to the folder `out`:
/// `{train,valid,test}-*.parquet` (`id, text, label, source, metadata`), `dropped.parquet` (every
/// row that was not kept, with the step and its reason) and `stats.json`.
///
/// A thread reads, the calling thread cleans with all of rayon's threads, a thread writes; a few
/// batches wait between them, so memory does not grow with the corpus, but for what finding
/// duplicates remembers ([`Stats::memory`]). The bytes written depend on the config, the key and the
/// files alone. A killed ingestion is simply started over: what it left in `out` is replaced.
///
/// # Errors
/// [`Error`] says which file, line or key is wrong. Nothing finished is left in `out` then.
pub fn ingest(
    config: &CorpusConfig,
    key: &Key,
    out: &Path,
    progress: &dyn Progress,
) -> Result<Stats, Error> {
    make(config, out, progress, || run(config, key, out, progress))
}

/// Makes the tables of a corpus in `out` by `run`, and its statistics.
fn make(
    config: &CorpusConfig,
    out: &Path,
    progress: &dyn Progress,
    run: impl FnOnce() -> Result<Stats, Error>,
) -> Result<Stats, Error> {
    config.validate()?;
    prepare(out)?;
    let began = Instant::now();
    let result = run();
    progress.finish();
    let stats = result?;
    write_json(&out.join("stats.json"), &stats)?;
    for line in stats.lines() {
        progress.message(&line);
    }
    say_rate(stats.read.text_bytes, began, progress);
    Ok(stats)
}

/// Makes the folder `out`, without what an earlier ingestion left in it.
fn prepare(out: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(out).map_err(|source| Error::Write { path: out.into(), source })?;
    clear(out)
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), Error> {
    let mut json = serde_json::to_string_pretty(value)
        .map_err(|e| Error::Write { path: path.to_owned(), source: e.into() })?;
    json.push('\n');
    Ok(textgan_artifact::write_atomic(path, json.as_bytes())?)
}

fn say_rate(bytes: u64, began: Instant, progress: &dyn Progress) {
    let megabytes = bytes as f64 / 1e6;
    let seconds = began.elapsed().as_secs_f64();
    progress.message(&format!(
        "{megabytes:.1} MB of text in {seconds:.1} s: {:.1} MB/s",
        megabytes / seconds
    ));
}

/// A part of the input that is cleaned by itself, in the order of reading: own splits come first, so
/// that `sources` can be compared with them.
#[derive(Clone, Copy)]
struct Stream<'a> {
    sources: &'a [Source],
    /// The split and its cleaning, if the stream is one; else splits are drawn.
    own: Option<(Split, Clean)>,
}

fn streams(config: &CorpusConfig) -> Vec<Stream<'_>> {
    let own = [(Split::Test, &config.test), (Split::Valid, &config.valid)];
    let own = own.into_iter().filter_map(|(split, own)| {
        own.as_ref().map(|own| Stream { sources: &own.sources, own: Some((split, own.clean)) })
    });
    own.chain([Stream { sources: &config.sources, own: None }]).collect()
}

/// A part of a stream, read whole by one process.
struct Piece<'a> {
    stream: usize,
    source: &'a Source,
    /// Below which samples are drawn.
    key: Key,
    part: Part,
}

impl Piece<'_> {
    /// Its size in bytes of files, or in samples of grammars and oracles; `None` if nobody knows.
    fn size(&self) -> Option<u64> {
        match &self.part {
            Part::Whole { bytes } => *bytes,
            Part::File { bytes, .. } => Some(*bytes),
            #[cfg(feature = "cloud")]
            Part::Object { object, .. } => Some(object.bytes),
            Part::Samples(range) | Part::Lines { range, .. } => Some(range.end - range.start),
        }
    }
}

/// All of the input, in the order of reading.
fn pieces<'a>(streams: &[Stream<'a>], key: &Key) -> Result<Vec<Piece<'a>>, Error> {
    let mut pieces = Vec::new();
    for (stream, Stream { sources, own }) in streams.iter().enumerate() {
        let split = own.map_or("sources", |(split, _)| split.name());
        for (number, source) in sources.iter().enumerate() {
            let key = key.child("synthetic").child(split).index(number as u64);
            let piece = |part| Piece { stream, source, key, part };
            pieces.extend(read::parts(source)?.into_iter().map(piece));
        }
    }
    Ok(pieces)
}

/// The work ahead, if it can be known.
fn work(pieces: &[Piece<'_>]) -> Option<u64> {
    pieces.iter().map(Piece::size).sum()
}

/// What one thread hands to the next: of one stream.
struct Batch<T> {
    stream: usize,
    of: Vec<T>,
}

/// Where a reader puts batches, and the error that ended them, if one did.
type Batches<T> = SyncSender<Result<Batch<T>, Error>>;

/// Has a thread `read`, the calling thread `clean`, and a thread `write` every row; gives what `read` does. A few
/// batches wait between them.
fn flow<T: Send, R: Send>(
    watch: &Watch,
    progress: &dyn Progress,
    read: impl FnOnce(&Batches<T>) -> R + Send,
    mut clean: impl FnMut(Batch<T>) -> Result<Batch<Row>, Error>,
    mut write: impl FnMut(usize, Row) -> Result<(), Error> + Send,
) -> Result<R, Error> {
    std::thread::scope(|scope| {
        let (to_clean, batches) = sync_channel(WAITING);
        let (to_write, from_cleaning) = sync_channel::<Batch<Row>>(WAITING);
        let reader = scope.spawn(move || read(&to_clean));
        let writer = scope.spawn(move || -> Result<(), Error> {
            for Batch { stream, of } in from_cleaning {
                of.into_iter().try_for_each(|row| write(stream, row))?;
            }
            Ok(())
        });
        let cleaned = clean_all(watch, progress, batches, &to_write, &mut clean);
        drop(to_write);
        // If cleaning ended early, whatever the reader still does is in vain.
        watch.stop.store(true, Relaxed);
        let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // A writer that failed is why cleaning could not go on.
        written?;
        cleaned?;
        Ok(read)
    })
}

fn clean_all<T>(
    watch: &Watch,
    progress: &dyn Progress,
    batches: Receiver<Result<Batch<T>, Error>>,
    out: &SyncSender<Batch<Row>>,
    clean: &mut impl FnMut(Batch<T>) -> Result<Batch<Row>, Error>,
) -> Result<(), Error> {
    let mut told = 0;
    loop {
        if progress.stop_requested() {
            return Err(Error::Interrupted);
        }
        let batch = match batches.recv_timeout(PATIENCE) {
            Ok(batch) => batch?,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        if out.send(clean(batch)?).is_err() {
            // The writer has failed, and says why.
            return Ok(());
        }
        let done = watch.bytes.load(Relaxed);
        progress.advance(done - told);
        told = done;
    }
}

fn run(
    config: &CorpusConfig,
    key: &Key,
    out: &Path,
    progress: &dyn Progress,
) -> Result<Stats, Error> {
    let streams = streams(config);
    let pieces = pieces(&streams, key)?;
    progress.begin("ingest", work(&pieces));
    let reading = reading(config, out);
    let mut tables = tables(config, out)?;
    let mut cleaning = Cleaning::new(config, key, &streams);
    let read = flow(
        &reading.watch,
        progress,
        |out| read_all(&pieces, &reading, out),
        |Batch { stream, of }| {
            let rows = cleaning.per_row(stream, of, &reading.rules)?;
            Ok(Batch { stream, of: cleaning.across_rows(stream, rows) })
        },
        |_, row| tables.push(row),
    )?;
    finish(config, tables, &cleaning, &read)
}

fn reading<'a>(config: &CorpusConfig, spool: &'a Path) -> Reading<'a> {
    Reading { rules: rules(config), watch: Watch::new(), spool }
}

fn rules(config: &CorpusConfig) -> Rules {
    Rules { encoding: config.encoding, limits: config.limits }
}

fn tables(config: &CorpusConfig, out: &Path) -> Result<Tables, Error> {
    Tables::create(out, &config.splits(), config.rows_per_shard as u64)
}

/// Completes the tables, unless they are nothing to learn from.
fn finish(
    config: &CorpusConfig,
    tables: Tables,
    cleaning: &Cleaning<'_>,
    readers: &ReadStats,
) -> Result<Stats, Error> {
    check(config, &tables, cleaning, readers)?;
    let written = tables.finish()?;
    let read = ReadStats { dropped: written.unread, ..cleaning.read(readers) };
    let (shared, memory) = cleaning.remembered();
    Ok(Stats { read, steps: cleaning.step_stats(), splits: written.splits, shared, memory })
}

/// Sends all records, in order, and then the error that ended them, if one did.
fn read_all(pieces: &[Piece<'_>], reading: &Reading<'_>, out: &Batches<Record>) -> ReadStats {
    let mut stats = ReadStats::default();
    for of_stream in pieces.chunk_by(|a, b| a.stream == b.stream) {
        let stream = of_stream[0].stream;
        let mut batch = Vec::new();
        let mut bytes = 0;
        let send = |of| out.send(Ok(Batch { stream, of })).map_err(|_| Error::Interrupted);
        let mut sink = |record: Record| {
            bytes += record.bytes();
            batch.push(record);
            if batch.len() >= BATCH_RECORDS || bytes >= BATCH_BYTES {
                bytes = 0;
                send(std::mem::take(&mut batch))?;
            }
            Ok(Continue(()))
        };
        let result = of_stream.iter().try_for_each(|Piece { source, part, key, .. }| {
            read::read_part(source, part, *key, reading, &mut stats, &mut sink)
        });
        // What was read before an error goes first: an earlier document may hold an earlier error.
        let sent = if batch.is_empty() { Ok(()) } else { send(batch) };
        if let Err(error) = result {
            let _ = out.send(Err(error));
            return stats;
        }
        if sent.is_err() {
            return stats;
        }
    }
    stats
}

/// Refuses a corpus with nothing in it, or with nothing in one of its splits.
fn check(
    config: &CorpusConfig,
    tables: &Tables,
    cleaning: &Cleaning<'_>,
    read: &ReadStats,
) -> Result<(), Error> {
    let documents = cleaning.documents.last().copied().unwrap_or(0);
    let splits = config.splits();
    if documents == 0 {
        return Err(Error::Empty { sources: names(&config.sources), blank: read.blank_lines });
    }
    let drawn: Vec<Split> = splits
        .iter()
        .copied()
        .filter(|split| match split {
            Split::Train => true,
            Split::Valid => config.valid.is_none(),
            Split::Test => config.test.is_none(),
        })
        .collect();
    if config.split.by == SplitBy::Document && documents < drawn.len() as u64 {
        let names: Vec<&str> = drawn.iter().map(|split| split.name()).collect();
        return Err(Error::CannotSplit { documents, splits: names.join(", ") });
    }
    for split in splits {
        let Some(stats) = tables.stats(split) else { continue };
        if stats.rows > 0 {
            continue;
        }
        let own = !drawn.contains(&split);
        let fix = match (stats.dropped, own) {
            (0, true) => "check its sources",
            (0, false) => {
                "there are too few documents for its part: add documents, raise it in corpus.split, or draw \
                 sentences with corpus.split.by = \"sentence\""
            }
            _ => "loosen the step, see corpus.steps",
        };
        let dropped = stats.dropped;
        let reason = tables.main_reason(split).map_or_else(String::new, |(step, rows)| {
            format!(": of its rows {dropped} were dropped, {rows} by `{step}`")
        });
        return Err(Error::EmptySplit { split, dropped, reason, fix });
    }
    Ok(())
}

fn names(sources: &[Source]) -> String {
    let names: Vec<String> = sources
        .iter()
        .map(|source| match source {
            Source::Files(files) => format!("`{}`", files.path),
            Source::Synthetic(_) => "`textgan-synthetic`".into(),
            Source::Oracle(_) => "an oracle".into(),
        })
        .collect();
    names.join(", ")
}
