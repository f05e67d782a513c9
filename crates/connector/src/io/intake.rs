//! From the record that librdkafka lends to a batch: anonymised at once, so that raw bytes never leave the thread.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use pubsub::Encoder;
use rdkafka::{
    Message as _, Timestamp,
    message::{BorrowedMessage, Headers},
};

use crate::{
    anonymise::{Anonymiser, Raw},
    batch::{Batch, BatchBuilder},
    io::assignment::{Assignment, Held},
    message::Message,
};

/// How long the first record of a batch waits for more.
const LINGER: Duration = Duration::from_millis(10);

/// Anonymises records and fills batches.
pub(crate) struct Intake {
    anonymiser: Anonymiser,
    encoder: Encoder,
    builder: BatchBuilder,
    /// When the first record of the present batch came.
    since: Option<Instant>,
    full: VecDeque<Batch>,
}

impl Intake {
    pub(crate) fn new(anonymiser: Anonymiser, batch_limit: usize) -> Self {
        Self {
            anonymiser,
            encoder: Encoder::default(),
            builder: BatchBuilder::new(batch_limit),
            since: None,
            full: VecDeque::new(),
        }
    }

    /// Takes a record of a partition that is held; drops it where it was read before or the partition is not ours.
    pub(crate) fn take(&mut self, record: &BorrowedMessage<'_>, assignment: &mut Assignment) {
        let Some(held) = assignment.get(record.topic(), record.partition()) else { return };
        let offset = record.offset().unsigned_abs();
        held.is_position_trusted = true;
        // A record that was under way while the partition was paused comes twice.
        if offset < held.next {
            return;
        }
        held.next = offset + 1;
        if self.builder.is_empty() {
            self.since = Some(Instant::now());
        }
        self.add(record, held, offset);
        if self.builder.is_full() {
            self.close();
        }
    }

    /// Ends the present batch.
    pub(crate) fn close(&mut self) {
        self.since = None;
        self.full.extend(self.builder.take());
    }

    /// The oldest batch that has ended.
    pub(crate) fn pop(&mut self) -> Option<Batch> {
        self.full.pop_front()
    }

    /// Whether a batch has ended.
    pub(crate) fn has_full(&self) -> bool {
        !self.full.is_empty()
    }

    /// Puts a batch back that could not be handed over.
    pub(crate) fn push_back(&mut self, batch: Batch) {
        self.full.push_front(batch);
    }

    /// How long the present batch may still wait; nothing while it is empty.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.since.map(|since| LINGER.saturating_sub(since.elapsed()))
    }

    fn add(&mut self, record: &BorrowedMessage<'_>, held: &Held, offset: u64) {
        let headers = self.headers(record);
        let raw =
            Raw { topic: record.topic(), value: record.payload(), key: record.key(), headers: &headers };
        let anonymised = match self.anonymiser.anonymise(&raw) {
            Ok(anonymised) => anonymised,
            Err(reject) => {
                return self.builder.reject(&held.slot, offset, reject.code.as_str(), reject.pointer);
            }
        };
        match Message::new(&mut self.encoder, &anonymised, &held.origin, offset, timestamp(record)) {
            Err(code) => self.builder.reject(&held.slot, offset, code, None),
            Ok(message) => {
                if self.builder.is_full_for(message.wire_len()) {
                    self.full.extend(self.builder.take());
                    self.since = Some(Instant::now());
                }
                self.builder.data(&held.slot, offset, message);
            }
        }
    }

    /// The headers that may pass and have a value.
    fn headers<'a>(&self, record: &'a BorrowedMessage<'_>) -> Vec<(&'a str, &'a [u8])> {
        let wanted = self.anonymiser.headers();
        if wanted.is_empty() {
            return Vec::new();
        }
        let headers = record.headers().into_iter().flat_map(Headers::iter);
        headers
            .filter(|header| wanted.iter().any(|name| **name == *header.key))
            .filter_map(|header| Some((header.key, header.value?)))
            .collect()
    }
}

/// A missing or non-positive timestamp counts as absent.
fn timestamp(record: &BorrowedMessage<'_>) -> Option<i64> {
    match record.timestamp() {
        Timestamp::NotAvailable => None,
        Timestamp::CreateTime(millis) | Timestamp::LogAppendTime(millis) => (millis > 0).then_some(millis),
    }
}
