//! `MaskField`: replaces fields with an empty value of their type, or with a text of the configuration.

use std::{borrow::Cow, collections::HashSet};

use rustc_hash::FxHashSet;

use super::{Built, Options, Part, Plugin, Transform, Verdict, replace_null_with_default};
use crate::{
    data::{DataError, Datum, Decimal, Member, Record, Schema, Type, Value},
    define::{Importance, Key, Kind},
};

const STEP: &str = "MaskField";

pub(super) const PLUGIN: Plugin = Plugin {
    class: "org.apache.kafka.connect.transforms.MaskField",
    has_parts: true,
    keys: || {
        vec![
            Key::new("fields", Kind::List)
                .not_empty()
                .unique()
                .importance(Importance::High)
                .doc("Names of the fields to mask."),
            Key::new("replacement", Kind::String)
                .optional()
                .not_empty()
                .importance(Importance::Low)
                .doc("What numbers and texts become. Otherwise they become 0 and the empty text."),
            replace_null_with_default(),
        ]
    },
    build,
    protects: |_| true,
};

struct MaskField {
    part: Part,
    /// In the order of the configuration.
    fields: Vec<String>,
    names: FxHashSet<String>,
    replacement: Option<String>,
    replaces_nulls: bool,
}

fn build(options: &Options<'_>) -> Built {
    let fields = options.list("fields");
    Ok(Box::new(MaskField {
        part: options.part,
        names: fields.iter().cloned().collect(),
        fields,
        replacement: options.text("replacement").map(str::to_owned),
        replaces_nulls: options.is_true("replace.null.with.default"),
    }))
}

impl Transform for MaskField {
    fn apply(&mut self, record: &mut Record<'_>) -> Result<Verdict, DataError> {
        let datum = self.part.of(record);
        match datum {
            Datum { schema: None, value: Value::Object(members) } => self.members(members)?,
            Datum { schema: Some(schema), value: Value::Struct(values) } => {
                for (field, value) in schema.fields.iter().zip(values) {
                    if self.replaces_nulls
                        && value.is_null()
                        && let Some(default) = &field.schema.default
                    {
                        *value = default.clone();
                    }
                    if self.names.contains(&*field.name) {
                        *value = self.masked(value, Some(&field.schema))?;
                    }
                }
            }
            Datum { schema, value } => {
                let expected = if schema.is_some() { "a struct" } else { "an object" };
                let found = value.type_name();
                return Err(DataError::new(STEP, format!("expected {expected} and found {found}")));
            }
        }
        Ok(Verdict::Keep)
    }
}

impl MaskField {
    /// A field that is missing is null afterwards, as in Kafka.
    fn members(&self, members: &mut Vec<Member<'_>>) -> Result<(), DataError> {
        let mut masked = 0;
        for member in members.iter_mut() {
            if self.names.contains(&*member.name) {
                member.value = self.masked(&member.value, None)?;
                masked += 1;
            }
        }
        if masked < self.names.len() {
            // Names are of a record, so their hashes need a secret.
            let present: HashSet<&str> = members.iter().map(|member| &*member.name).collect();
            let missing = self.fields.iter().filter(|field| !present.contains(&***field));
            let mut missing: Vec<&String> = missing.collect();
            missing.sort_unstable();
            missing.dedup();
            let null = |name: &String| Member { name: Cow::Owned(name.clone()), value: Value::Null };
            members.extend(missing.into_iter().map(null).collect::<Vec<_>>());
        }
        Ok(())
    }

    fn masked<'a>(&self, value: &Value<'a>, schema: Option<&Schema>) -> Result<Value<'a>, DataError> {
        match (&self.replacement, value) {
            (_, Value::Null) => Ok(Value::Null),
            (None, _) => empty(value, schema),
            (Some(replacement), _) => replaced(value, schema, replacement),
        }
    }
}

fn refused(value: &Value<'_>, more: &str) -> DataError {
    DataError::new(STEP, format!("cannot mask {}{more}", value.type_name()))
}

/// The empty value of a type.
fn empty<'a>(value: &Value<'a>, schema: Option<&Schema>) -> Result<Value<'a>, DataError> {
    Ok(match value {
        Value::Bool(_) => Value::Bool(false),
        Value::Int(_) => Value::Int(0),
        Value::Single(_) => Value::Single(0.0),
        Value::Double(_) => Value::Double(0.0),
        Value::Decimal(_) => Value::Decimal(Decimal { unscaled: vec![0], scale: 0 }),
        Value::Number(text) if is_whole(text) => Value::Int(0),
        Value::Number(_) => Value::Double(0.0),
        Value::Text(_) => Value::text(""),
        Value::Json(text) => Value::Json(Cow::Borrowed(if text.starts_with('{') { "{}" } else { "[]" })),
        Value::Object(_) => Value::Object(Vec::new()),
        Value::List(_) => Value::List(Vec::new()),
        Value::Map(_) => Value::Map(Vec::new()),
        Value::Null | Value::Bytes(_) | Value::Struct(_) => {
            debug_assert!(schema.is_none_or(|schema| matches!(schema.kind, Type::Bytes | Type::Struct)));
            return Err(refused(value, ""));
        }
    })
}

/// A text of the configuration as a value of the type.
fn replaced<'a>(value: &Value<'a>, schema: Option<&Schema>, text: &str) -> Result<Value<'a>, DataError> {
    let not_a_number = || DataError::new(STEP, "the replacement is not a number of the field's type");
    // A number that does not fit loses its upper bits, as in Java.
    let whole = |cut: fn(i128) -> i64| {
        let number = text.trim().parse().ok().or_else(|| {
            let number: f64 = text.trim().parse().ok()?;
            number.is_finite().then_some(number.trunc() as i128)
        });
        number.map(|number| Value::Int(cut(number))).ok_or_else(not_a_number)
    };
    match value {
        Value::Text(_) => Ok(Value::Text(Cow::Owned(text.to_owned()))),
        Value::Int(_) if schema.is_some_and(crate::data::Schema::is_temporal) => {
            Err(refused(value, " that is a date or a time with a replacement"))
        }
        Value::Int(_) => match schema.map(|schema| schema.kind) {
            Some(Type::Int8) => whole(|number| i64::from(number as i8)),
            Some(Type::Int16) => whole(|number| i64::from(number as i16)),
            Some(Type::Int32) => whole(|number| i64::from(number as i32)),
            _ => whole(|number| number as i64),
        },
        Value::Number(number) if is_whole(number) => whole(|number| number as i64),
        Value::Single(_) => text.trim().parse().map(Value::Single).map_err(|_| not_a_number()),
        Value::Double(_) | Value::Number(_) => {
            text.trim().parse().map(Value::Double).map_err(|_| not_a_number())
        }
        Value::Decimal(_) => crate::converters::decimal_of(text.trim()).ok_or_else(not_a_number),
        _ => Err(refused(value, " with a replacement")),
    }
}

/// Whether Kafka reads a number as a whole one.
fn is_whole(text: &str) -> bool {
    !text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}
