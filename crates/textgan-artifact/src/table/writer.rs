//! Rows to a Parquet file.

use super::row::Row;
use crate::publish::{rename, with_suffix};
use crate::{Error, Result};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A row group ends at this many rows ...
const GROUP_ROWS: usize = 8192;
/// ... or this many bytes, whichever comes first.
const GROUP_BYTES: usize = 32 << 20;
/// Arrow's offsets are 31 bits wide; half of that leaves room for the rest of the group.
const ROW_BYTES: usize = 1 << 30;

/// Writes a table as a stream, in memory bounded by one row group (8,192 rows or 32 MiB).
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

/// The table's bytes, wherever they go.
struct Output<R: Row, W: Write + Send> {
    path: PathBuf,
    writer: Option<ArrowWriter<W>>,
    pending: Vec<R>,
    pending_bytes: usize,
    rows: u64,
}

impl<R: Row, W: Write + Send> Output<R, W> {
    fn new(sink: W, path: PathBuf) -> Result<Self> {
        let properties = properties::<R>().map_err(|error| table_error(&path, error))?;
        let writer = ArrowWriter::try_new(sink, R::schema(), Some(properties))
            .map_err(|error| table_error(&path, error))?;
        Ok(Self { path, writer: Some(writer), pending: Vec::new(), pending_bytes: 0, rows: 0 })
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

    fn flush(&mut self) -> Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if self.pending.is_empty() {
            return Ok(());
        }
        let batch = R::to_batch(&self.pending).map_err(|error| error.at(&self.path))?;
        self.pending.clear();
        self.pending_bytes = 0;
        writer
            .write(&batch)
            .and_then(|()| writer.flush())
            .map_err(|error| table_error(&self.path, error))
    }

    fn finish(&mut self) -> Result<W> {
        self.flush()?;
        match self.writer.take() {
            Some(writer) => writer.into_inner().map_err(|error| table_error(&self.path, error)),
            None => Err(Error::Table {
                action: "write",
                path: self.path.clone(),
                message: "already finished".into(),
            }),
        }
    }
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
