//! Why bytes are no JSON object, and where.

use std::fmt;

/// What was wrong and where; holds nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {at}")]
pub struct Error {
    /// What was wrong.
    pub kind: ErrorKind,
    /// The byte at which it shows, counted from 0.
    pub at: usize,
}

/// What is wrong with a text.
///
/// A whole word, because the reader's answers share their memory with it: with a byte here each answer is
/// moved in odd pieces, which costs half of the reader's speed (measured).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum ErrorKind {
    /// The bytes are not UTF-8.
    InvalidUtf8,
    /// JSON, but its top is no object.
    NotAnObject,
    /// A byte that the grammar does not allow there.
    Syntax,
    /// The text stops before the object does.
    UnexpectedEnd,
    /// An unescaped control character in a string.
    ControlCharacter,
    /// A backslash with something behind it that is no escape.
    Escape,
    /// Half of a surrogate pair.
    LoneSurrogate,
    /// Deeper than [`crate::json::MAX_DEPTH`].
    TooDeep,
    /// Something behind the object.
    TrailingData,
}

impl ErrorKind {
    /// The stable code under which rejects of this kind are counted.
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidUtf8 => "invalid-utf8",
            Self::NotAnObject => "not-an-object",
            Self::Syntax | Self::UnexpectedEnd | Self::ControlCharacter | Self::Escape => "not-json",
            Self::LoneSurrogate => "lone-surrogate",
            Self::TooDeep => "too-deep",
            Self::TrailingData => "trailing-data",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidUtf8 => "invalid utf-8",
            Self::NotAnObject => "not a JSON object",
            Self::Syntax => "not JSON",
            Self::UnexpectedEnd => "unexpected end of the JSON text",
            Self::ControlCharacter => "unescaped control character in a string",
            Self::Escape => "unknown escape in a string",
            Self::LoneSurrogate => "half a surrogate pair in a string",
            Self::TooDeep => "nested too deep",
            Self::TrailingData => "data behind the JSON object",
        })
    }
}
