//! Pub/Sub: whether it answers, and what was published and not received.

use super::{Health, Level, Station, WAIT, beyond, trouble};
use crate::{
    facts::Facts,
    words::{counted, length, number},
};

pub(super) fn pubsub(facts: &Facts) -> Station {
    let holes = facts.processor.iter().flat_map(|processor| &processor.partitions);
    let (mut offsets, mut ranges, mut oldest) = (0, 0, None);
    for partition in holes {
        offsets += partition.hole_offsets;
        ranges += partition.hole_count;
        oldest = oldest.max(partition.hole_ms);
    }
    let outage = facts.connector.as_ref().and_then(|connector| connector.outage_ms);
    let health = if let Some(outage) = outage {
        Health::red(format!(
            "no answer for {}: check the network and the status of Google Cloud; nothing is lost, records wait in Kafka",
            length(outage)
        ))
    } else if let Some(health) = trouble(facts, "pubsub") {
        health
    } else if beyond(oldest.unwrap_or(0), WAIT) > Level::Green {
        let age = oldest.unwrap_or(0);
        Health::new(
            beyond(age, WAIT),
            format!(
                "{} in {} published and not received, the oldest for {}: does another program pull this subscription?",
                counted(offsets, "message", "messages"),
                counted(ranges as u64, "range", "ranges"),
                length(age)
            ),
        )
    } else if facts.processor.as_ref().is_some_and(|processor| processor.told_ms.is_none()) {
        Health::grey("no messages yet")
    } else {
        Health::green("everything published was received, or is in flight")
    };
    let waits = match (offsets, oldest) {
        (0, _) => "nothing".to_owned(),
        (count, Some(age)) => {
            format!("{}, the oldest for {}", counted(count, "message", "messages"), length(age))
        }
        (count, None) => counted(count, "message", "messages"),
    };
    let place = match (&facts.processor, &facts.connector) {
        (Some(processor), _) => processor.subscription.clone(),
        (None, Some(connector)) => connector.to.clone(),
        (None, None) => String::new(),
    };
    let mut figures = Vec::new();
    if let Some(processor) = &facts.processor {
        figures.push(("holes", number(ranges as u64)));
        figures.push(("duplicates", number(processor.redelivered)));
        figures.push(("marks", number(processor.marks)));
    }
    Station { id: "pubsub", name: "Pub/Sub", place, health, rate: None, rate_of: "", waits, figures }
}
