//! Any bytes under any schema: no panic, JSON or a reject, and bounded memory.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::avro::decode::decode;

/// Low, so that endless values end soon.
const MAX: usize = 50_000;

#[derive(Clone, Debug)]
enum Type {
    Plain(&'static str),
    Logical(&'static str, &'static str),
    Decimal(u32),
    Fixed(usize, &'static str),
    Enum(usize),
    /// A type that was defined before, or encloses this one.
    Named(prop::sample::Index),
    Array(Box<Type>),
    Map(Box<Type>),
    /// Null and another.
    Optional(Box<Type>),
    /// Several records.
    Union(Vec<Vec<Type>>),
    Record(Vec<Type>),
}

fn types() -> impl Strategy<Value = Type> {
    let plain = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
    let logical = [
        ("int", "date"),
        ("int", "time-millis"),
        ("long", "time-micros"),
        ("long", "timestamp-millis"),
        ("long", "timestamp-nanos"),
        ("long", "local-timestamp-micros"),
        ("string", "uuid"),
        ("bytes", "big-decimal"),
        ("bytes", "date"),
    ];
    let leaf = prop_oneof![
        prop::sample::select(plain.to_vec()).prop_map(Type::Plain),
        prop::sample::select(logical.to_vec()).prop_map(|(base, logical)| Type::Logical(base, logical)),
        prop::sample::select(vec![0, 2, 400, 20_000]).prop_map(Type::Decimal),
        (0..20usize, prop::sample::select(vec!["", "decimal", "uuid", "duration"]))
            .prop_map(|(size, logical)| Type::Fixed(size, logical)),
        (1..4usize).prop_map(Type::Enum),
        any::<prop::sample::Index>().prop_map(Type::Named),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let boxed = inner.clone().prop_map(Box::new).boxed();
        let fields = prop::collection::vec(inner, 0..4).boxed();
        prop_oneof![
            boxed.clone().prop_map(Type::Array),
            boxed.clone().prop_map(Type::Map),
            boxed.prop_map(Type::Optional),
            prop::collection::vec(fields.clone(), 0..3).prop_map(Type::Union),
            fields.prop_map(Type::Record),
        ]
    })
}

fn rendered(of: &Type, names: &mut Vec<String>) -> Value {
    let mut define = || {
        names.push(format!("n{}.T", names.len()));
        names[names.len() - 1].clone()
    };
    match of {
        Type::Plain(name) => json!(name),
        Type::Logical(base, logical) => json!({ "type": base, "logicalType": logical }),
        Type::Decimal(scale) => {
            json!({ "type": "bytes", "logicalType": "decimal", "precision": 20_000, "scale": scale })
        }
        Type::Fixed(size, logical) => {
            json!({ "type": "fixed", "name": define(), "size": size, "logicalType": logical, "precision": 2 })
        }
        Type::Enum(symbols) => {
            let symbols: Vec<_> = (0..*symbols).map(|number| format!("S{number}")).collect();
            json!({ "type": "enum", "name": define(), "symbols": symbols })
        }
        Type::Named(index) if names.is_empty() => {
            json!({ "type": "array", "items": if index.index(2) == 0 { "null" } else { "int" } })
        }
        Type::Named(index) => json!(names[index.index(names.len())]),
        Type::Array(items) => json!({ "type": "array", "items": rendered(items, names) }),
        Type::Map(values) => json!({ "type": "map", "values": rendered(values, names) }),
        Type::Optional(other) => match rendered(other, names) {
            other @ Value::Array(_) => other,
            other if other == "null" => other,
            other => json!(["null", other]),
        },
        Type::Union(branches) => branches.iter().map(|fields| record(fields, names)).collect(),
        Type::Record(fields) => record(fields, names),
    }
}

fn record(fields: &[Type], names: &mut Vec<String>) -> Value {
    names.push(format!("n{}.R", names.len()));
    let name = names[names.len() - 1].clone();
    let fields: Vec<_> = fields
        .iter()
        .enumerate()
        .map(|(number, field)| json!({ "name": format!("f{number}"), "type": rendered(field, names) }))
        .collect();
    json!({ "type": "record", "name": name, "fields": fields })
}

/// Bytes as they are in encodings: mostly small numbers.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![4 => 0..9u8, 1 => any::<u8>()], 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_decoded_or_rejected(of in types(), bytes in bytes()) {
        let schema = rendered(&of, &mut Vec::new()).to_string();
        let schema = AvroSchema::new(&text(&schema, &[])).map_err(|error| TestCaseError::fail(format!("{schema}: {error}")))?;
        let mut out = Vec::new();
        match decode(&schema.plan, &bytes, &mut out, MAX) {
            Ok(length) => {
                prop_assert!(length <= bytes.len());
                prop_assert!(out.len() <= MAX);
                let json = std::str::from_utf8(&out).expect("JSON is UTF-8");
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok(), "{}", json);
                // The value itself, cut anywhere, is not a value.
                let mut again = Vec::new();
                prop_assert_eq!(decode(&schema.plan, &bytes[..length], &mut again, MAX), Ok(length));
                prop_assert_eq!(&again, &out);
                if length > 0 {
                    let cut = decode(&schema.plan, &bytes[..length - 1], &mut again, MAX);
                    prop_assert_eq!(cut.map_err(|reject| reject.code), Err(RejectCode::Truncated));
                }
            }
            Err(reject) => prop_assert!(reject.at.is_none_or(|at| at <= bytes.len())),
        }
        // One value may pass the limit before it is noticed, but not by more than the lead of a member.
        prop_assert!(out.capacity() <= 4 * MAX, "{}", out.capacity());
    }

    #[test]
    fn any_text_is_a_schema_or_not(schema in "[\\[\\]{}\",:a-z0-9.]{0,60}") {
        drop(compile(&text(&schema, &[])));
    }

    #[test]
    fn any_damage_to_a_schema_is_an_error_or_another_schema(of in types(), at: prop::sample::Index, byte: u8, bytes in bytes()) {
        let mut schema = rendered(&of, &mut Vec::new()).to_string().into_bytes();
        let at = at.index(schema.len());
        schema[at] = byte;
        if let Ok(schema) = String::from_utf8(schema) && let Ok(schema) = AvroSchema::new(&text(&schema, &[])) {
            let decoded = decode(&schema.plan, &bytes, &mut Vec::new(), MAX);
            prop_assert!(decoded.is_err() || decoded.is_ok_and(|length| length <= bytes.len()));
        }
    }
}
