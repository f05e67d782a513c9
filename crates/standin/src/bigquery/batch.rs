//! Decodes rows in Arrow format to SQLite values.

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType},
    error::ArrowError,
    ipc::reader::StreamReader,
};
use rusqlite::types::Value;

/// The rows of one append.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Value>>,
}

impl Batch {
    /// Decodes a schema and the record batch that follows it.
    pub(super) fn read(schema: &[u8], batch: &[u8]) -> Result<Self, ArrowError> {
        let stream = [schema, batch].concat();
        let mut reader = StreamReader::try_new(stream.as_slice(), None)?;
        let Some(batch) = reader.next().transpose()? else { return Ok(Self::default()) };
        let columns = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        let rows = (0..batch.num_rows()).map(|row| values(&batch, row)).collect::<Result<_, _>>()?;
        Ok(Self { columns, rows })
    }
}

fn values(batch: &RecordBatch, row: usize) -> Result<Vec<Value>, ArrowError> {
    batch.columns().iter().map(|array| value(array, row)).collect()
}

fn value(array: &ArrayRef, row: usize) -> Result<Value, ArrowError> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match array.data_type() {
        DataType::Utf8 => Value::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::Int64 => Value::Integer(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Value::Real(array.as_primitive::<Float64Type>().value(row)),
        DataType::Timestamp(..) => {
            Value::Integer(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        other => {
            return Err(ArrowError::NotYetImplemented(format!("columns of type {other}")));
        }
    })
}
