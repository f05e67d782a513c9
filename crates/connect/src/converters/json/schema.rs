//! The schema in a record, as JSON.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::typed;
use crate::data::{Field, Schema, Type, logical};

/// The largest scale of a decimal, so that no schema can ask for gigabytes of zeros.
const LARGEST_SCALE: i32 = 400;
/// Each level is read once more for each level above it.
const DEEPEST: usize = 64;

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    name: Option<String>,
    #[serde(default, borrow)]
    default: Option<&'a RawValue>,
    #[serde(default, borrow)]
    fields: Vec<&'a RawValue>,
    #[serde(default, borrow)]
    items: Option<&'a RawValue>,
    #[serde(default, borrow)]
    keys: Option<&'a RawValue>,
    #[serde(default, borrow)]
    values: Option<&'a RawValue>,
    #[serde(default)]
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    #[serde(default)]
    scale: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    field: String,
}

/// A schema from its JSON; `None` if it is `null`.
pub(super) fn parse(text: &[u8]) -> Result<Option<Arc<Schema>>, &'static str> {
    let raw: &RawValue = serde_json::from_slice(text).map_err(|_| "it is not JSON")?;
    if raw.get() == "null" {
        return Ok(None);
    }
    of(raw, 0).map(Some)
}

fn of(raw: &RawValue, depth: usize) -> Result<Arc<Schema>, &'static str> {
    if depth > DEEPEST {
        return Err("schemas are nested too deeply");
    }
    let text: Text<'_> = serde_json::from_str(raw.get()).map_err(|_| "a schema is an object with a type")?;
    let kind = match &*text.kind {
        "int8" => Type::Int8,
        "int16" => Type::Int16,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "float" => Type::Float32,
        "double" => Type::Float64,
        "boolean" => Type::Boolean,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "array" => Type::Array,
        "map" => Type::Map,
        "struct" => Type::Struct,
        _ => return Err("unknown type"),
    };
    let inner = |raw: Option<&RawValue>, missing| raw.ok_or(missing).and_then(|raw| of(raw, depth + 1));
    let mut schema = Schema { is_optional: text.optional, name: text.name, ..Schema::of(kind) };
    match kind {
        Type::Array => schema.values = Some(inner(text.items, "an array without items")?),
        Type::Map => {
            schema.keys = Some(inner(text.keys, "a map without keys")?);
            schema.values = Some(inner(text.values, "a map without values")?);
        }
        Type::Struct => {
            let (mut names, mut fields) = (std::collections::HashSet::new(), Vec::new());
            for raw in text.fields {
                let named: Named = serde_json::from_str(raw.get()).map_err(|_| "a field without a name")?;
                if named.field.is_empty() {
                    return Err("a field without a name");
                }
                if !names.insert(named.field.clone()) {
                    return Err("two fields of one name");
                }
                fields.push(Field { name: named.field.into(), schema: of(raw, depth + 1)? });
            }
            schema = schema.with_fields(fields);
        }
        Type::Bytes if schema.is_named(logical::DECIMAL) => {
            let scale = text.parameters.and_then(|parameters| parameters.scale);
            let scale = scale.and_then(|scale| scale.parse().ok()).ok_or("a decimal without a scale")?;
            if !(-LARGEST_SCALE..=LARGEST_SCALE).contains(&scale) {
                return Err("a decimal with too large a scale");
            }
            schema.scale = scale;
        }
        _ => {}
    }
    if let Some(default) = text.default.filter(|raw| raw.get() != "null") {
        let value =
            typed::owned(default.get().as_bytes(), &schema).map_err(|_| "a default of another type")?;
        schema.default = Some(value);
    }
    Ok(Arc::new(schema))
}
