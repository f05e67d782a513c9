//! From a Pub/Sub message to where its record stands in Kafka.

use std::sync::Arc;

use event::{EventTime, Incarnation, Partition, wire};
use pubsub::Inbound;

/// The partitions that messages name, so that a message costs no allocation for its own.
#[derive(Debug, Default)]
pub struct Partitions {
    known: Vec<Arc<Partition>>,
    last: usize,
}

impl Partitions {
    /// Where the message's record stands; nothing when some other producer wrote it.
    pub fn position(&mut self, message: &Inbound) -> Option<(Arc<Partition>, u64)> {
        let topic = message.attribute(wire::TOPIC)?;
        let number: i32 = message.attribute(wire::PARTITION)?.parse().ok()?;
        let offset: u64 = message.attribute(wire::OFFSET)?.parse().ok()?;
        let incarnation = message.attribute(wire::INCARNATION)?;
        let same =
            |p: &Partition| p.partition == number && *p.topic == *topic && *p.incarnation.0 == *incarnation;
        if !self.known.get(self.last).is_some_and(|p| same(p)) {
            self.last = match self.known.iter().position(|p| same(p)) {
                Some(at) => at,
                None => {
                    let partition = Partition {
                        topic: topic.into(),
                        incarnation: Incarnation::from(incarnation),
                        partition: number,
                    };
                    self.known.push(Arc::new(partition));
                    self.known.len() - 1
                }
            };
        }
        Some((self.known[self.last].clone(), offset))
    }
}

/// The record's timestamp; a missing or non-positive one is absent.
pub fn kafka_time(message: &Inbound) -> Option<EventTime> {
    let millis: i64 = message.attribute(wire::TIMESTAMP)?.parse().ok()?;
    if millis > 0 { EventTime::from_millis(millis) } else { None }
}
