//! Kafka: consumer lag.

use std::collections::BTreeSet;

use processor::view::PartitionView;

use super::{Health, Level, Station, UNREAD, beyond, trouble};
use crate::{
    status::{Connector, Processor, Status},
    words::{counted, length, number},
};

pub(super) fn kafka(status: &Status, connector: &Connector) -> Station {
    let unread = connector.unread;
    let to_read = (connector.rate.per_second > 0.0)
        .then(|| (unread as f64 * 1000.0 / connector.rate.per_second) as u64);
    let health = trouble(status, "kafka").unwrap_or_else(|| {
        if !connector.is_known {
            return Health::grey("has not reported yet");
        }
        match to_read {
            _ if connector.partitions == 0 => Health::amber("no partition is assigned to this replica: it is joining, or there are more replicas than partitions"),
            _ if unread == 0 => Health::green("no lag"),
            None => Health::amber(format!(
                "{} unread and no progress: see the connector's log",
                counted(unread, "record", "records")
            )),
            Some(time) => match beyond(time, UNREAD) {
                Level::Green => Health::green("reading keeps up with the producers"),
                level => Health::new(
                    level,
                    format!(
                        "catching up in about {}: add a replica if the lag grows",
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
        details: vec![
            ("partitions here", number(connector.partitions as u64)),
            ("consumer lag", format!("{} offsets", number(connector.lag))),
        ],
    }
}

/// Where only a processor runs, the ends of Kafka's logs are known from the connector's marks.
pub(super) fn kafka_from_outside(status: &Status, processor: &Processor) -> Station {
    let partitions = &processor.detail.partitions;
    let lag: u64 = partitions.iter().map(beyond_committed).sum();
    let health = match status.survey.as_ref().map(|survey| &survey.kafka) {
        Some(Err(reason)) => Health::grey(reason),
        Some(Ok(brokers)) if !brokers.missing_topics.is_empty() => Health::red(format!(
            "topic {} does not exist; create it, or correct kafka.topics",
            brokers.missing_topics.join(", ")
        )),
        Some(Ok(brokers)) => Health::green(format!(
            "{} with {}",
            counted(brokers.offsets.len() as u64, "partition", "partitions"),
            counted(brokers.offsets.values().map(|(log, _)| log).sum(), "offset", "offsets")
        )),
        None if partitions.iter().all(|partition| partition.asked_at.is_none()) => {
            Health::grey("not reported by a connector yet")
        }
        None => Health::green("as reported by the connector"),
    };
    let topics: BTreeSet<&str> = partitions.iter().map(|one| &*one.partition.topic).collect();
    Station {
        id: "kafka",
        name: "Kafka",
        place: Vec::from_iter(topics).join(", "),
        health,
        rate: None,
        rate_of: "",
        waits: if lag == 0 { "nothing".to_owned() } else { counted(lag, "offset", "offsets") },
        details: vec![("partitions", number(partitions.len() as u64))],
    }
}

fn beyond_committed(partition: &PartitionView) -> u64 {
    partition.log_end.unwrap_or(0).saturating_sub(partition.committed.unwrap_or(0))
}
