//! The partitions that the reader holds, with the next offset of each.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use event::{Incarnation, Partition};
use rustc_hash::FxHashMap;

use super::{slot::Slot, start::Start};
use crate::{OwnedRecord, TopicPartition};

/// One partition that is held. `O` is the intake's origin.
pub(super) struct Held<O> {
    pub(super) slot: Slot,
    pub(super) incarnation: Incarnation,
    pub(super) origin: O,
    /// The next offset to be taken by the intake.
    pub(super) next: u64,
    /// Records that the intake could not take yet, in the order of their offsets; the first one is at `next`. While there
    /// are any, the partition is paused. It is one record, and those that librdkafka returns in spite of the pause:
    /// dropping them would lose them, because librdkafka continues after what it has returned.
    pub(super) waiting: VecDeque<OwnedRecord>,
    /// Whether librdkafka's position is known to belong to this assignment: right after one it may still be that of an
    /// older assignment of the same partition, and would pass over records that were never read.
    pub(super) is_position_trusted: bool,
    /// When it was assigned, or its position was last set.
    pub(super) since: Instant,
}

impl<O> Held<O> {
    /// Topic and partition.
    pub(super) fn topic_partition(&self) -> TopicPartition {
        (self.slot.topic.clone(), self.slot.partition)
    }

    /// Whether a record waits for the intake, so that nothing else of the partition may be read.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The lowest offset that was not received.
    pub(super) fn expected(&self) -> u64 {
        self.waiting.back().map_or(self.next, |last| last.record().offset + 1)
    }
}

/// All partitions that are held.
pub(super) struct Assignment<O> {
    topics: Vec<Arc<str>>,
    /// By the index of the topic and the number of the partition: found for every record, without a copy of the name.
    held: FxHashMap<(usize, i32), Held<O>>,
    generation: u64,
}

impl<O> Assignment<O> {
    pub(super) fn new(topics: Vec<Arc<str>>) -> Self {
        Self { topics, held: FxHashMap::default(), generation: 0 }
    }

    /// Adds a partition and returns its new slot; `None` if its topic is not configured.
    pub(super) fn add(
        &mut self,
        (topic, partition): &TopicPartition,
        start: &Start,
        now: Instant,
        origin: impl FnOnce(Partition) -> O,
    ) -> Option<Slot> {
        let index = self.index(topic)?;
        self.generation += 1;
        let slot = Slot { topic: topic.clone(), partition: *partition, generation: self.generation };
        let incarnation = start.incarnation.clone();
        let origin = origin(Partition {
            topic: topic.clone(),
            incarnation: incarnation.clone(),
            partition: *partition,
        });
        let held = Held {
            slot: slot.clone(),
            incarnation,
            origin,
            next: start.offset,
            waiting: VecDeque::new(),
            is_position_trusted: false,
            since: now,
        };
        self.held.insert((index, *partition), held);
        Some(slot)
    }

    /// Removes a partition.
    pub(super) fn remove(&mut self, topic: &str, partition: i32) {
        if let Some(index) = self.index(topic) {
            self.held.remove(&(index, partition));
        }
    }

    pub(super) fn get(&mut self, topic: &str, partition: i32) -> Option<&mut Held<O>> {
        let index = self.index(topic)?;
        self.held.get_mut(&(index, partition))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Held<O>> {
        self.held.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Held<O>> {
        self.held.values_mut()
    }

    pub(super) fn slots(&self) -> Vec<Slot> {
        self.held.values().map(|held| held.slot.clone()).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn index(&self, topic: &str) -> Option<usize> {
        self.topics.iter().position(|known| **known == *topic)
    }
}
