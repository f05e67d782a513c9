//! Why bytes are not a JSON object, and where.

use std::fmt;

/// An error and its position; contains nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {at}")]
pub struct Error {
    /// The kind of error.
    pub kind: ErrorKind,
    /// The byte at which it was detected, counted from 0.
    pub at: usize,
}

/// The kind of error in a text.
///
/// A whole word, because the scanner's results share their memory with it. With one byte, each result is moved in odd
/// pieces, which halves the speed of the scanner (measured).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum ErrorKind {
    /// The bytes are not UTF-8.
    InvalidUtf8,
    /// The text is JSON, but not an object.
    NotAnObject,
    /// A byte that the grammar does not allow at this position.
    Syntax,
    /// The text ends before the object does.
    UnexpectedEnd,
    /// An unescaped control character in a string.
    ControlCharacter,
    /// A backslash that does not begin a valid escape.
    Escape,
    /// Half of a surrogate pair.
    LoneSurrogate,
    /// Nested deeper than [`crate::json::MAX_DEPTH`].
    TooDeep,
    /// Something follows the object.
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
            Self::TrailingData => "data after the JSON object",
        })
    }
}
