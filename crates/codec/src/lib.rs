//! Kafka's bytes to one JSON event.
//!
//! A [`TopicCodec`] knows the declared format of one topic. It finds the schema of a record (`framing`), decodes key and
//! value to JSON (`avro`, `protobuf`), and takes the event out of its envelope (`envelope`). Everything after it
//! (pointers, the anonymiser, flows, dead letters) sees that JSON only. A new format is one module that implements
//! [`Schema`], and one line in [`Format`].
//!
//! Schemas come from a file or from a registry; see [`Schemas`]. Nothing here waits: a record whose schema is not there yet
//! is [`Undecoded::Waits`], and the caller gives it again later.

pub mod avro;
mod decimal;
mod envelope;
pub mod files;
pub mod framing;
pub mod json_schema;
pub mod protobuf;
pub mod registry;
mod reject;
mod schema;
mod subjects;
mod topic;
mod write;

pub use envelope::{Envelope, EnvelopeError};
pub use reject::{Part, Reject, RejectCode};
pub use schema::{
    Field, Format, Indexes, Kind, Lookup, Payload, Schema, SchemaError, SchemaId, SchemaText, Schemas,
};
pub use subjects::belongs;
pub use topic::{Source, TopicCodec, TopicFormat};

/// A record's bytes as they are in Kafka. It has no `Debug`, because they can be personal data.
#[derive(Clone, Copy)]
pub struct Raw<'a> {
    /// The key of the record.
    pub key: Option<&'a [u8]>,
    /// The value; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers that have a value.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// A record as JSON.
#[derive(Clone, Copy)]
pub struct Decoded<'a> {
    /// The key: text, or JSON where its format has a schema.
    pub key: Option<&'a [u8]>,
    /// The event, which is a JSON object unless the format is `json` and the record holds something else; `None` for a
    /// tombstone.
    pub value: Option<&'a [u8]>,
    /// The schema of the value, if it has one.
    pub schema: Option<&'a std::sync::Arc<dyn Schema>>,
}

/// Why there is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecoded {
    /// It can never be decoded.
    Reject(Reject),
    /// Its schema was requested and is not there yet. Give the record again once [`Schemas::lookup`] has an answer.
    Waits(SchemaId),
}
