//! The documents of a schema: where a `$ref` leads to.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::SchemaError;

/// A schema, and the document that its `$ref`s are relative to.
#[derive(Clone, Copy)]
pub struct Place<'d> {
    /// The document.
    pub document: &'d Value,
    /// The schema in it.
    pub schema: &'d Value,
}

/// A schema, and those that it refers to by their names.
#[derive(Clone, Copy)]
pub struct Documents<'d> {
    root: &'d Value,
    references: &'d BTreeMap<String, Value>,
}

impl<'d> Documents<'d> {
    /// Of the schema and its references.
    pub fn new(root: &'d Value, references: &'d BTreeMap<String, Value>) -> Self {
        Self { root, references }
    }

    /// The whole schema.
    pub fn whole(&self) -> Place<'d> {
        Place { document: self.root, schema: self.root }
    }

    /// The target of a `$ref`: in its document, or in one of the references by name.
    ///
    /// # Errors
    /// If it leads to nothing.
    pub fn resolve(&self, from: Place<'d>, reference: &Value) -> Result<Place<'d>, SchemaError> {
        let text = reference.as_str().unwrap_or_default();
        let (name, fragment) = text.split_once('#').unwrap_or((text, ""));
        let found = self.document(from, name).and_then(|document| {
            let schema = match fragment {
                "" => Some(document),
                pointer if pointer.starts_with('/') => document.pointer(pointer),
                anchor => find(document, &|schema| {
                    let is = |key: &str, text: &str| schema.get(key).and_then(Value::as_str) == Some(text);
                    is("$anchor", anchor) || is("$dynamicAnchor", anchor) || is("$id", &format!("#{anchor}"))
                }),
            };
            schema.map(|schema| Place { document, schema })
        });
        found.ok_or_else(|| {
            SchemaError(format!("$ref {text:?} leads to nothing in the schema and its references"))
        })
    }

    fn document(&self, from: Place<'d>, name: &str) -> Option<&'d Value> {
        if name.is_empty() {
            return Some(from.document);
        }
        let by_id = |document: &'d Value| {
            find(document, &|schema| {
                schema.get("$id").and_then(Value::as_str).is_some_and(|id| is_same(id, name))
            })
        };
        let by_name =
            self.references.get(name).or_else(|| self.references.get(name.trim_start_matches("./")));
        by_name
            .or_else(|| by_id(from.document))
            .or_else(|| by_id(self.root))
            .or_else(|| self.references.values().find_map(by_id))
    }
}

/// Whether a `$ref` names the schema with this `$id`: as it is written, or as the last part of it.
fn is_same(id: &str, name: &str) -> bool {
    let id = id.trim_end_matches('#');
    id == name || id.strip_suffix(name).is_some_and(|rest| rest.ends_with('/'))
}

/// The first schema anywhere in a document with a property.
fn find<'d>(document: &'d Value, is_it: &dyn Fn(&'d Value) -> bool) -> Option<&'d Value> {
    if is_it(document) {
        return Some(document);
    }
    match document {
        Value::Object(members) => members.values().find_map(|value| find(value, is_it)),
        Value::Array(elements) => elements.iter().find_map(|value| find(value, is_it)),
        _ => None,
    }
}
