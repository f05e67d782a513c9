//! Kafka and the connector: consumer lag, and what waits for Pub/Sub.

use std::collections::BTreeSet;

use super::{Health, Level, REJECTS, Station, UNREAD, WAIT, beyond, trouble};
use crate::{
    facts::{Connector, Facts, Partition, Processor},
    words::{bytes, counted, length, number},
};

pub(super) fn kafka(facts: &Facts, connector: &Connector) -> Station {
    let unread = connector.unread;
    let to_read = (connector.rate.per_second > 0.0)
        .then(|| (unread as f64 * 1000.0 / connector.rate.per_second) as u64);
    let health = trouble(facts, "kafka").unwrap_or_else(|| {
        if !connector.is_known {
            return Health::grey("has not reported yet");
        }
        match to_read {
            _ if connector.partitions == 0 => Health::amber("no partition is assigned to this replica: it is joining, or there are more replicas than partitions"),
            _ if unread == 0 => Health::green("no lag"),
            None => Health::amber(format!(
                "{} unread and none is being read: see the connector's log",
                counted(unread, "record", "records")
            )),
            Some(time) => match beyond(time, UNREAD) {
                Level::Green => Health::green("read as fast as it is written"),
                level => Health::new(
                    level,
                    format!(
                        "the lag takes about {} to read: add a replica if it grows",
                        length(time)
                    ),
                ),
            },
        }
    });
    let waits = match to_read {
        _ if unread == 0 => "nothing".to_owned(),
        Some(time) => format!("{}, about {} to read", counted(unread, "record", "records"), length(time)),
        None => counted(unread, "record", "records"),
    };
    Station {
        id: "kafka",
        name: "Kafka",
        place: connector.topics.clone(),
        health,
        rate: Some(connector.rate.clone()),
        rate_of: "records read",
        waits,
        figures: vec![
            ("partitions here", number(connector.partitions as u64)),
            ("consumer lag", format!("{} offsets", number(connector.lag))),
        ],
    }
}

/// Where only a processor runs, the ends of Kafka's logs are known from the connector's marks.
pub(super) fn kafka_by_marks(processor: &Processor) -> Station {
    let lag: u64 = processor.partitions.iter().map(beyond_committed).sum();
    let asked = processor.partitions.iter().filter_map(|partition| partition.asked_ms).max();
    let health = match asked {
        None => Health::grey("no mark from a connector yet: is one running?"),
        Some(asked) if asked > WAIT.1 => Health::amber(format!(
            "the end of a log has not been queried for {}: are all connectors running?",
            length(asked)
        )),
        Some(_) => Health::green("as reported by the connector"),
    };
    let topics: BTreeSet<&str> = processor.partitions.iter().map(|partition| &*partition.topic).collect();
    Station {
        id: "kafka",
        name: "Kafka",
        place: Vec::from_iter(topics).join(", "),
        health,
        rate: None,
        rate_of: "",
        waits: if lag == 0 { "nothing".to_owned() } else { counted(lag, "offset", "offsets") },
        figures: vec![("partitions", number(processor.partitions.len() as u64))],
    }
}

fn beyond_committed(partition: &Partition) -> u64 {
    partition.log_end.unwrap_or(0).saturating_sub(partition.committed.unwrap_or(0))
}

pub(super) fn connects(facts: &Facts, connector: &Connector) -> Station {
    let rejected = connector.refused();
    let lost = connector.without_record.get("lost").copied().unwrap_or(0);
    let oldest = connector.oldest_ms.unwrap_or(0);
    let health = if !connector.is_known {
        Health::grey("has not reported yet")
    } else if let Some(health) = trouble(facts, "connector") {
        health
    } else if lost > 0 {
        Health::red(format!(
            "retention deleted {} before the connector read them: keep records longer in Kafka, or add replicas",
            counted(lost, "offset", "offsets")
        ))
    } else if connector.outage_ms.is_some() {
        Health::amber("waiting for Pub/Sub; nothing is lost")
    } else if beyond(oldest, WAIT) > Level::Green {
        Health::new(
            beyond(oldest, WAIT),
            format!("records read {} ago are not in Pub/Sub yet: see the connector's log", length(oldest)),
        )
    } else if rejected * 100 > connector.records * REJECTS {
        let most = connector.rejected.iter().max_by_key(|(_, count)| **count).map_or("", |(code, _)| code);
        Health::amber(format!(
            "more than {REJECTS} % of the records are rejected, most of them as {most}: dead_letters has their positions"
        ))
    } else {
        Health::green("personal data is pseudonymised or removed, and everything is published")
    };
    let waits = match (connector.in_flight_bytes, connector.oldest_ms) {
        (0, _) => "nothing".to_owned(),
        (size, Some(age)) => format!("{}, the oldest for {}", bytes(size), length(age)),
        (size, None) => bytes(size),
    };
    Station {
        id: "connector",
        name: "Connector",
        place: "anonymise".to_owned(),
        health,
        rate: Some(connector.published_rate.clone()),
        rate_of: "messages published",
        waits,
        figures: vec![
            ("published", number(connector.published)),
            ("rejected", number(rejected)),
            ("in flight, limit", bytes(connector.in_flight_limit)),
        ],
    }
}
