//! Parquet.

use super::record::{Origin, Payload, Record};
use super::{Flow, Reading, Sink};
use crate::{Error, Label, Place};
use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ::parquet::errors::ParquetError;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use std::fs::File;
use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use textgan_artifact::table::guarded;

/// Rows decoded at once: few, since documents can be long.
const BATCH_ROWS: usize = 256;

pub(super) fn read(
    file: File,
    origin: &Arc<Origin>,
    reading: &Reading<'_>,
    sink: &mut Sink<'_>,
) -> Result<Flow, Error> {
    let fail = |error: ParquetError| Error::Damaged {
        file: origin.file.to_string(),
        what: "Parquet",
        message: error.to_string(),
    };
    let bytes = file.metadata().map_or(0, |metadata| metadata.len());
    let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(file)).map_err(fail)?;
    let schema = Arc::clone(builder.schema());
    let files = &origin.files;
    check(&schema, origin, &files.text)?;
    let mut wanted = vec![files.text.as_str()];
    if let Some(Label::Column(name)) = &files.label {
        check(&schema, origin, name)?;
        wanted.push(name);
    }
    for name in &files.metadata {
        check(&schema, origin, name)?;
        wanted.push(name);
    }
    let roots: Vec<usize> = wanted.iter().filter_map(|name| schema.index_of(name).ok()).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let total = builder.metadata().file_metadata().num_rows().max(1) as u64;
    let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
    let mut batches = guarded(|| builder.build()).map_err(fail)?;

    let (mut row, mut told) = (0, 0);
    while let Some(batch) = guarded(|| Ok(batches.next().transpose()?)).map_err(fail)? {
        if reading.watch.stop.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let columns = Batch::new(&batch, origin)?;
        for index in 0..batch.num_rows() {
            row += 1;
            let record = Record {
                origin: Arc::clone(origin),
                line: row,
                offset: 0,
                payload: columns.row(index),
            };
            if let Break(()) = sink(record)? {
                return Ok(Break(()));
            }
        }
        // The reader seeks, so progress is told by the share of rows.
        let share = (u128::from(bytes) * u128::from(row.min(total)) / u128::from(total)) as u64;
        reading.watch.bytes.fetch_add(share - told, std::sync::atomic::Ordering::Relaxed);
        told = share;
    }
    Ok(Continue(()))
}

fn check(schema: &Schema, origin: &Origin, column: &str) -> Result<(), Error> {
    let place = Place::whole(&origin.file);
    let field = schema.field_with_name(column).map_err(|_| Error::MissingColumn {
        place: place.clone(),
        column: column.to_string(),
        present: schema.fields().iter().map(|field| field.name().clone()).collect(),
    })?;
    let kind = match field.data_type() {
        DataType::Dictionary(_, value) => value.as_ref(),
        other => other,
    };
    let is_text = matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    if is_text || (column != origin.files.text && !kind.is_nested()) {
        return Ok(());
    }
    Err(Error::Malformed {
        place,
        message: format!(
            "the column `{column}` has the type {kind}; text is needed. Name another column"
        ),
    })
}

/// The wanted columns of a batch, as text.
struct Batch {
    text: ArrayRef,
    label: Option<ArrayRef>,
    metadata: Vec<(String, ArrayRef, bool)>,
}

impl Batch {
    fn new(batch: &RecordBatch, origin: &Origin) -> Result<Self, Error> {
        let column = |name: &str| -> Result<(ArrayRef, bool), Error> {
            let fail = |message| Error::Malformed { place: Place::whole(&origin.file), message };
            let array = batch
                .column_by_name(name)
                .ok_or_else(|| fail(format!("the column `{name}` is gone")))?;
            let bare = array.data_type().is_numeric() || *array.data_type() == DataType::Boolean;
            let text = cast(array, &DataType::LargeUtf8)
                .map_err(|e| fail(format!("the column `{name}`: {e}")))?;
            Ok((text, bare))
        };
        let files = &origin.files;
        Ok(Self {
            text: column(&files.text)?.0,
            label: match &files.label {
                Some(Label::Column(name)) => Some(column(name)?.0),
                _ => None,
            },
            metadata: files
                .metadata
                .iter()
                .map(|name| column(name).map(|(array, bare)| (name.clone(), array, bare)))
                .collect::<Result<_, Error>>()?,
        })
    }

    fn row(&self, index: usize) -> Payload {
        let mut metadata = serde_json::Map::new();
        for (name, array, bare) in &self.metadata {
            let value = match value(array, index) {
                None => serde_json::Value::Null,
                // Numbers and truth values are JSON as they are; those that are not (NaN) are text.
                Some(text) if *bare => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
                Some(text) => text.into(),
            };
            metadata.insert(name.clone(), value);
        }
        Payload::Fields {
            text: value(&self.text, index).map(String::from),
            label: self.label.as_ref().and_then(|array| value(array, index)).map(String::from),
            metadata: (!metadata.is_empty())
                .then(|| serde_json::Value::Object(metadata).to_string()),
        }
    }
}

fn value(array: &ArrayRef, index: usize) -> Option<&str> {
    let texts = array.as_string::<i64>();
    (!texts.is_null(index)).then(|| texts.value(index))
}
