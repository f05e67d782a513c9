//! Fills batches: records of any partitions, in the order in which they were read, until a publish request is full. The
//! messages of a lane lie together, because a request takes only one lane. A message holds one record, or is a pack.
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
    /// The position of each published record, message by message: an index into the parts of `read`, and the offset.
    pub places: Vec<(u32, u64)>,
    /// Where in `places` the records of each message end; empty if every message holds one.
    pub ends: Vec<usize>,
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

    /// Number of messages so far.
    pub fn messages(&self) -> usize {
        self.batch.messages.len()
    }

    /// Their encoded size.
    pub fn bytes(&self) -> usize {
        self.batch.bytes
    }

    /// Whether the batch contains no record.
    pub fn is_empty(&self) -> bool {
        self.batch.read.records == 0
    }

    /// Adds a record with its message.
    pub fn data(&mut self, slot: &Slot, offset: u64, message: Message) {
        self.packed(slot, offset);
        self.message(slot, std::iter::once(offset), message);
    }

    /// Adds a record whose message follows.
    pub fn packed(&mut self, slot: &Slot, offset: u64) {
        let part = self.part(slot);
        let entries = &mut self.batch.read.parts[part].entries;
        match entries.last_mut() {
            Some(Entry::Data(run)) if run.end == offset => run.end += 1,
            _ => entries.push(Entry::Data(offset..offset + 1)),
        }
        self.batch.read.records += 1;
    }

    /// Adds the message of records that were added.
    pub fn message(&mut self, slot: &Slot, offsets: impl Iterator<Item = u64>, message: Message) {
        let (part, batch) = (self.part(slot) as u32, &mut self.batch);
        batch.bytes += message.wire_len();
        batch.places.extend(offsets.map(|offset| (part, offset)));
        batch.messages.push(message);
        // From the first pack on.
        if !batch.ends.is_empty() || batch.places.len() != batch.messages.len() {
            if batch.ends.is_empty() {
                batch.ends.extend(1..batch.messages.len());
            }
            batch.ends.push(batch.places.len());
        }
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
    /// Packs have one lane.
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

    /// The positions of a message's records.
    pub fn records(&self, message: usize) -> impl Iterator<Item = (Slot, u64)> {
        let range = match self.ends.get(message) {
            None => message..message + 1,
            Some(end) => message.checked_sub(1).map_or(0, |before| self.ends[before])..*end,
        };
        let places = self.places[range].iter();
        places.map(|(part, offset)| (self.read.parts[*part as usize].slot.clone(), *offset))
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
            let offsets: Vec<u64> =
                range.flat_map(|message| batch.records(message)).map(|(_, o)| o).collect();
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
    fn packs_and_single_messages_know_their_records() {
        let settings: AnonymiseSettings = toml::from_str("forward = \"all\"").expect("settings");
        let mut anonymiser = Anonymiser::new(&settings, None, None).expect("rules");
        let partition = Partition { topic: "t".into(), incarnation: Incarnation::from("i"), partition: 0 };
        let (mut encoder, origin) = (Encoder::default(), Origin::new(partition));
        let raw = Raw { topic: "t", value: Some(b"{}"), key: None, headers: &[] };
        let event = anonymiser.anonymise(&raw).expect("an event");
        let slots =
            [0, 1].map(|partition| Slot { topic: "t".into(), partition, generation: 1 + partition as u64 });
        // By how many records the messages hold.
        for sizes in [&[1, 1, 1][..], &[3], &[1, 2, 1, 4], &[2, 1, 1]] {
            let (mut builder, mut next, mut expected) = (BatchBuilder::new(1 << 20), 0, Vec::new());
            for (number, size) in sizes.iter().enumerate() {
                let (slot, offsets) = (&slots[number % 2], next..next + size);
                next += size;
                offsets.clone().for_each(|offset| builder.packed(slot, offset));
                let message =
                    Message::new(&mut encoder, &event, &origin, offsets.start, None).expect("small");
                builder.message(slot, offsets.clone(), message);
                expected.push(offsets.map(|offset| (slot.clone(), offset)).collect::<Vec<_>>());
            }
            let batch = builder.take().expect("records");
            let found: Vec<Vec<_>> =
                (0..sizes.len()).map(|message| batch.records(message).collect()).collect();
            assert_eq!(found, expected);
            assert_eq!(batch.places.len(), next as usize);
        }
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
