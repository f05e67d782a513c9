//! The two clocks that positions drive: event time and Kafka time.

use event::EventTime;
use serde::{Deserialize, Serialize};

/// Highest times of a set of events. Merging takes the maximum of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    /// Highest min(event time, Kafka timestamp): a wrong event time in the future runs ahead of nothing.
    pub event: EventTime,
    /// Highest Kafka timestamp.
    pub kafka: EventTime,
}

impl Clocks {
    /// No event.
    pub const NONE: Self = Self { event: EventTime::MIN, kafka: EventTime::MIN };

    /// One event. A refused event moves no clock and has no business here.
    pub fn of(event: Option<EventTime>, kafka: Option<EventTime>) -> Self {
        let bounded = match (event, kafka) {
            (Some(event), Some(kafka)) => event.min(kafka),
            (Some(event), None) => event,
            (None, _) => EventTime::MIN,
        };
        Self { event: bounded, kafka: kafka.unwrap_or(EventTime::MIN) }
    }

    /// Both at the same time.
    pub fn both(time: EventTime) -> Self {
        Self { event: time, kafka: time }
    }

    /// The higher of each.
    pub fn max(self, other: Self) -> Self {
        Self { event: self.event.max(other.event), kafka: self.kafka.max(other.kafka) }
    }

    /// The lower of each.
    pub fn min(self, other: Self) -> Self {
        Self { event: self.event.min(other.event), kafka: self.kafka.min(other.kafka) }
    }
}
