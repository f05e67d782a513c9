//! The connector: what waits for Pub/Sub, and whether marks are arriving.

use std::collections::BTreeMap;

use super::{Health, Level, MARK_MS, REJECTS, Station, WAIT, beyond, named, trouble};
use crate::{
    status::{Brokers, Connector, Processor, Status, millis_between},
    words::{bytes, counted, length, number},
};

pub(super) fn publishes(status: &Status, connector: &Connector) -> Station {
    let rejected = connector.refused();
    let lost = connector.without_record.get("lost").copied().unwrap_or(0);
    let oldest = connector.oldest_ms.unwrap_or(0);
    let health = if !connector.is_known {
        Health::grey("has not reported yet")
    } else if let Some(health) = trouble(status, "connector") {
        health
    } else if lost > 0 {
        Health::red(format!(
            "retention deleted {} before the connector read them: increase the retention in Kafka, or add replicas",
            counted(lost, "offset", "offsets")
        ))
    } else if connector.outage_ms.is_some() {
        Health::amber("waiting for Pub/Sub; no data is lost")
    } else if let Some(health) = status.processor.as_ref().and_then(|processor| marks(status, processor)) {
        health
    } else if beyond(oldest, WAIT) > Level::Green {
        Health::new(
            beyond(oldest, WAIT),
            format!("records read {} ago are not in Pub/Sub yet: see the connector's log", length(oldest)),
        )
    } else if rejected * 100 > connector.records * REJECTS {
        let most = connector.rejected.iter().max_by_key(|(_, count)| **count).map_or("", |(code, _)| code);
        Health::amber(format!(
            "more than {REJECTS} % of the records are rejected, most of them with {most}: dead_letters has their positions"
        ))
    } else {
        Health::green("publishing without delay")
    };
    let waits = match (connector.in_flight_bytes, connector.oldest_ms) {
        (0, _) => "nothing".to_owned(),
        (size, Some(age)) => format!("{}, the oldest for {}", bytes(size), length(age)),
        (size, None) => bytes(size),
    };
    Station {
        id: "connector",
        name: "connector",
        place: "anonymise".to_owned(),
        health,
        rate: Some(connector.published_rate.clone()),
        rate_of: "messages published",
        waits,
        details: vec![
            ("published", number(connector.published)),
            ("rejected", number(rejected)),
            ("in flight, limit", bytes(connector.in_flight_limit)),
        ],
    }
}

/// A connector in another process, as Kafka and its marks show it.
pub(super) fn from_outside(status: &Status, processor: &Processor) -> Station {
    let health = match status.survey.as_ref().map(|survey| &survey.kafka) {
        Some(Err(_)) => Health::grey("unknown without Kafka"),
        Some(Ok(brokers)) => member(brokers, marks(status, processor)),
        None => marks(status, processor).unwrap_or_else(|| Health::green("marks are arriving")),
    };
    Station {
        id: "connector",
        name: "connector",
        place: "as reported in its marks".to_owned(),
        health,
        rate: None,
        rate_of: "",
        waits: "unknown".to_owned(),
        details: vec![("marks", number(processor.detail.counters.marks))],
    }
}

fn member(brokers: &Brokers, marks: Option<Health>) -> Health {
    let waiting = || brokers.offsets.iter().filter(|(_, (_, uncommitted))| *uncommitted > 0);
    let offsets: u64 = waiting().map(|(_, (_, uncommitted))| uncommitted).sum();
    let uncommitted = match offsets {
        0 => "all offsets are committed".to_owned(),
        1 => format!("one offset is not committed: {}", named(waiting().map(|(name, _)| name.clone()))),
        _ => format!(
            "{} offsets are not committed: {}",
            number(offsets),
            named(waiting().map(|(name, _)| name.clone()))
        ),
    };
    if brokers.members == Some(0) {
        let reason = "the consumer group has no members: start `aqueduct connector`";
        return Health::red(format!("{reason}; {uncommitted}"));
    }
    if let Some(Health { level, reason }) = marks {
        return Health::new(level, format!("{reason}; {uncommitted}"));
    }
    let members = match brokers.members {
        Some(members) => counted(members as u64, "member", "members") + "; ",
        None => String::new(),
    };
    Health::new(if offsets > 0 { Level::Amber } else { Level::Green }, members + &uncommitted)
}

/// Why the marks of the connectors are not as they should be.
pub(super) fn marks(status: &Status, processor: &Processor) -> Option<Health> {
    let detail = &processor.detail;
    // A checkpoint has the marks that arrived before it.
    let (now, known) = match &status.survey {
        Some(survey) if !survey.state.is_fresh(status.at) => return None,
        Some(survey) => (survey.state.written_at?, survey.kafka.as_ref().ok()),
        None => {
            match status.age(detail.own.last_mark) {
                None if detail.at.is_none() || detail.has_unpositioned => return None,
                None => return Some(Health::grey("no mark yet: start `aqueduct connector`")),
                Some(age) if age > MARK_MS => {
                    let reason = "the watermark is stalled until a connector runs";
                    return Some(Health::red(format!("no mark for {}: {reason}", length(age))));
                }
                Some(_) => {}
            }
            (status.at, None)
        }
    };
    // Of a topic that was recreated, only the newest incarnation has new marks.
    let mut requested = BTreeMap::new();
    for one in &detail.partitions {
        let name = format!("{}[{}]", one.partition.topic, one.partition.partition);
        let newest = requested.entry(name).or_insert(one.asked_at);
        *newest = one.asked_at.max(*newest);
    }
    requested.retain(|name, at| {
        known.is_none_or(|brokers| brokers.offsets.contains_key(name))
            && at.is_some_and(|at| millis_between(at, now) > MARK_MS)
    });
    let age = requested.values().flatten().map(|at| millis_between(*at, now)).max()?;
    Some(Health::red(format!("no mark for {} about {}", length(age), named(requested.into_keys()))))
}
