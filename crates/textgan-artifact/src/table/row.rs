//! What a type must offer to be a row of a table.

use crate::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

/// A type that is one row of a table.
pub trait Row: Sized + Clone + Send + 'static {
    /// Columns whose values repeat often enough for a dictionary to pay.
    const REPETITIVE: &'static [&'static str] = &[];

    /// The columns, in order.
    fn schema() -> SchemaRef;

    /// Roughly the memory that the row takes, in bytes; it decides where row groups end.
    fn bytes(&self) -> usize;

    /// Rows to columns.
    ///
    /// # Errors
    /// When the columns do not fit the schema.
    fn to_batch(rows: &[Self]) -> Result<RecordBatch>;

    /// Columns to rows.
    ///
    /// # Errors
    /// When a column is absent or has another type; readers check both before they call this.
    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>>;
}
