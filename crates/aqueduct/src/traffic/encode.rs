//! An event of the traffic in Avro or Protobuf, with the framing of Confluent's registry.
//!
//! Written by hand, as the JSON is: each event is read once and written once. Of the ID of a user, which is a number or a
//! string in JSON, the schemas have the string; both have the same pseudonym.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The Avro schema of the events.
pub const AVRO: &str = include_str!("event.avsc");
/// The Protobuf schema of the events, the first message of the file.
pub const PROTOBUF: &str = include_str!("event.proto");

/// Writes values of records. IDs are those of [`AVRO`] and [`PROTOBUF`] in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoder {
    /// The JSON as it is.
    Json,
    /// Avro.
    Avro {
        /// The ID of the schema.
        id: u32,
    },
    /// Protobuf.
    Protobuf {
        /// The ID of the schema.
        id: u32,
    },
}

/// An event as it is read from its JSON.
#[derive(Deserialize)]
struct Event<'e> {
    event_id: &'e str,
    #[serde(rename = "type")]
    kind: Kind,
    time: &'e str,
    #[serde(borrow)]
    page: Cow<'e, str>,
    query: Option<String>,
    #[serde(borrow)]
    user_id: &'e RawValue,
    session: Session<'e>,
    ip: &'e str,
    #[serde(rename = "box")]
    slot: Option<&'e str>,
    view_id: Option<&'e str>,
    #[serde(borrow, default)]
    items: Vec<Item<'e>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    View,
    Click,
    Search,
    Contact,
}

#[derive(Deserialize)]
struct Session<'e> {
    id: &'e str,
    user: &'e str,
}

#[derive(Deserialize)]
struct Item<'e> {
    id: &'e str,
    seller_id: &'e str,
}

impl Encoder {
    /// Appends the value of a record for the JSON of an event. A broken event, which the schemas cannot have, stays as it is
    /// and has no framing.
    pub fn encode(self, json: &[u8], out: &mut Vec<u8>) {
        let id = match self {
            Self::Json => return out.extend_from_slice(json),
            Self::Avro { id } | Self::Protobuf { id } => id,
        };
        let Some((event, millis)) = read(json) else { return out.extend_from_slice(json) };
        out.push(0);
        out.extend_from_slice(&id.to_be_bytes());
        if matches!(self, Self::Avro { .. }) {
            event.avro(millis, out);
        } else {
            // The index of the message: short for the first one.
            out.push(0);
            event.protobuf(millis, out);
        }
    }
}

/// The event with its time in milliseconds, if it is not broken.
fn read(json: &[u8]) -> Option<(Event<'_>, i64)> {
    let event: Event<'_> = serde_json::from_slice(json).ok()?;
    let millis = event.time.parse::<jiff::Timestamp>().ok()?.as_millisecond();
    event.user().bytes().all(|byte| byte.is_ascii_digit()).then_some((event, millis))
}

impl Event<'_> {
    fn user(&self) -> &str {
        self.user_id.get().trim_matches('"')
    }

    fn avro(&self, millis: i64, out: &mut Vec<u8>) {
        avro_text(self.event_id, out);
        avro_long(self.kind as i64, out);
        avro_long(millis, out);
        avro_text(&self.page, out);
        avro_optional(self.query.as_deref(), out);
        avro_text(self.user(), out);
        avro_text(self.session.id, out);
        avro_text(self.session.user, out);
        avro_text(self.ip, out);
        avro_optional(self.slot, out);
        avro_optional(self.view_id, out);
        if !self.items.is_empty() {
            avro_long(self.items.len() as i64, out);
            for item in &self.items {
                avro_text(item.id, out);
                avro_text(item.seller_id, out);
            }
        }
        avro_long(0, out);
    }

    fn protobuf(&self, millis: i64, out: &mut Vec<u8>) {
        protobuf_bytes(1, self.event_id.as_bytes(), out);
        out.push(2 << 3);
        // 0 is a value that no event has.
        out.push(self.kind as u8 + 1);
        protobuf_message(3, out, |out| {
            out.push(1 << 3);
            varint(millis.div_euclid(1000).cast_unsigned(), out);
            out.push(2 << 3);
            varint(millis.rem_euclid(1000).unsigned_abs() * 1_000_000, out);
        });
        protobuf_bytes(4, self.page.as_bytes(), out);
        protobuf_optional(5, self.query.as_deref(), out);
        protobuf_bytes(6, self.user().as_bytes(), out);
        protobuf_message(7, out, |out| {
            protobuf_bytes(1, self.session.id.as_bytes(), out);
            protobuf_bytes(2, self.session.user.as_bytes(), out);
        });
        protobuf_bytes(8, self.ip.as_bytes(), out);
        protobuf_optional(9, self.slot, out);
        protobuf_optional(10, self.view_id, out);
        for item in &self.items {
            protobuf_message(11, out, |out| {
                protobuf_bytes(1, item.id.as_bytes(), out);
                protobuf_bytes(2, item.seller_id.as_bytes(), out);
            });
        }
    }
}

fn avro_long(number: i64, out: &mut Vec<u8>) {
    varint(((number << 1) ^ (number >> 63)).cast_unsigned(), out);
}

fn avro_text(text: &str, out: &mut Vec<u8>) {
    avro_long(text.len() as i64, out);
    out.extend_from_slice(text.as_bytes());
}

/// A union of null and string.
fn avro_optional(text: Option<&str>, out: &mut Vec<u8>) {
    avro_long(i64::from(text.is_some()), out);
    if let Some(text) = text {
        avro_text(text, out);
    }
}

fn protobuf_bytes(field: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(field << 3 | 2);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn protobuf_optional(field: u8, text: Option<&str>, out: &mut Vec<u8>) {
    if let Some(text) = text {
        protobuf_bytes(field, text.as_bytes(), out);
    }
}

fn protobuf_message(field: u8, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(field << 3 | 2);
    let length = out.len();
    out.push(0);
    write(out);
    let written = out.len() - length - 1;
    // Messages within an event have less than 128 bytes, so that one byte is enough for the length.
    out[length] = u8::try_from(written).ok().filter(|written| *written < 0x80).expect("a short message");
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use codec::{Format, Indexes, Payload, SchemaText};
    use serde_json::{Value, json};

    use super::*;
    use crate::traffic::{Shape, Traffic};

    /// Decodes what was encoded, less its framing.
    fn decoded(format: Format, text: &str, value: &[u8]) -> Value {
        let text = SchemaText { format, text: text.to_owned(), references: vec![], subjects: None };
        let schema = text.compile(None).expect("a schema");
        let indexes = if format == Format::Protobuf { Indexes::InPayload } else { Indexes::None };
        let mut json = Vec::new();
        assert_eq!(value[..5], [0, 0, 0, 1, 2]);
        schema.decode(Payload { bytes: &value[5..], indexes }, &mut json).expect("a value of the schema");
        serde_json::from_slice(&json).expect("JSON")
    }

    /// The JSON of the traffic, as it is after a schema: IDs as text, and nothing absent.
    fn normal(event: &[u8], has_null: bool) -> Value {
        let mut event: Value = serde_json::from_slice(event).expect("JSON");
        let members = event.as_object_mut().expect("an object");
        members["user_id"] =
            members["user_id"].as_u64().map_or(members["user_id"].clone(), |id| json!(id.to_string()));
        members.entry("items").or_insert(json!([]));
        for name in ["query", "box", "view_id"] {
            if has_null {
                members.entry(name).or_insert(Value::Null);
            }
        }
        event
    }

    #[test]
    fn every_format_has_the_same_events() {
        let mut traffic = Traffic::new(Shape::default(), 3);
        for _ in 0..500 {
            let mut event = Vec::new();
            traffic.next(&mut event);
            let (mut avro, mut protobuf) = (Vec::new(), Vec::new());
            Encoder::Avro { id: 0x102 }.encode(&event, &mut avro);
            Encoder::Protobuf { id: 0x102 }.encode(&event, &mut protobuf);
            assert_eq!(decoded(Format::Avro, AVRO, &avro), normal(&event, true));
            // Of its time the fraction has only the digits that it needs.
            let mut from_protobuf = decoded(Format::Protobuf, PROTOBUF, &protobuf);
            let mut expected = normal(&event, false);
            for event in [&mut from_protobuf, &mut expected] {
                let time: jiff::Timestamp = event["time"].as_str().expect("text").parse().expect("a time");
                event["time"] = json!(time.as_millisecond());
            }
            assert_eq!(from_protobuf, expected);
        }
    }

    #[test]
    fn broken_events_have_no_framing() {
        let broken = "100%".parse().expect("a share");
        let mut traffic = Traffic::new(Shape { broken, ..Shape::default() }, 3);
        for _ in 0..200 {
            let mut event = Vec::new();
            let meta = traffic.next(&mut event);
            let mut value = Vec::new();
            Encoder::Avro { id: 1 }.encode(&event, &mut value);
            let is_framed = value.first() == Some(&0);
            // The only defect that a schema can have.
            assert_eq!(is_framed, meta.defect == Some(crate::traffic::Defect::FutureTime), "{meta:?}");
            assert!(is_framed || value == event);
        }
    }
}
