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
        if self.messages.is_sorted_by_key(Message::lane) {
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

#[cfg(test)]
mod tests {
    use event::{Incarnation, Partition};
    use pubsub::Encoder;

    use super::*;
    use crate::{
        anonymise::{AnonymiseSettings, Anonymiser, Raw},
        message::Origin,
        outgoing::Outgoing,
    };

    /// The messages of a batch, as the keys of their lanes with their offsets.
    fn check(events: &[&str], expected: &[(&str, &[u64])]) {
        let pubsub =
            "project = 'test-project'\ntopic = 'e-{/t}'\ntopics = ['e-1', 'e-2']\nordering_key = '/k'";
        let outgoing = Outgoing::new(&toml::from_str(pubsub).expect("settings"));
        let settings: AnonymiseSettings = toml::from_str("forward = \"all\"").expect("settings");
        let mut anonymiser = Anonymiser::new(&settings, None, None).expect("rules").with_outgoing(outgoing);
        let partition = Partition { topic: "t".into(), incarnation: Incarnation::from("i"), partition: 0 };
        let (mut encoder, origin) = (Encoder::default(), Origin::new(partition));
        let slot = Slot { topic: "t".into(), partition: 0, generation: 1 };
        let mut builder = BatchBuilder::new(1 << 20);
        for (offset, event) in (0..).zip(events) {
            let raw = Raw { topic: "t", value: Some(event.as_bytes()), key: None, headers: &[] };
            let event = anonymiser.anonymise(&raw).expect("an event");
            let message = Message::new(&mut encoder, &event, &origin, offset, None).expect("small");
            builder.data(&slot, offset, message);
        }
        let batch = builder.take().expect("records");
        let lane = |range: Range<usize>| {
            let lane = batch.messages[range.start].lane();
            let offsets: Vec<u64> = range.map(|message| batch.place(message).1).collect();
            (format!("{}{}", lane.topic(), lane.key()), offsets)
        };
        let found: Vec<_> = lanes(&batch.messages).into_iter().map(lane).collect();
        let expected: Vec<_> =
            expected.iter().map(|(lane, offsets)| ((*lane).to_owned(), offsets.to_vec())).collect();
        assert_eq!(found, expected);
        let entries = &batch.read.parts[0].entries;
        assert_eq!(*entries, [Entry::Data(0..events.len() as u64)], "the ledger sees the order of the log");
    }

    #[test]
    fn a_lane_keeps_the_order_of_the_log() {
        let [a1, b1, a2, none] =
            [r#"{"t":1,"k":"a"}"#, r#"{"t":1,"k":"b"}"#, r#"{"t":2,"k":"a"}"#, r#"{"t":1}"#];
        check(&[a1, a1, a1], &[("0a", &[0, 1, 2])]);
        check(
            &[b1, a1, a2, none, a1, b1, none, a2],
            &[("0", &[3, 6]), ("0a", &[1, 4]), ("0b", &[0, 5]), ("1a", &[2, 7])],
        );
    }
}
