//! What the attributes of a message say about its record.

use event::{EventTime, Incarnation, Partition, wire};

/// The attributes that matter, as they are in the message.
#[derive(Debug, Default)]
pub(super) struct Attributes<'a> {
    topic: Option<&'a [u8]>,
    incarnation: Option<&'a [u8]>,
    partition: Option<i32>,
    timestamp: Option<i64>,
    /// The record's offset.
    pub(super) offset: Option<u64>,
    /// The offsets of a message that holds several records.
    pub(super) offsets: Option<&'a [u8]>,
    /// The format of a message that is not one JSON event.
    pub(super) format: Option<&'a [u8]>,
    /// The number of the redrive that published the message.
    pub(super) redrive: Option<u64>,
}

/// The partitions that messages name, so that a message needs no allocation for its own.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    known: Vec<Partition>,
    last: usize,
}

const TOPIC: &[u8] = wire::TOPIC.as_bytes();
const INCARNATION: &[u8] = wire::INCARNATION.as_bytes();
const PARTITION: &[u8] = wire::PARTITION.as_bytes();
const OFFSET: &[u8] = wire::OFFSET.as_bytes();
const OFFSETS: &[u8] = wire::OFFSETS.as_bytes();
const TIMESTAMP: &[u8] = wire::TIMESTAMP.as_bytes();
const REDRIVE: &[u8] = wire::REDRIVE.as_bytes();
const FORMAT: &[u8] = wire::FORMAT.as_bytes();

impl<'a> Attributes<'a> {
    /// Adds an attribute.
    #[inline]
    pub(super) fn add(&mut self, name: &'a [u8], value: &'a [u8]) {
        match name {
            TOPIC => self.topic = Some(value),
            INCARNATION => self.incarnation = Some(value),
            PARTITION => self.partition = number(value),
            OFFSET => self.offset = number(value),
            OFFSETS => self.offsets = Some(value),
            TIMESTAMP => self.timestamp = number(value),
            FORMAT => self.format = Some(value),
            REDRIVE => self.redrive = number(value),
            _ => {}
        }
    }

    /// The record's timestamp; `None` if it is missing or not positive.
    pub(super) fn kafka_time(&self) -> Option<EventTime> {
        self.timestamp.and_then(kafka_time)
    }
}

impl Partitions {
    /// The number of the partition that the attributes name; `None` if another producer published the message.
    pub(super) fn number(&mut self, attributes: &Attributes<'_>) -> Option<u32> {
        let (topic, incarnation) = (attributes.topic?, attributes.incarnation?);
        let number = attributes.partition?;
        let same = |known: &Partition| {
            known.partition == number
                && known.topic.as_bytes() == topic
                && known.incarnation.0.as_bytes() == incarnation
        };
        if !self.known.get(self.last).is_some_and(same) {
            self.last = match self.known.iter().position(same) {
                Some(at) => at,
                None => {
                    self.known.push(Partition {
                        topic: str::from_utf8(topic).ok()?.into(),
                        incarnation: Incarnation::from(str::from_utf8(incarnation).ok()?),
                        partition: number,
                    });
                    self.known.len() - 1
                }
            };
        }
        Some(self.last as u32)
    }

    /// All of them, by number.
    pub(super) fn all(&self) -> &[Partition] {
        &self.known
    }
}

/// A timestamp of Kafka; one that is not positive counts as absent.
pub(super) fn kafka_time(millis: i64) -> Option<EventTime> {
    EventTime::from_millis(millis).filter(|_| millis > 0)
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    str::from_utf8(text).ok()?.parse().ok()
}
