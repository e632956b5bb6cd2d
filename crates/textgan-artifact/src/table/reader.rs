//! A Parquet file to rows.

use super::guard::guarded;
use super::row::Row;
use super::shards::shards;
use crate::{Error, Result};
use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use std::fs::File;
use std::marker::PhantomData;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Rows handed over at once.
const BATCH_ROWS: usize = 1024;

/// Reads a table as a stream of batches of rows, in file order.
pub struct TableReader<R: Row> {
    path: PathBuf,
    file: File,
    metadata: ArrowReaderMetadata,
    columns: ProjectionMask,
    /// Row groups to come. A batch is of one, which bounds its bytes.
    groups: Range<usize>,
    batches: Option<ParquetRecordBatchReader>,
    row: PhantomData<R>,
}

impl<R: Row> TableReader<R> {
    /// Opens the table at `path` and checks its columns. It may have more than are needed.
    ///
    /// # Errors
    /// [`Error::MissingColumn`], [`Error::ColumnType`]; [`Error::Table`] when it is not Parquet.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let file = File::open(&path).map_err(|source| Error::io("open", &path, source))?;
        let fail = |message: String| Error::Table { action: "read", path: path.clone(), message };
        let metadata = guarded(|| ArrowReaderMetadata::load(&file, ArrowReaderOptions::default()))
            .map_err(|error| fail(error.to_string()))?;
        let present = metadata.schema().clone();
        let wanted = R::schema();
        for field in wanted.fields() {
            let expected = describe(field.data_type());
            let Some((_, found)) = present.column_with_name(field.name()) else {
                return Err(Error::MissingColumn {
                    path,
                    column: field.name().clone(),
                    expected,
                    present: present.fields().iter().map(|field| field.name().clone()).collect(),
                });
            };
            if !same_values(found.data_type(), field.data_type()) {
                return Err(Error::ColumnType {
                    path,
                    column: field.name().clone(),
                    expected,
                    found: describe(found.data_type()),
                });
            }
        }
        let names = wanted.fields().iter().map(|field| field.name().as_str());
        let columns = ProjectionMask::columns(metadata.parquet_schema(), names);
        let groups = 0..metadata.metadata().num_row_groups();
        Ok(Self { path, file, metadata, columns, groups, batches: None, row: PhantomData })
    }

    /// Rows in the whole table.
    pub fn rows(&self) -> u64 {
        self.metadata.metadata().file_metadata().num_rows().max(0) as u64
    }

    /// The next batch, of the row group that is open or of the next; `None` after the last.
    fn next_batch(&mut self) -> std::result::Result<Option<RecordBatch>, ParquetError> {
        loop {
            if let Some(batch) = self.batches.as_mut().and_then(Iterator::next) {
                return Ok(Some(batch?));
            }
            let Some(group) = self.groups.next() else { return Ok(None) };
            let file = self.file.try_clone()?;
            let group =
                ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                    .with_projection(self.columns.clone())
                    .with_row_groups(vec![group])
                    .with_batch_size(BATCH_ROWS);
            self.batches = Some(group.build()?);
        }
    }
}

impl<R: Row> Iterator for TableReader<R> {
    type Item = Result<Vec<R>>;

    fn next(&mut self) -> Option<Self::Item> {
        match guarded(|| self.next_batch()) {
            Ok(batch) => Some(R::from_batch(&batch?).map_err(|error| error.at(&self.path))),
            Err(error) => {
                // What comes after a fault is not to be had.
                (self.batches, self.groups) = (None, 0..0);
                let (path, message) = (self.path.clone(), error.to_string());
                Some(Err(Error::Table { action: "read", path, message }))
            }
        }
    }
}

/// Reads a whole table.
///
/// # Errors
/// As [`TableReader::open`].
pub fn read<R: Row>(path: impl Into<PathBuf>) -> Result<Vec<R>> {
    let reader = TableReader::open(path)?;
    let mut rows = Vec::with_capacity(reader.rows() as usize);
    for batch in reader {
        rows.extend(batch?);
    }
    Ok(rows)
}

/// Reads the shards of a split one after the other, as a stream of batches of rows.
pub struct SplitReader<R: Row> {
    shards: std::vec::IntoIter<PathBuf>,
    current: Option<TableReader<R>>,
    rows: u64,
}

impl<R: Row> SplitReader<R> {
    /// Opens the shards of `split` in `directory` and checks the columns of each.
    ///
    /// # Errors
    /// [`Error::Shards`], and as [`TableReader::open`].
    pub fn open(directory: &Path, split: &str) -> Result<Self> {
        let shards = shards(directory, split)?;
        let mut rows = 0;
        for shard in &shards {
            rows += TableReader::<R>::open(shard)?.rows();
        }
        Ok(Self { shards: shards.into_iter(), current: None, rows })
    }

    /// Rows in all shards.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl<R: Row> Iterator for SplitReader<R> {
    type Item = Result<Vec<R>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.current.as_mut().and_then(Iterator::next) {
                return Some(batch);
            }
            match TableReader::open(self.shards.next()?) {
                Ok(reader) => self.current = Some(reader),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Reads all rows of a split.
///
/// # Errors
/// As [`SplitReader::open`].
pub fn read_split<R: Row>(directory: &Path, split: &str) -> Result<Vec<R>> {
    let reader = SplitReader::open(directory, split)?;
    let mut rows = Vec::with_capacity(reader.rows() as usize);
    for batch in reader {
        rows.extend(batch?);
    }
    Ok(rows)
}

/// Whether two types hold the same values; the name of a list's item does not matter.
fn same_values(found: &DataType, wanted: &DataType) -> bool {
    match (found, wanted) {
        (DataType::List(found), DataType::List(wanted)) => {
            same_values(found.data_type(), wanted.data_type())
        }
        _ => found == wanted,
    }
}

fn describe(data_type: &DataType) -> String {
    match data_type {
        DataType::List(item) => format!("list of {}", item.data_type()),
        other => other.to_string(),
    }
}
