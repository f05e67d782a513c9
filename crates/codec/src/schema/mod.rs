//! Schemas: how a record names one, where its text comes from, and what a parsed one can do.

use std::{fmt, sync::Arc};

use crate::{Reject, avro, json_schema, protobuf};
use event::Pattern;

/// How a record names its schema.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SchemaId {
    /// The registry's number: Confluent's prefix, or Hermes's header `sid`.
    Id(u32),
    /// The registry's GUID: Confluent's headers.
    Guid([u8; 16]),
    /// A version of a subject: Hermes's header `sv`.
    Version(Arc<str>, u32),
}

/// The formats with a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Apache Avro.
    Avro,
    /// Protocol Buffers.
    Protobuf,
    /// JSON with the registry's framing. The schema is not validated against.
    JsonSchema,
}

/// A schema as a registry or a file has it.
#[derive(Clone, PartialEq, Eq)]
pub struct SchemaText {
    /// Its format.
    pub format: Format,
    /// Its text.
    pub text: String,
    /// The schemas that it refers to: the name in the reference, and the text. A schema comes after those that it refers to.
    pub references: Vec<(String, String)>,
    /// The subjects that it is registered for; `None` where that is not known, as in a file.
    pub subjects: Option<Vec<String>>,
}

/// A parsed schema, shared by threads.
pub trait Schema: Send + Sync {
    /// Appends the JSON of one value. `indexes` are the bytes of Protobuf's message indexes if they are apart from the
    /// payload, in a header; otherwise a framed payload begins with them. After an error `out` has any content.
    ///
    /// # Errors
    /// If the payload is not a value of the schema, or has no JSON.
    fn decode(&self, payload: Payload<'_>, out: &mut Vec<u8>) -> Result<(), Reject>;

    /// Every field of a decoded event, in the order of the schema. A recursive type is listed once.
    fn fields(&self) -> &[Field];

    /// The full name of its record or message, by which registries name subjects, too; `None` if it has none.
    fn name(&self) -> Option<&str>;

    /// Whether records of this schema can be of the record or message with this full name. A Protobuf schema has
    /// several, of which [`Schema::name`] is the first.
    fn has_name(&self, name: &str) -> bool {
        self.name() == Some(name)
    }

    /// Whether a payload is the JSON itself, so that a caller need not copy it through [`Schema::decode`].
    fn is_json(&self) -> bool {
        false
    }

    /// The subjects that it is registered for, if the registry returns them.
    fn subjects(&self) -> Option<&[String]>;
}

/// The bytes of a value without its schema ID.
#[derive(Clone, Copy)]
pub struct Payload<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Where a registry's framing puts the message indexes of Protobuf.
    pub indexes: Indexes<'a>,
}

/// Where the message indexes of Protobuf are.
#[derive(Clone, Copy)]
pub enum Indexes<'a> {
    /// There are none: the schema is from a file, or the framing is not Confluent's.
    None,
    /// At the beginning of the payload.
    InPayload,
    /// In the header, behind the GUID.
    InHeader(&'a [u8]),
}

/// A field of the events of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where it is in the event; `*` matches elements of arrays and members of maps.
    pub pattern: Pattern,
    /// What it is as JSON.
    pub kind: Kind,
    /// Whether it can be null or missing.
    pub optional: bool,
    /// The schema's tags, such as `PII`.
    pub tags: Vec<Arc<str>>,
}

/// What a field is as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// A string.
    Text,
    /// A string that is an RFC 3339 time.
    Time,
    /// An array.
    Array,
    /// An object.
    Object,
    /// Always null.
    Null,
    /// One of several, by union.
    Several,
}

/// Where schemas come from: a file, a registry's cache, a test. `S` is what they were compiled to.
pub trait Schemas<S: ?Sized = dyn Schema>: Send + Sync {
    /// The schema with this ID. Never waits: an ID that is not known yet is requested.
    fn lookup(&self, id: &SchemaId) -> Lookup<S>;
}

/// The answer of [`Schemas::lookup`].
pub enum Lookup<S: ?Sized = dyn Schema> {
    /// Here it is; it never changes.
    Found(Arc<S>),
    /// The registry reports that there is no such schema.
    Unknown,
    /// It exists, but does not parse, or is of another format.
    Unusable,
    /// It was requested. Ask again later.
    Pending,
}

/// Why a text is not a usable schema. The message names types and lines of the schema, so it is for `check` and for
/// schemas from files, and must not reach a log of the pipeline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SchemaError(pub String);

impl<S: ?Sized> Clone for Lookup<S> {
    fn clone(&self) -> Self {
        match self {
            Self::Found(schema) => Self::Found(schema.clone()),
            Self::Unknown => Self::Unknown,
            Self::Unusable => Self::Unusable,
            Self::Pending => Self::Pending,
        }
    }
}

impl SchemaText {
    /// The schema of this text. `message` is the full name of the Protobuf message that values are, where records
    /// have no message index.
    ///
    /// # Errors
    /// If the text is not a schema of its format, or needs a text that is not among its references.
    pub fn compile(&self, message: Option<&str>) -> Result<Arc<dyn Schema>, SchemaError> {
        match self.format {
            Format::Avro => avro::compile(self),
            Format::Protobuf => protobuf::compile(self, message),
            Format::JsonSchema => json_schema::compile(self),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avro => "avro",
            Self::Protobuf => "protobuf",
            Self::JsonSchema => "json-schema",
        })
    }
}
