use codec::{Format, SchemaText};

use super::*;
use crate::{
    data::{Schema, Type, logical},
    define::Values,
};

fn convert(schema: &str, json: &str, more: &[(&str, &str)]) -> Result<(String, Schema), String> {
    let given = more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let options = Options::of(&Values::of(&super::super::settings::json_schema(), &given));
    let text = SchemaText {
        format: Format::JsonSchema,
        text: schema.to_owned(),
        references: vec![],
        subjects: None,
    };
    let compiled = compile(&text, options).map_err(|error| format!("schema: {error}"))?;
    super::super::converted(&compiled, json.as_bytes())
}

#[track_caller]
fn check(schema: &str, json: &str, expected: &str) -> Schema {
    let (found, schema) = convert(schema, json, &[]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(found, expected);
    schema
}

const VIEW: &str = r##"{ "title": "View", "type": "object", "required": ["page"], "properties": {
    "page": { "type": "string", "connect.index": 0 }, "count": { "type": "integer", "connect.index": 1 }, "price": { "type": "number", "connect.index": 2 },
    "note": { "oneOf": [{ "type": "null" }, { "type": "string" }], "connect.index": 3 }, "kind": { "type": "string", "enum": ["a", "b"], "default": "b", "connect.index": 4 },
    "list": { "type": "array", "items": { "$ref": "#/$defs/item" }, "connect.index": 5 }, "any": { "type": ["string", "integer", "null"], "connect.index": 6 } },
    "$defs": { "item": { "type": "object", "properties": { "x": { "type": "integer", "connect.type": "int8" } } } } }"##;

#[test]
fn an_object_is_a_struct_of_its_properties() {
    let found = check(
        VIEW,
        r#"{"price":1.50,"page":"/a","other":[1],"count":2.0,"note":null,"list":[{"x":1},{}],"any":7}"#,
        r#"{"page":"/a","count":2,"price":1.5,"note":null,"kind":"b","list":[{"x":1},{"x":null}],"any":{"io.confluent.connect.json.OneOf.field.0":null,"io.confluent.connect.json.OneOf.field.1":7}}"#,
    );
    assert_eq!(found.name.as_deref(), Some("View"));
    let field = |name: &str| found.fields[found.place(name).expect("a field")].schema.clone();
    assert!(field("note").is_optional && !field("count").is_optional && field("any").is_optional);
    assert_eq!(field("price").kind, Type::Float64);
    let optional = convert(VIEW, "{}", &[("use.optional.for.nonrequired", "true")]).expect("valid").1;
    let is_optional = |name: &str| optional.fields[optional.place(name).expect("a field")].schema.is_optional;
    assert!(is_optional("count") && !is_optional("page"));
    for wrong in [
        r#"{"page":1}"#,
        r#"{"count":"1"}"#,
        r#"{"count":1.5}"#,
        r#"{"count":null}"#,
        r#"{"list":[{"x":300}]}"#,
        "[]",
        "{",
        r#"{} x"#,
    ] {
        let error = convert(VIEW, wrong, &[]).expect_err("it is not of the schema");
        assert!(!error.starts_with("schema: "), "{error}");
    }
}

#[test]
fn what_connect_has_written_keeps_its_types() {
    let schema = r#"{ "type": "object", "properties": {
        "day": { "type": "integer", "title": "org.apache.kafka.connect.data.Date", "connect.type": "int32", "connect.version": 1 },
        "sum": { "type": "number", "title": "org.apache.kafka.connect.data.Decimal", "connect.type": "bytes", "connect.parameters": { "scale": "2" } },
        "raw": { "type": "string", "connect.type": "bytes" },
        "map": { "type": "object", "connect.type": "map", "additionalProperties": { "type": "boolean" } },
        "pairs": { "type": "array", "connect.type": "map", "items": { "type": "object", "properties": { "key": { "type": "integer" }, "value": { "type": "string" } } } } } }"#;
    let found = check(
        schema,
        r#"{"day":3,"sum":12.30,"raw":"YWI=","map":{"k":true},"pairs":[{"key":1,"value":"a"}]}"#,
        r#"{"day":3,"map":{"k":true},"pairs":[[1,"a"]],"raw":"YWI=","sum":12.30}"#,
    );
    let field = |name: &str| found.fields[found.place(name).expect("a field")].schema.clone();
    assert!(field("day").is_named(logical::DATE) && field("sum").is_named(logical::DECIMAL));
    assert_eq!(field("map").kind, Type::Map);
    check(schema, r#"{"sum":"BM4="}"#, r#"{"day":null,"map":null,"pairs":null,"raw":null,"sum":12.30}"#);
}

#[test]
fn alternatives_are_matched_as_by_the_original() {
    let schema = r#"{ "oneOf": [
        { "type": "object", "properties": { "a": { "type": "integer" } } },
        { "type": "object", "properties": { "a": { "type": "integer" }, "b": { "type": "integer" } } },
        { "type": "boolean" }] }"#;
    let of = |json: &str| {
        convert(schema, json, &[]).map(|(json, _)| json.replace("io.confluent.connect.json.OneOf.field.", ""))
    };
    assert_eq!(of("true").as_deref(), Ok(r#"{"0":null,"1":null,"2":true}"#));
    assert_eq!(of(r#"{"b":1}"#).as_deref(), Ok(r#"{"0":null,"1":{"a":null,"b":1},"2":null}"#));
    assert_eq!(of(r#"{"a":1}"#).as_deref(), Ok(r#"{"0":{"a":1},"1":null,"2":null}"#));
    assert!(of("\"x\"").is_err());
    let all = r##"{ "allOf": [{ "properties": { "a": { "type": "integer" } } }, { "$ref": "#/$defs/b" }], "$defs": { "b": { "type": "object", "properties": { "b": { "type": "string" } } } } }"##;
    check(all, r#"{"a":1,"b":"x"}"#, r#"{"a":1,"b":"x"}"#);
}

#[test]
fn schemas_without_a_type_cannot_be_used() {
    for schema in [
        "{}",
        "true",
        r#"{"type":"null"}"#,
        r#"{"type":"array"}"#,
        r##"{"$ref":"#/none"}"##,
        r##"{"$ref":"#"}"##,
        r##"{"allOf":[{"$ref":"#"}]}"##,
        "[",
    ] {
        let error = convert(schema, "{}", &[]).expect_err("it has no type");
        assert!(error.starts_with("schema: ") || schema.contains("\"#\""), "{schema}: {error}");
    }
}

#[test]
fn a_recursive_value_is_refused_where_it_recurs() {
    let schema =
        r##"{ "type": "object", "properties": { "x": { "type": "integer" }, "next": { "$ref": "#" } } }"##;
    check(schema, r#"{"x":1}"#, r#"{"next":null,"x":1}"#);
    assert!(convert(schema, r#"{"x":1,"next":{"x":2}}"#, &[]).is_err());
}

#[test]
fn a_default_is_not_copied_without_end() {
    let long = "x".repeat(1_000_000);
    let schema = format!(r#"{{ "type": "array", "items": {{ "type": "string", "default": "{long}" }} }}"#);
    assert!(convert(&schema, "[null,null]", &[]).is_ok());
    assert!(convert(&schema, &format!("[{}null]", "null,".repeat(1_000)), &[]).is_err());
}
