//! From a record of Kafka to a batch of messages. Records are transformed on the thread that polls them, so that raw bytes
//! never leave it.

use std::{borrow::Cow, fmt, ops::Range, time::Duration};

use event::Partition;
use kafka::{Admission, Record, Slot};

use super::Limits;
use crate::{
    data::DataError,
    pipeline::{Message, Outcome, Pipeline, Raw},
};

/// Records that were read, and what was made of them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The messages, in the order in which they were read.
    pub(super) messages: Vec<Message>,
    /// The position of each message: an index into `runs`, and the offset.
    pub(super) places: Vec<(usize, u64)>,
    /// Size of the messages as they are encoded, and of what is kept of skipped records.
    pub(super) bytes: usize,
    /// The offsets that the batch accounts for.
    pub(super) runs: Vec<(Slot, Range<u64>)>,
    /// How many records.
    pub(super) counts: Counts,
    /// Records that are skipped because of an error.
    pub(super) skipped: Vec<Skipped>,
    /// A record that ends the task. The batch does not account for it or for anything behind it.
    pub(super) failure: Option<(Slot, u64, DataError)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) records: u64,
    pub(super) dropped: u64,
    pub(super) empty: u64,
    pub(super) failed: u64,
}

/// A record that is skipped.
#[derive(Debug)]
pub(super) struct Skipped {
    pub(super) slot: Slot,
    pub(super) offset: u64,
    pub(super) error: DataError,
    /// The record itself, if dead letters have it.
    pub(super) payload: Option<Payload>,
}

/// The content of a skipped record. It has no content in its `Debug`, because it can be personal data.
#[derive(Default)]
pub(super) struct Payload {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A batch has no more records, so that it ends even if none of them becomes a message.
const MOST_RECORDS: u64 = 10_000;

/// What a skipped record takes besides its content, so that a topic without one valid record is bounded, too.
const SKIPPED: usize = 512;

/// How a record with an error is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tolerance {
    /// It ends the task.
    None,
    /// It is skipped.
    Skip,
    /// It is skipped, and its content is kept for a dead letter.
    Keep,
}

pub(super) struct Intake {
    pipeline: Pipeline,
    limits: Limits,
    tolerance: Tolerance,
    batch: Batch,
    /// A record has failed, and nothing after it is read.
    has_failed: bool,
}

impl Intake {
    pub(super) fn new(pipeline: Pipeline, limits: Limits, tolerance: Tolerance) -> Self {
        Self { pipeline, limits, tolerance, batch: Batch::default(), has_failed: false }
    }

    fn is_full(&self) -> bool {
        self.batch.messages.len() >= self.limits.messages
            || self.batch.bytes >= self.limits.bytes
            || self.batch.counts.records >= MOST_RECORDS
            || self.batch.failure.is_some()
    }
}

impl kafka::Intake for Intake {
    type Origin = ();
    type Batch = Batch;

    fn origin(&self, _: Partition) {}

    fn take(&mut self, record: &Record<'_>, slot: &Slot, (): &()) -> Admission<Batch> {
        if self.has_failed {
            return Admission::Taken(None);
        }
        let headers = match self.pipeline.needs_headers() {
            true => record.all_headers().collect(),
            false => Vec::new(),
        };
        let raw = Raw {
            topic: &slot.topic,
            partition: slot.partition,
            offset: record.offset,
            timestamp: record.timestamp.map(|timestamp| timestamp.0),
            key: record.key,
            value: record.value,
            headers,
        };
        let outcome = self.pipeline.take(raw);
        if matches!(outcome, Ok(Outcome::Waits)) {
            return Admission::Waits;
        }
        let mut full = None;
        if let Ok(Outcome::Message(message)) = &outcome
            && !self.batch.messages.is_empty()
            && self.batch.bytes + message.out().wire_len() > self.limits.bytes
        {
            full = self.close();
        }
        match outcome {
            Err(error) if self.tolerance == Tolerance::None => {
                self.batch.failure = Some((slot.clone(), record.offset, error));
                self.has_failed = true;
            }
            Err(error) => {
                let payload = (self.tolerance == Tolerance::Keep).then(|| Payload::of(record));
                self.batch.skip(Skipped { slot: slot.clone(), offset: record.offset, error, payload });
            }
            Ok(outcome) => self.batch.add(slot, record.offset, outcome),
        }
        let full = full.or_else(|| if self.is_full() { self.close() } else { None });
        Admission::Taken(full)
    }

    fn is_empty(&self) -> bool {
        self.batch.counts.records == 0 && self.batch.failure.is_none()
    }

    fn close(&mut self) -> Option<Batch> {
        if kafka::Intake::is_empty(self) { None } else { Some(std::mem::take(&mut self.batch)) }
    }

    fn linger(&self) -> Option<Duration> {
        self.limits.linger
    }

    fn bytes(batch: &Batch) -> usize {
        batch.bytes
    }
}

impl Batch {
    fn add(&mut self, slot: &Slot, offset: u64, outcome: Outcome) {
        let run = self.run(slot, offset);
        match outcome {
            Outcome::Message(message) => {
                self.bytes += message.out().wire_len();
                self.messages.push(message);
                self.places.push((run, offset));
            }
            Outcome::Dropped => self.counts.dropped += 1,
            Outcome::Empty => self.counts.empty += 1,
            Outcome::Waits => unreachable!("it was not taken"),
        }
    }

    fn skip(&mut self, skipped: Skipped) {
        self.run(&skipped.slot, skipped.offset);
        self.counts.failed += 1;
        self.bytes += SKIPPED + skipped.payload.as_ref().map_or(0, Payload::size);
        self.skipped.push(skipped);
    }

    /// Counts a record, and returns the run with its offset. A gap before it had no records.
    fn run(&mut self, slot: &Slot, offset: u64) -> usize {
        self.counts.records += 1;
        if let Some((last, run)) = self.runs.last_mut()
            && last == slot
        {
            run.end = offset + 1;
            return self.runs.len() - 1;
        }
        self.runs.push((slot.clone(), offset..offset + 1));
        self.runs.len() - 1
    }
}

impl Payload {
    fn of(record: &Record<'_>) -> Self {
        let header =
            |(name, value): (Cow<'_, str>, Option<&[u8]>)| (name.into_owned(), value.map(<[u8]>::to_vec));
        Self {
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.all_headers().map(header).collect(),
        }
    }

    fn size(&self) -> usize {
        let length = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        let headers = self.headers.iter().map(|(name, value)| name.len() + length(value));
        length(&self.key) + length(&self.value) + headers.sum::<usize>()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a payload")
    }
}
