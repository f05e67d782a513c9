//! Any bytes as keys and values of topics with a schema, through decoder and anonymiser: nothing panics, what is decoded is
//! JSON, what passes is checked against a second reading of the decoded event, and no text of a schema passes: neither
//! comments, defaults and aliases, nor the names of types.
//!
//! The first byte chooses topic and declaration, the second one the length of the key; the rest is the value. Key and
//! value get the framing of a registry, unless the top bit of the first byte is set.
#![no_main]

use std::sync::{Arc, LazyLock, Mutex};

use codec::{Format, Lookup, Schema, SchemaId, SchemaText, Schemas, Source, TopicFormat};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;

#[path = "../../crates/connector/src/anonymise/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the connector uses more of it")]
mod anonymise;
#[path = "../../crates/connector/src/decode.rs"]
#[allow(dead_code, unused_imports, reason = "the connector uses more of it")]
mod decode;
#[path = "../../crates/connector/src/keyring/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the connector uses more of it")]
mod keyring;
#[path = "../../crates/connector/src/outgoing/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the connector uses more of it")]
mod outgoing;
mod rules;

use anonymise::{Anonymiser, Raw};
use decode::{Decoder, Formats, Undecoded};
use rules::{Declared, expect, json, pseudonym};

/// A text in the schemas, wherever it must not be part of the output.
const CANARY: &str = "canary";

const AVRO: &str = r#"{
  "type": "record", "name": "CanaryView", "namespace": "canary.space", "doc": "canary", "aliases": ["CanaryAlias"], "fields": [
    { "name": "type", "type": { "type": "enum", "name": "CanaryKind", "doc": "canary", "symbols": ["view", "click"], "default": "view" } },
    { "name": "user", "type": ["string", "long", "null"], "default": "canary", "doc": "canary", "aliases": ["canary"] },
    { "name": "mail", "type": ["null", "string", "bytes", "boolean", "double"], "default": null, "confluent:tags": ["PII"] },
    { "name": "friends", "type": { "type": "array", "items": { "type": "record", "name": "CanaryFriend", "fields": [
        { "name": "mail", "type": ["null", "string"], "confluent:tags": ["PII"] }, { "name": "age", "type": "int" } ] } } },
    { "name": "people", "type": { "type": "map", "values": ["null", "string", { "type": "map", "values": "float" }] } },
    { "name": "price", "type": { "type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 4 } },
    { "name": "at", "type": { "type": "long", "logicalType": "timestamp-micros" } },
    { "name": "id", "type": { "type": "fixed", "name": "CanaryFixed", "size": 12, "logicalType": "duration" } },
    { "name": "tree", "type": { "type": "record", "name": "CanaryTree", "fields": [
        { "name": "n", "type": "long" }, { "name": "more", "type": { "type": "array", "items": "CanaryTree" } } ] } }
] }"#;

const PROTOBUF: &str = r#"syntax = "proto2";
package canary.space;
import "confluent/meta.proto";
import "confluent/type/decimal.proto";
import "google/protobuf/any.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
// canary
message CanaryView {
  enum CanaryKind { view = 0; click = 1; }
  message CanaryFriend { optional string mail = 1 [(confluent.field_meta).tags = "PII"]; optional int32 age = 2; }
  message CanaryTree { optional sint64 n = 1; repeated CanaryTree more = 2; }
  required CanaryKind type = 1;
  oneof who { string user = 2 [default = "canary"]; int32 number = 12; }
  optional bytes mail = 3 [(confluent.field_meta).tags = "PII", default = "canary"];
  repeated CanaryFriend friends = 4;
  map<string, google.protobuf.Value> people = 5;
  optional confluent.type.Decimal price = 6;
  optional google.protobuf.Timestamp at = 7;
  repeated group Group = 8 { repeated float f = 1 [packed = true]; optional bool b = 2; }
  optional CanaryTree tree = 9;
  optional google.protobuf.Any any = 10;
  extensions 100 to 200;
}"#;

const JSON_SCHEMA: &str = r#"{
  "$id": "canary", "title": "CanaryView", "description": "canary", "type": "object", "properties": {
    "type": { "enum": ["view", "click"], "default": "canary" },
    "mail": { "type": "string", "confluent:tags": ["PII"] },
    "friends": { "type": "array", "items": { "type": "object", "properties": { "mail": { "confluent:tags": ["PII"] } } } }
} }"#;

const TEXTS: [(Format, &str, &str); 3] = [
    (Format::Avro, "avro", AVRO),
    (Format::Protobuf, "protobuf", PROTOBUF),
    (Format::JsonSchema, "json-schema", JSON_SCHEMA),
];
/// The ID of the schema of keys.
const KEY: u32 = 3;

const DECLARED: [Declared; 2] = [
    Declared {
        tagged: &["/mail", "/friends/*/mail"],
        pseudonymise: &["/user"],
        remove: &["/people/a"],
        strip_query: &[],
        forward: Some(&["/type", "/user", "/mail", "/friends", "/people", "/price"]),
    },
    Declared {
        tagged: &["/mail", "/friends/*/mail"],
        pseudonymise: &["/user"],
        remove: &["/tree/more"],
        strip_query: &[],
        forward: None,
    },
];

static SCHEMAS: LazyLock<Vec<Arc<dyn Schema>>> = LazyLock::new(|| {
    let key = (Format::Avro, "key", r#"["string", "int", "boolean", "null", { "type": "array", "items": "string" }]"#);
    let compile = |&(format, _, text): &(Format, &str, &str)| {
        let text = SchemaText { format, text: text.to_owned(), references: Vec::new(), subjects: None };
        text.compile(None).expect("a schema")
    };
    TEXTS.iter().chain([&key]).map(compile).collect()
});

/// The schemas by number.
struct Registry;

impl Schemas for Registry {
    fn lookup(&self, id: &SchemaId) -> Lookup {
        match id {
            SchemaId::Id(id) => SCHEMAS.get(*id as usize).cloned().map_or(Lookup::Unknown, Lookup::Found),
            SchemaId::Guid(_) => Lookup::Pending,
            SchemaId::Version(..) => Lookup::Unusable,
        }
    }
}

static DECODER: LazyLock<Mutex<Decoder>> = LazyLock::new(|| {
    let source = || Some(Source::Registry(Arc::new(Registry)));
    let format = || TopicFormat { value: source(), key: source(), unwrap: None };
    Mutex::new(Decoder::new(&Formats::new(TEXTS.map(|(_, topic, _)| (topic.into(), format()))), true))
});

static RULES: LazyLock<Vec<Mutex<Anonymiser>>> = LazyLock::new(|| {
    DECLARED.iter().map(|declared| Mutex::new(declared.anonymiser())).collect()
});

fuzz_target!(|input: &[u8]| -> Corpus {
    let [choice, key_length, rest @ ..] = input else { return Corpus::Reject };
    let Some((key, value)) = rest.split_at_checked(usize::from(*key_length)) else { return Corpus::Reject };
    let number = usize::from(choice & 0x7f);
    let (topic, declared) = (number % TEXTS.len(), number / TEXTS.len() % DECLARED.len());
    let framed = |id: u32, bytes: &[u8]| if choice & 0x80 == 0 { [&[0], &id.to_be_bytes()[..], bytes].concat() } else { bytes.to_vec() };
    let (key_bytes, value_bytes) = (framed(KEY, key), framed(topic as u32, value));
    let raw = codec::Raw { key: Some(&key_bytes), value: Some(&value_bytes), headers: &[] };
    let topic = TEXTS[topic].1;
    let mut decoder = DECODER.lock().expect("no thread panicked");
    let event = match decoder.decode(topic, &raw) {
        Ok(event) => event,
        Err(Undecoded::Reject(code, _)) => {
            assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
            return Corpus::Keep;
        }
        Err(Undecoded::Waits(_)) => return Corpus::Keep,
    };
    let decoded = event.value.expect("no tombstone");
    if topic != "json-schema" {
        json(decoded);
    }
    let raw = Raw { topic, value: event.value, key: event.key.as_deref(), headers: &[] };
    let mut rules = RULES[declared].lock().expect("no thread panicked");
    let passed = match rules.anonymise_decoded(&raw, event.schema) {
        Ok(passed) => passed.expect("there is no filter"),
        Err(reject) => {
            let text = reject.to_string();
            assert!(text.is_ascii() && text.len() < 80 && !text.to_lowercase().contains(CANARY), "{text}");
            return Corpus::Keep;
        }
    };
    let has = |bytes: &[u8], part: &str| bytes.windows(part.len()).any(|found| found.eq_ignore_ascii_case(part.as_bytes()));
    if has(&value_bytes, "$serde_json") {
        // A name by which serde_json marks numbers of its own.
        return Corpus::Reject;
    }
    let before = json(decoded.strip_prefix(b"\xef\xbb\xbf").unwrap_or(decoded));
    let expected = expect(&DECLARED[declared], &before, &mut Vec::new()).unwrap_or(Value::Null);
    assert_eq!(json(passed.data()), expected);
    // The record itself may have the word.
    assert!(!has(passed.data(), CANARY) || has(&value_bytes, CANARY));
    if let (Some(key), Some(passed)) = (raw.key, passed.kafka_key()) {
        let text = std::str::from_utf8(key).expect("it passed");
        assert_eq!(Value::from(passed), pseudonym(&Value::from(text)));
    }
    Corpus::Keep
});
