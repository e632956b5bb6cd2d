//! Typed Parquet tables, written and read as a stream.
//!
//! A [`Row`] says how a type maps to columns. Columns are plain (text, numbers, lists of numbers),
//! so the files open in pandas, polars, pyarrow and Hugging Face `datasets`. The bytes of a file
//! depend on its rows and on nothing else: not on how they were handed over, nor on clocks or
//! threads.

mod columns;
mod guard;
mod reader;
mod row;
mod rows;
mod shards;
mod writer;

pub use guard::{guarded, is_guarded};
pub use reader::{SplitReader, TableReader, read, read_split};
pub use row::Row;
pub use rows::{Document, Dropped, Sample, ShardRow, TokenRow};
pub use shards::{ShardedWriter, shards};
pub use writer::TableWriter;
