//! Tables cut into files of a fixed number of rows: `train-00000-of-00003.parquet`.

use super::row::Row;
use super::writer::TableWriter;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Writes the shards of one split. The names say how many shards there are, which is known at the
/// end; until then they carry temporary names.
pub struct ShardedWriter<R: Row> {
    directory: PathBuf,
    split: String,
    rows_per_shard: u64,
    current: Option<TableWriter<R>>,
    finished: Vec<PathBuf>,
    rows: u64,
}

impl<R: Row> ShardedWriter<R> {
    /// Starts the shards of `split` in `directory`, each of `rows_per_shard` rows but the last. A
    /// split without rows is one empty shard.
    ///
    /// # Errors
    /// [`Error::Escapes`] for a split that is not a plain name; [`Error::Io`], [`Error::DiskFull`].
    pub fn create(directory: impl Into<PathBuf>, split: &str, rows_per_shard: u64) -> Result<Self> {
        let directory = directory.into();
        if split.is_empty() || split.contains(['/', '\\']) || split.starts_with('.') {
            return Err(Error::Escapes { base: directory, name: split.to_string() });
        }
        let mut writer = Self {
            directory,
            split: split.to_string(),
            rows_per_shard: rows_per_shard.max(1),
            current: None,
            finished: Vec::new(),
            rows: 0,
        };
        writer.current = Some(writer.next_shard()?);
        Ok(writer)
    }

    /// Adds one row.
    ///
    /// # Errors
    /// As [`TableWriter::push`].
    pub fn push(&mut self, row: R) -> Result<()> {
        if self.current.as_ref().is_none_or(|shard| shard.rows() == self.rows_per_shard) {
            self.close_shard()?;
            self.current = Some(self.next_shard()?);
        }
        if let Some(shard) = &mut self.current {
            shard.push(row)?;
        }
        self.rows += 1;
        Ok(())
    }

    /// Adds copies of rows.
    ///
    /// # Errors
    /// As [`TableWriter::push`].
    pub fn write(&mut self, rows: &[R]) -> Result<()> {
        rows.iter().try_for_each(|row| self.push(row.clone()))
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Completes the last shard and gives all of them their names; says how many rows there are.
    ///
    /// # Errors
    /// [`Error::Table`], [`Error::DiskFull`], [`Error::Io`].
    pub fn finish(mut self) -> Result<u64> {
        self.close_shard()?;
        let total = self.finished.len();
        for (index, from) in std::mem::take(&mut self.finished).into_iter().enumerate() {
            let to = self.directory.join(shard_name(&self.split, index, total));
            crate::publish::rename(&from, &to)?;
        }
        Ok(self.rows)
    }

    fn next_shard(&self) -> Result<TableWriter<R>> {
        let name = format!("{}-{:05}.parquet.unnamed", self.split, self.finished.len());
        TableWriter::create(self.directory.join(name))
    }

    fn close_shard(&mut self) -> Result<()> {
        if let Some(shard) = self.current.take() {
            let path = shard.path().to_path_buf();
            shard.finish()?;
            self.finished.push(path);
        }
        Ok(())
    }
}

impl<R: Row> Drop for ShardedWriter<R> {
    fn drop(&mut self) {
        for path in &self.finished {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The shards of `split` in `directory`, in order.
///
/// # Errors
/// [`Error::Shards`] when there is none, or one is missing.
pub fn shards(directory: &Path, split: &str) -> Result<Vec<PathBuf>> {
    let read = |source| Error::io("read", directory, source);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(read)? {
        let name = entry.map_err(read)?.file_name();
        if let Some((index, total)) = name.to_str().and_then(|name| parse_name(name, split)) {
            found.push((total, index));
        }
    }
    found.sort_unstable();
    let fail = |problem: String| Error::Shards {
        directory: directory.to_path_buf(),
        split: split.to_string(),
        problem,
    };
    let Some(&(total, _)) = found.last() else {
        return Err(fail("has no Parquet files".into()));
    };
    if let Some(missing) = (0..total).find(|&index| !found.contains(&(total, index))) {
        return Err(fail(format!("lacks {}", shard_name(split, missing, total))));
    }
    if found.len() != total {
        return Err(fail("has shards of more than one version".into()));
    }
    Ok((0..total).map(|index| directory.join(shard_name(split, index, total))).collect())
}

fn shard_name(split: &str, index: usize, total: usize) -> String {
    format!("{split}-{index:05}-of-{total:05}.parquet")
}

fn parse_name(name: &str, split: &str) -> Option<(usize, usize)> {
    let rest = name.strip_prefix(split)?.strip_prefix('-')?.strip_suffix(".parquet")?;
    let (index, total) = rest.split_once("-of-")?;
    let index = index.parse().ok()?;
    let total = total.parse().ok()?;
    (name == shard_name(split, index, total)).then_some((index, total))
}
