//! Records as the core applies them: the position of each and the digest of its event.
//!
//! Reading a message depends on that message alone, so it happens on every core; only applying has an order. See
//! [`crate::io::readers`] for the tasks.

mod attributes;

mod reader;

use std::sync::Arc;

use event::{EventTime, Partition};

use crate::{
    digest::{Digest, Digests, Refusal},
    read::Envelope,
};

pub use reader::{RecordReader, Unread};

/// The records of some messages of one response. Its memory is reused.
#[derive(Debug, Default)]
pub struct Records {
    /// All partitions that the reader knows.
    partitions: Arc<[Partition]>,
    records: Vec<Record>,
    digests: Digests,
}

/// One record.
#[derive(Debug)]
pub(crate) struct Record {
    /// An index into the partitions; [`NO_PARTITION`] if another producer published the message.
    partition: u32,
    /// Its offset in the partition.
    pub(crate) offset: u64,
    pub(crate) origin: Origin,
    /// The number of the redrive that published it, if one did.
    pub(crate) redrive: Option<u64>,
    /// The index of its digest, or why its event cannot be read.
    pub(crate) event: Result<u32, Box<Refusal>>,
}

/// When a record was written and published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// The record's timestamp; `None` if it is missing or not positive.
    pub(crate) kafka_time: Option<EventTime>,
    /// When Pub/Sub received the message.
    pub(crate) publish_time: EventTime,
}

const NO_PARTITION: u32 = u32::MAX;

impl Records {
    /// The number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Removes all records and keeps the allocated memory.
    pub fn clear(&mut self) {
        self.records.clear();
        self.digests.clear();
    }

    /// The records in their order, in runs of one partition.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &[Record]> {
        self.records.chunk_by(|one, other| one.partition == other.partition)
    }

    /// The partition of a record; `None` if another producer published the message.
    pub(crate) fn partition(&self, record: &Record) -> Option<&Partition> {
        self.partitions.get(record.partition as usize)
    }

    /// A digest by its index.
    #[inline]
    pub(crate) fn digest(&self, number: u32) -> Digest<'_> {
        self.digests.get(number as usize).expect("a record with a digest has its index")
    }
}

impl Origin {
    /// What the reader of an event has to know of its record.
    pub(crate) fn envelope<'a>(&self, topic: &'a str) -> Envelope<'a> {
        Envelope { topic, kafka_time: self.kafka_time, publish_time: self.publish_time }
    }
}

#[cfg(test)]
mod tests;
