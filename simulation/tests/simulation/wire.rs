//! What connectors put on the wire. The present version is the real one; the next one exists only in the simulation, to
//! see what the present processor does with it.

use std::{borrow::Cow, rc::Rc};

use event::Mark;

use crate::kafka::Happening;

/// The version of a connector or processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    #[default]
    Present,
    Next,
}

/// A mark, and the bytes that carry it.
#[derive(Debug)]
pub(crate) struct WireMark {
    pub(crate) mark: Mark,
    pub(crate) bytes: Vec<u8>,
}

/// The value of `aqueduct.format` in a message of the next version.
pub(crate) const FORMAT: &[u8] = b"next";

const PACKED: &[u8] = b"packed:";
const BEFORE: &[u8] = br#"{"version":3,"next":"#;
const AFTER: &[u8] = b"}";

impl Version {
    pub(crate) fn write(self, mark: Mark) -> Rc<WireMark> {
        let bytes = match self {
            Self::Present => mark.to_json(),
            Self::Next => [BEFORE, &mark.to_json(), AFTER].concat(),
        };
        Rc::new(WireMark { mark, bytes })
    }

    /// The mark as the current version writes it, if this version can read it.
    pub(crate) fn read(self, bytes: &[u8]) -> &[u8] {
        let next = bytes.strip_prefix(BEFORE).and_then(|bytes| bytes.strip_suffix(AFTER));
        next.filter(|_| self == Self::Next).unwrap_or(bytes)
    }

    /// Format and content of a data message of this version.
    pub(crate) fn unpack(self, event: &Happening, is_packed: bool) -> (Option<&'static [u8]>, Cow<'_, [u8]>) {
        match (self, is_packed) {
            (Self::Present, true) => (Some(FORMAT), [PACKED, &event.payload].concat().into()),
            _ => (None, event.payload.as_slice().into()),
        }
    }
}
