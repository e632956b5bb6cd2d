//! Rows to a Parquet file.

use super::row::Row;
use crate::publish::{rename, with_suffix};
use crate::{Error, Result};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// A row group ends at this many rows ...
const GROUP_ROWS: usize = 8192;
/// ... or this many bytes, whichever comes first.
const GROUP_BYTES: usize = 32 << 20;
/// Row groups that are encoded at once: what they hold is in memory.
const MOST_ENCODING: usize = 4;
/// Arrow's offsets are 31 bits wide; half of that leaves room for the rest of the group.
const ROW_BYTES: usize = 1 << 30;

/// Writes a table as a stream, in memory bounded by a few row groups (8,192 rows or 32 MiB each, or one row).
///
/// The file appears under its name when [`finish`](Self::finish) succeeds; until then it is
/// `<name>.part`, which is removed if the writer is dropped.
pub struct TableWriter<R: Row> {
    path: PathBuf,
    output: Output<R, File>,
    finished: bool,
}

impl<R: Row> TableWriter<R> {
    /// Starts the table that will be at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::DiskFull`].
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let part = with_suffix(&path, ".part");
        // A leftover is replaced, and a link is not written through.
        let _ = std::fs::remove_file(&part);
        let mut options = std::fs::OpenOptions::new();
        let file = crate::open_plain(options.write(true).create_new(true), &part)
            .map_err(|source| Error::io("create", &path, source))?;
        let output = Output::new(file, path.clone())?;
        Ok(Self { path, output, finished: false })
    }

    /// Adds one row.
    ///
    /// # Errors
    /// [`Error::RowTooLarge`] over 1 GiB; [`Error::Table`], [`Error::DiskFull`].
    pub fn push(&mut self, row: R) -> Result<()> {
        self.output.push(row)
    }

    /// Adds copies of rows.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn write(&mut self, rows: &[R]) -> Result<()> {
        rows.iter().try_for_each(|row| self.push(row.clone()))
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.output.rows
    }

    /// Where the table will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Completes the file, flushed to the disk and under its name; says how many rows it has.
    ///
    /// # Errors
    /// [`Error::Table`], [`Error::DiskFull`], [`Error::Io`].
    pub fn finish(mut self) -> Result<u64> {
        let file = self.output.finish()?;
        file.sync_all().map_err(|source| Error::io("flush", &self.path, source))?;
        rename(&with_suffix(&self.path, ".part"), &self.path)?;
        self.finished = true;
        Ok(self.output.rows)
    }
}

impl<R: Row> Drop for TableWriter<R> {
    fn drop(&mut self) {
        if !self.finished {
            let _ = std::fs::remove_file(with_suffix(&self.path, ".part"));
        }
    }
}

/// The table's bytes, wherever they go. Row groups are encoded by all of rayon's threads, a few at once, and written in
/// their order.
struct Output<R: Row, W: Write + Send> {
    path: PathBuf,
    writer: Option<(SerializedFileWriter<W>, ArrowRowGroupWriterFactory)>,
    pending: Vec<R>,
    pending_bytes: usize,
    rows: u64,
    /// Row groups begun.
    groups: usize,
    /// Those of them that are being encoded, the oldest first.
    encoding: VecDeque<Encoding>,
}

/// A row group that a thread will encode, unless whoever waits for it is first: so nobody waits for a thread that waits
/// for him.
struct Encoding {
    job: Arc<Mutex<Option<Job>>>,
    done: Receiver<Encoded>,
}

type Job = Box<dyn FnOnce() -> Result<Vec<ArrowColumnChunk>> + Send>;
/// What a job gave, or how it panicked.
type Encoded = std::thread::Result<Result<Vec<ArrowColumnChunk>>>;

impl Encoding {
    fn begin(job: Job) -> Self {
        let job = Arc::new(Mutex::new(Some(job)));
        let (send, done) = sync_channel(1);
        let shared = Arc::clone(&job);
        rayon::spawn(move || {
            if let Some(job) = take(&shared) {
                // Nobody waits any more for a table that was given up.
                let _ = send.send(catch_unwind(AssertUnwindSafe(job)));
            }
        });
        Self { job, done }
    }

    fn finish(self) -> Result<Vec<ArrowColumnChunk>> {
        if let Some(job) = take(&self.job) {
            return job();
        }
        match self.done.recv() {
            Ok(Ok(encoded)) => encoded,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(lost) => panic!("invariant: a job that was taken tells what it gave ({lost})"),
        }
    }
}

/// The job, for whoever asks first.
fn take(job: &Mutex<Option<Job>>) -> Option<Job> {
    job.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl<R: Row, W: Write + Send> Output<R, W> {
    fn new(sink: W, path: PathBuf) -> Result<Self> {
        let open = || {
            let writer = ArrowWriter::try_new(sink, R::schema(), Some(properties::<R>()?))?;
            writer.into_serialized_writer()
        };
        let writer = open().map_err(|error| table_error(&path, error))?;
        let (pending, encoding) = (Vec::new(), VecDeque::new());
        let writer = Some(writer);
        Ok(Self { path, writer, pending, pending_bytes: 0, rows: 0, groups: 0, encoding })
    }

    fn push(&mut self, row: R) -> Result<()> {
        let bytes = row.bytes();
        if bytes > ROW_BYTES {
            let path = self.path.clone();
            return Err(Error::RowTooLarge { path, row: self.rows, bytes, limit: ROW_BYTES });
        }
        // Only the rows decide where groups end, so they decide the bytes.
        if self.pending.len() == GROUP_ROWS
            || (self.pending_bytes + bytes > GROUP_BYTES && !self.pending.is_empty())
        {
            self.flush()?;
        }
        self.pending_bytes += bytes;
        self.rows += 1;
        self.pending.push(row);
        Ok(())
    }

    /// Has the pending rows encoded.
    fn flush(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let writers = self.columns()?;
        let path = self.path.clone();
        let job = move || encode(&path, &rows, writers);
        self.encoding.push_back(Encoding::begin(Box::new(job)));
        while self.encoding.len() > rayon::current_num_threads().min(MOST_ENCODING) {
            self.write_oldest()?;
        }
        Ok(())
    }

    /// The writers of the columns of a new row group.
    fn columns(&mut self) -> Result<Vec<ArrowColumnWriter>> {
        let Some((_, factory)) = &self.writer else { return Err(finished(&self.path)) };
        let columns = factory.create_column_writers(self.groups);
        self.groups += 1;
        columns.map_err(|error| table_error(&self.path, error))
    }

    fn write_oldest(&mut self) -> Result<()> {
        let Some(oldest) = self.encoding.pop_front() else { return Ok(()) };
        let columns = oldest.finish()?;
        self.append(columns)
    }

    fn append(&mut self, columns: Vec<ArrowColumnChunk>) -> Result<()> {
        let Some((writer, _)) = &mut self.writer else { return Err(finished(&self.path)) };
        let append = || {
            let mut group = writer.next_row_group()?;
            for column in columns {
                column.append_to_row_group(&mut group)?;
            }
            group.close().map(drop)
        };
        append().map_err(|error| table_error(&self.path, error))
    }

    fn finish(&mut self) -> Result<W> {
        while !self.encoding.is_empty() {
            self.write_oldest()?;
        }
        let rows = std::mem::take(&mut self.pending);
        if !rows.is_empty() {
            let writers = self.columns()?;
            self.append(encode(&self.path, &rows, writers)?)?;
        }
        let Some((writer, _)) = self.writer.take() else { return Err(finished(&self.path)) };
        writer.into_inner().map_err(|error| table_error(&self.path, error))
    }
}

fn finished(path: &Path) -> Error {
    Error::Table { action: "write", path: path.to_owned(), message: "already finished".into() }
}

/// A row group, encoded.
fn encode<R: Row>(
    path: &Path,
    rows: &[R],
    mut writers: Vec<ArrowColumnWriter>,
) -> Result<Vec<ArrowColumnChunk>> {
    let batch = R::to_batch(rows).map_err(|error| error.at(path))?;
    let encode = || -> std::result::Result<_, ParquetError> {
        let mut columns = writers.iter_mut();
        for (field, column) in R::schema().fields().iter().zip(batch.columns()) {
            for (leaf, writer) in compute_leaves(field, column)?.iter().zip(&mut columns) {
                writer.write(leaf)?;
            }
        }
        writers.into_iter().map(ArrowColumnWriter::close).collect()
    };
    encode().map_err(|error| table_error(path, error))
}

fn properties<R: Row>() -> Result<WriterProperties, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_created_by("textgan".into())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_dictionary_enabled(false);
    for column in R::REPETITIVE {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(*column), true);
    }
    Ok(properties.build())
}

fn table_error(path: &Path, error: ParquetError) -> Error {
    if let ParquetError::External(inner) = &error
        && let Some(inner) = inner.downcast_ref::<io::Error>()
    {
        let copy = io::Error::new(inner.kind(), inner.to_string());
        return Error::io("write", path, copy);
    }
    Error::Table { action: "write", path: path.to_path_buf(), message: error.to_string() }
}
