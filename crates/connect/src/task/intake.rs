//! From a record of Kafka to a batch of messages. Records are transformed on the thread that polls them, so that raw bytes
//! never leave it.

use std::{ops::Range, time::Duration};

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
    /// Encoded size of the messages.
    pub(super) bytes: usize,
    /// The offsets that the batch accounts for.
    pub(super) runs: Vec<(Slot, Range<u64>)>,
    /// How many records.
    pub(super) counts: Counts,
    /// Records that are skipped because of an error, up to a number.
    pub(super) skipped: Vec<(Slot, u64, DataError)>,
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

/// How many skipped records of a batch are logged and written as dead letters one by one: all of them, because a batch
/// has no more.
const MOST_RECORDS: u64 = 10_000;

pub(super) struct Intake {
    pipeline: Pipeline,
    limits: Limits,
    skips_errors: bool,
    batch: Batch,
    /// A record has failed, and nothing after it is read.
    has_failed: bool,
}

impl Intake {
    pub(super) fn new(pipeline: Pipeline, limits: Limits, skips_errors: bool) -> Self {
        Self { pipeline, limits, skips_errors, batch: Batch::default(), has_failed: false }
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
            true => record.headers().map(|(name, value)| (name, Some(value))).collect(),
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
        let mut full = None;
        if let Ok(Outcome::Message(message)) = &outcome
            && !self.batch.messages.is_empty()
            && self.batch.bytes + message.out().wire_len() > self.limits.bytes
        {
            full = self.close();
        }
        self.batch.add(slot, record.offset, outcome, self.skips_errors);
        self.has_failed = self.batch.failure.is_some();
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
    fn add(&mut self, slot: &Slot, offset: u64, outcome: Result<Outcome, DataError>, skips_errors: bool) {
        let outcome = match outcome {
            Err(error) if !skips_errors => {
                self.failure = Some((slot.clone(), offset, error));
                return;
            }
            outcome => outcome,
        };
        self.counts.records += 1;
        let run = self.run(slot, offset);
        match outcome {
            Ok(Outcome::Message(message)) => {
                self.bytes += message.out().wire_len();
                self.messages.push(message);
                self.places.push((run, offset));
            }
            Ok(Outcome::Dropped) => self.counts.dropped += 1,
            Ok(Outcome::Empty) => self.counts.empty += 1,
            Err(error) => {
                self.counts.failed += 1;
                self.skipped.push((slot.clone(), offset, error));
            }
        }
    }

    /// The run with this offset. A gap before it had no records.
    fn run(&mut self, slot: &Slot, offset: u64) -> usize {
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
