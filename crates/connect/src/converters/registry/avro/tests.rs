use codec::{Format, Indexes, Payload, SchemaText};
use proptest::prelude::*;

use super::*;
use crate::{
    data::{Schema, Type, text},
    define::Values,
};

fn options(given: &[(&str, &str)]) -> Options {
    let given = given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Options::of(&Values::of(&super::super::settings::avro(), &given))
}

fn compiled(schema: &str, more: &[(&str, &str)]) -> Result<Compiled, SchemaError> {
    let text =
        SchemaText { format: Format::Avro, text: schema.to_owned(), references: vec![], subjects: None };
    compile(&text, options(more))
}

fn convert(schema: &str, bytes: &[u8]) -> Result<(String, Schema), String> {
    let compiled = compiled(schema, &[]).map_err(|error| error.to_string())?;
    super::super::converted(&compiled, bytes)
}

#[track_caller]
fn check(schema: &str, bytes: &[u8], expected: &str) -> Schema {
    let (json, schema) = convert(schema, bytes).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(json, expected);
    schema
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"View","namespace":"shop","fields":[{fields}]}}"#)
}

#[test]
fn a_record_is_a_struct() {
    let schema = record(
        r#"{"name":"a","type":"string"},{"name":"b","type":["null","long"],"default":null},{"name":"c","type":{"type":"enum","name":"E","symbols":["X","Y"]}},
           {"name":"d","type":{"type":"fixed","name":"F","size":2}},{"name":"e","type":{"type":"array","items":"int"}},{"name":"f","type":{"type":"map","values":"boolean"}},
           {"name":"g","type":"double","default":1.5},{"name":"h","type":"float"},{"name":"i","type":"E"}"#,
    );
    let bytes = [
        &[2, b'x', 2, 6, 2][..],
        b"ab",
        &[4, 2, 3, 0, 2, 2, b'k', 1, 0],
        &2.5f64.to_le_bytes(),
        &0.5f32.to_le_bytes(),
        &[0],
    ]
    .concat();
    let found = check(
        &schema,
        &bytes,
        r#"{"a":"x","b":3,"c":"Y","d":"YWI=","e":[1,-2],"f":{"k":true},"g":2.5,"h":0.5,"i":"X"}"#,
    );
    assert_eq!(
        (found.kind, found.name.as_deref(), found.is_optional),
        (Type::Struct, Some("shop.View"), false)
    );
    let field = |name: &str| found.fields[found.place(name).expect("a field")].schema.clone();
    assert!(field("b").is_optional && field("b").default.is_none() && field("b").kind == Type::Int64);
    assert_eq!((field("c").kind, field("c").name.as_deref()), (Type::String, Some("shop.E")));
    assert_eq!((field("d").kind, field("d").name.as_deref()), (Type::Bytes, Some("shop.F")));
    assert!(field("g").default == Some(Value::Double(1.5)) && !field("g").is_optional);
    for end in 0..bytes.len() {
        assert!(convert(&schema, &bytes[..end]).is_err(), "{end} bytes");
    }
    assert!(convert(&schema, &[&bytes[..], &[0]].concat()).is_err(), "bytes follow");
}

#[test]
fn logical_types_are_those_of_connect() {
    let schema = record(
        r#"{"name":"a","type":{"type":"int","logicalType":"date"}},{"name":"b","type":{"type":"int","logicalType":"time-millis"}},
           {"name":"c","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
           {"name":"e","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"f","type":{"type":"int","connect.type":"int8"}},
           {"name":"g","type":{"type":"int","connect.name":"org.apache.kafka.connect.data.Date"}},{"name":"h","type":{"type":"string","logicalType":"uuid"}}"#,
    );
    let bytes = [2, 4, 6, 4, 0x04, 0xce, 8, 3, 2, 2, b'u'];
    let found = check(&schema, &bytes, r#"{"a":1,"b":2,"c":3,"d":12.30,"e":4,"f":-2,"g":1,"h":"u"}"#);
    let shown: Vec<String> =
        found.fields.iter().map(|field| text(&Value::Int(1), Some(&field.schema))).collect();
    assert_eq!(shown[0], "1970-01-02");
    assert_eq!(shown[6], "1970-01-02");
    assert_eq!(found.fields[5].schema.kind, Type::Int8);
    assert_eq!(found.fields[4].schema.name, None, "only milliseconds have a type in Connect");
    let late = record(r#"{"name":"b","type":{"type":"int","logicalType":"time-millis"}}"#);
    assert!(convert(&late, &[1]).is_err(), "a time before midnight");
}

#[test]
fn unions_are_optional_or_structs() {
    let schema = record(
        r#"{"name":"u","type":["null","string","int",{"type":"record","name":"In","fields":[{"name":"x","type":"int"}]}]}"#,
    );
    let found = check(&schema, &[2, 2, b'a'], r#"{"u":{"string":"a","int":null,"In":null}}"#);
    let union = &found.fields[0].schema;
    assert_eq!((union.name.as_deref(), union.is_optional), (Some("io.confluent.connect.avro.Union"), true));
    check(&schema, &[6, 4], r#"{"u":{"string":null,"int":null,"In":{"x":2}}}"#);
    check(&schema, &[0], r#"{"u":null}"#);
    assert!(convert(&schema, &[8]).is_err(), "there is no such branch");
    let only = record(r#"{"name":"u","type":["string"]}"#);
    check(&only, &[0, 2, b'a'], r#"{"u":"a"}"#);
    let enhanced = compiled(&schema, &[("enhanced.avro.schema.support", "true")]).expect("valid");
    let datum =
        enhanced.conversion.convert(Payload { bytes: &[0], indexes: Indexes::InPayload }).expect("null");
    let union = datum.schema.expect("a schema").fields[0].schema.clone();
    assert!(union.fields.iter().any(|field| &*field.name == "shop.In"));
    assert!(
        compiled(
            &record(r#"{"name":"u","type":["string","int",{"type":"enum","name":"string","symbols":[]}]}"#),
            &[]
        )
        .is_err()
    );
}

#[test]
fn a_map_with_other_keys_is_an_array_of_entries() {
    let entry = r#"{"type":"record","name":"MapEntry","namespace":"io.confluent.connect.avro","fields":[{"name":"key","type":"int"},{"name":"value","type":"string"}]}"#;
    let schema = format!(r#"{{"type":"array","items":{entry}}}"#);
    let found = check(&schema, &[2, 4, 2, b'a', 0], r#"[[2,"a"]]"#);
    assert_eq!(found.kind, Type::Map);
}

#[test]
fn a_recursive_value_is_refused_where_it_recurs() {
    let schema = record(r#"{"name":"x","type":"int"},{"name":"next","type":["null","View"]}"#);
    check(&schema, &[2, 0], r#"{"x":1,"next":null}"#);
    assert!(convert(&schema, &[2, 2, 4, 0]).is_err());
}

#[test]
fn what_is_only_bytes_has_no_length() {
    check("\"bytes\"", b"ab", "\"YWI=\"");
    check("\"string\"", b"\x04ab", "\"ab\"");
    assert!(convert("\"null\"", b"").is_err());
}

#[test]
fn defaults_of_connect_are_kept() {
    let schema = record(
        r#"{"name":"a","type":["null",{"type":"string","connect.default":"x"}]},{"name":"b","type":["string","null"],"default":"y"},
           {"name":"c","type":{"type":"int","connect.default":"z"}}"#,
    );
    let found = check(&schema, &[0, 2, 2], r#"{"a":null,"b":null,"c":1}"#);
    assert!(found.fields[0].schema.default == Some(Value::text("x")));
    assert!(found.fields[1].schema.default.is_none() && found.fields[2].schema.default.is_none());
}

/// Elements without bytes can be claimed in any number.
#[test]
fn a_few_bytes_cannot_take_gigabytes() {
    let empty = r#"{"type":"array","items":{"type":"record","name":"N","fields":[]}}"#;
    assert!(convert(empty, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0x1f, 0]).is_err());
    let names: Vec<String> =
        (0..1_000).map(|number| format!(r#"{{"type":"enum","name":"E{number}","symbols":["A"]}}"#)).collect();
    let unions = format!(r#"{{"type":"array","items":[{}]}}"#, names.join(","));
    let mut bytes = vec![0x80, 0x89, 0x7a];
    bytes.resize(2_000_003, 0);
    assert!(convert(&unions, &bytes).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let schema = record(
            r#"{"name":"a","type":{"type":"array","items":["null","string",{"type":"map","values":{"type":"bytes","logicalType":"decimal","precision":4,"scale":1}}]}},{"name":"b","type":["null","View"]}"#,
        );
        let _ = convert(&schema, &bytes);
    }
}
