//! Arrow columns from vectors of values, and back.

use crate::{Error, Result};
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, ListArray, PrimitiveArray, RecordBatch,
    StringArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, SchemaRef};
use std::path::PathBuf;
use std::sync::Arc;

pub fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

pub fn optional(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

pub fn list_field(name: &str, item: DataType) -> Field {
    field(name, DataType::List(item_field(item)))
}

fn item_field(item: DataType) -> Arc<Field> {
    Arc::new(Field::new("item", item, false))
}

pub fn text<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

pub fn optional_text<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(StringArray::from_iter(values))
}

pub fn numbers<T: ArrowPrimitiveType>(values: impl Iterator<Item = T::Native>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter_values(values))
}

pub fn flags(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(BooleanArray::from(values.collect::<Vec<bool>>()))
}

pub fn optional_numbers<T: ArrowPrimitiveType>(
    values: impl Iterator<Item = Option<T::Native>>,
) -> ArrayRef {
    Arc::new(values.collect::<PrimitiveArray<T>>())
}

pub fn lists<'a, T: ArrowPrimitiveType>(
    values: impl Iterator<Item = &'a [T::Native]> + Clone,
) -> ArrayRef {
    let offsets = OffsetBuffer::from_lengths(values.clone().map(<[T::Native]>::len));
    let items = PrimitiveArray::<T>::from_iter_values(values.flatten().copied());
    Arc::new(ListArray::new(item_field(T::DATA_TYPE), offsets, Arc::new(items), None))
}

pub fn batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    RecordBatch::try_new(schema, columns).map_err(|error| Error::Table {
        action: "write",
        path: PathBuf::new(),
        message: error.to_string(),
    })
}

/// The columns of a batch, by name and type.
pub struct Columns<'a>(pub &'a RecordBatch);

impl Columns<'_> {
    pub fn text(&self, name: &str) -> Result<Vec<String>> {
        let array: &StringArray = self.array(name, "Utf8")?;
        Ok((0..array.len()).map(|row| array.value(row).to_string()).collect())
    }

    pub fn optional_text(&self, name: &str) -> Result<Vec<Option<String>>> {
        let array: &StringArray = self.array(name, "Utf8")?;
        Ok(array.iter().map(|value| value.map(str::to_string)).collect())
    }

    pub fn numbers<T: ArrowPrimitiveType>(&self, name: &str) -> Result<Vec<T::Native>> {
        let array: &PrimitiveArray<T> = self.array(name, &T::DATA_TYPE.to_string())?;
        Ok(array.values().to_vec())
    }

    pub fn flags(&self, name: &str) -> Result<Vec<bool>> {
        let array: &BooleanArray = self.array(name, "Boolean")?;
        Ok(array.values().iter().collect())
    }

    pub fn optional_numbers<T: ArrowPrimitiveType>(
        &self,
        name: &str,
    ) -> Result<Vec<Option<T::Native>>> {
        let array: &PrimitiveArray<T> = self.array(name, &T::DATA_TYPE.to_string())?;
        Ok(array.iter().collect())
    }

    pub fn lists<T: ArrowPrimitiveType>(&self, name: &str) -> Result<Vec<Vec<T::Native>>> {
        let expected = format!("list of {}", T::DATA_TYPE);
        let array: &ListArray = self.array(name, &expected)?;
        let items = array
            .values()
            .as_any()
            .downcast_ref::<PrimitiveArray<T>>()
            .ok_or_else(|| self.wrong(name, &expected))?
            .values();
        let offsets = array.value_offsets();
        Ok(offsets
            .windows(2)
            .map(|pair| items[pair[0] as usize..pair[1] as usize].to_vec())
            .collect())
    }

    fn array<A: 'static>(&self, name: &str, expected: &str) -> Result<&A> {
        self.0
            .column_by_name(name)
            .and_then(|column| column.as_any().downcast_ref::<A>())
            .ok_or_else(|| self.wrong(name, expected))
    }

    fn wrong(&self, name: &str, expected: &str) -> Error {
        let schema = self.0.schema();
        match schema.column_with_name(name) {
            Some((_, field)) => Error::ColumnType {
                path: PathBuf::new(),
                column: name.to_string(),
                expected: expected.to_string(),
                found: field.data_type().to_string(),
            },
            None => Error::MissingColumn {
                path: PathBuf::new(),
                column: name.to_string(),
                expected: expected.to_string(),
                present: schema.fields().iter().map(|field| field.name().clone()).collect(),
            },
        }
    }
}
