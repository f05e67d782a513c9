//! `AvroConverter`: Confluent's mapping of Avro to Connect.
//!
//! A type of two branches of which one is null is an optional value; a union of more branches is a struct with a field for
//! each, as Confluent's converter makes it. Enums are text, `fixed` is bytes. Dates, times of a day and timestamps of
//! milliseconds, and decimals, have Connect's logical types; any other logical type is its number.

mod plan;
mod read;
#[cfg(test)]
mod tests;

use codec::{SchemaError, SchemaText, avro::Input};

use super::{Compiled, Conversion, Options, rejected};
use crate::data::{Budget, DataError, Datum, Value};
use plan::{Kind, Node};

/// The step of this converter's errors.
pub(super) const STEP: &str = "AvroConverter";

/// Compiles a schema.
pub(super) fn compile(text: &SchemaText, options: Options) -> Result<Compiled, SchemaError> {
    let (root, name) = plan::plan(text, options)?;
    let conversion = Box::new(Avro { root });
    Ok(Compiled { conversion, names: name.into_iter().collect(), subjects: text.subjects.clone() })
}

struct Avro {
    root: Node,
}

impl Conversion for Avro {
    fn convert<'a>(&self, payload: codec::Payload<'a>) -> Result<Datum<'a>, DataError> {
        let schema = self.root.schema.clone();
        // Serializers write the bytes of a schema that is only `bytes` without a length.
        if matches!(self.root.kind, Kind::Bytes) {
            return Ok(Datum::with(schema, Value::Bytes(payload.bytes.into())));
        }
        let mut input = Input::new(payload.bytes);
        let value = read::value(&self.root, &mut input, &mut Budget::new())?;
        if input.left() > 0 {
            let problem = format!("bytes follow the value at byte {}", input.position());
            return Err(DataError::new(STEP, problem));
        }
        Ok(Datum::with(schema, value))
    }
}

fn at(reject: codec::Reject) -> DataError {
    rejected(STEP, reject)
}
