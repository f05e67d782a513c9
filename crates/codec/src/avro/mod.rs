//! Apache Avro: schemas, values and object container files.
//!
//! | module | contents |
//! |---|---|
//! | `parse` | the text of a schema, with tags and without what decoding does not need |
//! | `plan` | the types as nodes with indexes |
//! | `decode` | the binary encoding to JSON text along the plan |
//! | `skip` | the length of a value that has no JSON |
//! | `fields` | the fields of a schema, for `check` and tags |
//! | [`container`] | files of events |
//!
//! Unions are plain values, enums are their symbols, bytes and fixed are base64. Decimals are numbers that keep their
//! scale. Times are text with all digits of their unit: `2026-01-31`, `12:34:56.789`, `2026-01-31T12:34:56.789Z`, and
//! without the `Z` if they are local. A duration is ISO 8601 without parts that are zero: `P1M2DT3.004S`.

use std::sync::Arc;

pub mod container;
mod decode;
mod fields;
mod parse;
mod plan;
mod skip;
#[cfg(test)]
mod tests;

use crate::{Field, Payload, Reject, RejectCode, Schema, SchemaError, SchemaText, write::MAX_OUTPUT};
pub use decode::Input;
use plan::Plan;

/// Parses a schema and prepares it for decoding.
///
/// # Errors
/// If the text, or one of its references, is not an Avro schema, or lists more fields than can be checked.
///
/// ```
/// use codec::{Format, Indexes, Payload, Schema, SchemaText, avro};
///
/// let text = r#"{ "type": "record", "name": "View", "fields": [
///     { "name": "page", "type": "string" },
///     { "name": "price", "type": ["null", { "type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2 }] }
/// ] }"#;
/// let text = SchemaText { format: Format::Avro, text: text.to_owned(), references: vec![], subjects: None };
/// let schema = avro::compile(&text)?;
/// let mut json = Vec::new();
/// let bytes = b"\x04/a\x02\x04\x04\xce";
/// schema.decode(Payload { bytes, indexes: Indexes::None }, &mut json).expect("a value of the schema");
/// assert_eq!(json, br#"{"page":"/a","price":12.30}"#);
/// # Ok::<(), codec::SchemaError>(())
/// ```
pub fn compile(text: &SchemaText) -> Result<Arc<dyn Schema>, SchemaError> {
    Ok(Arc::new(AvroSchema::new(text)?))
}

struct AvroSchema {
    plan: Plan,
    fields: Vec<Field>,
    name: Option<String>,
    subjects: Option<Vec<String>>,
}

impl AvroSchema {
    fn new(text: &SchemaText) -> Result<Self, SchemaError> {
        let types = parse::parse(text)?;
        let (plan, labels) = plan::plan(&types)?;
        let fields = fields::fields(&plan, &labels)?;
        let name = types.last().and_then(|root| root.schema.name()).map(|name| name.fullname(None));
        Ok(Self { plan, fields, name, subjects: text.subjects.clone() })
    }

    /// Appends the JSON of the value at the beginning of `bytes`, and returns its length in bytes.
    fn decode_first(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, Reject> {
        decode::decode(&self.plan, bytes, out, MAX_OUTPUT)
    }

    /// The length of the value at the beginning of `bytes`, whether it has a JSON or not.
    fn length_of_first(&self, bytes: &[u8]) -> Result<usize, Reject> {
        skip::skip(&self.plan, bytes)
    }
}

impl Schema for AvroSchema {
    fn decode(&self, payload: Payload<'_>, out: &mut Vec<u8>) -> Result<(), Reject> {
        let end = self.decode_first(payload.bytes, out)?;
        if end < payload.bytes.len() {
            return Err(Reject::at(RejectCode::TrailingData, end));
        }
        Ok(())
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn subjects(&self) -> Option<&[String]> {
        self.subjects.as_deref()
    }
}
