//! A record as other crates see it: borrowed fields, without librdkafka's types.

use std::{borrow::Cow, ffi::CStr};

use event::EventTime;
use rdkafka::{
    Message, Timestamp,
    message::{BorrowedHeaders, OwnedMessage},
};

use crate::client::{taken::Taken, unwrapped};

/// A record of a topic. It has no `Debug`, because key, value and headers can be personal data.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// Its offset in the partition.
    pub offset: u64,
    /// Kafka's timestamp. A missing or non-positive one is `None`.
    pub timestamp: Option<EventTime>,
    /// The key's bytes.
    pub key: Option<&'a [u8]>,
    /// The value's bytes; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    message: AnyMessage<'a>,
}

/// A record that owns its bytes.
pub struct OwnedRecord(OwnedMessage);

#[derive(Clone, Copy)]
enum AnyMessage<'a> {
    Taken(&'a Taken<'a>),
    Owned(&'a OwnedMessage),
}

/// Approximate bytes of a record besides its key and value.
const OVERHEAD: usize = 200;

impl<'a> Record<'a> {
    pub(crate) fn taken(message: &'a Taken<'a>) -> Self {
        Self::of(message, AnyMessage::Taken(message))
    }

    /// The name of its topic.
    pub(crate) fn topic(&self) -> &'a str {
        match self.message {
            AnyMessage::Taken(message) => message.topic(),
            AnyMessage::Owned(message) => message.topic(),
        }
    }

    /// The number of its partition.
    pub(crate) fn partition(&self) -> i32 {
        match self.message {
            AnyMessage::Taken(message) => message.partition(),
            AnyMessage::Owned(message) => message.partition(),
        }
    }

    /// A copy that outlives the consumer.
    pub(crate) fn detach(&self) -> OwnedRecord {
        OwnedRecord(match self.message {
            AnyMessage::Taken(message) => message.detach(),
            AnyMessage::Owned(message) => message.clone(),
        })
    }

    fn of(fields: &'a impl Message, message: AnyMessage<'a>) -> Self {
        let timestamp = match fields.timestamp() {
            Timestamp::NotAvailable => None,
            Timestamp::CreateTime(millis) | Timestamp::LogAppendTime(millis) => {
                (millis > 0).then_some(EventTime(millis))
            }
        };
        let offset = fields.offset().unsigned_abs();
        Self { offset, timestamp, key: fields.key(), value: fields.payload(), message }
    }

    /// The headers that have a value and a name that is UTF-8, in the order of the record. librdkafka parses the headers at
    /// this call, so a caller that needs none should not ask for them.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.raw_headers().filter_map(|(name, value)| Some((name.to_str().ok()?, value?)))
    }

    /// As [`Self::headers`], with those that have no value, and with replacement characters in names that are not UTF-8.
    pub fn all_headers(&self) -> impl Iterator<Item = (Cow<'a, str>, Option<&'a [u8]>)> + use<'a> {
        self.raw_headers().map(|(name, value)| (name.to_string_lossy(), value))
    }

    fn raw_headers(&self) -> impl Iterator<Item = (&'a CStr, Option<&'a [u8]>)> + use<'a> {
        let headers: Option<&'a BorrowedHeaders> = match self.message {
            AnyMessage::Taken(message) => message.headers(),
            AnyMessage::Owned(message) => message.headers().map(|headers| headers.as_borrowed()),
        };
        headers.into_iter().flat_map(unwrapped::headers)
    }
}

impl OwnedRecord {
    pub(crate) fn new(message: OwnedMessage) -> Self {
        Self(message)
    }

    /// Its fields.
    pub fn record(&self) -> Record<'_> {
        Record::of(&self.0, AnyMessage::Owned(&self.0))
    }

    /// Approximate bytes in memory.
    pub(crate) fn size(&self) -> usize {
        OVERHEAD + self.0.payload().map_or(0, <[u8]>::len) + self.0.key().map_or(0, <[u8]>::len)
    }
}
