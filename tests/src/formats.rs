//! Records in the formats that Kafka really holds, by writers that share no code with the product's decoders: `apache-avro`
//! for Avro, the few rules of Protobuf's wire by hand.

use anyhow::{Context as _, Result, bail, ensure};
use apache_avro::{Schema, types::Value as Avro, writer::datum::GenericDatumWriter};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{http, recount::stamp, services};

/// What a topic's values are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// JSON as it is.
    Json,
    /// Avro with Confluent's prefix.
    Avro,
    /// Protobuf with Confluent's prefix.
    Protobuf,
    /// Avro with Hermes's header `sid`, and `__metadata` in the value.
    Hermes,
}

/// Writes the events of [`Traffic`](crate::traffic::Traffic).
pub struct Encoder {
    wire: Wire,
    id: u32,
    avro: Option<Schema>,
}

/// Bytes of a record.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The value.
    pub value: Vec<u8>,
    /// The headers.
    pub headers: Vec<(&'static str, Vec<u8>)>,
}

/// `host:port` of the registry, and the path of Confluent's interface there.
///
/// # Errors
/// The registry was not started.
pub fn registry() -> Result<(String, String)> {
    parts(&services::address(services::SCHEMA_REGISTRY)?)
}

/// `host:port` and path of an address.
///
/// # Errors
/// It is not one of HTTP with a path.
pub fn parts(url: &str) -> Result<(String, String)> {
    let rest = url.strip_prefix("http://").context("an address of HTTP")?;
    let (host, path) = rest.split_once('/').context("a path")?;
    Ok((host.to_owned(), format!("/{path}")))
}

/// Registers a schema under a subject, and returns its ID. `at` is a registry as [`registry`] returns it.
///
/// # Errors
/// The registry refuses it.
pub fn register(at: &(String, String), subject: &str, kind: &str, text: &str) -> Result<u32> {
    let (host, path) = at;
    let body = json!({ "schemaType": kind, "schema": text });
    let answer = http::json(host, "POST", &format!("{path}/subjects/{subject}/versions"), Some(&body))?;
    Ok(u32::try_from(answer["id"].as_u64().with_context(|| format!("an ID in {answer}"))?)?)
}

/// Reads the members of an event that are to be written, in the shapes that a schema can have: a time as text, and a box only
/// if it is text.
///
/// # Errors
/// It is no event.
pub fn normal(event: &[u8]) -> Result<Value> {
    let mut event: Value = serde_json::from_slice(event)?;
    let members = event.as_object_mut().context("an event is an object")?;
    if let Some(millis) = members["time"].as_i64() {
        members["time"] = json!(stamp(millis)?);
    }
    if !members["box"].is_string() {
        members.remove("box");
    }
    Ok(event)
}

const RECORD: &str = r#"{ "type": "record", "name": "View", "namespace": "canaryspace", "doc": "canary-doc", "fields": [
    {METADATA}
    { "name": "event_id", "type": "string" },
    { "name": "type", "type": { "type": "enum", "name": "CanaryKind", "symbols": ["view", "click", "scroll", "canary_symbol"] } },
    { "name": "time", "type": { "type": "long", "logicalType": "timestamp-millis" } },
    { "name": "page", "type": "string" },
    { "name": "box", "type": ["null", "string"], "default": null },
    { "name": "user_id", "type": "string", "default": "canary-default" },
    { "name": "mail", "type": ["null", "string"], "default": null, "confluent:tags": ["PII"] },
    { "name": "ip", "type": "string" },
    { "name": "session", "type": { "type": "record", "name": "CanarySession", "fields": [
        { "name": "user", "type": "string" }, { "name": "number", "type": "int" } ] } },
    { "name": "items", "type": { "type": "array", "items": { "type": "record", "name": "Item", "fields": [
        { "name": "seller_id", "type": ["null", "string"] } ] } } },
    { "name": "people", "type": { "type": "map", "values": "string" }, "default": {} }
] }"#;

const METADATA: &str =
    r#"{ "name": "__metadata", "type": ["null", { "type": "map", "values": "string" }], "default": null },"#;

/// The schema of Protobuf.
pub const PROTO: &str = r#"syntax = "proto3";
package canaryspace;
// canary-doc
enum CanaryKind { NONE = 0; view = 1; click = 2; scroll = 3; canary_symbol = 4; }
message Unused { string canary_unused = 1; }
message View {
  string event_id = 1;
  CanaryKind type = 2;
  int64 time = 3;
  string page = 4;
  optional string box = 5;
  string user_id = 6;
  string ip = 7;
  message CanarySession { string user = 1; int32 number = 2; }
  CanarySession session = 8;
  message Item { optional string seller_id = 1; }
  repeated Item items = 9;
  map<string, string> people = 10;
}
"#;

/// The Avro schema of a wire.
pub fn avro_schema(wire: Wire) -> String {
    RECORD.replace("{METADATA}", if wire == Wire::Hermes { METADATA } else { "" })
}

impl Encoder {
    /// Registers the schema for a topic.
    ///
    /// # Errors
    /// The registry does not take it.
    pub fn new(wire: Wire, topic: &str, at: &(String, String)) -> Result<Self> {
        let (id, avro) = match wire {
            Wire::Json => (0, None),
            Wire::Avro | Wire::Hermes => {
                let text = avro_schema(wire);
                let subject = if wire == Wire::Avro { format!("{topic}-value") } else { topic.to_owned() };
                (register(at, &subject, "AVRO", &text)?, Some(Schema::parse_str(&text)?))
            }
            Wire::Protobuf => (register(at, &format!("{topic}-value"), "PROTOBUF", PROTO)?, None),
        };
        Ok(Self { wire, id, avro })
    }

    /// The registry's ID of the schema.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Writes an event that [`normal`] has read.
    ///
    /// # Errors
    /// A member is missing.
    pub fn encode(&self, event: &Value) -> Result<Encoded> {
        let mut value = Vec::new();
        let mut headers = Vec::new();
        match self.wire {
            Wire::Json => value = event.to_string().into_bytes(),
            Wire::Avro => {
                value.push(0);
                value.extend(self.id.to_be_bytes());
                value.extend(self.avro(event)?);
            }
            Wire::Hermes => {
                headers.push(("sid", self.id.to_be_bytes().to_vec()));
                value = self.avro(event)?;
            }
            Wire::Protobuf => {
                value.push(0);
                value.extend(self.id.to_be_bytes());
                // The second message of the file.
                value.extend([2, 2]);
                protobuf(event, &mut value)?;
            }
        }
        Ok(Encoded { value, headers })
    }

    fn avro(&self, event: &Value) -> Result<Vec<u8>> {
        let text = |value: &Value| -> Result<Avro> {
            Ok(Avro::String(value.as_str().with_context(|| format!("text instead of {value}"))?.to_owned()))
        };
        let optional = |value: &Value| -> Result<Avro> {
            Ok(match value {
                Value::Null => Avro::Union(0, Box::new(Avro::Null)),
                value => Avro::Union(1, Box::new(text(value)?)),
            })
        };
        let field = |name: &str, value: Avro| (name.to_owned(), value);
        let map = |value: &Value| -> Result<Avro> {
            let members = value.as_object().into_iter().flatten();
            Ok(Avro::Map(
                members.map(|(name, value)| Ok((name.clone(), text(value)?))).collect::<Result<_>>()?,
            ))
        };
        let kind = event["type"].as_str().context("a type")?;
        let number =
            ["view", "click", "scroll"].iter().position(|known| *known == kind).context("a known type")?;
        let mut fields = Vec::new();
        if self.wire == Wire::Hermes {
            let metadata = map(&json!({ "messageId": event["event_id"], "canary-meta": "x" }))?;
            fields.push(field("__metadata", Avro::Union(1, Box::new(metadata))));
        }
        let items = event["items"].as_array().context("items")?;
        let item = |item: &Value| Ok(Avro::Record(vec![field("seller_id", optional(&item["seller_id"])?)]));
        fields.extend([
            field("event_id", text(&event["event_id"])?),
            field("type", Avro::Enum(u32::try_from(number)?, kind.to_owned())),
            field("time", Avro::TimestampMillis(millis(event)?)),
            field("page", text(&event["page"])?),
            field("box", optional(&event["box"])?),
            field("user_id", text(&event["user_id"])?),
            field("mail", optional(&event["mail"])?),
            field("ip", text(&event["ip"])?),
            field(
                "session",
                Avro::Record(vec![
                    field("user", text(&event["session"]["user"])?),
                    field("number", Avro::Int(3)),
                ]),
            ),
            field("items", Avro::Array(items.iter().map(item).collect::<Result<_>>()?)),
            field("people", map(&event["people"])?),
        ]);
        let schema = self.avro.as_ref().context("a schema of Avro")?;
        let writer = GenericDatumWriter::builder(schema).build()?;
        Ok(writer.write_value_to_vec(Avro::Record(fields))?)
    }
}

fn millis(event: &Value) -> Result<i64> {
    Ok(event["time"].as_str().context("a time")?.parse::<Timestamp>()?.as_millisecond())
}

/// A message by the rules of Protobuf's wire format.
fn protobuf(event: &Value, out: &mut Vec<u8>) -> Result<()> {
    let text = |name: &str| event[name].as_str().with_context(|| format!("{name} is no text"));
    bytes(1, text("event_id")?.as_bytes(), out);
    let kind = match text("type")? {
        "view" => 1,
        "click" => 2,
        "scroll" => 3,
        other => bail!("unknown type {other}"),
    };
    number(2, kind, out);
    number(3, u64::try_from(millis(event)?)?, out);
    bytes(4, text("page")?.as_bytes(), out);
    if let Some(slot) = event["box"].as_str() {
        bytes(5, slot.as_bytes(), out);
    }
    bytes(6, text("user_id")?.as_bytes(), out);
    bytes(7, text("ip")?.as_bytes(), out);
    let mut session = Vec::new();
    bytes(1, event["session"]["user"].as_str().context("a user")?.as_bytes(), &mut session);
    number(2, 3, &mut session);
    bytes(8, &session, out);
    for item in event["items"].as_array().context("items")? {
        let mut inner = Vec::new();
        if let Some(seller) = item["seller_id"].as_str() {
            bytes(1, seller.as_bytes(), &mut inner);
        }
        bytes(9, &inner, out);
    }
    for (name, value) in event["people"].as_object().into_iter().flatten() {
        let mut entry = Vec::new();
        bytes(1, name.as_bytes(), &mut entry);
        bytes(2, value.as_str().context("a text")?.as_bytes(), &mut entry);
        bytes(10, &entry, out);
    }
    // A field that the schema does not have.
    bytes(99, b"canary-unknown", out);
    Ok(())
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn number(field: u64, value: u64, out: &mut Vec<u8>) {
    varint(field << 3, out);
    varint(value, out);
}

fn bytes(field: u64, value: &[u8], out: &mut Vec<u8>) {
    varint(field << 3 | 2, out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// A key as Avro's `string` with Confluent's prefix.
///
/// # Errors
/// The key is no text.
pub fn avro_key(id: u32, key: &[u8]) -> Result<Vec<u8>> {
    let text = std::str::from_utf8(key)?;
    ensure!(text.len() < 64, "a short key");
    let mut bytes = vec![0];
    bytes.extend(id.to_be_bytes());
    bytes.push(u8::try_from(text.len() * 2)?);
    bytes.extend_from_slice(key);
    Ok(bytes)
}
