use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::*;
use crate::schema::Field;

/// A schema whose values are their JSON behind the length of its framing.
struct Plain {
    name: &'static str,
    subjects: Option<Vec<String>>,
    is_json: bool,
}

impl Schema for Plain {
    fn decode(&self, payload: Payload<'_>, out: &mut Vec<u8>) -> Result<(), Reject> {
        if payload.bytes == b"broken" {
            return Err(Reject::at(RejectCode::Malformed, 3));
        }
        if let Indexes::InHeader(indexes) = payload.indexes {
            out.extend(format!("{{\"indexes\":{},\"of\":", indexes.len()).bytes());
            out.extend_from_slice(payload.bytes);
            out.push(b'}');
            return Ok(());
        }
        out.extend_from_slice(payload.bytes);
        Ok(())
    }

    fn fields(&self) -> &[Field] {
        &[]
    }

    fn name(&self) -> Option<&str> {
        Some(self.name)
    }

    fn is_json(&self) -> bool {
        self.is_json
    }

    fn subjects(&self) -> Option<&[String]> {
        self.subjects.as_deref()
    }
}

fn plain(subjects: &[&str]) -> Arc<dyn Schema> {
    let subjects = subjects.iter().map(|subject| (*subject).to_owned()).collect();
    Arc::new(Plain { name: "shop.View", subjects: Some(subjects), is_json: false })
}

/// A registry in memory. What it does not have is pending.
#[derive(Default)]
struct InMemory {
    answers: Mutex<HashMap<SchemaId, Lookup>>,
    lookups: AtomicUsize,
}

impl InMemory {
    fn put(&self, id: u32, answer: Lookup) {
        self.answers.lock().expect("no test panics with it").insert(SchemaId::Id(id), answer);
    }
}

impl Schemas for InMemory {
    fn lookup(&self, id: &SchemaId) -> Lookup {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        self.answers.lock().expect("no test panics with it").get(id).cloned().unwrap_or(Lookup::Pending)
    }
}

fn codec(value: Option<Source>, key: Option<Source>) -> TopicCodec {
    TopicCodec::new("events", TopicFormat { value, key, unwrap: None })
}

fn raw<'a>(value: &'a [u8], headers: &'a [(&'a str, &'a [u8])]) -> Raw<'a> {
    Raw { key: None, value: Some(value), headers }
}

fn framed(id: u32, payload: &str) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], payload.as_bytes()].concat()
}

fn reject(code: RejectCode) -> Undecoded {
    Undecoded::Reject(Reject { code, part: Part::Value, at: None })
}

/// The event as text.
fn event(codec: &mut TopicCodec, raw: &Raw<'_>) -> Result<String, Undecoded> {
    let value = codec.decode(raw)?.value.map(<[u8]>::to_vec);
    Ok(String::from_utf8(value.unwrap_or_default()).expect("it is text"))
}

#[test]
fn what_has_no_format_is_borrowed() {
    let bytes = b"not even JSON".to_vec();
    let record = Raw { key: Some(&bytes[..3]), value: Some(&bytes), headers: &[] };
    let mut codec = codec(None, None);
    let decoded = codec.decode(&record).expect("there is nothing to decode");
    assert_eq!(decoded.value.map(<[u8]>::as_ptr), Some(bytes.as_ptr()));
    assert_eq!(decoded.key.map(<[u8]>::as_ptr), Some(bytes.as_ptr()));
    assert!(decoded.schema.is_none());
}

#[test]
fn a_tombstone_has_a_key_only() {
    let registry = Arc::new(InMemory::default());
    registry.put(1, Lookup::Found(plain(&["events-key"])));
    let mut codec = codec(Some(Source::Registry(registry.clone())), Some(Source::Registry(registry)));
    let key = framed(1, "\"k\"");
    let decoded = codec.decode(&Raw { key: Some(&key), value: None, headers: &[] }).expect("it is right");
    assert_eq!((decoded.key, decoded.value), (Some(&b"\"k\""[..]), None));
}

#[test]
fn a_schema_is_looked_up_until_it_is_found_and_then_kept() {
    let registry = Arc::new(InMemory::default());
    let mut codec = codec(Some(Source::Registry(registry.clone())), None);
    let (first, second) = (framed(1, "{\"a\":1}"), framed(2, "{\"b\":1}"));
    for _ in 0..2 {
        assert_eq!(event(&mut codec, &raw(&first, &[])), Err(Undecoded::Waits(SchemaId::Id(1))));
    }
    registry.put(1, Lookup::Found(plain(&["events-value"])));
    registry.put(2, Lookup::Found(plain(&["events"])));
    registry.lookups.store(0, Ordering::Relaxed);
    for _ in 0..3 {
        assert_eq!(event(&mut codec, &raw(&first, &[])).as_deref(), Ok("{\"a\":1}"));
        assert_eq!(event(&mut codec, &raw(&second, &[])).as_deref(), Ok("{\"b\":1}"));
    }
    assert_eq!(registry.lookups.load(Ordering::Relaxed), 2);
}

#[test]
fn what_the_registry_has_not_is_rejected_until_it_has() {
    let registry = Arc::new(InMemory::default());
    let mut codec = codec(Some(Source::Registry(registry.clone())), None);
    let record = framed(7, "{}");
    registry.put(7, Lookup::Unknown);
    assert_eq!(event(&mut codec, &raw(&record, &[])), Err(reject(RejectCode::UnknownSchema)));
    registry.put(7, Lookup::Unusable);
    assert_eq!(event(&mut codec, &raw(&record, &[])), Err(reject(RejectCode::UnusableSchema)));
    registry.put(7, Lookup::Found(plain(&["events-value"])));
    assert_eq!(event(&mut codec, &raw(&record, &[])).as_deref(), Ok("{}"));
    assert_eq!(event(&mut codec, &raw(b"{}", &[])), Err(reject(RejectCode::NoSchemaId)));
}

#[test]
fn subjects_of_another_topic_are_foreign() {
    let belongs = |part, subjects: &[&str]| belongs_to(part, "events", "events", &*plain(subjects));
    for subject in ["events", "events-value", "events-shop.View", "shop.View", ":.eu:events-value"] {
        assert!(belongs(Part::Value, &["other-value", subject]), "{subject}");
    }
    for subject in [
        "other-value",
        "events-key",
        "events-valued",
        "events2-value",
        "View",
        "events-shop.Click",
        "",
        ":.eu",
    ] {
        assert!(!belongs(Part::Value, &[subject]), "{subject}");
    }
    assert!(belongs(Part::Key, &["events-key"]));
    assert!(!belongs(Part::Key, &["events-value"]));
    assert!(!belongs(Part::Value, &[]));
    let unknown = Plain { name: "a", subjects: None, is_json: false };
    assert!(belongs_to(Part::Value, "events", "events", &unknown));
}

#[test]
fn a_foreign_schema_rejects_its_records_only() {
    let registry = Arc::new(InMemory::default());
    registry.put(1, Lookup::Found(plain(&["other-value"])));
    registry.put(2, Lookup::Found(plain(&["events-value"])));
    let mut codec = codec(Some(Source::Registry(registry)), None);
    for _ in 0..2 {
        let foreign = event(&mut codec, &raw(&framed(1, "{}"), &[]));
        assert_eq!(foreign, Err(reject(RejectCode::ForeignSchema)));
        assert_eq!(event(&mut codec, &raw(&framed(2, "{}"), &[])).as_deref(), Ok("{}"));
    }
}

#[test]
fn indexes_of_a_header_reach_the_schema() {
    let registry = Arc::new(InMemory::default());
    registry.put(1, Lookup::Found(plain(&["events-value"])));
    let mut codec = codec(Some(Source::Registry(registry)), None);
    let headers: &[(&str, &[u8])] = &[("__value_schema_id", &[0, 0, 0, 0, 1, 2, 0])];
    assert_eq!(event(&mut codec, &raw(b"{}", headers)).as_deref(), Ok("{\"indexes\":2,\"of\":{}}"));
}

#[test]
fn hermes_names_the_schema_of_the_value_in_headers() {
    let registry = Arc::new(InMemory::default());
    let version = SchemaId::Version("shop.events".into(), 4);
    registry.put(3, Lookup::Found(plain(&["shop.events"])));
    registry.answers.lock().expect("it is free").insert(version, Lookup::Found(plain(&["shop.events"])));
    let source = Source::Hermes { schemas: registry, subject: "shop.events".into() };
    let mut codec = codec(Some(source.clone()), Some(source));
    let (version, id): (&[u8], &[u8]) = (&[0, 0, 0, 4], &[0, 0, 0, 3]);
    for headers in [&[("sv", version)][..], &[("sid", id)]] {
        assert_eq!(event(&mut codec, &raw(b"{\"a\":1}", headers)).as_deref(), Ok("{\"a\":1}"));
        let keyed = codec.decode(&Raw { key: Some(b"k"), value: None, headers }).err();
        let expected = Reject { code: RejectCode::NoSchemaId, part: Part::Key, at: None };
        assert_eq!(keyed, Some(Undecoded::Reject(expected)));
    }
}

#[test]
fn a_value_that_is_no_object_is_rejected_and_a_key_is_not() {
    let file = || Some(Source::File(plain(&[])));
    let mut codec = codec(file(), file());
    let decoded = codec.decode(&Raw { key: Some(b"7"), value: Some(b"{}"), headers: &[] });
    assert_eq!(decoded.ok().and_then(|decoded| decoded.key), Some(&b"7"[..]));
    for bytes in [&b"7"[..], b"", b"[]"] {
        assert_eq!(event(&mut codec, &raw(bytes, &[])), Err(reject(RejectCode::NotAnObject)));
    }
}

#[test]
fn a_reject_names_its_part() {
    let file = || Some(Source::File(plain(&[])));
    let mut codec = codec(file(), file());
    let of = |part| Some(Undecoded::Reject(Reject { code: RejectCode::Malformed, part, at: Some(3) }));
    let record = |key, value| Raw { key: Some(key), value: Some(value), headers: &[] };
    assert_eq!(codec.decode(&record(b"7", b"broken")).err(), of(Part::Value));
    assert_eq!(codec.decode(&record(b"broken", b"{}")).err(), of(Part::Key));
}

#[test]
fn json_with_a_schema_is_borrowed() {
    let schema = Arc::new(Plain { name: "a", subjects: None, is_json: true });
    let registry = Arc::new(InMemory::default());
    registry.put(1, Lookup::Found(schema));
    let mut codec = codec(Some(Source::Registry(registry)), None);
    let record = framed(1, " {\"a\":1}");
    let decoded = codec.decode(&raw(&record, &[])).expect("it is right");
    assert_eq!(decoded.value.map(<[u8]>::as_ptr), Some(record[5..].as_ptr()));
    assert!(decoded.schema.is_some());
    let list = event(&mut codec, &raw(&framed(1, "[]"), &[]));
    assert_eq!(list, Err(reject(RejectCode::NotAnObject)));
}

#[test]
fn a_large_event_leaves_no_large_buffer() {
    let mut codec = codec(Some(Source::File(plain(&[]))), None);
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(3 * KEPT));
    assert!(event(&mut codec, &raw(large.as_bytes(), &[])).is_ok());
    assert!(event(&mut codec, &raw(b"{}", &[])).is_ok());
    assert!(codec.value.out.capacity() <= KEPT);
}

#[test]
fn an_envelope_is_taken_off_whatever_the_format() {
    let deleted = r#"{"before":{"a":1},"after":null,"op":"d","ts_ms":5}"#;
    let event_of = |source, bytes: &[u8]| {
        let format = TopicFormat { value: source, key: None, unwrap: Some(Envelope::Debezium) };
        event(&mut TopicCodec::new("events", format), &raw(bytes, &[]))
    };
    let expected = Ok(r#"{"a":1,"__op":"d","__ts_ms":5,"__deleted":"true"}"#);
    assert_eq!(event_of(None, deleted.as_bytes()).as_deref(), expected);
    assert_eq!(event_of(Some(Source::File(plain(&[]))), deleted.as_bytes()).as_deref(), expected);
    assert_eq!(event_of(None, b"{}"), Err(reject(RejectCode::NoEnvelope)));
}
