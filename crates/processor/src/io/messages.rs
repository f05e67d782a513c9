//! Reads the position of a record from the attributes of its Pub/Sub message.

use event::{EventTime, Incarnation, Partition, wire};
use pubsub::Message;

/// The partitions that messages name, interned so that a message needs no allocation for its own.
#[derive(Debug, Default)]
pub struct Partitions {
    known: Vec<Partition>,
    last: usize,
}

/// What a message's attributes say about its record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The partition; `None` if another producer published the message.
    pub partition: Option<&'a Partition>,
    /// The record's offset.
    pub offset: Option<u64>,
    /// The offsets of a message that holds several records.
    pub offsets: Option<&'a [u8]>,
    /// The record's timestamp; `None` if it is missing or not positive.
    pub kafka_time: Option<EventTime>,
    /// The format of a message that is not one JSON event.
    pub format: Option<&'a [u8]>,
    /// The number of the redrive that published the message.
    pub redrive: Option<u64>,
}

/// The attributes as bytes, in any order.
#[derive(Default)]
struct Named<'a> {
    topic: Option<&'a [u8]>,
    incarnation: Option<&'a [u8]>,
    partition: Option<i32>,
    offset: Option<u64>,
    offsets: Option<&'a [u8]>,
    timestamp: Option<i64>,
    format: Option<&'a [u8]>,
    redrive: Option<u64>,
}

impl<'a> Origin<'a> {
    /// The record's position in Kafka.
    pub fn position(&self) -> Option<(&'a Partition, u64)> {
        self.partition.zip(self.offset)
    }
}

impl Partitions {
    /// The origin of the message's record.
    pub fn origin<'a>(&'a mut self, message: &Message<'a>) -> Origin<'a> {
        let named = Named::of(message);
        let Named { offset, offsets, format, redrive, .. } = named;
        let kafka_time = named.timestamp.and_then(kafka_time);
        Origin { partition: self.partition(&named), offset, offsets, kafka_time, format, redrive }
    }

    fn partition(&mut self, named: &Named<'_>) -> Option<&Partition> {
        let (topic, incarnation, number) = (named.topic?, named.incarnation?, named.partition?);
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
        Some(&self.known[self.last])
    }
}

impl<'a> Named<'a> {
    /// Collects the attributes in one pass.
    fn of(message: &Message<'a>) -> Self {
        let mut named = Self::default();
        for (name, value) in message.attributes() {
            if name == wire::TOPIC.as_bytes() {
                named.topic = Some(value);
            } else if name == wire::PARTITION.as_bytes() {
                named.partition = number(value);
            } else if name == wire::OFFSET.as_bytes() {
                named.offset = number(value);
            } else if name == wire::OFFSETS.as_bytes() {
                named.offsets = Some(value);
            } else if name == wire::TIMESTAMP.as_bytes() {
                named.timestamp = number(value);
            } else if name == wire::INCARNATION.as_bytes() {
                named.incarnation = Some(value);
            } else if name == wire::FORMAT.as_bytes() {
                named.format = Some(value);
            } else if name == wire::REDRIVE.as_bytes() {
                named.redrive = number(value);
            }
        }
        named
    }
}

/// A timestamp of Kafka; one that is not positive counts as absent.
pub(crate) fn kafka_time(millis: i64) -> Option<EventTime> {
    EventTime::from_millis(millis).filter(|_| millis > 0)
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    str::from_utf8(text).ok()?.parse().ok()
}
