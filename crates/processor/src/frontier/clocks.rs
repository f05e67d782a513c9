//! The clocks that follow from positions: event time, Kafka time, and the time at which Pub/Sub first received a
//! message.

use event::EventTime;
use serde::{Deserialize, Serialize};

/// The highest times of a set of events. Merging two sets takes the maximum of each clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    /// The highest min(event time, Kafka timestamp), so an event time in the future cannot advance the clock too far.
    pub event: EventTime,
    /// The highest Kafka timestamp.
    pub kafka: EventTime,
    /// The highest publish time. It covers the contiguous prefix, as the others do: messages that a dead processor had
    /// leased arrive after newer ones, and the clock waits for them.
    pub published: EventTime,
}

impl Clocks {
    /// The clocks of no events.
    pub const NONE: Self = Self { event: EventTime::MIN, kafka: EventTime::MIN, published: EventTime::MIN };

    /// The clocks of one event. A refused event must not advance any clock, so do not call this for one.
    pub fn of(event: Option<EventTime>, kafka: Option<EventTime>, published: EventTime) -> Self {
        let bounded = match (event, kafka) {
            (Some(event), Some(kafka)) => event.min(kafka),
            (Some(event), None) => event,
            (None, _) => EventTime::MIN,
        };
        Self { event: bounded, kafka: kafka.unwrap_or(EventTime::MIN), published }
    }

    /// All clocks at the same time.
    pub fn all(time: EventTime) -> Self {
        Self { event: time, kafka: time, published: time }
    }

    /// The maximum of each clock.
    pub fn max(self, other: Self) -> Self {
        Self {
            event: self.event.max(other.event),
            kafka: self.kafka.max(other.kafka),
            published: self.published.max(other.published),
        }
    }

    /// The minimum of each clock.
    pub fn min(self, other: Self) -> Self {
        Self {
            event: self.event.min(other.event),
            kafka: self.kafka.min(other.kafka),
            published: self.published.min(other.published),
        }
    }
}
