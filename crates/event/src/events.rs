//! The `[events]` section: where events have their time and ID. The connector uses it to choose the key, the processor
//! for windows.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{pick::Value, pointer::Pointer, time::EventTime, units::Millis};

/// Where the time and the ID of an event are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsSettings {
    /// Time of the event: RFC 3339 and some forms of ISO 8601 ([rejects.md](rejects.md#times)), or milliseconds since
    /// 1970.
    ///
    /// Example: `time = "/time"`
    pub time: Pointer,
    /// An event that is further ahead of its record's Kafka timestamp is rejected. For files see
    /// [guarantees.md](guarantees.md#clocks).
    ///
    /// Example: `future = "10m"`
    #[serde(default = "an_hour")]
    pub future: Millis,
    /// ID of the event, by which duplicates that the producer wrote are removed. All topics share one set of IDs.
    ///
    /// Example: `id = "/event_id"`
    #[serde(default)]
    pub id: Option<Pointer>,
    /// How far apart in event time two duplicates may be.
    ///
    /// Example: `id_within = "1h"`
    #[serde(default = "ten_minutes")]
    pub id_within: Millis,
    /// Topics whose events have their time or ID elsewhere.
    ///
    /// Example: `topics.clicks = { time = "/clicked_at" }`
    #[serde(default)]
    pub topics: BTreeMap<String, TopicEvents>,
}

/// The settings that differ for the events of one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicEvents {
    /// Time of an event of this topic.
    ///
    /// Default: `time` of `[events]`
    ///
    /// Example: `time = "/clicked_at"`
    #[serde(default)]
    pub time: Option<Pointer>,
    /// ID of an event of this topic. It is compared within the topic only.
    ///
    /// Default: `id` of `[events]`
    ///
    /// Example: `id = "/click_id"`
    #[serde(default)]
    pub id: Option<Pointer>,
}

impl EventsSettings {
    /// The pointer to the time in events of this topic.
    pub fn time_for(&self, topic: &str) -> &Pointer {
        self.topics.get(topic).and_then(|settings| settings.time.as_ref()).unwrap_or(&self.time)
    }

    /// The pointer to the ID in events of this topic, if they have one.
    pub fn id_for(&self, topic: &str) -> Option<&Pointer> {
        self.topics.get(topic).and_then(|settings| settings.id.as_ref()).or(self.id.as_ref())
    }
}

/// The time that a value contains, if it is valid.
pub fn event_time(value: &Value<'_>) -> Option<EventTime> {
    match value {
        Value::Text(text) => EventTime::from_rfc3339(text),
        Value::Number(number) => EventTime::from_json_number(number),
        _ => None,
    }
}

fn an_hour() -> Millis {
    Millis(3_600_000)
}

fn ten_minutes() -> Millis {
    Millis(600_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_inherits_the_general_pointers() {
        let settings: EventsSettings = serde_json::from_str(
            r#"{"time":"/time","id":"/id","topics":{"clicks":{"time":"/at"},"views":{"id":"/view"}}}"#,
        )
        .expect("the section");
        let places = |topic| (settings.time_for(topic).as_str(), settings.id_for(topic).map(Pointer::as_str));
        assert_eq!(places("clicks"), ("/at", Some("/id")));
        assert_eq!(places("views"), ("/time", Some("/view")));
        assert_eq!(places("other"), ("/time", Some("/id")));
        assert_eq!((settings.future, settings.id_within), (Millis(3_600_000), Millis(600_000)));
    }

    #[test]
    fn invalid_sections_are_rejected() {
        for text in [
            r"{}",
            r#"{"time":"/t","tme":1}"#,
            r#"{"time":"/t/*"}"#,
            r#"{"time":"/t","topics":{"a":{"x":1}}}"#,
        ] {
            assert!(serde_json::from_str::<EventsSettings>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_text_or_numbers() {
        for (value, expect) in [
            (Value::Text("1970-01-01T00:00:01Z".into()), Some(1000)),
            (Value::Number("1000"), Some(1000)),
            (Value::Text("1000".into()), None),
            (Value::Bool(true), None),
            (Value::Missing, None),
        ] {
            assert_eq!(event_time(&value), expect.map(EventTime), "{value:?}");
        }
    }
}
