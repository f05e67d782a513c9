//! Why a record was rejected: a code, a declared pointer, a byte position, and nothing of the record's content.

use std::{fmt, sync::Arc};

use event::json::{self, ErrorKind};

/// A rejected record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The reason.
    pub code: RejectCode,
    /// The pointer of the configuration that the reject is about.
    pub pointer: Option<Arc<str>>,
    /// The byte of the value at which it was detected, counted from 0.
    pub at: Option<usize>,
}

/// The reasons for rejecting a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectCode {
    /// The record has no value.
    Tombstone,
    /// The value is not JSON.
    NotJson,
    /// The value is JSON, but not an object.
    NotAnObject,
    /// The value is not UTF-8.
    InvalidUtf8,
    /// A string contains half of a surrogate pair.
    LoneSurrogate,
    /// Something follows the object.
    TrailingData,
    /// Objects and arrays are nested deeper than [`json::MAX_DEPTH`].
    TooDeep,
    /// An object has two members with the same name, after decoding escapes. Consumers differ on which of them counts.
    DuplicateMember,
    /// The value at a declared pointer is an array, object or scalar that the rule does not expect.
    UnexpectedShape,
    /// A tag of the schema declares a single value where a pointer of the configuration leads further, or the other way
    /// round.
    TagConflict,
    /// A number to be hashed has no decimal text of a reasonable length.
    Number,
    /// A text that is declared as a URL is not one, and may contain a user name.
    NotAUrl,
    /// The event's time, which selects the key, is missing or invalid.
    Time,
    /// The Kafka key is to be forwarded, but is not UTF-8.
    KeyNotUtf8,
    /// A header is to be forwarded, but is not UTF-8.
    HeaderNotUtf8,
    /// The value that selects the topic has no declared topic.
    UndeclaredTopic,
    /// The value of the ordering key is an array or an object, or longer than Pub/Sub allows.
    OrderingKey,
    /// An attribute is longer than Pub/Sub allows.
    AttributeTooLarge,
    /// The message is larger than Pub/Sub allows.
    TooLarge,
}

impl RejectCode {
    /// Every code.
    pub const ALL: [Self; 19] = [
        Self::Tombstone,
        Self::NotJson,
        Self::NotAnObject,
        Self::InvalidUtf8,
        Self::LoneSurrogate,
        Self::TrailingData,
        Self::TooDeep,
        Self::DuplicateMember,
        Self::UnexpectedShape,
        Self::TagConflict,
        Self::Number,
        Self::NotAUrl,
        Self::Time,
        Self::KeyNotUtf8,
        Self::HeaderNotUtf8,
        Self::UndeclaredTopic,
        Self::OrderingKey,
        Self::AttributeTooLarge,
        Self::TooLarge,
    ];

    /// The stable text in marks, dead letters and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tombstone => "tombstone",
            Self::NotJson => ErrorKind::Syntax.code(),
            Self::NotAnObject => ErrorKind::NotAnObject.code(),
            Self::InvalidUtf8 => ErrorKind::InvalidUtf8.code(),
            Self::LoneSurrogate => ErrorKind::LoneSurrogate.code(),
            Self::TrailingData => ErrorKind::TrailingData.code(),
            Self::TooDeep => ErrorKind::TooDeep.code(),
            Self::DuplicateMember => "duplicate-member",
            Self::UnexpectedShape => "unexpected-shape",
            Self::TagConflict => "tag-conflict",
            Self::Number => "number",
            Self::NotAUrl => "not-a-url",
            Self::Time => "time",
            Self::KeyNotUtf8 => "key-not-utf8",
            Self::HeaderNotUtf8 => "header-not-utf8",
            Self::UndeclaredTopic => "undeclared-topic",
            Self::OrderingKey => "ordering-key",
            Self::AttributeTooLarge => "attribute-too-large",
            Self::TooLarge => "too-large",
        }
    }
}

impl Reject {
    pub(crate) fn new(code: RejectCode) -> Self {
        Self { code, pointer: None, at: None }
    }

    pub(super) fn at(code: RejectCode, at: usize) -> Self {
        Self { code, pointer: None, at: Some(at) }
    }

    /// A reject of an event as it would be published, whose bytes are not those of the record.
    pub(crate) fn published(code: RejectCode, pointer: &Arc<str>) -> Self {
        Self { code, pointer: Some(Arc::clone(pointer)), at: None }
    }

    pub(super) fn declared(code: RejectCode, pointer: &Arc<str>, at: usize) -> Self {
        Self { code, pointer: Some(Arc::clone(pointer)), at: Some(at) }
    }
}

impl From<json::Error> for Reject {
    fn from(error: json::Error) -> Self {
        let code = match error.kind {
            ErrorKind::InvalidUtf8 => RejectCode::InvalidUtf8,
            ErrorKind::NotAnObject => RejectCode::NotAnObject,
            ErrorKind::Syntax
            | ErrorKind::UnexpectedEnd
            | ErrorKind::ControlCharacter
            | ErrorKind::Escape => RejectCode::NotJson,
            ErrorKind::LoneSurrogate => RejectCode::LoneSurrogate,
            ErrorKind::TooDeep => RejectCode::TooDeep,
            ErrorKind::TrailingData => RejectCode::TrailingData,
        };
        Self::at(code, error.at)
    }
}

impl fmt::Display for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Such as `unexpected-shape at "/user_id", byte 17`.
impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, pointer, at } = self;
        match (pointer, at) {
            (Some(pointer), Some(at)) => write!(f, "{code} at {pointer:?}, byte {at}"),
            (Some(pointer), None) => write!(f, "{code} at {pointer:?}"),
            (None, Some(at)) => write!(f, "{code} at byte {at}"),
            (None, None) => write!(f, "{code}"),
        }
    }
}
