//! The list of fields.

use super::*;
use crate::Kind;

/// Pointer, kind, `?` if it is optional, tags.
fn check_fields(schema: &str, expect: &[&str]) {
    let listed: Vec<_> = compiled(schema)
        .fields()
        .iter()
        .map(|field| {
            let mark = if field.optional { "?" } else { "" };
            let tags: String = field.tags.iter().map(|tag| format!(" {tag}")).collect();
            format!("{} {:?}{mark}{tags}", field.pattern.as_str(), field.kind)
        })
        .collect();
    assert_eq!(listed, expect, "{schema}");
}

#[test]
fn fields_have_pointers_and_kinds() {
    check_fields(
        r#"{"type":"record","name":"R","fields":[
            {"name":"id","type":"string"},
            {"name":"at","type":["null",{"type":"long","logicalType":"timestamp-millis"}]},
            {"name":"ok","type":"boolean"},
            {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":4}},
            {"name":"either","type":["string","int"]},
            {"name":"number","type":["long","double"]},
            {"name":"none","type":"null"},
            {"name":"items","type":{"type":"array","items":{"type":"record","name":"I","fields":[{"name":"sku","type":"string"}]}}},
            {"name":"more","type":["null",{"type":"map","values":"I"}]}]}"#,
        &[
            "/id Text",
            "/at Time?",
            "/ok Bool",
            "/price Number",
            "/either Several",
            "/number Number",
            "/none Null?",
            "/items Array",
            "/items/* Object",
            "/items/*/sku Text",
            "/more Object?",
            "/more/* Object?",
            "/more/*/sku Text?",
        ],
    );
    check_fields(r#""string""#, &[]);
    check_fields(r#"{"type":"map","values":"int"}"#, &["/* Number"]);
}

#[test]
fn branches_share_pointers() {
    check_fields(
        r#"{"type":"record","name":"R","fields":[{"name":"u","type":[
            {"type":"record","name":"A","fields":[{"name":"x","type":"int"},{"name":"y","type":"int"}]},
            {"type":"record","name":"B","fields":[{"name":"x","type":"string","confluent:tags":["PII"]}]}]}]}"#,
        &["/u Object", "/u/x Several? PII", "/u/y Number?"],
    );
}

#[test]
fn a_recursive_type_is_listed_once() {
    check_fields(
        r#"{"type":"record","name":"L","fields":[{"name":"v","type":"int"},{"name":"next","type":["null","L"]}]}"#,
        &["/v Number", "/next Object?"],
    );
    // Where it recurs, it has the tags of what is not listed.
    check_fields(
        r#"{"type":"record","name":"P","fields":[{"name":"name","type":"string","confluent:tags":["PII"]},
            {"name":"children","type":{"type":"array","items":"P"}}]}"#,
        &["/name Text PII", "/children Array", "/children/* Object PII"],
    );
}

#[test]
fn tags_are_of_fields_and_of_types() {
    check_fields(
        r#"{"type":"record","name":"R","confluent:tags":["ROOT"],"fields":[
            {"name":"a","type":"string","confluent:tags":["PII","EU"]},
            {"name":"b","type":{"type":"string","confluent:tags":["PII"]}},
            {"name":"c","type":["null",{"type":"string","confluent:tags":["PII"]}]},
            {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":4,"confluent:tags":["PII"]}},
            {"name":"e","type":{"type":"array","items":{"type":"string","confluent:tags":["PII"]}}},
            {"name":"f","type":{"type":"map","values":"string","confluent:tags":["PII"]}},
            {"name":"g","type":{"type":"fixed","name":"F","size":4,"logicalType":"decimal","precision":4,"confluent:tags":["PII"]}},
            {"name":"h","type":"F","confluent:tags":["EU"]},
            {"name":"i","confluent:tags":["PII"],"type":{"type":"record","name":"I","fields":[
                {"name":"j","type":"int"},{"name":"k","type":"int","confluent:tags":["EU"]}]}},
            {"name":"l","type":"I"},
            {"name":"m","type":"string","confluent:tags":"PII"},
            {"name":"n","type":{"type":{"type":"string","confluent:tags":["PII"]}}}]}"#,
        &[
            "/a Text EU PII",
            "/b Text PII",
            "/c Text? PII",
            "/d Number PII",
            "/e Array",
            "/e/* Text PII",
            "/f Object",
            "/f/* Text PII",
            "/g Number PII",
            "/h Number EU PII",
            "/i Object",
            "/i/j Number PII",
            "/i/k Number EU PII",
            "/l Object",
            "/l/j Number",
            "/l/k Number EU",
            "/m Text PII",
            "/n Text PII",
        ],
    );
}

#[test]
fn many_types_in_a_chain_are_listed_as_deep_as_they_decode() {
    let mut references = vec![r#"{"type":"record","name":"R0","fields":[]}"#.to_owned()];
    for level in 1..10_000 {
        let inner = level - 1;
        references.push(format!(
            r#"{{"type":"record","name":"R{level}","fields":[{{"name":"r","type":"R{inner}"}}]}}"#
        ));
    }
    let references: Vec<_> = references.iter().map(String::as_str).collect();
    let schema = AvroSchema::new(&text(r#""R9999""#, &references)).expect("a schema");
    assert_eq!(schema.fields().len(), write::MAX_DEPTH as usize);
    assert_eq!(schema.fields()[0].kind, Kind::Object);
    assert_eq!(decoded(&schema, &[]), Err((RejectCode::TooDeep, Some(0))));
}
