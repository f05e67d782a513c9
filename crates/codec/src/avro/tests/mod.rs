//! Avro by tables, and any bytes under any schema.

mod any;
mod containers;
mod fields;
mod schemas;
mod values;

use serde_json::Value;

use super::{AvroSchema, compile};
use crate::{Format, Indexes, Payload, Reject, RejectCode, Schema, SchemaText, write};

fn text(schema: &str, references: &[&str]) -> SchemaText {
    let references = references.iter().map(|text| ("a reference".to_owned(), (*text).to_owned())).collect();
    SchemaText { format: Format::Avro, text: schema.to_owned(), references, subjects: None }
}

fn compiled(schema: &str) -> AvroSchema {
    AvroSchema::new(&text(schema, &[])).unwrap_or_else(|error| panic!("{schema}: {error}"))
}

fn decoded(schema: &AvroSchema, bytes: &[u8]) -> Result<String, (RejectCode, Option<usize>)> {
    let mut out = b"before".to_vec();
    let decoded = schema.decode(Payload { bytes, indexes: Indexes::None }, &mut out);
    decoded.map_err(|Reject { code, at, .. }| (code, at))?;
    let json = String::from_utf8(out).expect("JSON is UTF-8");
    Ok(json.strip_prefix("before").expect("the caller's text stays").to_owned())
}

/// A value of a schema and its JSON.
fn check(schema: &str, bytes: impl AsRef<[u8]>, expect: &str) {
    let bytes = bytes.as_ref();
    assert_eq!(decoded(&compiled(schema), bytes).as_deref(), Ok(expect), "{schema} {bytes:?}");
    serde_json::from_str::<Value>(expect).expect("what is expected is JSON");
}

/// Bytes that are no value of a schema, and the byte that shows it.
fn check_reject(schema: &str, bytes: impl AsRef<[u8]>, code: RejectCode, at: usize) {
    let bytes = bytes.as_ref();
    assert_eq!(decoded(&compiled(schema), bytes), Err((code, Some(at))), "{schema} {bytes:?}");
}

/// A number as Avro encodes it.
fn long(value: i64) -> Vec<u8> {
    let mut rest = (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned();
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    bytes.push(rest.to_le_bytes()[0]);
    bytes
}

/// Bytes after their length.
fn counted(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [long(bytes.len() as i64), bytes.to_vec()].concat()
}
