//! Fills batches: records of any partitions, in the order in which they were read, until a publish request is full. The
//! messages of a lane lie together, because a request takes only one lane.
//!
//! Pure. The caller decides when a batch that is not full is sent, and holds the permits for its bytes.

use std::{collections::BTreeMap, mem, ops::Range, sync::Arc};

use kafka::Slot;
use pubsub::limits;

use crate::{
    core::{BatchId, Entry, Read, ReadPart, Reject},
    message::Message,
};

/// A batch, and the records that it was made from.
#[derive(Debug, Default)]
pub struct Batch {
    /// The data messages, lane by lane, and within a lane in the order in which they were read; empty if every record was rejected or filtered.
    pub messages: Vec<Message>,
    /// The position of each message's record: an index into the parts of `read`, and the offset.
    pub places: Vec<(u32, u64)>,
    /// Encoded size of the messages.
    pub bytes: usize,
    /// The records that were read.
    pub read: Read,
}

/// The batch that is being filled.
#[derive(Debug)]
pub struct BatchBuilder {
    limit: usize,
    next_id: u64,
    batch: Batch,
}

impl BatchBuilder {
    /// No batch is larger than `limit` bytes (unless a single message is), or than a publish request may be.
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.min(limits::MAX_BYTES), next_id: 1, batch: Batch::default() }
    }

    /// Whether the batch has to be taken before a message of this size is added.
    pub fn is_full_for(&self, bytes: usize) -> bool {
        let messages = self.batch.messages.len();
        messages > 0 && !limits::fits(messages, self.batch.bytes + limits::MAX_BYTES - self.limit, bytes)
    }

    /// Whether the batch has to be taken now.
    pub fn is_full(&self) -> bool {
        self.batch.messages.len() >= limits::MAX_MESSAGES
            || self.batch.read.records >= 10 * limits::MAX_MESSAGES as u64
    }

    /// Whether the batch contains no record.
    pub fn is_empty(&self) -> bool {
        self.batch.read.records == 0
    }

    /// Adds a data message.
    pub fn data(&mut self, slot: &Slot, offset: u64, message: Message) {
        let part = self.part(slot);
        let entries = &mut self.batch.read.parts[part].entries;
        match entries.last_mut() {
            Some(Entry::Data(run)) if run.end == offset => run.end += 1,
            _ => entries.push(Entry::Data(offset..offset + 1)),
        }
        self.batch.read.records += 1;
        self.batch.bytes += message.wire_len();
        self.batch.messages.push(message);
        self.batch.places.push((part as u32, offset));
    }

    /// Adds a record that the filter excludes.
    pub fn filtered(&mut self, slot: &Slot, offset: u64) {
        let part = self.part(slot);
        let entries = &mut self.batch.read.parts[part].entries;
        match entries.last_mut() {
            Some(Entry::Filtered(run)) if run.end == offset => run.end += 1,
            _ => entries.push(Entry::Filtered(offset..offset + 1)),
        }
        self.batch.read.records += 1;
    }

    /// Adds a rejected record.
    pub fn reject(&mut self, slot: &Slot, offset: u64, code: &'static str, pointer: Option<Arc<str>>) {
        let part = self.part(slot);
        let index = self.batch.read.records;
        let reject = Reject { offset, index, code, pointer };
        self.batch.read.parts[part].entries.push(Entry::Reject(reject));
        self.batch.read.records += 1;
    }

    /// Takes the batch and begins the next one. `None` if it contains no record.
    pub fn take(&mut self) -> Option<Batch> {
        if self.is_empty() {
            return None;
        }
        let mut batch = mem::take(&mut self.batch);
        batch.sort_lanes();
        if !batch.messages.is_empty() {
            batch.read.batch = Some(BatchId(self.next_id));
            self.next_id += 1;
        }
        Some(batch)
    }

    /// The part of a slot, which is identified by its generation alone.
    fn part(&mut self, slot: &Slot) -> usize {
        let parts = &mut self.batch.read.parts;
        if let Some(index) = parts.iter().rposition(|part| part.slot.generation == slot.generation) {
            return index;
        }
        parts.push(ReadPart { slot: slot.clone(), entries: Vec::new() });
        parts.len() - 1
    }
}

impl Batch {
    fn sort_lanes(&mut self) {
        if lanes(&self.messages).len() <= 1 {
            return;
        }
        let places = mem::take(&mut self.places);
        let mut messages: Vec<_> = mem::take(&mut self.messages).into_iter().zip(places).collect();
        // Stable: the order within a lane is what an ordering key promises.
        messages.sort_by(|(a, _), (b, _)| a.lane().cmp(b.lane()));
        (self.messages, self.places) = messages.into_iter().unzip();
    }

    /// The position of a message's record.
    pub fn place(&self, message: usize) -> (Slot, u64) {
        let (part, offset) = self.places[message];
        (self.read.parts[part as usize].slot.clone(), offset)
    }
}

/// The messages of each run of one lane. Sorted messages have one run for each lane.
pub fn lanes(messages: &[Message]) -> Vec<Range<usize>> {
    let mut end = 0;
    let run = |run: &[Message]| {
        let start = end;
        end += run.len();
        start..end
    };
    messages.chunk_by(|a, b| a.lane() == b.lane()).map(run).collect()
}

/// Number of filtered records.
pub fn filtered(read: &Read) -> u64 {
    let length = |entry: &Entry| match entry {
        Entry::Filtered(run) => run.end - run.start,
        Entry::Data(_) | Entry::Reject(_) => 0,
    };
    read.parts.iter().flat_map(|part| &part.entries).map(length).sum()
}

/// Number of rejected records by code.
pub fn rejects(read: &Read) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for entry in read.parts.iter().flat_map(|part| &part.entries) {
        if let Entry::Reject(reject) = entry {
            *counts.entry(reject.code).or_default() += 1;
        }
    }
    counts
}
