//! What connectors put on the wire. The present version is the real one; the next one exists only in the simulation, to
//! see what the present processor does with it.

use std::{borrow::Cow, rc::Rc};

use ::pubsub::pack::{self, PackBuilder};
use event::Mark;

use crate::pubsub::{Form, Sent};

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

const NEXT_EVENT: &[u8] = b"next:";
const BEFORE: &[u8] = br#"{"version":3,"next":"#;
const AFTER: &[u8] = b"}";

/// A data message: its event, or what a format says.
#[derive(Debug)]
pub(crate) enum Written<'a> {
    Event(Cow<'a, [u8]>),
    Format { format: &'static [u8], offsets: String, payload: Vec<u8> },
}

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

    /// A data message, as this version receives it.
    pub(crate) fn write_data(self, records: &[Sent], form: Form) -> Written<'_> {
        let event = &records[0].event.payload;
        match form {
            Form::Next if self == Self::Present => Written::Format {
                format: FORMAT,
                offsets: String::new(),
                payload: [NEXT_EVENT, event].concat(),
            },
            Form::Pack => {
                let mut builder = PackBuilder::default();
                for Sent { offset, timestamp, event } in records {
                    let none = std::iter::empty();
                    builder.push(*offset, Some(*timestamp), (None, None), none, &event.payload);
                }
                let (offsets, payload) = builder.finish();
                Written::Format { format: pack::FORMAT.as_bytes(), offsets: offsets.to_string(), payload }
            }
            Form::Single | Form::Redrive(_) | Form::Next => Written::Event(event.as_slice().into()),
        }
    }
}
