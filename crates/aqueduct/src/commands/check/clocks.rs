//! Whose clock a topic's timestamps are, and how far ahead it may be. A partition's clock follows the newest event up
//! to the record's timestamp, and with `CreateTime` both are the producer's: one fast clock makes the events of all
//! others late.

use std::{collections::BTreeMap, time::Duration};

use event::Millis;
use flow::{Flow, TimeKind};
use kafka::KafkaConfig;

/// The timestamp settings of a topic, as the broker reports them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopicClock {
    /// The producers' (`CreateTime`), and not the broker's (`LogAppendTime`).
    is_of_producers: bool,
    /// How far ahead of the broker a record may be, and the property that bounds it; `None` if any time is
    /// accepted.
    bound: Option<(Millis, &'static str)>,
}

const TYPE: &str = "message.timestamp.type";
const AFTER: &str = "message.timestamp.after.max.ms";
/// What Kafka had before 3.6; it bounds both directions.
const DIFFERENCE: &str = "message.timestamp.difference.max.ms";
const ANSWER: Duration = Duration::from_millis(1500);

impl TopicClock {
    /// Reads the properties of a broker; `None` if they do not state whose clock it is.
    fn of<'a>(property: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let is_of_producers = property(TYPE)? == "CreateTime";
        let bound = |name: &'static str| {
            let millis = property(name)?.parse::<i64>().ok()?;
            // Kafka writes the largest number for "no bound".
            (millis < i64::MAX).then_some((Millis(millis), name))
        };
        let bound = [AFTER, DIFFERENCE].into_iter().filter_map(bound).min();
        Some(Self { is_of_producers, bound })
    }
}

/// The clocks of the topics that this user may describe. A topic that is not readable is not an error.
pub(super) fn ask(config: &KafkaConfig, topics: &[&str]) -> BTreeMap<String, TopicClock> {
    let found = kafka::topic_properties(config, topics, ANSWER);
    let clock = |(topic, properties): (String, BTreeMap<String, String>)| {
        let property = |name: &str| properties.get(name).map(String::as_str);
        Some((topic, TopicClock::of(property)?))
    };
    found.into_iter().filter_map(clock).collect()
}

/// What a fast clock of one producer would do to flows that count by the time of the event or of the record.
pub(super) fn warnings(
    topic: &str,
    clock: &TopicClock,
    future: Option<Millis>,
    flows: &[Flow],
) -> Vec<String> {
    if !clock.is_of_producers {
        return Vec::new();
    }
    let timed = flows.iter().filter(|flow| flow.time != TimeKind::Processing);
    let Some(flow) = timed.min_by_key(|flow| flow.allowed_lateness) else { return Vec::new() };
    let (name, lateness) = (&flow.name, flow.allowed_lateness);
    let cause = match clock.bound {
        Some((bound, _)) if bound <= lateness => {
            return match future.filter(|future| *future > lateness) {
                Some(future) => vec![format!(
                    "events.future = \"{future}\" exceeds allowed_lateness = \"{lateness}\" of flow {name}, \
                     and topic {topic} uses producer timestamps ({TYPE} = CreateTime): an event that far in the future can make the events of other producers late; lower events.future or raise \
                     allowed_lateness"
                )],
                None => Vec::new(),
            };
        }
        Some((bound, property)) => format!("up to {bound} ahead ({property})"),
        None => "without a limit".to_owned(),
    };
    vec![format!(
        "topic {topic} uses producer timestamps ({TYPE} = CreateTime), {cause}: a producer whose clock is ahead by more than allowed_lateness = \"{lateness}\" of flow {name} makes the events of all others late; set {AFTER} of the topic \
         to less than that, or {TYPE} = LogAppendTime, or raise allowed_lateness"
    )]
}

#[cfg(test)]
mod tests {
    use flow::FlowSettings;

    use super::*;

    fn flow(lateness: &str) -> Flow {
        let settings: FlowSettings = serde_json::from_value(serde_json::json!({
            "name": "f", "by": { "page": "/p" }, "views": { "/k": "v" }, "clicks": { "/k": "c" },
            "window": { "size": "10s" }, "allowed_lateness": lateness,
        }))
        .expect("the flow");
        Flow::try_from(settings).expect("the flow makes sense")
    }

    fn check(properties: &[(&str, &str)], future: i64, lateness: &str, expected: usize) {
        let property =
            |name: &str| properties.iter().find(|(found, _)| *found == name).map(|(_, value)| *value);
        let clock = TopicClock::of(property);
        let warned = clock.map_or(0, |clock| {
            warnings("t", &clock, Some(Millis(future)), &[flow("1d"), flow(lateness)]).len()
        });
        assert_eq!(warned, expected, "{properties:?}, future {future}, lateness {lateness}");
    }

    #[test]
    fn producer_clocks_may_be_ahead_by_lateness() {
        let create = (TYPE, "CreateTime");
        let never = i64::MAX.to_string();
        check(&[], 0, "0s", 0);
        check(&[(TYPE, "LogAppendTime"), (AFTER, "3600000")], 7_200_000, "0s", 0);
        check(&[create, (AFTER, "3600000")], 0, "1h", 0);
        check(&[create, (AFTER, "3600000")], 0, "59m", 1);
        check(&[create, (AFTER, "3600000"), (DIFFERENCE, &never)], 0, "1h", 0);
        check(&[create, (DIFFERENCE, "3600000")], 0, "30m", 1);
        check(&[create, (DIFFERENCE, &never)], 0, "30m", 1);
        check(&[create], 0, "30m", 1);
        check(&[create, (AFTER, "60000")], 3_600_000, "30m", 1);
        check(&[create, (AFTER, "60000")], 3_600_000, "1h", 0);
    }
}
