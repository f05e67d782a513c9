//! Why a record was not let through: a code, a declared pointer, a byte position, and nothing of the record.

use std::{fmt, sync::Arc};

use event::json::{self, ErrorKind};

/// A record that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Why.
    pub code: RejectCode,
    /// The pointer of the configuration that it is about.
    pub pointer: Option<Arc<str>>,
    /// The byte of the value at which it showed, counted from 0.
    pub at: Option<usize>,
}

/// Why a record was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectCode {
    /// The record has no value.
    Tombstone,
    /// The value is no JSON.
    NotJson,
    /// The value is JSON, but no object.
    NotAnObject,
    /// The value is not UTF-8.
    InvalidUtf8,
    /// A string holds half of a surrogate pair.
    LoneSurrogate,
    /// Something stands behind the object.
    TrailingData,
    /// Objects and arrays are nested deeper than [`json::MAX_DEPTH`].
    TooDeep,
    /// An object has two members of the same name, escapes decoded: readers differ on which of them counts.
    DuplicateMember,
    /// A declared pointer met an array, object or scalar that it does not fit.
    UnexpectedShape,
    /// A number to be hashed that has no decimal text of a sensible length.
    Number,
    /// A text declared as a URL that is none and may hold a user's name.
    NotAUrl,
    /// The event's time, which chooses the key, is missing or unreadable.
    Time,
    /// The Kafka key is to pass, but is not UTF-8.
    KeyNotUtf8,
    /// A header is to pass, but is not UTF-8.
    HeaderNotUtf8,
    /// An attribute is longer than Pub/Sub takes.
    AttributeTooLarge,
    /// The message is larger than Pub/Sub takes.
    TooLarge,
}

impl RejectCode {
    /// Every code.
    pub const ALL: [Self; 16] = [
        Self::Tombstone,
        Self::NotJson,
        Self::NotAnObject,
        Self::InvalidUtf8,
        Self::LoneSurrogate,
        Self::TrailingData,
        Self::TooDeep,
        Self::DuplicateMember,
        Self::UnexpectedShape,
        Self::Number,
        Self::NotAUrl,
        Self::Time,
        Self::KeyNotUtf8,
        Self::HeaderNotUtf8,
        Self::AttributeTooLarge,
        Self::TooLarge,
    ];

    /// The stable text that marks, dead letters and metrics carry.
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
            Self::Number => "number",
            Self::NotAUrl => "not-a-url",
            Self::Time => "time",
            Self::KeyNotUtf8 => "key-not-utf8",
            Self::HeaderNotUtf8 => "header-not-utf8",
            Self::AttributeTooLarge => "attribute-too-large",
            Self::TooLarge => "too-large",
        }
    }
}

impl Reject {
    pub(super) fn new(code: RejectCode) -> Self {
        Self { code, pointer: None, at: None }
    }

    pub(super) fn at(code: RejectCode, at: usize) -> Self {
        Self { code, pointer: None, at: Some(at) }
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
