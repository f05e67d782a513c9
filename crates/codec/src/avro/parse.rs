//! From the text of a schema to `apache_avro`'s: what decoding does not need is taken out first.
//!
//! Defaults and documentation go, because the writer's schema alone decodes, and `apache_avro` refuses defaults that Java
//! accepts. Inline tags move to where `apache_avro` keeps attributes, which it drops from primitive types.

use std::sync::Once;

use apache_avro::{
    AvroResult, Schema,
    error::Details,
    schema::RecordField,
    validator::{
        EnumSymbolNameValidator, RecordFieldNameValidator, SchemaNameValidator, SchemaNamespaceValidator,
        set_enum_symbol_name_validator, set_record_field_name_validator, set_schema_name_validator,
        set_schema_namespace_validator,
    },
};
use serde_json::{Map, Value, json};

use crate::{SchemaError, SchemaText};

/// The attribute in which Confluent's registry has the tags of a field.
pub(super) const TAGS: &str = "confluent:tags";

/// The attributes of a type that decide how its values are encoded, and how they are tagged.
const TYPE_ATTRIBUTES: [&str; 12] = [
    "type",
    "name",
    "namespace",
    "aliases",
    "fields",
    "symbols",
    "items",
    "values",
    "size",
    "logicalType",
    "precision",
    "scale",
];

/// Those of a field.
const FIELD_ATTRIBUTES: [&str; 2] = ["name", "type"];

/// The types that are first the references, in their order, and then the schema.
pub(super) fn parse(text: &SchemaText) -> Result<Vec<RecordField>, SchemaError> {
    relax_names();
    // One record with all of them as fields: `apache_avro` has no other way to parse several texts in a given order, and
    // a text may need a type that is defined within an earlier one.
    let mut fields = Vec::new();
    for (index, (name, reference)) in text.references.iter().enumerate() {
        // Two references may lead to the same text.
        if text.references[..index].iter().any(|(_, earlier)| earlier == reference) {
            continue;
        }
        let parsed = read(reference).map_err(|error| SchemaError(format!("reference {name:?}: {error}")))?;
        fields.push(json!({ "name": format!("r{}", fields.len()), "type": parsed }));
    }
    fields.push(json!({ "name": "schema", "type": read(&text.text)? }));
    let wrapper = json!({ "type": "record", "name": "__schemas__", "fields": fields });
    // `apache_avro` logs names and whole types, which must not reach our log.
    let silence = tracing::subscriber::NoSubscriber::new();
    match tracing::subscriber::with_default(silence, || Schema::parse(&wrapper)) {
        Ok(Schema::Record(wrapper)) => Ok(wrapper.fields),
        Ok(_) => unreachable!("a record is parsed as a record"),
        Err(error) => Err(SchemaError(error.to_string())),
    }
}

fn read(text: &str) -> Result<Value, SchemaError> {
    let mut schema = serde_json::from_str(text).map_err(|error| SchemaError(format!("not JSON: {error}")))?;
    prepare(&mut schema)?;
    Ok(schema)
}

/// Reduces a type to what matters, and returns the tags that belong to the field or container that has it.
fn prepare(schema: &mut Value) -> Result<Vec<Value>, SchemaError> {
    match schema {
        Value::Array(branches) => {
            let tags: Result<Vec<_>, _> = branches.iter_mut().map(prepare).collect();
            Ok(tags?.concat())
        }
        Value::Object(definition) => prepare_definition(definition),
        _ => Ok(Vec::new()),
    }
}

fn prepare_definition(definition: &mut Map<String, Value>) -> Result<Vec<Value>, SchemaError> {
    let mut tags = take_tags(definition);
    // The record of an error in a protocol, which Java takes for a record as well.
    if definition.get("type").is_some_and(|name| name == "error") {
        definition.insert("type".to_owned(), json!("record"));
    }
    definition.retain(|name, _| TYPE_ATTRIBUTES.contains(&name.as_str()));
    // Java ignores a logical type that is no string; `apache_avro` refuses it.
    if definition.get("logicalType").is_some_and(|name| !name.is_string()) {
        definition.remove("logicalType");
    }
    for inner in ["items", "values"] {
        if let Some(inner) = definition.get_mut(inner) {
            tags.extend(prepare(inner)?);
        }
    }
    if let Some(fields) = definition.get_mut("fields").and_then(Value::as_array_mut) {
        fields.iter_mut().try_for_each(prepare_field)?;
    }
    let keeps_attributes = match definition.get_mut("type") {
        Some(Value::String(name)) => matches!(name.as_str(), "record" | "enum" | "fixed" | "array" | "map"),
        Some(nested) => {
            tags.extend(prepare(nested)?);
            false
        }
        None => false,
    };
    if !keeps_attributes || tags.is_empty() {
        return Ok(tags);
    }
    definition.insert(TAGS.to_owned(), Value::Array(tags));
    Ok(Vec::new())
}

fn prepare_field(field: &mut Value) -> Result<(), SchemaError> {
    let Value::Object(field) = field else {
        return Err(SchemaError("a field of a record is not an object".to_owned()));
    };
    let mut tags = take_tags(field);
    field.retain(|name, _| FIELD_ATTRIBUTES.contains(&name.as_str()));
    if let Some(inner) = field.get_mut("type") {
        tags.extend(prepare(inner)?);
    }
    if !tags.is_empty() {
        field.insert(TAGS.to_owned(), Value::Array(tags));
    }
    Ok(())
}

fn take_tags(attributes: &mut Map<String, Value>) -> Vec<Value> {
    match attributes.remove(TAGS) {
        Some(Value::Array(tags)) => tags,
        Some(tag @ Value::String(_)) => vec![tag],
        _ => Vec::new(),
    }
}

/// Lets `apache_avro` accept the names that Java accepts: any letters, and any namespace, such as `com.my-shop`. It can be
/// set once in a process, before the first schema is parsed.
fn relax_names() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error would mean that another part of the process has set its own, which is then in force.
        drop(set_schema_name_validator(Box::new(JavaNames)));
        drop(set_schema_namespace_validator(Box::new(JavaNames)));
        drop(set_enum_symbol_name_validator(Box::new(JavaNames)));
        drop(set_record_field_name_validator(Box::new(JavaNames)));
    });
}

struct JavaNames;

const EXPECTED: &str = "a letter or _, then letters, digits and _";

fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && characters.all(|character| character.is_alphanumeric() || character == '_')
}

impl SchemaNameValidator for JavaNames {
    fn validate(&self, name: &str) -> AvroResult<usize> {
        let start = name.rfind('.').map_or(0, |dot| dot + 1);
        if is_name(&name[start..]) {
            return Ok(start);
        }
        Err(Details::InvalidSchemaName(name.to_owned(), EXPECTED).into())
    }
}

impl SchemaNamespaceValidator for JavaNames {
    fn validate(&self, _: &str) -> AvroResult<()> {
        Ok(())
    }
}

impl EnumSymbolNameValidator for JavaNames {
    fn validate(&self, symbol: &str) -> AvroResult<()> {
        if is_name(symbol) { Ok(()) } else { Err(Details::EnumSymbolName(symbol.to_owned()).into()) }
    }
}

impl RecordFieldNameValidator for JavaNames {
    fn validate(&self, name: &str) -> AvroResult<()> {
        if is_name(name) { Ok(()) } else { Err(Details::FieldName(name.to_owned()).into()) }
    }
}
