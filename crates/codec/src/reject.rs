//! Why a record cannot be decoded: a code and a position in its bytes, never a value, and nothing of its schema.

use std::fmt;

/// A record that cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The reason.
    pub code: RejectCode,
    /// Where it was found.
    pub part: Part,
    /// The byte of that part, counted from 0, if there is one.
    pub at: Option<usize>,
}

/// The part of a record that a [`Reject`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The key.
    Key,
    /// The value.
    Value,
}

/// The reasons. Each has a stable text in marks, dead letters and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectCode {
    /// Neither a prefix nor a header has a schema ID.
    NoSchemaId,
    /// The registry has no schema with this ID.
    UnknownSchema,
    /// The schema cannot be used: it does not parse, or it is of another format than the one declared for the topic.
    UnusableSchema,
    /// The schema is registered, but for no subject that belongs to this topic.
    ForeignSchema,
    /// The bytes end within a value.
    Truncated,
    /// Bytes follow the value.
    TrailingData,
    /// The bytes are not of the schema: an impossible length, a union branch or symbol that does not exist.
    Malformed,
    /// Values are nested too deeply.
    TooDeep,
    /// A floating-point number is NaN or infinite, which JSON cannot express.
    NotFinite,
    /// A decimal or time cannot be written as text of a reasonable length.
    NumberRange,
    /// A string is not UTF-8.
    InvalidUtf8,
    /// The decoded event is larger than any message of Pub/Sub.
    TooLarge,
    /// The decoded value is not an object.
    NotAnObject,
    /// The value is not the declared envelope.
    NoEnvelope,
}

impl RejectCode {
    /// Every code.
    pub const ALL: [Self; 14] = [
        Self::NoSchemaId,
        Self::UnknownSchema,
        Self::UnusableSchema,
        Self::ForeignSchema,
        Self::Truncated,
        Self::TrailingData,
        Self::Malformed,
        Self::TooDeep,
        Self::NotFinite,
        Self::NumberRange,
        Self::InvalidUtf8,
        Self::TooLarge,
        Self::NotAnObject,
        Self::NoEnvelope,
    ];

    /// The text in marks, dead letters and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSchemaId => "no-schema-id",
            Self::UnknownSchema => "unknown-schema",
            Self::UnusableSchema => "unusable-schema",
            Self::ForeignSchema => "foreign-schema",
            Self::Truncated => "truncated",
            Self::TrailingData => "trailing-data",
            Self::Malformed => "malformed",
            Self::TooDeep => "too-deep",
            Self::NotFinite => "not-finite",
            Self::NumberRange => "number-range",
            Self::InvalidUtf8 => "invalid-utf8",
            Self::TooLarge => "too-large",
            Self::NotAnObject => "not-an-object",
            Self::NoEnvelope => "no-envelope",
        }
    }
}

impl Reject {
    /// A reject of the value at a byte.
    pub(crate) fn at(code: RejectCode, at: usize) -> Self {
        Self { code, part: Part::Value, at: Some(at) }
    }

    /// A reject of the whole value.
    pub(crate) fn whole(code: RejectCode) -> Self {
        Self { code, part: Part::Value, at: None }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            Part::Key => "key",
            Part::Value => "value",
        };
        match self.at {
            Some(at) => write!(f, "{} in the {part} at byte {at}", self.code.as_str()),
            None => write!(f, "{} in the {part}", self.code.as_str()),
        }
    }
}
