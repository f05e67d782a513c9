//! `ExtractField`: a field takes the place of the key or value that it is in.

use std::borrow::Cow;

use super::{
    Built, Options, Part, Plugin, Transform, Verdict, field_path::FieldPath, replace_null_with_default,
};
use crate::{
    converters::object_of,
    data::{DataError, Datum, Member, Record, Value},
    define::{Importance, Key, Kind},
};

const STEP: &str = "ExtractField";

pub(super) const PLUGIN: Plugin = Plugin {
    class: "org.apache.kafka.connect.transforms.ExtractField",
    has_parts: true,
    keys: || {
        vec![
            Key::new("field", Kind::String).importance(Importance::Medium).doc("The field to extract."),
            replace_null_with_default(),
            Key::new("field.syntax.version", Kind::String)
                .with_default("V1")
                .one_of_any_case(&["V1", "V2"])
                .importance(Importance::High)
                .doc("V1: `field` is a name. V2: it is a path, whose names are separated by points."),
        ]
    },
    build,
    protects: |_| true,
};

struct ExtractField {
    part: Part,
    path: FieldPath,
    replaces_nulls: bool,
}

fn build(options: &Options<'_>) -> Built {
    let field = options.text("field").unwrap_or_default();
    let is_dotted =
        options.text("field.syntax.version").is_some_and(|version| version.eq_ignore_ascii_case("v2"));
    let path = match is_dotted {
        true => FieldPath::dotted(field).map_err(|problem| ("field", problem))?,
        false => FieldPath::plain(field),
    };
    let replaces_nulls = options.is_true("replace.null.with.default");
    Ok(Box::new(ExtractField { part: options.part, path, replaces_nulls }))
}

impl Transform for ExtractField {
    fn apply(&mut self, record: &mut Record<'_>) -> Result<Verdict, DataError> {
        let datum = self.part.of(record);
        let taken = std::mem::replace(datum, Datum::NULL);
        *datum = match taken {
            Datum { schema: None, value } => Datum::schemaless(self.of_object(value)?),
            Datum { schema: Some(_), .. } => self.of_struct(taken)?,
        };
        Ok(Verdict::Keep)
    }
}

impl ExtractField {
    fn of_object<'a>(&self, mut value: Value<'a>) -> Result<Value<'a>, DataError> {
        for step in &self.path.0 {
            let members = match value {
                Value::Null => return Ok(Value::Null),
                Value::Object(members) => Some(members),
                Value::Json(text) => opened(text),
                _ => None,
            };
            let Some(members) = members else {
                return Err(DataError::new(STEP, "expected an object and found something else"));
            };
            let found = members.into_iter().find(|member| member.name == *step);
            value = found.map_or(Value::Null, |member| member.value);
        }
        // The transforms that follow see the members of an object.
        Ok(match value {
            Value::Json(text) if text.starts_with('{') => opened(text).map_or(Value::Null, Value::Object),
            other => other,
        })
    }

    /// The field must be in the schema, even if the value is null.
    fn of_struct<'a>(&self, mut datum: Datum<'a>) -> Result<Datum<'a>, DataError> {
        for step in &self.path.0 {
            let Some(schema) = &datum.schema else { return Ok(Datum::NULL) };
            let Some(place) = schema.place(step) else {
                return Err(DataError::new(STEP, format!("the schema has no field {step:?}")));
            };
            let field = schema.fields[place].schema.clone();
            let value = match datum.value {
                Value::Null => Value::Null,
                Value::Struct(mut values) => values.swap_remove(place),
                _ => return Err(DataError::new(STEP, "expected a struct and found something else")),
            };
            let value = match (&field.default, value.is_null() && self.replaces_nulls) {
                (Some(default), true) => default.clone(),
                _ => value,
            };
            datum = Datum::with(field, value);
        }
        Ok(datum)
    }
}

/// The members of an object that was not parsed before; `None` if it is something else.
fn opened(text: Cow<'_, str>) -> Option<Vec<Member<'_>>> {
    match text {
        Cow::Borrowed(text) => object_of(text),
        Cow::Owned(text) => {
            object_of(&text).map(|members| members.into_iter().map(Member::into_owned).collect())
        }
    }
}
