use codec::{Format, SchemaText};
use proptest::prelude::*;

use super::*;
use crate::{
    data::{Schema, Type, logical},
    define::Values,
};

fn convert(schema: &str, bytes: &[u8], more: &[(&str, &str)]) -> Result<(String, Schema), String> {
    let given = more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let options = Options::of(&Values::of(&super::super::settings::protobuf(), &given));
    let text =
        SchemaText { format: Format::Protobuf, text: schema.to_owned(), references: vec![], subjects: None };
    let compiled = compile(&text, options).map_err(|error| error.to_string())?;
    super::super::converted(&compiled, &[&[0], bytes].concat())
}

#[track_caller]
fn check(schema: &str, bytes: &[u8], more: &[(&str, &str)], expected: &str) -> Schema {
    let (json, schema) = convert(schema, bytes, more).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(json, expected);
    schema
}

const VIEW: &str = r#"syntax = "proto3"; package shop;
    import "google/protobuf/timestamp.proto";
    import "google/protobuf/wrappers.proto";
    message View {
        string page = 1; uint32 small = 2; uint64 big = 3; Kind kind = 4; repeated int32 numbers = 5; map<string, bool> flags = 6;
        oneof who { string user = 7; int64 guest = 8; }
        optional int32 score = 9; Inner inner = 10; google.protobuf.Timestamp at = 11; google.protobuf.StringValue note = 12; bytes raw = 13;
        enum Kind { NONE = 0; CLICK = 1; }
        message Inner { double x = 1; }
    }"#;

#[test]
fn a_message_is_a_struct() {
    let found = check(
        VIEW,
        b"",
        &[],
        r#"{"who_0":null,"page":"","small":0,"big":0,"kind":"NONE","numbers":[],"flags":{},"score":null,"inner":null,"at":null,"note":null,"raw":""}"#,
    );
    assert_eq!((found.name.as_deref(), found.is_optional), (Some("View"), false));
    let field = |name: &str| found.fields[found.place(name).expect("a field")].schema.clone();
    assert!(found.fields.iter().all(|field| field.schema.is_optional));
    assert_eq!((field("small").kind, field("kind").kind), (Type::Int64, Type::String));
    assert_eq!(field("who_0").name.as_deref(), Some("io.confluent.connect.protobuf.Union.who"));
    assert!(field("at").is_named(logical::TIMESTAMP));
    let bytes = [
        &b"\x0a\x02/a\x10\xff\xff\xff\xff\x0f\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x20\x01\x2a\x02\x01\x02"[..],
        b"\x32\x05\x0a\x01k\x10\x01\x3a\x01u\x48\x00\x52\x00\x5a\x05\x08\x01\x10\xc0\x3d\x62\x03\x0a\x01n\x6a\x01r",
    ]
    .concat();
    check(
        VIEW,
        &bytes,
        &[],
        r#"{"who_0":{"user":"u","guest":null},"page":"/a","small":4294967295,"big":-1,"kind":"CLICK","numbers":[1,2],"flags":{"k":true},"score":0,"inner":{"x":0.0},"at":1000,"note":{"value":"n"},"raw":"cg=="}"#,
    );
    for end in 1..bytes.len() {
        drop(convert(VIEW, &bytes[..end], &[]));
    }
}

#[test]
fn keys_change_names_and_types() {
    let user = b"\x3a\x01u\x62\x03\x0a\x01n\x20\x07";
    let more = [
        ("flatten.unions", "true"),
        ("wrapper.for.nullables", "true"),
        ("int.for.enums", "true"),
        ("enhanced.protobuf.schema.support", "true"),
    ];
    let found = check(
        VIEW,
        user,
        &more,
        r#"{"user":"u","guest":null,"page":"","small":0,"big":0,"kind":7,"numbers":[],"flags":{},"score":null,"inner":null,"at":null,"note":"n","raw":""}"#,
    );
    assert_eq!(found.name.as_deref(), Some("shop.View"));
    let found = convert(VIEW, user, &[("generate.index.for.unions", "false")]).expect("valid");
    assert!(
        found.0.starts_with(r#"{"who":{"user":"u""#) && found.0.contains("UNKNOWN_ENUM_VALUE_Kind_7"),
        "{}",
        found.0
    );
}

#[test]
fn proto2_has_presence() {
    let schema = r#"syntax = "proto2"; message A { required int32 a = 1; optional string b = 2 [default = "x"]; optional E c = 3; enum E { ONE = 1; } }"#;
    check(schema, b"\x08\x01\x18\x09", &[], r#"{"a":1,"b":null,"c":null}"#);
    check(schema, b"\x08\x01", &[("optional.for.proto2", "false")], r#"{"a":1,"b":"x","c":"ONE"}"#);
    assert!(convert(schema, b"", &[]).is_err(), "a required field is missing");
    let group = r#"syntax = "proto2"; message A { optional group G = 1 { optional int32 x = 2; } }"#;
    assert!(convert(group, b"", &[]).is_err());
}

#[test]
fn a_record_can_be_a_wrapper() {
    let schema = r#"syntax = "proto3"; import "google/protobuf/wrappers.proto"; message A { google.protobuf.Int64Value v = 1; A next = 2; }"#;
    check(schema, b"\x0a\x02\x08\x05", &[], r#"{"v":{"value":5},"next":null}"#);
    check(schema, b"\x0a\x00", &[("wrapper.for.nullables", "true")], r#"{"v":0,"next":null}"#);
    assert!(convert(schema, b"\x12\x00", &[]).is_err(), "a message of a recursive type");
}

/// An empty element of a list has all fields of its message.
#[test]
fn a_few_bytes_cannot_take_gigabytes() {
    let fields: Vec<String> = (1..1_000).map(|number| format!("int32 f{number} = {number};")).collect();
    let schema = format!(
        "syntax = \"proto3\"; message A {{ repeated B all = 1; }} message B {{ {} }}",
        fields.join(" ")
    );
    assert!(convert(&schema, &b"\x0a\x00".repeat(100_000), &[]).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = convert(VIEW, &bytes, &[]);
    }
}
