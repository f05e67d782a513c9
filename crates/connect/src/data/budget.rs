//! How much memory the values of one record may take.
//!
//! A few bytes of a record can ask for many values: an empty element of an array for all fields of its schema, a null for a
//! default of a megabyte.

use super::{DataError, Value};

/// The memory that is left for one record.
pub(crate) struct Budget(usize);

/// The largest record that Kafka accepts by default, as single digits in an array, takes half of it.
const LIMIT: usize = 64 << 20;

impl Budget {
    pub(crate) fn new() -> Self {
        Self(LIMIT)
    }

    /// Takes the memory of this many values, which are about to be made.
    pub(crate) fn values(&mut self, count: usize) -> Result<(), DataError> {
        self.take(count.saturating_mul(size_of::<Value<'_>>()))
    }

    /// Takes the memory of a copy of a value.
    pub(crate) fn copy(&mut self, value: &Value<'_>) -> Result<(), DataError> {
        self.take(size(value))
    }

    fn take(&mut self, bytes: usize) -> Result<(), DataError> {
        let left = self.0.checked_sub(bytes);
        self.0 = left.ok_or_else(|| {
            DataError::new("Converter", format!("the values of the record take more than {LIMIT} bytes"))
        })?;
        Ok(())
    }
}

/// The memory of a value outside of itself.
fn size(value: &Value<'_>) -> usize {
    let own = size_of::<Value<'_>>();
    let list = |values: &[Value<'_>]| values.iter().map(|value| own + size(value)).sum();
    match value {
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Single(_) | Value::Double(_) => 0,
        Value::Decimal(decimal) => decimal.unscaled.len(),
        Value::Number(text) | Value::Text(text) | Value::Json(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Object(members) => {
            members.iter().map(|member| 2 * own + member.name.len() + size(&member.value)).sum()
        }
        Value::List(values) | Value::Struct(values) => list(values),
        Value::Map(entries) => entries.iter().map(|(key, value)| 2 * own + size(key) + size(value)).sum(),
    }
}
