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
    /// The record's position in Kafka; `None` if another producer published the message.
    pub position: Option<(&'a Partition, u64)>,
    /// The record's timestamp; `None` if it is missing or not positive.
    pub kafka_time: Option<EventTime>,
    /// The format that a newer connector names if the message is not one JSON event.
    pub format: Option<&'a [u8]>,
}

/// The attributes as bytes, in any order.
#[derive(Default)]
struct Named<'a> {
    topic: Option<&'a [u8]>,
    incarnation: Option<&'a [u8]>,
    partition: Option<i32>,
    offset: Option<u64>,
    timestamp: Option<i64>,
    format: Option<&'a [u8]>,
}

impl Partitions {
    /// The origin of the message's record.
    pub fn origin<'a>(&'a mut self, message: &Message<'a>) -> Origin<'a> {
        let named = Named::of(message);
        let kafka_time = named.timestamp.filter(|millis| *millis > 0).and_then(EventTime::from_millis);
        Origin { kafka_time, format: named.format, position: self.position(&named) }
    }

    fn position(&mut self, named: &Named<'_>) -> Option<(&Partition, u64)> {
        let (topic, incarnation) = (named.topic?, named.incarnation?);
        let (number, offset) = (named.partition?, named.offset?);
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
        Some((&self.known[self.last], offset))
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
            } else if name == wire::TIMESTAMP.as_bytes() {
                named.timestamp = number(value);
            } else if name == wire::INCARNATION.as_bytes() {
                named.incarnation = Some(value);
            } else if name == wire::FORMAT.as_bytes() {
                named.format = Some(value);
            }
        }
        named
    }
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    str::from_utf8(text).ok()?.parse().ok()
}
