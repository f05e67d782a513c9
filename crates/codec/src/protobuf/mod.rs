//! Protocol Buffers: proto2 and proto3, from a registry, a `.proto` file or a set of descriptors.
//!
//! | module | contents |
//! |---|---|
//! | `sources` | text to descriptors, with imports and references |
//! | `plan` | the descriptors as tables with indexes |
//! | `roots` | which message a record is |
//! | `wire` | tags, varints, lengths |
//! | `decode` | the binary encoding to JSON text along the plan |
//! | `map`, `well_known` | maps; the types that JSON has a form for |
//! | `fields` | the fields of a schema, for `check` and tags |
//!
//! The JSON is that of Protobuf's mapping with three differences: names are as in the schema, integers of 64 bits are
//! numbers, and `confluent.type.Decimal` is a number. Fields without presence are always written; fields with presence
//! only if they are set, so that the defaults of proto2 never appear. Maps are sorted by key. What
//! the mapping has no JSON for (NaN, a message in `Any` that is not in the schema) is a reject, and so is a missing
//! `required` field. Editions are not known.

use std::{path::Path, sync::Arc};

mod decode;
mod fields;
mod map;
mod plan;
mod roots;
mod sources;
#[cfg(test)]
mod tests;
mod well_known;
mod wire;

use prost_reflect::{FileDescriptor, MessageDescriptor};

use crate::{Field, Payload, Reject, Schema, SchemaError, SchemaText};
use plan::Plan;
use roots::Roots;

/// Compiles a schema of a registry. Without `message` each record names its message by Confluent's indexes; only a schema
/// with a single message at its top level can do without them.
///
/// # Errors
/// If the text, or one of its references, is not a Protobuf schema, or has no such message.
///
/// ```
/// use codec::{Format, Indexes, Payload, SchemaText, protobuf};
///
/// let text = r#"syntax = "proto3"; message View { string page = 1; uint64 user = 2; bool first = 3; }"#;
/// let text = SchemaText { format: Format::Protobuf, text: text.to_owned(), references: vec![], subjects: None };
/// let schema = protobuf::compile(&text, None)?;
/// let mut json = Vec::new();
/// let bytes = b"\0\x0a\x02/a\x10\x07";
/// schema.decode(Payload { bytes, indexes: Indexes::InPayload }, &mut json).expect("a value of the schema");
/// assert_eq!(json, br#"{"page":"/a","user":7,"first":false}"#);
/// # Ok::<(), codec::SchemaError>(())
/// ```
pub fn compile(text: &SchemaText, message: Option<&str>) -> Result<Arc<dyn Schema>, SchemaError> {
    let file = sources::compile(text)?;
    let named = message.map(|name| named(&file, name)).transpose()?;
    Ok(Arc::new(ProtobufSchema::new(&file, named.as_ref(), text.subjects.clone())?))
}

/// The messages of a schema of a registry, for programs that need more of a record than its JSON.
pub struct Messages {
    /// In the order of the plan.
    all: Vec<MessageDescriptor>,
    roots: Roots,
    names: Vec<String>,
}

impl Messages {
    /// Compiles a schema.
    ///
    /// # Errors
    /// As [`compile`].
    pub fn new(text: &SchemaText) -> Result<Self, SchemaError> {
        let file = sources::compile(text)?;
        let pool = file.parent_pool();
        let roots = Roots::new(&file, &Plan::new(pool), None);
        let names = file.messages().chain(nested(&file)).map(|message| message.full_name().to_owned());
        Ok(Self { all: pool.all_messages().collect(), roots, names: names.collect() })
    }

    /// The message that a record is, and where its bytes begin.
    ///
    /// # Errors
    /// If the indexes of the record lead to no message.
    pub fn find(&self, payload: Payload<'_>) -> Result<(&MessageDescriptor, usize), Reject> {
        let (root, start) = self.roots.find(payload)?;
        Ok((&self.all[root], start))
    }

    /// The full names of the messages that a record can be.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// Reads a schema from a file: text with imports relative to its folder, if its name ends in `.proto`; otherwise a set of
/// descriptors as `protoc --include_imports --descriptor_set_out` writes it.
///
/// # Errors
/// If the file cannot be read or is not a Protobuf schema; if it has no such message; if `message` is absent and the file
/// has several at its top level.
pub fn read(path: &Path, message: Option<&str>) -> Result<Arc<dyn Schema>, SchemaError> {
    let file = sources::read(path)?;
    let chosen = match message {
        Some(name) => named(&file, name)?,
        None => only(&file).ok_or_else(|| {
            let names: Vec<_> = file.messages().map(|message| message.full_name().to_owned()).collect();
            SchemaError(format!("{}: `message` has to name one of {}", path.display(), names.join(", ")))
        })?,
    };
    Ok(Arc::new(ProtobufSchema::new(&file, Some(&chosen), None)?))
}

/// A message by its full name, in the file or what it imports.
fn named(file: &FileDescriptor, name: &str) -> Result<MessageDescriptor, SchemaError> {
    let found = file.parent_pool().get_message_by_name(name);
    found.ok_or_else(|| {
        let names: Vec<_> = file.messages().map(|message| message.full_name().to_owned()).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        SchemaError(format!("there is no message {name:?}; messages of the schema: {known}"))
    })
}

fn only(file: &FileDescriptor) -> Option<MessageDescriptor> {
    let mut messages = file.messages();
    let first = messages.next()?;
    messages.next().is_none().then_some(first)
}

struct ProtobufSchema {
    plan: Plan,
    roots: Roots,
    fields: Vec<Field>,
    /// The full names of the messages that a record can be; the first one names the schema.
    names: Vec<String>,
    subjects: Option<Vec<String>>,
}

impl ProtobufSchema {
    fn new(
        file: &FileDescriptor,
        named: Option<&MessageDescriptor>,
        subjects: Option<Vec<String>>,
    ) -> Result<Self, SchemaError> {
        let plan = Plan::new(file.parent_pool());
        let (top, nested) = match named {
            Some(named) => (vec![named.clone()], vec![]),
            None => (file.messages().collect(), nested(file)),
        };
        let names: Vec<_> = top.iter().chain(&nested).map(|message| message.full_name().to_owned()).collect();
        if names.is_empty() {
            return Err(SchemaError("the schema has no message".to_owned()));
        }
        let roots = Roots::new(file, &plan, named);
        let fields = fields::fields(&plan, &top, &nested)?;
        Ok(Self { plan, roots, fields, names, subjects })
    }
}

/// The messages of a file that are declared within others.
fn nested(file: &FileDescriptor) -> Vec<MessageDescriptor> {
    let mut found: Vec<MessageDescriptor> = file.messages().collect();
    let top = found.len();
    let mut next = 0;
    while let Some(message) = found.get(next).cloned() {
        found.extend(message.child_messages().filter(|child| !child.is_map_entry()));
        next += 1;
    }
    found.split_off(top)
}

impl Schema for ProtobufSchema {
    fn decode(&self, payload: Payload<'_>, out: &mut Vec<u8>) -> Result<(), Reject> {
        let (root, start) = self.roots.find(payload)?;
        decode::decode(&self.plan, root, payload.bytes, start, out)
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn name(&self) -> Option<&str> {
        self.names.first().map(String::as_str)
    }

    fn has_name(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
    }

    fn subjects(&self) -> Option<&[String]> {
        self.subjects.as_deref()
    }
}
