use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use base64::Engine as _;
use event::json::without_byte_order_mark;

use super::*;
use crate::Part;

/// An unwrapped event as its text, `None` for a tombstone.
fn unwrap(envelope: &str, value: &[u8], headers: &[(&str, &[u8])]) -> Result<Option<String>, Reject> {
    let envelope: Envelope = envelope.parse().expect("an envelope");
    let mut out = b"from the record before".to_vec();
    let event = envelope.unwrap(value, headers, &mut out)?;
    Ok(event.map(|event| String::from_utf8(event.to_vec()).expect("JSON is UTF-8")))
}

fn check(envelope: &str, value: &str, expect: Result<Option<&str>, RejectCode>) {
    let event = unwrap(envelope, value.as_bytes(), &[]);
    assert_eq!(event.map_err(|reject| reject.code), expect.map(|event| event.map(str::to_owned)), "{value}");
}

#[test]
fn envelopes_are_named() {
    for name in ["hermes", "debezium", "cloudevents", "/a/0/b~1c"] {
        assert_eq!(name.parse::<Envelope>().expect("an envelope").to_string(), name);
    }
    for name in ["", "Hermes", "a/b", "/a~2", "/a/*"] {
        assert!(name.parse::<Envelope>().is_err(), "{name}");
    }
}

#[test]
fn hermes_has_metadata_and_message() {
    const NO: Result<Option<&str>, RejectCode> = Err(RejectCode::NoEnvelope);
    for (value, expect) in [
        (
            r#"{"metadata":{"id":"6b0e9e34-5d0b","timestamp":1769862896789},"message":{"user":"u-1","price":12.30}}"#,
            Ok(Some(
                r#"{"user":"u-1","price":12.30,"__metadata":{"id":"6b0e9e34-5d0b","timestamp":1769862896789}}"#,
            )),
        ),
        (r#" { "message" : { } , "metadata" : { "id" : 1 } } "#, Ok(Some(r#"{"__metadata":{ "id" : 1 }}"#))),
        (r#"{"\u006dessage":{"a":1},"metadata":{}}"#, Ok(Some(r#"{"a":1,"__metadata":{}}"#))),
        (
            r#"{"__metadata":{"messageId":"1"},"user":"u-1"}"#,
            Ok(Some(r#"{"__metadata":{"messageId":"1"},"user":"u-1"}"#)),
        ),
        (r#"{"__metadata":null,"user":"u-1"}"#, Ok(Some(r#"{"__metadata":null,"user":"u-1"}"#))),
        (r#"{"user":"u-1"}"#, NO),
        (r#"{"message":{}}"#, NO),
        (r#"{"message":[],"metadata":{}}"#, NO),
        (r#"{"message":{},"metadata":null}"#, NO),
        (r#"{"message":{},"message":{"a":1},"metadata":{}}"#, NO),
        ("[]", NO),
        ("", NO),
        (r#"{"message":{},"metadata":{}"#, NO),
        (r#"{"message":{},"metadata":{}}x"#, Err(RejectCode::TrailingData)),
    ] {
        check("hermes", value, expect);
    }
}

/// As the connector for MySQL writes them, with `schemas.enable=false`.
const SOURCE: &str = r#"{"version":"3.3.1.Final","connector":"mysql","name":"shop","ts_ms":1769862896000,"snapshot":"false","db":"inventory","table":"customers","server_id":223344,"file":"mysql-bin.000003","pos":484,"row":0}"#;

#[test]
fn debezium_has_changes_of_rows() {
    let row = r#"{"id":1004,"first_name":"Anne","email":"annek@noanswer.org"}"#;
    let (old, new) = (row, row.replace("Anne", "Anne Marie"));
    let added = |op: &str, deleted: &str| {
        format!(r#""__op":"{op}","__ts_ms":1769862896789,"__source":{SOURCE},"__deleted":"{deleted}"}}"#)
    };
    let members = |row: &str| row[..row.len() - 1].to_owned();
    for (op, before, after, expect) in [
        ("c", "null", row, format!("{},{}", members(row), added("c", "false"))),
        ("r", "null", row, format!("{},{}", members(row), added("r", "false"))),
        ("u", old, &new, format!("{},{}", members(&new), added("u", "false"))),
        ("u", "null", &new, format!("{},{}", members(&new), added("u", "false"))),
        ("d", old, "null", format!("{},{}", members(old), added("d", "true"))),
        ("d", "null", "null", format!("{{{}", added("d", "true"))),
        ("t", "null", "null", format!("{{{}", added("t", "false"))),
    ] {
        let change = format!(
            r#"{{"before":{before},"after":{after},"source":{SOURCE},"transaction":null,"op":"{op}","ts_ms":1769862896789,"ts_us":1769862896789123}}"#
        );
        check("debezium", &change, Ok(Some(&expect)));
        let schema = r#"{"type":"struct","fields":[{"type":"struct","field":"before"}],"optional":false,"name":"shop.Envelope"}"#;
        check("debezium", &format!(r#"{{"schema":{schema},"payload":{change}}}"#), Ok(Some(&expect)));
        check("debezium", &format!(r#"{{"payload":{change},"schema":{schema}}}"#), Ok(Some(&expect)));
    }
}

#[test]
fn debezium_has_tombstones_and_documents() {
    const NO: Result<Option<&str>, RejectCode> = Err(RejectCode::NoEnvelope);
    for (value, expect) in [
        ("null", Ok(None)),
        (r#"{"schema":null,"payload":null}"#, Ok(None)),
        // MongoDB writes documents as strings.
        (
            r#"{"after":"{\"_id\": {\"$oid\": \"5\"}, \"name\": \"\\u0041\"}","op":"c"}"#,
            Ok(Some(r#"{"_id": {"$oid": "5"}, "name": "\u0041","__op":"c","__deleted":"false"}"#)),
        ),
        (r#"{"after":"[1]","op":"c"}"#, NO),
        (r#"{"after":"{}x","op":"c"}"#, NO),
        // Already unwrapped, or something else.
        (r#"{"id":1004,"__op":"c"}"#, NO),
        (r#"{"after":{"id":1}}"#, NO),
        (r#"{"after":{"id":1},"op":"x"}"#, NO),
        (r#"{"after":{"id":1},"op":null}"#, NO),
        (r#"{"before":{"id":1},"op":"c"}"#, NO),
        (r#"{"after":null,"op":"u"}"#, NO),
        (r#"{"after":[1],"op":"c"}"#, NO),
        (r#"{"before":1,"op":"d"}"#, NO),
        (r#"{"payload":7}"#, NO),
        (r#"{"payload":{"after":{},"op":"c"},"op":"c"}"#, NO),
        (r#"{"payload":{"after":{},"op":"c"},"payload":null}"#, NO),
        (r#"{"payload":{"after":{},"op":"c","op":"d"}}"#, NO),
        (r#"{"after":{},"after":{},"op":"c"}"#, NO),
    ] {
        check("debezium", value, expect);
    }
}

#[test]
fn cloudevents_are_structured() {
    const NO: Result<Option<&str>, RejectCode> = Err(RejectCode::NoEnvelope);
    for (value, expect) in [
        (
            r#"{"specversion":"1.0","id":"A234-1234-1234","source":"https://shop.example/views","type":"com.example.view","time":"2026-01-31T12:34:56Z","subject":"u-1","datacontenttype":"application/json","dataschema":"https://shop.example/view.json","comexampleextension1":"value","comexampleothervalue":5,"data":{"page":"/a"}}"#,
            Ok(Some(
                r#"{"ce_id":"A234-1234-1234","ce_source":"https://shop.example/views","ce_type":"com.example.view","ce_time":"2026-01-31T12:34:56Z","ce_subject":"u-1","ce_comexampleextension1":"value","ce_comexampleothervalue":5,"page":"/a"}"#,
            )),
        ),
        (
            r#"{"specversion":"1.0","id":"1","data_base64":"eyJhIjoxfQ=="}"#,
            Ok(Some(r#"{"ce_id":"1","a":1}"#)),
        ),
        (r#"{"specversion":"1.0","id":"1","subject":null,"data":null}"#, Ok(Some(r#"{"ce_id":"1"}"#))),
        (r#"{"specversion":"1.0","data":{}}"#, Ok(Some("{}"))),
        (r#"{"specversion":"1.0","id":"1","data":"text"}"#, NO),
        (r#"{"specversion":"1.0","id":"1","data":[1]}"#, NO),
        (r#"{"specversion":"1.0","id":"1","data_base64":"eyJ"}"#, NO),
        (r#"{"specversion":"1.0","id":"1","data_base64":"WzFd"}"#, NO),
        (r#"{"specversion":"1.0","id":"1","data_base64":7}"#, NO),
        (r#"{"specversion":"1.0","data":{},"data_base64":"e30="}"#, NO),
        (r#"{"specversion":"1.0","data":{},"data":{}}"#, NO),
        (r#"{"id":"1","data":{}}"#, NO),
        (r#"[{"specversion":"1.0"}]"#, NO),
    ] {
        check("cloudevents", value, expect);
    }
}

#[test]
fn cloudevents_are_binary() {
    let headers: [(&str, &[u8]); 7] = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"1"),
        ("ce_source", "a \"quoted\" źródło".as_bytes()),
        ("ce_ext\"", b"x"),
        ("content-type", b"application/json"),
        ("ce_dataschema", b"x"),
        ("other", b"x"),
    ];
    let event = unwrap("cloudevents", b" {\"a\": 1} ", &headers).expect("an envelope");
    assert_eq!(
        event.as_deref(),
        Some(r#"{"a": 1,"ce_id":"1","ce_source":"a \"quoted\" źródło","ce_ext\"":"x"}"#)
    );
    let code = |value: &[u8], headers: &[(&str, &[u8])]| {
        unwrap("cloudevents", value, headers).map_err(|reject| reject.code)
    };
    assert_eq!(code(b"[1]", &headers), Err(RejectCode::NoEnvelope));
    assert_eq!(code(b"{}", &[("ce_specversion", b"1.0"), ("ce_id", b"\xff")]), Err(RejectCode::InvalidUtf8));
    // The content type decides where both are there.
    let both: [(&str, &[u8]); 2] =
        [("Content-Type", b"application/cloudevents+json; charset=UTF-8"), ("ce_specversion", b"1.0")];
    assert_eq!(code(b"{\"specversion\":\"1.0\",\"data\":{}}", &both), Ok(Some("{}".to_owned())));
    assert_eq!(code(b"{\"data\":{}}", &both), Err(RejectCode::NoEnvelope));
}

#[test]
fn a_pointer_leads_to_an_object() {
    let value = r#"{"a":{"b/c":[0,{"x":1.50},[{"y":2}]]},"a.b":{},"n":null}"#;
    for (pointer, expect) in [
        ("/a", Ok(Some(r#"{"b/c":[0,{"x":1.50},[{"y":2}]]}"#))),
        ("/a/b~1c/1", Ok(Some(r#"{"x":1.50}"#))),
        ("/a/b~1c/2/0", Ok(Some(r#"{"y":2}"#))),
        ("/a.b", Ok(Some("{}"))),
        ("/a/b~1c", Err(RejectCode::NoEnvelope)),
        ("/a/b~1c/01", Err(RejectCode::NoEnvelope)),
        ("/a/b~1c/9", Err(RejectCode::NoEnvelope)),
        ("/a/b~1c/0/x", Err(RejectCode::NoEnvelope)),
        ("/n", Err(RejectCode::NoEnvelope)),
        ("/missing", Err(RejectCode::NoEnvelope)),
    ] {
        check(pointer, value, expect);
    }
    check("/a", r#"{"\u0061":{"b":1}}"#, Ok(Some(r#"{"b":1}"#)));
    check("/a", r#"{"a":{},"a":{}}"#, Err(RejectCode::NoEnvelope));
    check("/a/1", r#"{"a":[{}]}"#, Err(RejectCode::NoEnvelope));
    check("/a", r#"{"a":{},"b":}"#, Err(RejectCode::NoEnvelope));
}

#[test]
fn rejects_name_the_byte_of_wrong_json() {
    let reject = unwrap("hermes", b"{\"message\":{\"a\":\xff}}", &[]);
    assert_eq!(reject, Err(Reject { code: RejectCode::InvalidUtf8, part: Part::Value, at: Some(16) }));
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
    assert_eq!(unwrap("hermes", deep.as_bytes(), &[]).expect_err("too deep").code, RejectCode::TooDeep);
}

/// The same rules over a tree: the members in their order, so that the last of a name stays.
fn naive(
    envelope: &str,
    value: &Value,
    headers: &BTreeMap<String, String>,
) -> Option<Option<Map<String, Value>>> {
    let Value::Object(whole) = value else {
        return (envelope == "debezium" && value.is_null()).then_some(None);
    };
    let text = |name: &str| whole.get(name).and_then(Value::as_str);
    let mut event;
    match envelope {
        "hermes" if whole.contains_key("__metadata") => event = whole.clone(),
        "hermes" => {
            event = whole.get("message")?.as_object()?.clone();
            event.insert("__metadata".to_owned(), Value::Object(whole.get("metadata")?.as_object()?.clone()));
        }
        "debezium" => {
            let names = ["before", "after", "op", "ts_ms", "source"];
            let change = match whole.get("payload") {
                None => whole,
                Some(_) if names.iter().any(|name| whole.contains_key(*name)) => return None,
                Some(Value::Null) => return Some(None),
                Some(payload) => payload.as_object()?,
            };
            let row = |name: &str| match change.get(name)? {
                Value::String(text) => serde_json::from_str::<Map<_, _>>(text).ok(),
                row => row.as_object().cloned(),
            };
            let before = change.get("before").unwrap_or(&Value::Null);
            event = match change.get("op")?.as_str()? {
                "c" | "r" | "u" => row("after")?,
                "d" if before.is_null() => Map::new(),
                "d" => row("before")?,
                "t" => Map::new(),
                _ => return None,
            };
            for name in ["op", "ts_ms", "source"] {
                if let Some(value) = change.get(name) {
                    event.insert(format!("__{name}"), value.clone());
                }
            }
            let is_deleted = change["op"] == "d";
            event.insert("__deleted".to_owned(), Value::String(is_deleted.to_string()));
        }
        "cloudevents" if headers.contains_key("ce_specversion") => {
            event = whole.clone();
            for (name, value) in headers {
                if name.starts_with("ce_") && name != "ce_specversion" {
                    event.insert(name.clone(), Value::String(value.clone()));
                }
            }
        }
        "cloudevents" => {
            text("specversion")?;
            event = Map::new();
            for (name, value) in whole {
                let is_attribute = !matches!(
                    name.as_str(),
                    "specversion" | "datacontenttype" | "dataschema" | "data" | "data_base64"
                );
                if is_attribute && !value.is_null() {
                    event.insert(format!("ce_{name}"), value.clone());
                }
            }
            let is_there = |name: &str| whole.get(name).filter(|value| !value.is_null());
            event.extend(match (is_there("data"), is_there("data_base64")) {
                (Some(data), None) => data.as_object()?.clone(),
                (None, Some(_)) => {
                    let bytes = base64::prelude::BASE64_STANDARD.decode(text("data_base64")?).ok()?;
                    serde_json::from_slice::<Map<_, _>>(&bytes).ok()?
                }
                (None, None) => Map::new(),
                (Some(_), Some(_)) => return None,
            });
        }
        pointer => event = value.pointer(pointer)?.as_object()?.clone(),
    }
    Some(Some(event))
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec!["c", "r", "u", "d", "t", "1.0", "{\"a\":1}", "e30=", "eyJhIjoxfQ=="])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(name(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    let names = [
        "a",
        "b",
        "0",
        "",
        "\"",
        "metadata",
        "message",
        "__metadata",
        "before",
        "after",
        "op",
        "__op",
        "payload",
        "data",
        "data_base64",
        "specversion",
        "id",
        "ce_id",
        "source",
        "ts_ms",
        "datacontenttype",
    ];
    prop_oneof![9 => prop::sample::select(names.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

/// A document that is often the envelope, with some of its members replaced by anything.
fn document() -> impl Strategy<Value = (&'static str, Value)> {
    let object = || {
        prop::collection::hash_map(name(), value(), 0..4)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    };
    let op = || prop::sample::select(vec!["c", "r", "u", "d", "t"]);
    let change = || {
        (object(), object(), op(), object()).prop_map(|(before, after, op, source)| {
        json!({ "before": before, "after": after, "op": op, "ts_ms": 5, "source": source })
    })
    };
    let shaped = prop_oneof![
        (object(), object())
            .prop_map(|(metadata, message)| ("hermes", json!({ "metadata": metadata, "message": message }))),
        change().prop_map(|change| ("debezium", change)),
        (value(), change())
            .prop_map(|(schema, change)| ("debezium", json!({ "schema": schema, "payload": change }))),
        (value(), object())
            .prop_map(|(id, data)| ("cloudevents", json!({ "specversion": "1.0", "id": id, "data": data }))),
        object().prop_map(|inner| ("/a", json!({ "a": inner }))),
        object().prop_map(|inner| ("/a/0/b", json!({ "a": [{ "b": inner }, 1] }))),
        (prop::sample::select(vec!["hermes", "debezium", "cloudevents", "/a"]), value()),
    ];
    let change = prop::option::of((name(), prop::option::of(value())));
    (shaped, change).prop_map(|((envelope, mut document), change)| {
        if let (Some(members), Some((name, value))) = (document.as_object_mut(), change) {
            match value {
                Some(value) => drop(members.insert(name, value)),
                None => drop(members.remove(&name)),
            }
        }
        (envelope, document)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_result_is_that_of_a_tree(
        (envelope, document) in document(),
        headers in prop::collection::btree_map(prop::sample::select(vec!["ce_specversion", "ce_id", "ce_x", "other"]).prop_map(str::to_owned), any::<String>(), 0..3),
        has_spaces: bool,
        is_escaped: bool,
    ) {
        let mut text = if has_spaces { format!(" {document:#}\n") } else { document.to_string() };
        if is_escaped {
            // The same name in another spelling.
            for name in ["after", "message", "data", "id"] {
                let spelled = format!("\"\\u{:04x}{}\"", u32::from(name.as_bytes()[0]), &name[1..]);
                text = text.replace(&format!("\"{name}\":"), &format!("{spelled}:"));
            }
        }
        let header_bytes: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let ours = unwrap(envelope, text.as_bytes(), &header_bytes);
        let ours = ours.ok().map(|event| event.map(|event| serde_json::from_str::<Map<String, Value>>(&event).expect("an object")));
        prop_assert_eq!(ours, naive(envelope, &document, &headers), "{} {}", envelope, text);
    }

    #[test]
    fn garbage_is_an_object_or_a_reject(
        (envelope, document) in document(),
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"{}[],:\"\\ ".to_vec())], 0..4),
        length in 0usize..4,
    ) {
        let mut text = document.to_string().into_bytes();
        let at = at.index(text.len());
        let end = (at + length).min(text.len());
        text.splice(at..end, bytes);
        if let Ok(Some(event)) = unwrap(envelope, &text, &[("ce_specversion", b"1.0")]) {
            let event = without_byte_order_mark(event.as_bytes());
            prop_assert!(serde_json::from_slice::<BTreeMap<String, &serde_json::value::RawValue>>(event).is_ok());
        }
    }
}
