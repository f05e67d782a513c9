//! The batches of the polling thread: the one that the intake fills, and those that wait for a permit.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use event::Partition;
use rdkafka::{Message as _, message::BorrowedMessage};

use super::{Intake, assignment::Assignment};
use crate::Record;

/// How long the first record of a batch waits for others.
const LINGER: Duration = Duration::from_millis(10);

/// Passes records to an intake and queues its batches.
pub(super) struct Batches<I: Intake> {
    intake: I,
    /// When the first record of the current batch arrived; `None` while it is empty.
    since: Option<Instant>,
    /// Finished batches, the oldest first.
    full: VecDeque<I::Batch>,
}

impl<I: Intake> Batches<I> {
    pub(super) fn new(intake: I) -> Self {
        Self { intake, since: None, full: VecDeque::new() }
    }

    /// What the intake prepares for a partition.
    pub(super) fn origin(&self, partition: Partition) -> I::Origin {
        self.intake.origin(partition)
    }

    /// Takes a record; drops it if it was read before, or if its partition is not assigned.
    pub(super) fn take(&mut self, message: &BorrowedMessage<'_>, assignment: &mut Assignment<I::Origin>) {
        let Some(held) = assignment.get(message.topic(), message.partition()) else { return };
        let record = Record::borrowed(message);
        held.is_position_trusted = true;
        // A record that was in flight while the partition was paused arrives twice.
        if record.offset < held.next {
            return;
        }
        held.next = record.offset + 1;
        if self.intake.is_empty() {
            self.since = Some(Instant::now());
        }
        if let Some(batch) = self.intake.take(&record, &held.slot, &held.origin) {
            self.full.push_back(batch);
            // The record may be the first of the next batch.
            self.since = (!self.intake.is_empty()).then(Instant::now);
        }
    }

    /// Finishes the current batch.
    pub(super) fn close(&mut self) {
        self.since = None;
        self.full.extend(self.intake.close());
    }

    /// The oldest finished batch.
    pub(super) fn pop(&mut self) -> Option<I::Batch> {
        self.full.pop_front()
    }

    /// Whether a batch is finished.
    pub(super) fn has_full(&self) -> bool {
        !self.full.is_empty()
    }

    /// Puts a batch back that could not be handed over.
    pub(super) fn push_back(&mut self, batch: I::Batch) {
        self.full.push_front(batch);
    }

    /// How long the current batch may still wait; `None` while it is empty.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.since.map(|since| LINGER.saturating_sub(since.elapsed()))
    }
}
