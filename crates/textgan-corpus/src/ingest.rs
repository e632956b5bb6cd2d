use crate::clean::{Extent, Pipeline, Registry, Row};
use crate::read::{self, Reading, Record, Rules, Watch};
use crate::split::Draw;
use crate::stats::{ReadStats, StepStats};
use crate::write::{Tables, clear};
use crate::{Clean, CorpusConfig, Error, SharedAction, Source, Split, SplitBy, Stats, Step};
use rayon::prelude::*;
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
    config.validate()?;
    std::fs::create_dir_all(out).map_err(|source| Error::Write { path: out.into(), source })?;
    clear(out)?;
    let began = Instant::now();
    progress.begin("ingest", work(config)?);
    let result = run(config, key, out, progress);
    progress.finish();
    let stats = result?;
    let mut json = serde_json::to_string_pretty(&stats)
        .map_err(|e| Error::Write { path: out.join("stats.json"), source: e.into() })?;
    json.push('\n');
    textgan_artifact::write_atomic(out.join("stats.json"), json.as_bytes())?;
    for line in stats.lines() {
        progress.message(&line);
    }
    let megabytes = stats.read.text_bytes as f64 / 1e6;
    let seconds = began.elapsed().as_secs_f64();
    progress.message(&format!(
        "{megabytes:.1} MB of text in {seconds:.1} s: {:.1} MB/s",
        megabytes / seconds
    ));
    Ok(stats)
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

/// The work ahead, in bytes of files and samples of grammars and oracles, if it can be known.
fn work(config: &CorpusConfig) -> Result<Option<u64>, Error> {
    let mut total = 0;
    for source in streams(config).iter().flat_map(|stream| stream.sources) {
        match source {
            Source::Synthetic(synthetic) => total += synthetic.documents,
            Source::Oracle(oracle) => total += oracle.documents,
            Source::Files(files) => {
                let paths = read::local_files(files)?;
                if paths.is_empty() {
                    return Ok(None);
                }
                for path in paths {
                    total += path.metadata().map_or(0, |metadata| metadata.len());
                }
            }
        }
    }
    Ok(Some(total))
}

struct Batch {
    stream: usize,
    records: Vec<Record>,
}

fn run(
    config: &CorpusConfig,
    key: &Key,
    out: &Path,
    progress: &dyn Progress,
) -> Result<Stats, Error> {
    let streams = streams(config);
    let rules = Rules { encoding: config.encoding, limits: config.limits };
    let reading = Reading { rules, watch: Watch::new(), spool: out };
    let mut tables = Tables::create(out, &config.splits(), config.rows_per_shard as u64)?;
    let mut cleaning = Cleaning::new(config, key, &streams);

    let (tables, read) = std::thread::scope(|scope| {
        let (to_clean, from_reader) = sync_channel(WAITING);
        let (to_write, from_cleaning) = sync_channel::<Vec<Row>>(WAITING);
        let (streams, reading) = (&streams, &reading);
        let reader = scope.spawn(move || read_all(streams, key, reading, &to_clean));
        let writer = scope.spawn(move || -> Result<Tables, Error> {
            for rows in from_cleaning {
                rows.into_iter().try_for_each(|row| tables.push(row))?;
            }
            Ok(tables)
        });
        let cleaned = clean_all(&mut cleaning, streams, reading, from_reader, to_write, progress);
        // If cleaning ended early, whatever the reader still does is in vain.
        reading.watch.stop.store(true, Relaxed);
        let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let tables = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // A writer that failed is why cleaning could not go on.
        let tables = tables?;
        cleaned?;
        Ok::<_, Error>((tables, read))
    })?;

    check(config, &tables, &cleaning, &read)?;
    let written = tables.finish()?;
    let read = ReadStats {
        documents: cleaning.documents.iter().sum(),
        text_bytes: cleaning.text_bytes,
        replaced: cleaning.replaced,
        dropped: written.unread,
        ..read
    };
    let (shared, mut memory) = match (
        &cleaning.registry,
        config.steps.iter().find(|step| matches!(step, Step::CrossSplit(_))),
    ) {
        (Some(registry), Some(step)) => (registry.shared(), vec![registry.memory(step.name())]),
        _ => (Vec::new(), Vec::new()),
    };
    memory.extend(cleaning.pipelines.iter().flat_map(Pipeline::memory));
    memory.retain(|memory| memory.rows > 0);
    Ok(Stats { read, steps: cleaning.step_stats(), splits: written.splits, shared, memory })
}

/// Sends all records, in order, and then the error that ended them, if one did.
fn read_all(
    streams: &[Stream<'_>],
    key: &Key,
    reading: &Reading<'_>,
    out: &SyncSender<Result<Batch, Error>>,
) -> ReadStats {
    let mut stats = ReadStats::default();
    for (index, stream) in streams.iter().enumerate() {
        let split = stream.own.map_or("sources", |(split, _)| split.name());
        let mut batch = Vec::new();
        let mut bytes = 0;
        let send = |records| {
            out.send(Ok(Batch { stream: index, records })).map_err(|_| Error::Interrupted)
        };
        let mut sink = |record: Record| {
            bytes += record.bytes();
            batch.push(record);
            if batch.len() >= BATCH_RECORDS || bytes >= BATCH_BYTES {
                bytes = 0;
                send(std::mem::take(&mut batch))?;
            }
            Ok(Continue(()))
        };
        let result = stream.sources.iter().enumerate().try_for_each(|(number, source)| {
            let key = key.child("synthetic").child(split).index(number as u64);
            read::read_source(source, key, reading, &mut stats, &mut sink)
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

fn clean_all(
    cleaning: &mut Cleaning<'_>,
    streams: &[Stream<'_>],
    reading: &Reading<'_>,
    batches: Receiver<Result<Batch, Error>>,
    out: SyncSender<Vec<Row>>,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let mut told = 0;
    let mut sentences = 0;
    loop {
        if progress.stop_requested() {
            return Err(Error::Interrupted);
        }
        let batch = match batches.recv_timeout(PATIENCE) {
            Ok(batch) => batch?,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        sentences += batch.records.iter().filter(|record| record.is_sample()).count() as u64;
        let rows = cleaning.clean(streams[batch.stream], batch, &reading.rules)?;
        if out.send(rows).is_err() {
            // The writer has failed, and says why.
            return Ok(());
        }
        let done = reading.watch.bytes.load(Relaxed) + sentences;
        progress.advance(done - told);
        told = done;
    }
}

/// The state of cleaning, over all batches.
struct Cleaning<'a> {
    steps: &'a [Step],
    pipelines: Vec<Pipeline>,
    registry: Option<Registry>,
    draw: Draw,
    /// Whether sentences are drawn, once they are cut.
    by_sentence: bool,
    /// Documents read, by stream.
    documents: Vec<u64>,
    text_bytes: u64,
    replaced: u64,
}

impl<'a> Cleaning<'a> {
    fn new(config: &'a CorpusConfig, key: &Key, streams: &[Stream<'_>]) -> Self {
        let pipeline = |stream: &Stream<'_>| {
            let extent = match stream.own {
                Some((_, Clean::AsIs | Clean::Text)) => Extent::Rewriting,
                Some((_, Clean::All)) | None => Extent::All,
            };
            Pipeline::new(&config.steps, extent, stream.own.is_some())
        };
        let held_out = config.held_out();
        let draws = held_out.valid + held_out.test > 0.0;
        Self {
            steps: &config.steps,
            pipelines: streams.iter().map(pipeline).collect(),
            registry: registry(&config.steps, draws),
            draw: Draw::new(held_out, &key.child("split")),
            by_sentence: held_out.by == SplitBy::Sentence,
            documents: vec![0; streams.len()],
            text_bytes: 0,
            replaced: 0,
        }
    }

    fn clean(
        &mut self,
        stream: Stream<'_>,
        batch: Batch,
        rules: &Rules,
    ) -> Result<Vec<Row>, Error> {
        let Batch { stream: index, records } = batch;
        self.documents[index] += records.len() as u64;
        let records: Vec<(Record, Split)> = records
            .into_iter()
            .map(|record| {
                let split = match stream.own {
                    Some((split, _)) => split,
                    None if self.by_sentence => Split::Train,
                    None => self.draw.next(),
                };
                (record, split)
            })
            .collect();
        let decoded: Vec<Result<Vec<Row>, Error>> = records
            .into_par_iter()
            .map(|(record, split)| read::decode(record, split, rules))
            .collect();
        let mut rows = Vec::with_capacity(decoded.len());
        for decoded in decoded {
            // The first error in the order of the corpus, whatever thread met it.
            rows.append(&mut decoded?);
        }
        self.text_bytes += rows.iter().map(|row| row.text.len() as u64).sum::<u64>();
        self.replaced +=
            rows.iter().map(|row| row.text.matches('\u{FFFD}').count() as u64).sum::<u64>();
        let pipeline = &mut self.pipelines[index];
        if !matches!(stream.own, Some((_, Clean::AsIs))) {
            let draws = self.by_sentence && stream.own.is_none();
            let draw = draws.then_some(&mut self.draw);
            return Ok(pipeline.run(rows, self.registry.as_mut(), draw));
        }
        if let Some(registry) = &mut self.registry {
            // Other rows are compared with what the steps would have made of these.
            pipeline.run(rows.clone(), Some(registry), None);
        }
        Ok(rows)
    }

    /// What the steps did to the streams they were applied to.
    fn step_stats(&self) -> Vec<StepStats> {
        let mut sums: Vec<StepStats> = self
            .steps
            .iter()
            .map(|step| StepStats { step: step.name().into(), ..StepStats::default() })
            .collect();
        for pipeline in &self.pipelines {
            for (sum, stats) in sums.iter_mut().zip(pipeline.stats()) {
                sum.rows += stats.rows;
                sum.changed += stats.changed;
                sum.added += stats.added;
                sum.dropped += stats.dropped;
            }
        }
        sums
    }
}

fn registry(steps: &[Step], draws: bool) -> Option<Registry> {
    let at = steps.iter().position(|step| matches!(step, Step::CrossSplit(_)))?;
    let action = match &steps[at] {
        Step::CrossSplit(config) => config.action,
        _ => SharedAction::default(),
    };
    // Rows that were made distinct, and not rewritten since, are distinct across splits too.
    let last_rewrite = steps[..at].iter().rposition(Step::rewrites);
    let last_exact = steps[..at].iter().rposition(|step| *step == Step::ExactDuplicates {});
    let distinct = last_exact.is_some() && last_exact > last_rewrite;
    Some(Registry::new(action, draws && !distinct))
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
