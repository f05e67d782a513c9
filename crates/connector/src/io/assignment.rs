//! The partitions that the reader holds, with the next offset of each.

use std::{sync::Arc, time::Instant};

use event::Partition;
use rustc_hash::FxHashMap;

use crate::{message::Origin, slot::Slot, start::Start};

/// One partition that is held.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) slot: Slot,
    pub(crate) origin: Origin,
    /// The next offset to be read.
    pub(crate) next: u64,
    /// Whether librdkafka's position is known to belong to this assignment: right after one it may still be that of
    /// an older assignment of the same partition, and would pass over records that were never read.
    pub(crate) is_position_trusted: bool,
    /// When it was assigned, or its position was last set.
    pub(crate) since: Instant,
}

impl Held {
    /// Topic and partition.
    pub(crate) fn place(&self) -> (Arc<str>, i32) {
        (self.slot.topic.clone(), self.slot.partition)
    }
}

/// All partitions that are held.
#[derive(Debug, Default)]
pub(crate) struct Assignment {
    topics: Vec<Arc<str>>,
    held: FxHashMap<(usize, i32), Held>,
    generation: u64,
}

impl Assignment {
    pub(crate) fn new(topics: Vec<Arc<str>>) -> Self {
        Self { topics, held: FxHashMap::default(), generation: 0 }
    }

    /// Takes a partition up; gives the new slot.
    pub(crate) fn add(
        &mut self,
        topic: &Arc<str>,
        partition: i32,
        start: &Start,
        now: Instant,
    ) -> Option<Slot> {
        let index = self.index(topic)?;
        self.generation += 1;
        let slot = Slot { topic: topic.clone(), partition, generation: self.generation };
        let life = Partition { topic: topic.clone(), incarnation: start.incarnation.clone(), partition };
        let held = Held {
            slot: slot.clone(),
            origin: Origin::new(life),
            next: start.offset,
            is_position_trusted: false,
            since: now,
        };
        self.held.insert((index, partition), held);
        Some(slot)
    }

    /// Lets a partition go; gives its slot.
    pub(crate) fn remove(&mut self, topic: &str, partition: i32) -> Option<Slot> {
        let index = self.index(topic)?;
        self.held.remove(&(index, partition)).map(|held| held.slot)
    }

    pub(crate) fn get(&mut self, topic: &str, partition: i32) -> Option<&mut Held> {
        let index = self.index(topic)?;
        self.held.get_mut(&(index, partition))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.held.values()
    }

    pub(crate) fn slots(&self) -> Vec<Slot> {
        self.held.values().map(|held| held.slot.clone()).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn index(&self, topic: &str) -> Option<usize> {
        self.topics.iter().position(|known| **known == *topic)
    }
}
