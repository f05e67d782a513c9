//! JSON with the framing of a registry. The payload is the event as it is; nothing is validated against the schema, which
//! is used for its fields and tags.

use std::{collections::BTreeMap, sync::Arc};

mod documents;
mod fields;
#[cfg(test)]
mod tests;

pub use documents::{Documents, Place};
use serde_json::Value;

use crate::{Field, Payload, Reject, RejectCode, Schema, SchemaError, SchemaText, write::MAX_OUTPUT};

/// Reads a JSON Schema of any draft.
///
/// # Errors
/// If the text, or one of its references, is not JSON; if a `$ref` leads to nothing in them; if there are more fields
/// than can be checked.
///
/// ```
/// use codec::{Format, SchemaText, json_schema};
///
/// let text = r#"{ "title": "View", "properties": { "user": { "type": "string", "confluent:tags": ["PII"] } } }"#;
/// let text = SchemaText { format: Format::JsonSchema, text: text.to_owned(), references: vec![], subjects: None };
/// let schema = json_schema::compile(&text)?;
/// assert_eq!(schema.name(), Some("View"));
/// assert_eq!(schema.fields()[0].pattern.as_str(), "/user");
/// # Ok::<(), codec::SchemaError>(())
/// ```
pub fn compile(text: &SchemaText) -> Result<Arc<dyn Schema>, SchemaError> {
    let (root, references) = parse(text)?;
    Ok(Arc::new(JsonSchema {
        fields: fields::fields(Documents::new(&root, &references))?,
        // Registries name subjects by the title.
        name: root.get("title").and_then(Value::as_str).map(str::to_owned),
        subjects: text.subjects.clone(),
    }))
}

/// The schema and its references, by their names.
///
/// # Errors
/// If a text is not JSON.
pub fn parse(text: &SchemaText) -> Result<(Value, BTreeMap<String, Value>), SchemaError> {
    let parse = |name: &str, text: &str| -> Result<Value, SchemaError> {
        serde_json::from_str(text).map_err(|error| SchemaError(format!("{name} is not JSON: {error}")))
    };
    let root = parse("the schema", &text.text)?;
    let references = text.references.iter();
    let references =
        references.map(|(name, text)| Ok((name.clone(), parse(name, text)?))).collect::<Result<_, _>>()?;
    Ok((root, references))
}

struct JsonSchema {
    fields: Vec<Field>,
    name: Option<String>,
    subjects: Option<Vec<String>>,
}

impl Schema for JsonSchema {
    fn decode(&self, payload: Payload<'_>, out: &mut Vec<u8>) -> Result<(), Reject> {
        if payload.bytes.is_empty() {
            return Err(Reject::at(RejectCode::Truncated, 0));
        }
        if payload.bytes.len() > MAX_OUTPUT {
            return Err(Reject::whole(RejectCode::TooLarge));
        }
        out.extend_from_slice(payload.bytes);
        Ok(())
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn subjects(&self) -> Option<&[String]> {
        self.subjects.as_deref()
    }

    fn is_json(&self) -> bool {
        true
    }
}
