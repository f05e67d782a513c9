//! `JsonConverter`, with a schema in each record or without one.
//!
//! Without schemas an object stays a list of its members, and what is inside them is not parsed. With schemas a value is
//! checked against its schema, more strictly than Kafka's converter does, which reads `"x"` as the number 0.

mod plain;
mod schema;
mod typed;

use std::sync::Arc;

use codec::Part;
use event::json::{Error, Scanner};
use rustc_hash::FxHashMap;

pub(crate) use plain::object_of;
pub(crate) use typed::decimal_of;

use super::{Built, Converter, Plugin, Raw, Unconverted, converter_type};
use crate::{
    data::{DataError, Datum, Schema},
    define::{Importance, Key, Kind, Values},
};

/// The step of this converter's errors.
const STEP: &str = "JsonConverter";

pub(super) const PLUGIN: Plugin =
    Plugin { class: "org.apache.kafka.connect.json.JsonConverter", keys, build };

fn keys() -> Vec<Key> {
    vec![
        converter_type(),
        Key::new("schemas.enable", Kind::Boolean)
            .with_default("true")
            .importance(Importance::High)
            .doc("Whether each record contains its schema beside its payload.")
            .group("Schemas", 0, "MEDIUM", "Enable Schemas"),
        Key::new("schemas.cache.size", Kind::Int)
            .with_default("1000")
            .importance(Importance::High)
            .doc("How many schemas are kept.")
            .group("Schemas", 1, "MEDIUM", "Schema Cache Size"),
        Key::new("schema.content", Kind::String)
            .optional()
            .importance(Importance::High)
            .doc("The schema of every record, which then has only the payload. Only with schemas.enable.")
            .group("Schemas", 2, "MEDIUM", "Schema Content"),
        Key::new("decimal.format", Kind::String)
            .with_default("BASE64")
            .one_of_any_case(&["BASE64", "NUMERIC"])
            .importance(Importance::Low)
            .doc("How decimals are written. Both forms are read, so it changes nothing for a sink.")
            .group("Serialization", 0, "MEDIUM", "Decimal Format"),
        Key::new("replace.null.with.default", Kind::Boolean)
            .with_default("true")
            .importance(Importance::Low)
            .doc("Whether a null becomes the default of its field.")
            .group("Serialization", 1, "MEDIUM", "Replace null with default"),
    ]
}

fn build(values: &Values, _: Part) -> Built {
    if !values.is_true("schemas.enable") {
        return Ok(Box::new(Plain));
    }
    let fixed = match values.text("schema.content").filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => {
            let schema = schema::parse(text.as_bytes());
            Some(schema.map_err(|problem| ("schema.content", format!("Invalid schema: {problem}")))?)
        }
    };
    Ok(Box::new(Enveloped {
        fixed: fixed.flatten(),
        replaces_nulls: values.is_true("replace.null.with.default"),
        capacity: usize::try_from(values.number("schemas.cache.size")).unwrap_or_default().max(1),
        schemas: FxHashMap::default(),
        bytes: 0,
    }))
}

/// Without schemas.
struct Plain;

/// With a schema in each record, or one for all.
struct Enveloped {
    fixed: Option<Arc<Schema>>,
    replaces_nulls: bool,
    /// How many schemas are kept.
    capacity: usize,
    /// By their text. `None` is the schema `null`.
    schemas: FxHashMap<Box<[u8]>, Option<Arc<Schema>>>,
    /// Bytes of these texts.
    bytes: usize,
}

/// Bytes of the texts of the schemas that are kept.
const KEPT: usize = 4 << 20;

impl Converter for Plain {
    fn convert<'a>(&mut self, raw: &Raw<'_, 'a>) -> Result<Datum<'a>, Unconverted> {
        let Some(bytes) = raw.bytes else { return Ok(Datum::NULL) };
        Ok(plain::value_of(bytes).map(Datum::schemaless)?)
    }
}

impl Converter for Enveloped {
    fn convert<'a>(&mut self, raw: &Raw<'_, 'a>) -> Result<Datum<'a>, Unconverted> {
        let Some(bytes) = raw.bytes else { return Ok(Datum::NULL) };
        if let Some(schema) = self.fixed.clone() {
            let value = typed::payload(bytes, &schema, self.replaces_nulls)?;
            return Ok(Datum::with(schema, value));
        }
        let spans = envelope(bytes)?;
        match self.schema(&bytes[spans.schema])? {
            None => Ok(plain::value_of(&bytes[spans.payload]).map(Datum::schemaless)?),
            Some(schema) => {
                let value = typed::payload(&bytes[spans.payload], &schema, self.replaces_nulls)?;
                Ok(Datum::with(schema, value))
            }
        }
    }
}

impl Enveloped {
    fn schema(&mut self, text: &[u8]) -> Result<Option<Arc<Schema>>, DataError> {
        if let Some(schema) = self.schemas.get(text) {
            return Ok(schema.clone());
        }
        let schema =
            schema::parse(text).map_err(|problem| error(format!("the schema is invalid: {problem}")))?;
        if self.schemas.len() >= self.capacity || self.bytes > KEPT {
            self.schemas.clear();
            self.bytes = 0;
        }
        self.bytes += text.len();
        self.schemas.insert(text.into(), schema.clone());
        Ok(schema)
    }
}

/// Where both members of the envelope are.
struct Spans {
    schema: std::ops::Range<usize>,
    payload: std::ops::Range<usize>,
}

fn envelope(bytes: &[u8]) -> Result<Spans, DataError> {
    let (mut schema, mut payload, mut members) = (None, None, 0);
    let mut scanner = Scanner::object(bytes).map_err(|error| malformed(&error))?;
    while let Some(member) = scanner.next_member().map_err(|error| malformed(&error))? {
        let start = scanner.position();
        scanner.skip_value().map_err(|error| malformed(&error))?;
        let span = Some(start..scanner.position());
        members += 1;
        match &*member.name.decode() {
            "schema" => schema = span,
            "payload" => payload = span,
            _ => {}
        }
    }
    scanner.finish().map_err(|error| malformed(&error))?;
    match (schema, payload, members) {
        (Some(schema), Some(payload), 2) => Ok(Spans { schema, payload }),
        _ => Err(error(
            "the record must have the members \"schema\" and \"payload\" and no others; for plain JSON set schemas.enable=false",
        )),
    }
}

fn error(problem: impl Into<std::borrow::Cow<'static, str>>) -> DataError {
    DataError::new(STEP, problem)
}

fn malformed(found: &Error) -> DataError {
    error(format!("invalid JSON at byte {}: {}", found.at, found.kind.code()))
}
