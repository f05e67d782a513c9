use std::{fs, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::{Format, Indexes, Kind, RejectCode};

fn schema(text: &str) -> Arc<dyn Schema> {
    compile(
        &SchemaText { format: Format::Protobuf, text: text.to_owned(), references: vec![], subjects: None },
        None,
    )
    .expect("a schema")
}

fn decode(schema: &dyn Schema, bytes: &[u8], indexes: Indexes<'_>) -> Result<String, Reject> {
    let mut out = Vec::new();
    schema.decode(Payload { bytes, indexes }, &mut out)?;
    Ok(String::from_utf8(out).expect("JSON is UTF-8"))
}

/// What the only message of a schema makes of some bytes.
fn check(text: &str, bytes: &[u8], expect: Result<&str, RejectCode>) {
    let json = decode(schema(text).as_ref(), bytes, Indexes::None);
    assert_eq!(json.as_deref().map_err(|reject| reject.code), expect, "{text} {bytes:?}");
}

#[test]
fn fields_follow_the_order_of_the_schema() {
    let text = r#"syntax = "proto3"; message A { string b = 2; int64 a = 1; repeated int32 c = 300; optional bool d = 4; }"#;
    check(text, b"", Ok(r#"{"b":"","a":0,"c":[]}"#));
    check(text, b"\x08\x01\x12\x01x\x20\x00", Ok(r#"{"b":"x","a":1,"c":[],"d":false}"#));
}

#[test]
fn the_last_value_counts_and_messages_merge() {
    let text = r#"syntax = "proto3"; message A { int32 n = 1; B b = 2; message B { int32 x = 1; int32 y = 2; repeated int32 z = 3; } }"#;
    let bytes = b"\x12\x04\x08\x01\x18\x05\x08\x07\x12\x06\x10\x02\x1a\x02\x06\x07\x08\x08";
    check(text, bytes, Ok(r#"{"n":8,"b":{"x":1,"y":2,"z":[5,6,7]}}"#));
}

#[test]
fn only_the_last_member_of_a_oneof_stays() {
    let text = r#"syntax = "proto3"; message A { oneof o { B b = 1; int32 n = 2; } message B { repeated int32 z = 3; } }"#;
    check(text, b"\x0a\x02\x18\x01\x10\x05", Ok(r#"{"n":5}"#));
    check(text, b"\x0a\x02\x18\x01\x10\x05\x0a\x02\x18\x02", Ok(r#"{"b":{"z":[2]}}"#));
    check(text, b"\x0a\x02\x18\x01\x0a\x02\x18\x02", Ok(r#"{"b":{"z":[1,2]}}"#));
}

#[test]
fn the_last_entry_of_a_key_counts() {
    let text = r#"syntax = "proto3"; message A { map<sint32, string> m = 1; }"#;
    let bytes = b"\x0a\x05\x08\x04\x12\x01c\x0a\x05\x08\x01\x12\x01a\x0a\x06\x08\x84\x00\x12\x01b\x0a\x00";
    check(text, bytes, Ok(r#"{"m":{"-1":"a","0":"","2":"b"}}"#));
    check(
        r#"syntax = "proto3"; message A { map<bool, A> m = 1; }"#,
        b"\x0a\x00",
        Ok(r#"{"m":{"false":{"m":{}}}}"#),
    );
}

#[test]
fn unknown_numbers_of_enums_depend_on_the_syntax() {
    let open = r#"syntax = "proto3"; message A { E e = 1; repeated E l = 2; } enum E { ZERO = 0; ONE = 1; }"#;
    check(open, b"\x08\x07\x12\x03\x01\x07\x00", Ok(r#"{"e":7,"l":["ONE",7,"ZERO"]}"#));
    let closed = r#"syntax = "proto2"; message A { optional E e = 1; repeated E l = 2; map<int32, E> m = 3; } enum E { ZERO = 0; ONE = 1; }"#;
    check(
        closed,
        b"\x08\x01\x08\x07\x12\x03\x07\x01\x07\x1a\x04\x08\x01\x10\x07",
        Ok(r#"{"e":"ONE","l":["ONE"],"m":{}}"#),
    );
}

#[test]
fn defaults_of_proto2_are_not_written() {
    let text = r#"syntax = "proto2"; message A { optional int32 a = 1 [default = 5]; required string b = 2; optional group G = 3 { optional int32 c = 4; } }"#;
    check(text, b"\x12\x01x", Ok(r#"{"b":"x"}"#));
    check(text, b"\x12\x01x\x1b\x20\x01\x1c", Ok(r#"{"b":"x","g":{"c":1}}"#));
    check(text, b"\x08\x01", Err(RejectCode::Malformed));
}

#[test]
fn bad_bytes_are_rejected() {
    let text = r#"syntax = "proto3"; message A { string s = 1; double d = 2; float f = 3; A a = 4; repeated A l = 5; }"#;
    for (bytes, code) in [
        (&b"\x0a\x05ab"[..], RejectCode::Truncated),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", RejectCode::Truncated),
        (b"\x0a", RejectCode::Truncated),
        (b"\x11\x00", RejectCode::Truncated),
        (b"\x22\x02\x0a\x05\x0a\x01x", RejectCode::Malformed),
        (b"\x00", RejectCode::Malformed),
        (b"\x0f", RejectCode::Malformed),
        (b"\x0c", RejectCode::Malformed),
        (b"\x0a\x01\xff", RejectCode::InvalidUtf8),
        (b"\x11\x00\x00\x00\x00\x00\x00\xf8\x7f", RejectCode::NotFinite),
        (b"\x1d\x00\x00\x80\xff", RejectCode::NotFinite),
    ] {
        check(text, bytes, Err(code));
    }
}

#[test]
fn nesting_is_bounded() {
    let text = r#"syntax = "proto3"; message A { A a = 1; }"#;
    let nested = |depth: usize| {
        (1..depth).fold(Vec::new(), |inner, _| {
            let mut bytes = vec![0x0a];
            push_length(&mut bytes, inner.len());
            [bytes, inner].concat()
        })
    };
    let json = decode(schema(text).as_ref(), &nested(64), Indexes::None).expect("64 levels");
    assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
    check(text, &nested(65), Err(RejectCode::TooDeep));
}

fn push_length(bytes: &mut Vec<u8>, mut length: usize) {
    while length > 0x7f {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
}

#[test]
fn output_is_bounded() {
    // Two bytes of each element become the defaults of a hundred fields.
    let fields: String = (2..102).map(|number| format!("int32 a_long_name_{number} = {number};")).collect();
    let text = format!(r#"syntax = "proto3"; message A {{ repeated B b = 1; message B {{ {fields} }} }}"#);
    check(&text, &b"\x0a\x00".repeat(100_000), Err(RejectCode::TooLarge));
    let text = r#"syntax = "proto3"; message A { repeated string s = 1; }"#;
    let mut bytes = vec![0x0a];
    push_length(&mut bytes, 4_000_000);
    bytes.resize(bytes.len() + 4_000_000, 1);
    check(text, &bytes, Err(RejectCode::TooLarge));
}

#[test]
fn well_known_types_have_their_own_form() {
    let text = r#"syntax = "proto3";
        import "google/protobuf/timestamp.proto"; import "google/protobuf/duration.proto";
        import "google/protobuf/wrappers.proto"; import "google/protobuf/struct.proto";
        import "google/protobuf/field_mask.proto"; import "google/protobuf/any.proto";
        import "confluent/type/decimal.proto";
        message A {
          google.protobuf.Timestamp t = 1; google.protobuf.Duration d = 2; google.protobuf.Int64Value w = 3;
          google.protobuf.Value v = 4; google.protobuf.FieldMask m = 5; google.protobuf.Any any = 6;
          confluent.type.Decimal n = 7;
        }"#;
    for (bytes, expect) in [
        (
            &b"\x0a\x00\x12\x00\x1a\x00\x22\x00\x2a\x00\x32\x00\x3a\x00"[..],
            Ok(r#"{"t":"1970-01-01T00:00:00Z","d":"0s","w":0,"v":null,"m":"","any":{},"n":0}"#),
        ),
        (b"\x0a\x06\x08\x01\x10\xc0\x84\x3d", Ok(r#"{"t":"1970-01-01T00:00:01.001Z"}"#)),
        (b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Ok(r#"{"t":"1969-12-31T23:59:59Z"}"#)),
        (b"\x0a\x07\x08\x80\x80\x80\x80\x80\x20", Err(RejectCode::NumberRange)),
        (b"\x12\x04\x08\x03\x10\x01", Ok(r#"{"d":"3.000000001s"}"#)),
        // Every number of `NullValue`.
        (b"\x22\x02\x08\x7f", Ok(r#"{"v":null}"#)),
        (b"\x2a\x11\x0a\x07user_id\x0a\x06a.b_cd", Ok(r#"{"m":"userId,a.bCd"}"#)),
        (b"\x2a\x04\x0a\x02aB", Err(RejectCode::Malformed)),
        (b"\x32\x15\x0a\x11example.com/A\x2e\x42\x43\x44\x12\x00", Err(RejectCode::Malformed)),
        (b"\x32\x0a\x0a\x04me/A\x12\x02\x1a\x00", Ok(r#"{"any":{"@type":"me/A","w":0}}"#)),
        (b"\x3a\x06\x0a\x02\x04\xce\x18\x02", Ok(r#"{"n":12.30}"#)),
        (b"\x3a\x05\x0a\x00\x18\x90\x4e", Err(RejectCode::NumberRange)),
    ] {
        check(text, bytes, expect);
    }
}

const SEVERAL: &str = r#"syntax = "proto3"; package shop;
    message View { int32 a = 1; message Inner { int32 b = 1; } }
    message Click { map<string, int32> m = 1; message First { int32 c = 1; } message Second { int32 d = 1; } }"#;

#[test]
fn indexes_name_the_message() {
    let schema = schema(SEVERAL);
    for (indexes, expect) in [
        (&b"\x00"[..], Ok(r#"{"a":1}"#)),
        (b"\x02\x00", Ok(r#"{"a":1}"#)),
        (b"\x04\x00\x00", Ok(r#"{"b":1}"#)),
        // The last nested message: Java counts 1, other clients count the entry of the map, too.
        (b"\x04\x02\x00", Ok(r#"{"c":1}"#)),
        (b"\x04\x02\x04", Ok(r#"{"d":1}"#)),
        (b"\x04\x02\x02", Err(RejectCode::UnusableSchema)),
        (b"\x02\x04", Err(RejectCode::Malformed)),
        (b"\x01", Err(RejectCode::Malformed)),
        (b"\x80\x80\x80\x80\x20", Err(RejectCode::Malformed)),
        (b"\x04\x00", Err(RejectCode::Malformed)),
    ] {
        let found = |json: Result<String, Reject>| json.map_err(|reject| reject.code);
        let framed = [indexes, b"\x08\x01"].concat();
        let expect = expect.map(str::to_owned);
        assert_eq!(found(decode(schema.as_ref(), &framed, Indexes::InPayload)), expect, "{indexes:?}");
        if expect.is_ok() {
            assert_eq!(
                found(decode(schema.as_ref(), b"\x08\x01", Indexes::InHeader(indexes))),
                expect,
                "{indexes:?}"
            );
        }
    }
    let none = decode(schema.as_ref(), b"", Indexes::None).expect_err("no message");
    assert_eq!(none.code, RejectCode::UnusableSchema);
    let long =
        decode(schema.as_ref(), b"", Indexes::InHeader(b"\x00\x00")).expect_err("bytes behind the indexes");
    assert_eq!(long, Reject::whole(RejectCode::Malformed));
    assert!(schema.has_name("shop.Click.Second") && !schema.has_name("shop.Click.MEntry"));
}

#[test]
fn a_named_message_needs_no_indexes() {
    let text =
        SchemaText { format: Format::Protobuf, text: SEVERAL.to_owned(), references: vec![], subjects: None };
    let schema = compile(&text, Some("shop.Click.First")).expect("a schema");
    assert_eq!(decode(schema.as_ref(), b"\x08\x01", Indexes::None).as_deref(), Ok(r#"{"c":1}"#));
    assert_eq!(decode(schema.as_ref(), b"\x00\x08\x01", Indexes::InPayload).as_deref(), Ok(r#"{"c":1}"#));
    assert_eq!(schema.name(), Some("shop.Click.First"));
    assert!(compile(&text, Some("shop.Order")).is_err());
}

#[test]
fn references_are_imported_by_name() {
    let text = |text: &str, references: &[(&str, &str)]| SchemaText {
        format: Format::Protobuf,
        text: text.to_owned(),
        references: references.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect(),
        subjects: None,
    };
    let main = r#"syntax = "proto3"; import "shared/b.proto"; message A { shared.B b = 1; }"#;
    let references = [
        ("c.proto", r#"syntax = "proto3"; message C { int32 n = 1; }"#),
        ("shared/b.proto", r#"syntax = "proto3"; package shared; import "c.proto"; message B { .C c = 1; }"#),
    ];
    let schema = compile(&text(main, &references), None).expect("a schema");
    let json = decode(schema.as_ref(), b"\x0a\x04\x0a\x02\x08\x01", Indexes::None);
    assert_eq!(json.as_deref(), Ok(r#"{"b":{"c":{"n":1}}}"#));
    for (main, references) in [
        (main, &[][..]),
        ("message", &[]),
        (r#"syntax = "proto3";"#, &[]),
        (r#"edition = "2023"; message A {}"#, &[]),
    ] {
        assert!(compile(&text(main, references), None).is_err(), "{main}");
    }
}

#[test]
fn a_registered_descriptor_is_a_schema() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use prost_reflect::{prost::Message as _, prost_types::FileDescriptorProto};

    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    write("b.proto", r#"syntax = "proto3"; message B { int32 n = 1; }"#);
    write(
        "a.proto",
        r#"syntax = "proto3"; import "b.proto"; import "confluent/meta.proto";
           message A { B b = 1; string user = 2 [(confluent.field_meta).tags = "PII"]; }"#,
    );
    fs::create_dir(folder.path().join("confluent")).expect("a folder");
    write("confluent/meta.proto", include_str!("proto/meta.proto"));
    let mut compiler = protox::Compiler::new([folder.path()]).expect("a compiler");
    let pool = compiler.open_file("a.proto").expect("a schema").descriptor_pool();
    let bytes = |name: &str| pool.get_file_by_name(name).expect("a file").encode_to_vec();
    let nameless = |name: &str| {
        let file = FileDescriptorProto::decode(bytes(name).as_slice()).expect("a descriptor");
        FileDescriptorProto { name: None, ..file }.encode_to_vec()
    };
    let compiled = |main: &[u8], imported: &[u8]| {
        let references = vec![("b.proto".to_owned(), STANDARD.encode(imported))];
        let text = format!("{}\n", STANDARD.encode(main));
        compile(&SchemaText { format: Format::Protobuf, text, references, subjects: None }, None)
    };
    let schema = compiled(&bytes("a.proto"), &bytes("b.proto")).expect("a schema");
    let tags: Vec<_> =
        schema.fields().iter().flat_map(|field| field.tags.iter().map(AsRef::as_ref)).collect();
    assert_eq!(tags, ["PII"]);
    for schema in [schema, compiled(&nameless("a.proto"), &nameless("b.proto")).expect("a schema")] {
        let json = decode(schema.as_ref(), b"\x00\x0a\x02\x08\x01", Indexes::InPayload);
        assert_eq!(json.as_deref(), Ok(r#"{"b":{"n":1},"user":""}"#));
    }
    assert!(compiled(b"garbage", &bytes("b.proto")).is_err());
    assert!(compiled(&bytes("a.proto"), b"garbage").is_err());
}

#[test]
fn files_import_from_their_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &[u8]| fs::write(folder.path().join(name), text).expect("a file");
    write("b.proto", br#"syntax = "proto3"; message B { int32 n = 1; }"#);
    write("a.proto", br#"syntax = "proto3"; import "b.proto"; import "confluent/meta.proto"; message A { B b = 1; } message C {}"#);
    let path = folder.path().join("a.proto");
    let schema = read(&path, Some("A")).expect("a schema");
    assert_eq!(
        decode(schema.as_ref(), b"\x0a\x02\x08\x01", Indexes::None).as_deref(),
        Ok(r#"{"b":{"n":1}}"#)
    );
    assert!(read(&path, None).is_err());
    // As protoc writes them: the imports first.
    let mut compiler = protox::Compiler::new([folder.path()]).expect("a compiler");
    write(
        "b.desc",
        &compiler.include_imports(true).open_file("b.proto").expect("a file").encode_file_descriptor_set(),
    );
    assert_eq!(read(&folder.path().join("b.desc"), None).expect("a schema").name(), Some("B"));
    write("a.desc", b"garbage");
    assert!(read(&folder.path().join("a.desc"), Some("A")).is_err());
    assert!(read(&folder.path().join("missing.proto"), None).is_err());
}

/// The fields of a schema: pointer, kind, whether optional, tags.
fn check_fields(text: &str, expect: &[(&str, Kind, bool, &[&str])]) {
    let schema = schema(text);
    let fields = schema.fields().iter();
    let fields: Vec<_> = fields
        .map(|field| {
            let tags: Vec<&str> = field.tags.iter().map(AsRef::as_ref).collect();
            (field.pattern.as_str().to_owned(), field.kind, field.optional, tags)
        })
        .collect();
    let expect: Vec<_> = expect
        .iter()
        .map(|&(pattern, kind, optional, tags)| (pattern.to_owned(), kind, optional, tags.to_vec()))
        .collect();
    assert_eq!(fields, expect);
}

#[test]
fn fields_have_pointers_and_kinds() {
    let text = r#"syntax = "proto3"; import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto";
        message View { string page = 1; optional int64 user = 2; repeated Item items = 3; map<string, Item> by = 4;
          google.protobuf.Timestamp time = 5; google.protobuf.BoolValue first = 6; E e = 7;
          message Item { double price = 1; } enum E { ZERO = 0; } }"#;
    check_fields(
        text,
        &[
            ("/page", Kind::Text, false, &[]),
            ("/user", Kind::Number, true, &[]),
            ("/items", Kind::Array, false, &[]),
            ("/items/*", Kind::Object, false, &[]),
            ("/items/*/price", Kind::Number, false, &[]),
            ("/by", Kind::Object, false, &[]),
            ("/by/*", Kind::Object, false, &[]),
            ("/by/*/price", Kind::Number, false, &[]),
            ("/time", Kind::Time, true, &[]),
            ("/first", Kind::Bool, true, &[]),
            ("/e", Kind::Text, false, &[]),
        ],
    );
}

#[test]
fn tags_reach_every_value_inside() {
    let text = r#"syntax = "proto3"; import "confluent/meta.proto"; import "google/protobuf/any.proto";
        message View {
          string user = 1 [(confluent.field_meta).tags = "PII"];
          repeated Person friends = 2 [(confluent.field_meta) = { tags: "FRIEND" }];
          google.protobuf.Any any = 3;
          message Person {
            option (confluent.message_meta).tags = "PERSON";
            string name = 1; Person parent = 2; string mail = 3 [(confluent.field_meta) = { tags: "MAIL", tags: "PII" }];
            Untagged untagged = 4;
          }
          message Untagged { string x = 1; }
        }"#;
    check_fields(
        text,
        &[
            ("/user", Kind::Text, false, &["PII"]),
            ("/friends", Kind::Array, false, &[]),
            ("/friends/*", Kind::Object, false, &[]),
            ("/friends/*/name", Kind::Text, false, &["FRIEND", "PERSON"]),
            ("/friends/*/parent", Kind::Object, true, &["FRIEND", "MAIL", "PERSON", "PII"]),
            ("/friends/*/mail", Kind::Text, false, &["FRIEND", "MAIL", "PERSON", "PII"]),
            ("/friends/*/untagged", Kind::Object, true, &[]),
            ("/friends/*/untagged/x", Kind::Text, true, &["FRIEND", "PERSON"]),
            ("/any", Kind::Object, true, &["FRIEND", "MAIL", "PERSON", "PII"]),
            // A record can be the nested message; of it only what is tagged is listed.
            ("/name", Kind::Text, true, &["PERSON"]),
            ("/parent", Kind::Object, true, &["MAIL", "PERSON", "PII"]),
            ("/mail", Kind::Text, true, &["MAIL", "PERSON", "PII"]),
            ("/untagged/x", Kind::Text, true, &["PERSON"]),
        ],
    );
}

const EVERYTHING: &str = r#"syntax = "proto2"; import "google/protobuf/struct.proto"; import "google/protobuf/any.proto";
    import "google/protobuf/timestamp.proto"; import "google/protobuf/field_mask.proto"; import "confluent/type/decimal.proto";
    message A {
      optional int32 i = 1; repeated sint64 l = 2; map<string, A> m = 3; optional A a = 4; repeated A as = 5;
      optional group G = 6 { repeated fixed32 f = 1 [packed = true]; optional G g = 2; }
      oneof o { string s = 7; bytes b = 8; E e = 9; }
      map<fixed64, E> me = 10; optional google.protobuf.Value v = 11; optional google.protobuf.Any any = 12;
      optional google.protobuf.Timestamp t = 13; optional google.protobuf.FieldMask fm = 14;
      optional confluent.type.Decimal d = 15; extensions 100 to 200; extend A { repeated E x = 100; }
    }
    enum E { ZERO = 0; ONE = 1; }"#;

/// Bytes that are often tags, lengths and values of [`EVERYTHING`].
fn nearly_protobuf() -> impl Strategy<Value = Vec<u8>> {
    let tag = (1u8..16, 0u8..6).prop_map(|(number, wire)| vec![number << 3 | wire]);
    let record = (1u8..16, prop::collection::vec(any::<u8>(), 0..6))
        .prop_map(|(number, bytes)| [vec![number << 3 | 2, bytes.len() as u8], bytes].concat());
    let leaf = prop_oneof![
        tag,
        record,
        prop::collection::vec(any::<u8>(), 0..4),
        (0u8..8).prop_map(|byte| vec![byte])
    ];
    let nested = leaf.prop_recursive(4, 40, 6, |inner| {
        (1u8..16, prop::collection::vec(inner, 0..6)).prop_map(|(number, pieces)| {
            let bytes = pieces.concat();
            let length = bytes.len().min(127) as u8;
            [vec![number << 3 | 2, length], bytes].concat()
        })
    });
    prop::collection::vec(nested, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_json_or_a_reject(pieces in prop::collection::vec(nearly_protobuf(), 1..20)) {
        thread_local! { static SCHEMA: Arc<dyn Schema> = schema(EVERYTHING); }
        for bytes in pieces {
            if let Ok(json) = SCHEMA.with(|schema| decode(schema.as_ref(), &bytes, Indexes::None)) {
                serde_json::from_str::<&serde_json::value::RawValue>(&json).expect("JSON");
            }
        }
    }
}
