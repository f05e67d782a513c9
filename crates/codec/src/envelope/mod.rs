//! Envelopes: the event inside of a document that a bus or a tool has put around it.
//!
//! | envelope | the event |
//! |---|---|
//! | [`Envelope::Hermes`] | the members of `message`, and `__metadata` |
//! | [`Envelope::Debezium`] | the members of `after`, or of `before` for a delete, and `__op`, `__ts_ms`, `__source`, `__deleted` |
//! | [`Envelope::CloudEvents`] | the members of `data`, and the attributes as `ce_<name>` |
//! | [`Envelope::Pointer`] | the object at the pointer, and nothing else |
//!
//! A value is scanned once, strictly, and the parts that are kept are copied as they are written: no number loses a digit.
//! A member of the event that has the name of an added one is there twice, which the anonymiser rejects. A member of the
//! envelope that is there twice is a reject, because nothing determines which of them counts.

use std::{fmt, str::FromStr};

mod cloudevents;
mod debezium;
mod fields;
mod hermes;
mod pointer;
mod splice;
#[cfg(test)]
mod tests;

use event::{
    Pointer,
    json::{self, ErrorKind, Scanner},
    pointer::PointerError,
};

use crate::{Reject, RejectCode};
use splice::Splice;

/// The declared envelope of a topic.
///
/// ```
/// use codec::Envelope;
///
/// let envelope: Envelope = "debezium".parse()?;
/// let value = br#"{ "before": null, "after": { "id": 7 }, "op": "c", "ts_ms": 1769862896789 }"#;
/// let mut out = Vec::new();
/// let event = envelope.unwrap(value, &[], &mut out).expect("an envelope").expect("no tombstone");
/// assert_eq!(event, br#"{"id": 7,"__op":"c","__ts_ms":1769862896789,"__deleted":"false"}"#);
/// # Ok::<(), codec::EnvelopeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// Hermes: `{metadata, message}`. A record of Avro has `__metadata` among its own fields, and stays as it is.
    Hermes,
    /// Debezium's change events, with or without `schema` and `payload`.
    Debezium,
    /// CloudEvents in the structured mode, or in the binary mode with the headers `ce_*`.
    CloudEvents,
    /// An object anywhere in the value.
    Pointer(Pointer),
}

/// Why a text names no envelope. The text is from the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// It is neither a known name nor a pointer.
    #[error(
        "unknown envelope {0:?}; expected \"hermes\", \"debezium\", \"cloudevents\" or a pointer such as \"/payload\""
    )]
    Unknown(String),
    /// It begins as a pointer.
    #[error(transparent)]
    Pointer(#[from] PointerError),
}

impl Envelope {
    /// The event in a value, which is a JSON object; `None` for a tombstone in an envelope. The event is part of the value
    /// or of `out`, whose content is lost.
    ///
    /// # Errors
    /// If the value is not a JSON object, or not this envelope.
    pub fn unwrap<'a>(
        &self,
        value: &'a [u8],
        headers: &[(&str, &[u8])],
        out: &'a mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, Reject> {
        match self {
            Self::Hermes => hermes::unwrap(value, out).map(Some),
            Self::Debezium => debezium::unwrap(value, out),
            Self::CloudEvents => cloudevents::unwrap(value, headers, out).map(Some),
            Self::Pointer(pointer) => pointer::unwrap(value, pointer).map(Some),
        }
    }
}

impl FromStr for Envelope {
    type Err = EnvelopeError;

    fn from_str(text: &str) -> Result<Self, EnvelopeError> {
        match text {
            "hermes" => Ok(Self::Hermes),
            "debezium" => Ok(Self::Debezium),
            "cloudevents" => Ok(Self::CloudEvents),
            pointer if pointer.starts_with('/') => Ok(Self::Pointer(pointer.parse()?)),
            other => Err(EnvelopeError::Unknown(other.to_owned())),
        }
    }
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hermes => f.write_str("hermes"),
            Self::Debezium => f.write_str("debezium"),
            Self::CloudEvents => f.write_str("cloudevents"),
            Self::Pointer(pointer) => pointer.fmt(f),
        }
    }
}

/// The value is something else than the envelope.
const NO_ENVELOPE: Reject = Reject { code: RejectCode::NoEnvelope, part: crate::Part::Value, at: None };

/// Members of an envelope by name, each as its text.
struct Members<'v, const N: usize> {
    names: [&'static str; N],
    found: [Option<&'v [u8]>; N],
}

impl<'v, const N: usize> Members<'v, N> {
    fn new(names: [&'static str; N]) -> Self {
        Self { names, found: [None; N] }
    }

    /// Reads the rest of the open object.
    fn read(&mut self, value: &'v [u8], scanner: &mut Scanner<'v>) -> Result<(), Reject> {
        while let Some(member) = scanner.next_member().map_err(not_json)? {
            let text = skip(value, scanner)?;
            self.note(&member.name.decode(), text)?;
        }
        Ok(())
    }

    /// Keeps a member if it is one of the names.
    fn note(&mut self, name: &str, text: &'v [u8]) -> Result<(), Reject> {
        if let Some(index) = self.names.iter().position(|own| *own == name)
            && self.found[index].replace(text).is_some()
        {
            return Err(NO_ENVELOPE);
        }
        Ok(())
    }
}

/// Skips a value and returns its text.
fn skip<'v>(value: &'v [u8], scanner: &mut Scanner<'v>) -> Result<&'v [u8], Reject> {
    let start = scanner.position();
    scanner.skip_value().map_err(not_json)?;
    Ok(&value[start..scanner.position()])
}

/// Checks a text from inside an envelope, which must be an object.
fn check_object(text: &[u8]) -> Result<(), Reject> {
    let mut scanner = Scanner::object(text).map_err(|_| NO_ENVELOPE)?;
    scanner.skip(json::Token::Object).map_err(|_| NO_ENVELOPE)?;
    scanner.finish().map_err(|_| NO_ENVELOPE)
}

fn is_object(text: &[u8]) -> bool {
    text.first() == Some(&b'{')
}

fn is_text(text: &[u8]) -> bool {
    text.first() == Some(&b'"')
}

fn is_null(text: &[u8]) -> bool {
    text == b"null"
}

fn not_json(error: json::Error) -> Reject {
    let code = match error.kind {
        ErrorKind::InvalidUtf8 => RejectCode::InvalidUtf8,
        ErrorKind::TooDeep => RejectCode::TooDeep,
        ErrorKind::TrailingData => RejectCode::TrailingData,
        _ => RejectCode::NoEnvelope,
    };
    Reject::at(code, error.at)
}
