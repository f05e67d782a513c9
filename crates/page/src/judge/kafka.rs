//! Kafka and the connector: what is read, what waits to be read, and what waits for Pub/Sub.

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
            _ if unread == 0 => Health::green("read to its end"),
            None => Health::amber(format!(
                "{} wait and none is read: the connector's log says why",
                counted(unread, "record", "records")
            )),
            Some(time) => match beyond(time, UNREAD) {
                Level::Green => Health::green("read as it is written"),
                level => Health::new(
                    level,
                    format!(
                        "the connector is about {} of reading behind: add a replica if that grows",
                        length(time)
                    ),
                ),
            },
        }
    });
    let waits = match to_read {
        _ if unread == 0 => "nothing".to_owned(),
        Some(time) => format!("{}, about {} of reading", counted(unread, "record", "records"), length(time)),
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
            ("lag", format!("{} offsets", number(connector.lag))),
        ],
    }
}

/// Where only a processor runs, the marks tell how Kafka's logs stand.
pub(super) fn kafka_by_marks(processor: &Processor) -> Station {
    let lag: u64 = processor.partitions.iter().map(beyond_committed).sum();
    let asked = processor.partitions.iter().filter_map(|partition| partition.asked_ms).max();
    let health = match asked {
        None => Health::grey("no mark has told of it yet: does a connector run?"),
        Some(asked) if asked > WAIT.1 => Health::amber(format!(
            "nobody asked for the end of some log for {}: do all connectors run?",
            length(asked)
        )),
        Some(_) => Health::green("as the connector's marks tell"),
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
            "retention took {} before it was read: keep records longer in Kafka, or add replicas",
            counted(lost, "offset", "offsets")
        ))
    } else if connector.outage_ms.is_some() {
        Health::amber("waits for Pub/Sub; nothing is lost")
    } else if beyond(oldest, WAIT) > Level::Green {
        Health::new(
            beyond(oldest, WAIT),
            format!("what was read {} ago is not in Pub/Sub yet: the log says why", length(oldest)),
        )
    } else if rejected * 100 > connector.records * REJECTS {
        let most = connector.rejected.iter().max_by_key(|(_, count)| **count).map_or("", |(code, _)| code);
        Health::amber(format!(
            "more than {REJECTS} % of the records are refused, most of them as {most}: dead_letters says where they stand"
        ))
    } else {
        Health::green("people are taken out, and all of it is published")
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
            ("refused", number(rejected)),
            ("in flight, at most", bytes(connector.in_flight_limit)),
        ],
    }
}
