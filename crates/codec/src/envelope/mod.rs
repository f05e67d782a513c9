//! The event inside an envelope.

use event::Pointer;

use crate::reject::{Reject, RejectCode};

/// What surrounds the event in a decoded value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// `{metadata, message}` of Hermes.
    Hermes,
    /// `before`, `after`, `op` of Debezium, with or without `schema` and `payload`.
    Debezium,
    /// CloudEvents, structured or with headers `ce_*`.
    CloudEvents,
    /// The object at a pointer.
    Pointer(Pointer),
}

/// What an envelope had.
pub(crate) enum Unwrapped {
    /// The event was appended to the output.
    Event,
    /// The envelope says that the object was deleted for good.
    Tombstone,
}

impl Envelope {
    /// Appends the event inside a value.
    pub(crate) fn unwrap(
        &self,
        _value: &[u8],
        _headers: &[(&str, &[u8])],
        _out: &mut Vec<u8>,
    ) -> Result<Unwrapped, Reject> {
        Err(Reject::whole(RejectCode::NoEnvelope))
    }
}
