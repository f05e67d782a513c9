use super::*;
use crate::{Format, Indexes, Kind};

fn schema(text: &str, references: &[(&str, &str)]) -> Result<Arc<dyn Schema>, SchemaError> {
    let references = references.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
    compile(&SchemaText { format: Format::JsonSchema, text: text.to_owned(), references, subjects: None })
}

/// The fields of a schema: pointer, kind, whether optional, tags.
fn check(text: &str, references: &[(&str, &str)], expect: &[(&str, Kind, bool, &[&str])]) {
    let schema = schema(text, references).expect("a schema");
    let fields = schema.fields().iter();
    let mut fields: Vec<_> = fields
        .map(|field| {
            let tags: Vec<&str> = field.tags.iter().map(AsRef::as_ref).collect();
            (field.pattern.as_str(), field.kind, field.optional, tags)
        })
        .collect();
    fields.sort_by_key(|field| field.0);
    let mut expect: Vec<_> =
        expect.iter().map(|&(path, kind, optional, tags)| (path, kind, optional, tags.to_vec())).collect();
    expect.sort_by_key(|field| field.0);
    assert_eq!(fields, expect, "{text}");
}

#[test]
fn a_payload_is_passed_as_it_is() {
    let schema = schema("{}", &[]).expect("a schema");
    assert!(schema.is_json());
    let mut out = Vec::new();
    let decode = |bytes, out: &mut Vec<u8>| schema.decode(Payload { bytes, indexes: Indexes::None }, out);
    assert_eq!(decode(b" {\"a\": 1}", &mut out), Ok(()));
    assert_eq!(out, b" {\"a\": 1}");
    assert_eq!(decode(b"", &mut out), Err(Reject::at(RejectCode::Truncated, 0)));
}

#[test]
fn fields_have_pointers_and_kinds() {
    let text = r#"{ "type": "object", "required": ["user", "items", "session"], "properties": {
        "user": { "type": "string" }, "a/b~": { "type": "integer" }, "time": { "type": "string", "format": "date-time" },
        "price": { "type": ["null", "number"] }, "any": {}, "kind": { "enum": ["a", "b"] }, "nothing": { "type": "null" },
        "items": { "type": "array", "items": { "required": ["id"], "properties": { "id": { "type": "string" } } } },
        "pair": { "prefixItems": [{ "type": "string" }], "items": { "type": "boolean" } },
        "session": { "type": "object", "properties": { "id": { "const": 1 } }, "additionalProperties": { "type": "string" } }
    } }"#;
    check(
        text,
        &[],
        &[
            ("/user", Kind::Text, false, &[]),
            ("/a~1b~0", Kind::Number, true, &[]),
            ("/time", Kind::Time, true, &[]),
            ("/price", Kind::Number, true, &[]),
            ("/any", Kind::Several, true, &[]),
            ("/kind", Kind::Text, true, &[]),
            ("/nothing", Kind::Null, true, &[]),
            ("/items", Kind::Array, false, &[]),
            ("/items/*", Kind::Object, false, &[]),
            ("/items/*/id", Kind::Text, false, &[]),
            ("/pair", Kind::Array, true, &[]),
            ("/pair/0", Kind::Text, true, &[]),
            ("/pair/*", Kind::Bool, true, &[]),
            ("/session", Kind::Object, false, &[]),
            ("/session/id", Kind::Number, true, &[]),
            ("/session/*", Kind::Text, true, &[]),
        ],
    );
}

#[test]
fn alternatives_are_combined() {
    let text = r#"{ "allOf": [
        { "required": ["a"], "properties": { "a": { "oneOf": [{ "type": "null" }, { "type": "string" }] } } },
        { "anyOf": [
            { "required": ["b"], "properties": { "b": { "type": "string" } } },
            { "properties": { "b": { "type": "number" }, "c": { "type": "boolean" } } }] } ] }"#;
    check(
        text,
        &[],
        &[("/a", Kind::Text, true, &[]), ("/b", Kind::Several, true, &[]), ("/c", Kind::Bool, true, &[])],
    );
}

#[test]
fn references_lead_to_definitions_and_documents() {
    let text = r##"{ "required": ["a", "b", "c", "d"], "properties": {
        "a": { "$ref": "#/definitions/name" }, "b": { "$ref": "shared.json#/$defs/n" }, "c": { "$ref": "shared.json" },
        "d": { "$ref": "#here" } },
        "definitions": { "name": { "type": "string" }, "other": { "$anchor": "here", "type": "boolean" } } }"##;
    let shared = r##"{ "required": ["x"], "properties": { "x": { "$ref": "#/$defs/n" } }, "$defs": { "n": { "type": "number" } } }"##;
    check(
        text,
        &[("shared.json", shared)],
        &[
            ("/a", Kind::Text, false, &[]),
            ("/b", Kind::Number, false, &[]),
            ("/c", Kind::Object, false, &[]),
            ("/c/x", Kind::Number, false, &[]),
            ("/d", Kind::Bool, false, &[]),
        ],
    );
    assert!(schema(text, &[]).is_err());
    assert!(schema("{", &[]).is_err());
    assert!(schema("{}", &[("a.json", "{")]).is_err());
    // A schema that is nothing but itself.
    check(r##"{ "$ref": "#" }"##, &[], &[]);
}

#[test]
fn tags_reach_every_value_inside() {
    let text = r##"{ "properties": {
        "mail": { "type": "string", "confluent:tags": ["PII", "MAIL"] },
        "closed": { "type": "object", "confluent:tags": ["A"], "additionalProperties": false,
          "properties": { "x": { "$ref": "#/definitions/name" } } },
        "open": { "type": "object", "confluent:tags": ["A"], "properties": { "x": { "type": "number" } } },
        "list": { "type": "array", "confluent:tags": ["A"], "items": { "type": "string" } },
        "node": { "$ref": "#/definitions/node" } },
      "definitions": {
        "name": { "type": "string", "confluent:tags": ["NAME"] },
        "node": { "type": "object", "properties": {
          "name": { "$ref": "#/definitions/name" }, "next": { "$ref": "#/definitions/node" } } } } }"##;
    check(
        text,
        &[],
        &[
            ("/mail", Kind::Text, true, &["MAIL", "PII"]),
            ("/closed", Kind::Object, true, &[]),
            ("/closed/x", Kind::Text, true, &["A", "NAME"]),
            ("/open", Kind::Object, true, &["A"]),
            ("/open/x", Kind::Number, true, &["A"]),
            ("/list", Kind::Array, true, &[]),
            ("/list/*", Kind::Text, true, &["A"]),
            ("/node", Kind::Object, true, &[]),
            ("/node/name", Kind::Text, true, &["NAME"]),
            ("/node/next", Kind::Object, true, &["NAME"]),
        ],
    );
}

#[test]
fn the_number_of_fields_is_bounded() {
    // Each level has two members of the next one.
    let level = |n: usize| {
        let next = format!("{{ \"$ref\": \"#/$defs/l{}\" }}", n + 1);
        format!("\"l{n}\": {{ \"properties\": {{ \"a\": {next}, \"b\": {next} }} }}")
    };
    let levels: Vec<_> = (0..40).map(level).collect();
    let text =
        format!("{{ \"$ref\": \"#/$defs/l0\", \"$defs\": {{ {}, \"l40\": {{}} }} }}", levels.join(", "));
    assert!(schema(&text, &[]).is_err());
}
