//! Reads messages: the attributes that position each record, and the digest of its event. A message holds one record, or
//! is a pack; see [`pubsub::pack`] for the layout.

use std::sync::Arc;

use event::{EventTime, Partition, wire};
use pubsub::{
    Malformed, Message,
    pack::{self, Offsets, Unpacker},
};

use super::{
    NO_PARTITION, Origin, Record, Records,
    attributes::{Attributes, Partitions, kafka_time},
};
use crate::{digest::Refusal, read::Reader};

/// Reads messages on one thread.
#[derive(Debug)]
pub struct RecordReader {
    reader: Reader,
    partitions: Partitions,
    /// The same, as records have them.
    known: Arc<[Partition]>,
    /// `None` until the first pack arrives.
    unpacker: Option<Unpacker>,
}

/// A message whose attributes name a format.
#[derive(Clone, Copy, Debug)]
struct Pack<'a> {
    /// The offsets of its records, as the attribute has them.
    offsets: Option<&'a [u8]>,
    /// The records.
    payload: &'a [u8],
}

/// Why a message cannot be read. It must not be acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is not a message.
    Malformed(Malformed),
    /// A newer connector wrote it, in this format.
    Newer(String),
}

const PACK: &[u8] = pack::FORMAT.as_bytes();
const REDRIVEN: &[u8] = wire::REDRIVEN.as_bytes();

/// The reason of each offset whose record a damaged pack should hold.
const DAMAGED: &str = "damaged-pack";

impl RecordReader {
    /// Reads the events for the flows of this reader.
    pub fn new(reader: Reader) -> Self {
        Self { reader, partitions: Partitions::default(), known: Arc::default(), unpacker: None }
    }

    /// Adds the records of an encoded `PubsubMessage`.
    ///
    /// # Errors
    /// If the message cannot be read at all. What was added before stays.
    pub fn message(&mut self, encoded: &[u8], into: &mut Records) -> Result<(), Unread> {
        let mut attributes = Attributes::default();
        let message = Message::read(encoded, |name, value| attributes.add(name, value));
        let message = message.map_err(Unread::Malformed)?;
        let partition = self.partition(&attributes, into);
        let publish_time = message.publish_time;
        let redrive = match attributes.format {
            None => None,
            // Without a number, it is a record as any other.
            Some(REDRIVEN) => attributes.redrive,
            Some(PACK) => {
                let pack = Pack { offsets: attributes.offsets, payload: message.data };
                self.pack(partition, &pack, publish_time, into);
                return Ok(());
            }
            Some(format) => return Err(Unread::Newer(String::from_utf8_lossy(format).into_owned())),
        };
        // A position is both.
        let (partition, offset) = partition.zip(attributes.offset).unwrap_or((NO_PARTITION, 0));
        let origin = Origin { kafka_time: attributes.kafka_time(), publish_time };
        self.event((partition, offset), (origin, redrive), message.data, into);
        Ok(())
    }

    /// Adds the records of a pack. If it is damaged, each of its offsets is refused; without attributes that name them,
    /// the message is.
    fn pack(&mut self, partition: Option<u32>, pack: &Pack<'_>, publish_time: EventTime, into: &mut Records) {
        let offsets = pack.offsets.and_then(|text| str::from_utf8(text).ok()?.parse::<Offsets>().ok());
        let unread = Origin { kafka_time: None, publish_time };
        let Some((partition, offsets)) = partition.zip(offsets) else {
            return refuse((NO_PARTITION, 0), unread, into);
        };
        let mut unpacker = self.unpacker.take().unwrap_or_default();
        match unpacker.unpack(&offsets, pack.payload) {
            Ok(unpacked) => {
                for (offset, timestamp, event) in unpacked.events() {
                    let origin = Origin { kafka_time: timestamp.and_then(kafka_time), publish_time };
                    self.event((partition, offset), (origin, None), event, into);
                }
            }
            Err(pack::Damaged) => {
                offsets.iter().for_each(|offset| refuse((partition, offset), unread, into));
            }
        }
        self.unpacker = Some(unpacker);
    }

    #[inline]
    fn event(
        &mut self,
        (partition, offset): (u32, u64),
        (origin, redrive): (Origin, Option<u64>),
        payload: &[u8],
        into: &mut Records,
    ) {
        let topic = into.partitions.get(partition as usize).map_or("", |partition| &*partition.topic);
        let number = into.digests.len() as u32;
        let event = match self.reader.read(payload, &origin.envelope(topic), &mut into.digests) {
            Ok(()) => Ok(number),
            Err(refusal) => Err(Box::new(refusal)),
        };
        into.records.push(Record { partition, offset, origin, redrive, event });
    }

    /// The index of the partition that the attributes name.
    fn partition(&mut self, attributes: &Attributes<'_>, into: &mut Records) -> Option<u32> {
        let number = self.partitions.number(attributes)?;
        if number as usize >= self.known.len() {
            self.known = self.partitions.all().into();
        }
        // The records may have been filled by another reader before, and have its partitions.
        if !Arc::ptr_eq(&into.partitions, &self.known) {
            into.partitions = self.known.clone();
        }
        Some(number)
    }
}

fn refuse((partition, offset): (u32, u64), origin: Origin, into: &mut Records) {
    let event = Err(Box::new(Refusal { reason: DAMAGED, pointer: None }));
    into.records.push(Record { partition, offset, origin, redrive: None, event });
}
