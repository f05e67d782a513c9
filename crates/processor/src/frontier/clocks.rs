//! The clocks that positions drive: event time, Kafka time, and the time at which Pub/Sub first had a message.

use event::EventTime;
use serde::{Deserialize, Serialize};

/// Highest times of a set of events. Merging takes the maximum of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    /// Highest min(event time, Kafka timestamp): a wrong event time in the future runs ahead of nothing.
    pub event: EventTime,
    /// Highest Kafka timestamp.
    pub kafka: EventTime,
    /// Highest publish time. By the contiguous prefix, as the others: what a dead processor had leased arrives after
    /// newer messages, and the clock waits for it.
    pub published: EventTime,
}

impl Clocks {
    /// No event.
    pub const NONE: Self = Self { event: EventTime::MIN, kafka: EventTime::MIN, published: EventTime::MIN };

    /// One event. A refused event moves no clock and has no business here.
    pub fn of(event: Option<EventTime>, kafka: Option<EventTime>, published: EventTime) -> Self {
        let bounded = match (event, kafka) {
            (Some(event), Some(kafka)) => event.min(kafka),
            (Some(event), None) => event,
            (None, _) => EventTime::MIN,
        };
        Self { event: bounded, kafka: kafka.unwrap_or(EventTime::MIN), published }
    }

    /// All at the same time.
    pub fn all(time: EventTime) -> Self {
        Self { event: time, kafka: time, published: time }
    }

    /// The higher of each.
    pub fn max(self, other: Self) -> Self {
        Self {
            event: self.event.max(other.event),
            kafka: self.kafka.max(other.kafka),
            published: self.published.max(other.published),
        }
    }

    /// The lower of each.
    pub fn min(self, other: Self) -> Self {
        Self {
            event: self.event.min(other.event),
            kafka: self.kafka.min(other.kafka),
            published: self.published.min(other.published),
        }
    }
}
