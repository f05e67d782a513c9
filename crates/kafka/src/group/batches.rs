//! The batches of the polling thread: the one that the intake fills, and those that wait for a permit.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use event::Partition;

use super::{
    Admission, Intake,
    assignment::{Assignment, Held},
};
use crate::{Record, TopicPartition};

/// How long the first record of a batch waits for others, unless the intake says otherwise.
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

    /// Takes a record; drops it if it was read before, or if its partition is not assigned. Returns whether its partition
    /// has begun to wait for the intake.
    pub(super) fn take(&mut self, record: &Record<'_>, assignment: &mut Assignment<I::Origin>) -> bool {
        let Some(held) = assignment.get(record.topic(), record.partition()) else { return false };
        held.is_position_trusted = true;
        // A record that was in flight while the partition was paused arrives twice.
        if record.offset < held.expected() {
            return false;
        }
        let was_waiting = held.is_waiting();
        if was_waiting || !self.offer(record, held) {
            held.waiting.push_back(record.detach());
        }
        held.is_waiting() && !was_waiting
    }

    /// Gives waiting records to the intake again, in order, until one of the partition has to wait. Returns the partitions
    /// of which no record waits any more.
    pub(super) fn take_waiting(&mut self, assignment: &mut Assignment<I::Origin>) -> Vec<TopicPartition> {
        let mut resumed = Vec::new();
        for held in assignment.iter_mut().filter(|held| held.is_waiting()) {
            while let Some(record) = held.waiting.pop_front() {
                if !self.offer(&record.record(), held) {
                    held.waiting.push_front(record);
                    break;
                }
            }
            if !held.is_waiting() {
                resumed.push(held.topic_partition());
            }
        }
        resumed
    }

    /// Whether the intake has taken the record.
    fn offer(&mut self, record: &Record<'_>, held: &mut Held<I::Origin>) -> bool {
        let was_empty = self.intake.is_empty();
        let Admission::Taken(full) = self.intake.take(record, &held.slot, &held.origin) else { return false };
        held.next = record.offset + 1;
        if was_empty {
            self.since = Some(Instant::now());
        }
        if let Some(batch) = full {
            self.full.push_back(batch);
            // The record may be the first of the next batch.
            self.since = (!self.intake.is_empty()).then(Instant::now);
        }
        true
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
        let linger = self.intake.linger().unwrap_or(LINGER);
        self.since.map(|since| linger.saturating_sub(since.elapsed()))
    }
}
