//! `InsertField`: adds topic, partition, offset, timestamp or a text of the configuration as fields.

use std::{borrow::Cow, sync::Arc};

use super::{Built, Options, Part, Plugin, Transform, Verdict, replace_null_with_default, updates::Updates};
use crate::{
    data::{DataError, Datum, Field, Member, Record, Schema, Type, Value, logical},
    define::{Importance, Key, Kind},
};

const STEP: &str = "InsertField";

pub(super) const PLUGIN: Plugin = Plugin {
    class: "org.apache.kafka.connect.transforms.InsertField",
    has_parts: true,
    keys: || {
        let field = |name: &'static str, what: &str| {
            Key::new(name, Kind::String).optional().importance(Importance::Medium).doc(format!(
                "Name of the field for {what}. With a `!` behind it the field is required, with a `?` or nothing it is optional."
            ))
        };
        vec![
            field("topic.field", "the topic"),
            field("partition.field", "the partition"),
            field("offset.field", "the offset"),
            field("timestamp.field", "the timestamp"),
            field("static.field", "the text in `static.value`"),
            Key::new("static.value", Kind::String)
                .optional()
                .importance(Importance::Medium)
                .doc("The value of `static.field`."),
            replace_null_with_default(),
        ]
    },
    build,
    protects: super::no_protection,
};

#[derive(Clone)]
enum Source {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Static(String),
}

#[derive(Clone)]
struct Insertion {
    name: Arc<str>,
    is_optional: bool,
    source: Source,
}

struct InsertField {
    part: Part,
    insertions: Vec<Insertion>,
    replaces_nulls: bool,
    updates: Updates<Arc<Schema>>,
}

fn build(options: &Options<'_>) -> Built {
    let fixed = options.text("static.value").map(str::to_owned);
    let sources = [
        ("topic.field", Some(Source::Topic)),
        ("partition.field", Some(Source::Partition)),
        ("offset.field", Some(Source::Offset)),
        ("timestamp.field", Some(Source::Timestamp)),
        ("static.field", fixed.map(Source::Static)),
    ];
    let mut insertions = Vec::new();
    for (key, source) in sources {
        let Some(text) = options.text(key) else { continue };
        let Some(source) = source else {
            let problem = format!(
                "Invalid value null for configuration static.value: No value specified for static field: {text}"
            );
            return Err(("static.value", problem));
        };
        let (name, is_optional) = match (text.strip_suffix('!'), text.strip_suffix('?')) {
            (Some(name), _) => (name, false),
            (_, Some(name)) => (name, true),
            _ => (text, true),
        };
        insertions.push(Insertion { name: name.into(), is_optional, source });
    }
    if insertions.is_empty() {
        return Err(("topic.field", "No field insertion configured".to_owned()));
    }
    let replaces_nulls = options.is_true("replace.null.with.default");
    Ok(Box::new(InsertField { part: options.part, insertions, replaces_nulls, updates: Updates::default() }))
}

impl Transform for InsertField {
    fn apply(&mut self, record: &mut Record<'_>) -> Result<Verdict, DataError> {
        let insertions = &self.insertions;
        let values: Vec<Value<'_>> =
            insertions.iter().map(|insertion| insertion.source.value(record)).collect();
        let datum = self.part.of(record);
        match datum {
            Datum { value: Value::Null, .. } => {}
            Datum { schema: None, value: Value::Object(members) } => {
                // Only the timestamp can be missing.
                let present = insertions.iter().zip(values).filter(|(_, value)| !value.is_null());
                for (insertion, value) in present {
                    match members.iter_mut().find(|member| *member.name == *insertion.name) {
                        Some(member) => member.value = value,
                        None => {
                            let name = Cow::Owned(insertion.name.to_string());
                            members.push(Member { name, value });
                        }
                    }
                }
            }
            Datum { schema: Some(schema), value: Value::Struct(fields) } => {
                let updated = self.updates.of(schema, |schema| updated(schema, insertions))?;
                if self.replaces_nulls {
                    for (field, value) in schema.fields.iter().zip(fields.iter_mut()) {
                        if let (Value::Null, Some(default)) = (&value, &field.schema.default) {
                            *value = default.clone();
                        }
                    }
                }
                fields.extend(values);
                *schema = updated;
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

fn updated(schema: &Schema, insertions: &[Insertion]) -> Result<Arc<Schema>, DataError> {
    let mut fields = schema.fields.clone();
    for insertion in insertions {
        if fields.iter().any(|field| field.name == insertion.name) {
            return Err(DataError::new(STEP, format!("the schema has a field {:?} already", insertion.name)));
        }
        let of_type = Schema { is_optional: insertion.is_optional, ..insertion.source.schema() };
        fields.push(Field { name: insertion.name.clone(), schema: Arc::new(of_type) });
    }
    // Kafka's transform keeps the name of the schema, but not whether it is optional.
    Ok(Arc::new(Schema { is_optional: false, default: None, ..schema.with_fields(fields) }))
}

impl Source {
    fn schema(&self) -> Schema {
        match self {
            Self::Topic | Self::Static(_) => Schema::of(Type::String),
            Self::Partition => Schema::of(Type::Int32),
            Self::Offset => Schema::of(Type::Int64),
            Self::Timestamp => Schema::of(Type::Int64).named(logical::TIMESTAMP),
        }
    }

    fn value<'a>(&self, record: &Record<'a>) -> Value<'a> {
        match self {
            Self::Topic => Value::Text(record.topic.clone()),
            Self::Partition => Value::Int(i64::from(record.partition)),
            Self::Offset => Value::Int(i64::try_from(record.offset).unwrap_or(i64::MAX)),
            Self::Timestamp => record.timestamp.map_or(Value::Null, Value::Int),
            Self::Static(text) => Value::Text(Cow::Owned(text.clone())),
        }
    }
}
