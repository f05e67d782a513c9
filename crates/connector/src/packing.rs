//! `[pubsub] pack`: records of a partition that travel in one message.
//!
//! See [`pubsub::pack`] for the layout. Only [`Anonymised`] records can be added. Pure.

use std::time::Duration;

use event::wire;
use kafka::Slot;
use pubsub::{
    Attributes, Encoder,
    pack::{self, Compressor, Offsets, PackBuilder},
};

use crate::{
    anonymise::Anonymised,
    message::{Message, Origin},
};

/// How records are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// How long the first record of a pack waits for others.
    pub linger: Duration,
}

/// The packs of a batch that are being filled, one for each partition.
#[derive(Debug, Default)]
pub(crate) struct Packs {
    open: Vec<Open>,
    /// Where the last record went; the next one is most likely of the same partition.
    last: usize,
    /// Bytes that are not compressed yet.
    bytes: usize,
    /// Packs that are empty, for their memory.
    spare: Vec<PackBuilder>,
    compressor: Compressor,
}

#[derive(Debug)]
struct Open {
    slot: Slot,
    attributes: Attributes,
    pack: PackBuilder,
}

/// A finished pack, and the records in it.
pub(crate) type Finished = (Slot, Offsets, Message);

impl Packs {
    /// Whether the event may be part of a pack. Larger ones are published alone.
    pub(crate) fn takes(event: &Anonymised) -> bool {
        event.size() <= pack::MAX_EVENT
    }

    /// Adds a record. Returns the pack of its partition that was full before, if it was.
    pub(crate) fn push(
        &mut self,
        encoder: &mut Encoder,
        (slot, origin): (&Slot, &Origin),
        (offset, timestamp): (u64, Option<i64>),
        event: &Anonymised,
    ) -> Option<Finished> {
        self.last = self.place(slot, origin);
        let open = &mut self.open[self.last];
        self.bytes -= open.pack.contents();
        let finished = open.pack.is_full().then(|| {
            let (offsets, message) = open.finish(encoder, &mut self.compressor);
            (open.slot.clone(), offsets, message)
        });
        let headers = event.headers().iter().map(|(name, value)| (name, &**value));
        let key = (event.kafka_key(), event.key_id());
        open.pack.push(offset, timestamp, key, headers, event.data());
        self.bytes += open.pack.contents();
        finished
    }

    fn place(&mut self, slot: &Slot, origin: &Origin) -> usize {
        let is_of = |open: &Open| open.slot.generation == slot.generation;
        if self.open.get(self.last).is_some_and(is_of) {
            return self.last;
        }
        self.open.iter().position(is_of).unwrap_or_else(|| {
            let pack = self.spare.pop().unwrap_or_default();
            self.open.push(Open { slot: slot.clone(), attributes: origin.attributes().clone(), pack });
            self.open.len() - 1
        })
    }

    /// How many packs are not finished.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// An upper bound of what the unfinished packs add to a batch, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Finishes all packs.
    pub(crate) fn finish(&mut self, encoder: &mut Encoder) -> Vec<Finished> {
        let open = std::mem::take(&mut self.open);
        self.bytes = 0;
        let finish = |mut open: Open| {
            let (offsets, message) = open.finish(encoder, &mut self.compressor);
            self.spare.push(open.pack);
            (open.slot, offsets, message)
        };
        open.into_iter().map(finish).collect()
    }
}

impl Open {
    fn finish(&mut self, encoder: &mut Encoder, compressor: &mut Compressor) -> (Offsets, Message) {
        let (offsets, data) = self.pack.finish(compressor);
        let text = offsets.to_string();
        let own = [(wire::FORMAT, pack::FORMAT), (wire::OFFSETS, &*text)];
        let out = encoder.encode(data, &self.attributes, own.into_iter());
        (offsets, Message::of_pack(out.expect("a pack is far below the limits of a message")))
    }
}
