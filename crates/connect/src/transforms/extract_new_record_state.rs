//! Debezium's `ExtractNewRecordState`: the new state of a row instead of the envelope of its change.

use std::{borrow::Cow, sync::Arc};

use super::{Built, Options, Plugin, Transform, Verdict, updates::Updates};
use crate::{
    data::{DataError, Datum, Field, Record, Schema, Type, Value},
    define::{Importance, Key, Kind},
};

const STEP: &str = "ExtractNewRecordState";
const DELETED: &str = "__deleted";

pub(super) const PLUGIN: Plugin = Plugin {
    class: "io.debezium.transforms.ExtractNewRecordState",
    has_parts: false,
    keys: || {
        vec![
            Key::new("delete.tombstone.handling.mode", Kind::String)
                .with_default("tombstone")
                .one_of(&["drop", "tombstone", "rewrite", "rewrite-with-tombstone", "delete-to-tombstone"])
                .importance(Importance::Medium)
                .doc("How a delete and the tombstone that follows it are handled."),
            Key::new("drop.tombstones", Kind::Boolean)
                .optional()
                .importance(Importance::Low)
                .doc("Before Debezium 2.5: whether tombstones are dropped."),
            Key::new("delete.handling.mode", Kind::String)
                .optional()
                .one_of(&["drop", "rewrite", "none"])
                .importance(Importance::Low)
                .doc("Before Debezium 2.5: how a delete is handled."),
            Key::new("add.fields", Kind::List)
                .with_default("")
                .importance(Importance::Low)
                .doc("Fields of the envelope to add to the row: op, ts_ms, or names of source."),
            Key::new("add.fields.prefix", Kind::String)
                .with_default("__")
                .importance(Importance::Low)
                .doc("Prefix of the names of added fields."),
        ]
    },
    build,
    protects: super::no_protection,
};

/// How the records of a delete are handled.
#[derive(Clone, Copy)]
struct Handling {
    /// Of the record with the operation.
    delete: Delete,
    /// Whether a tombstone is dropped.
    drops_tombstones: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Delete {
    Drop,
    Tombstone,
    Rewrite,
}

/// A field of the envelope to add.
struct Added {
    /// In which struct; `None` is the envelope itself.
    of: Option<&'static str>,
    field: String,
    name: Arc<str>,
}

struct ExtractNewRecordState {
    handling: Handling,
    added: Vec<Added>,
    /// By the schema of the envelope, for the state after and before.
    after: Updates<Arc<Schema>>,
    before: Updates<Arc<Schema>>,
}

fn build(options: &Options<'_>) -> Built {
    let is_old = options.text("drop.tombstones").is_some() || options.text("delete.handling.mode").is_some();
    let handling = if is_old {
        let delete = match options.text("delete.handling.mode") {
            Some("rewrite") => Delete::Rewrite,
            Some("none") => Delete::Tombstone,
            _ => Delete::Drop,
        };
        let drops = options.text("drop.tombstones").is_none_or(|text| !text.eq_ignore_ascii_case("false"));
        Handling { delete, drops_tombstones: drops }
    } else {
        let (delete, drops_tombstones) = match options.text("delete.tombstone.handling.mode") {
            Some("drop") => (Delete::Drop, true),
            Some("rewrite") => (Delete::Rewrite, true),
            Some("rewrite-with-tombstone") => (Delete::Rewrite, false),
            Some("delete-to-tombstone") => (Delete::Tombstone, true),
            _ => (Delete::Drop, false),
        };
        Handling { delete, drops_tombstones }
    };
    let prefix = options.text("add.fields.prefix").unwrap_or("__");
    let mut added = Vec::new();
    for text in options.list("add.fields") {
        if text.contains(':') {
            return Err((
                "add.fields",
                format!("Renaming is not supported here: {text}; rename it with ReplaceField"),
            ));
        }
        let (of, field, name) = match text.split_once('.') {
            Some(("source", field)) => (Some("source"), field, format!("{prefix}source_{field}")),
            Some((other, _)) => {
                return Err((
                    "add.fields",
                    format!("Fields of {other} are not supported here; use those of source"),
                ));
            }
            None if matches!(&*text, "op" | "ts_ms" | "ts_us" | "ts_ns") => {
                (None, &*text, format!("{prefix}{text}"))
            }
            None => (Some("source"), &*text, format!("{prefix}{text}")),
        };
        added.push(Added { of, field: field.to_owned(), name: name.into() });
    }
    let (after, before) = (Updates::default(), Updates::default());
    Ok(Box::new(ExtractNewRecordState { handling, added, after, before }))
}

impl Transform for ExtractNewRecordState {
    fn apply(&mut self, record: &mut Record<'_>) -> Result<Verdict, DataError> {
        let Datum { schema, value } = &record.value;
        if value.is_null() {
            return Ok(if self.handling.drops_tombstones { Verdict::Drop } else { Verdict::Keep });
        }
        let is_envelope =
            |schema: &&Arc<Schema>| schema.name.as_deref().is_some_and(|name| name.ends_with(".Envelope"));
        let (Some(schema), Value::Struct(values)) = (schema.as_ref().filter(is_envelope), value) else {
            // What is not an envelope passes unchanged.
            return Ok(Verdict::Keep);
        };
        let state =
            |name: &str| schema.place(name).map(|place| &values[place]).filter(|value| !value.is_null());
        let taken = match (state("after"), self.handling.delete) {
            (Some(_), _) => self.state("after", "false", schema, values)?,
            (None, Delete::Drop) => return Ok(Verdict::Drop),
            (None, Delete::Tombstone) => Datum::NULL,
            (None, Delete::Rewrite) => self.state("before", "true", schema, values)?,
        };
        record.value = taken;
        Ok(Verdict::Keep)
    }
}

impl ExtractNewRecordState {
    fn state<'a>(
        &mut self,
        name: &str,
        deleted: &'static str,
        schema: &Arc<Schema>,
        values: &[Value<'a>],
    ) -> Result<Datum<'a>, DataError> {
        let missing = |name: &str| DataError::new(STEP, format!("the envelope has no {name}"));
        let place = schema.place(name).ok_or_else(|| missing(name))?;
        let Value::Struct(fields) = &values[place] else { return Err(missing(name)) };
        let (added, rewrites) = (&self.added, self.handling.delete == Delete::Rewrite);
        let updates = if name == "after" { &mut self.after } else { &mut self.before };
        let updated = updates.of(schema, |schema| updated(schema, place, added, rewrites))?;
        let mut fields = fields.clone();
        for add in added {
            let value = match add.of {
                None => schema.place(&add.field).map(|place| values[place].clone()),
                Some(of) => {
                    let place = schema.place(of).ok_or_else(|| missing(of))?;
                    let inner = &schema.fields[place].schema;
                    match &values[place] {
                        Value::Struct(values) => inner.place(&add.field).map(|place| values[place].clone()),
                        _ => Some(Value::Null),
                    }
                }
            };
            fields.push(value.ok_or_else(|| missing(&add.field))?);
        }
        if rewrites {
            fields.push(Value::Text(Cow::Borrowed(deleted)));
        }
        Ok(Datum::with(updated, Value::Struct(fields)))
    }
}

fn updated(
    envelope: &Schema,
    place: usize,
    added: &[Added],
    rewrites: bool,
) -> Result<Arc<Schema>, DataError> {
    let row = &envelope.fields[place].schema;
    let mut fields = row.fields.clone();
    for add in added {
        let inner = match add.of {
            None => Some(envelope),
            Some(of) => envelope.place(of).map(|place| &*envelope.fields[place].schema),
        };
        let found =
            inner.and_then(|inner| inner.place(&add.field).map(|place| inner.fields[place].schema.clone()));
        let missing = || DataError::new(STEP, format!("the envelope has no field {:?}", add.field));
        fields.push(Field { name: add.name.clone(), schema: found.ok_or_else(missing)? });
    }
    if rewrites {
        fields.push(Field { name: DELETED.into(), schema: Arc::new(Schema::of(Type::String).optional()) });
    }
    Ok(Arc::new(row.with_fields(fields)))
}
