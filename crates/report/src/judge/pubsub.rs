//! Pub/Sub: whether it answers, and what was published and not received.

use processor::view::PartitionView;

use super::{Health, Level, Station, WAIT, beyond, named, trouble};
use crate::{
    status::{Status, Survey},
    words::{counted, length, number},
};

pub(super) fn pubsub(status: &Status) -> Station {
    let partitions = status.processor.iter().flat_map(|processor| &processor.detail.partitions);
    let holes: Vec<&PartitionView> = partitions.filter(|partition| partition.hole_offsets > 0).collect();
    let offsets: u64 = holes.iter().map(|partition| partition.hole_offsets).sum();
    let ranges: usize = holes.iter().map(|partition| partition.hole_count).sum();
    let oldest = holes.iter().filter_map(|partition| status.age(partition.hole_since)).max();
    let outage = status.connector.as_ref().and_then(|connector| connector.outage_ms);
    let health = if let Some(outage) = outage {
        Health::red(format!(
            "no response for {}: check the network and the status of Google Cloud; no data is lost, records remain in Kafka",
            length(outage)
        ))
    } else if let Some(health) = trouble(status, "pubsub") {
        health
    } else if let Some(survey) = &status.survey {
        committed(status, survey, offsets, &holes)
    } else if beyond(oldest.unwrap_or(0), WAIT) > Level::Green {
        let age = oldest.unwrap_or(0);
        Health::new(
            beyond(age, WAIT),
            format!(
                "{}, the oldest for {}: does another program pull this subscription?",
                missing(offsets, &holes),
                length(age)
            ),
        )
    } else if status.processor.as_ref().is_some_and(|processor| processor.detail.at.is_none()) {
        Health::grey("no messages yet")
    } else {
        Health::green("all published messages were received or are in flight")
    };
    let waits = match (offsets, oldest) {
        (0, _) => "nothing".to_owned(),
        (count, Some(age)) => {
            format!("{}, the oldest for {}", counted(count, "message", "messages"), length(age))
        }
        (count, None) => counted(count, "message", "messages"),
    };
    let place = match (&status.processor, &status.connector) {
        (Some(processor), _) => processor.subscription.clone(),
        (None, Some(connector)) => connector.to.clone(),
        (None, None) => String::new(),
    };
    let mut details = Vec::new();
    if let Some(processor) = &status.processor {
        details.push(("holes", number(ranges as u64)));
        details.push(("duplicates", number(processor.detail.counters.redelivered)));
        details.push(("marks", number(processor.detail.counters.marks)));
    }
    Station { id: "pubsub", name: "Pub/Sub", place, health, rate: None, rate_of: "", waits, details }
}

/// Whether everything that was committed is in the last checkpoint.
fn committed(status: &Status, survey: &Survey, offsets: u64, holes: &[&PartitionView]) -> Health {
    let state = &survey.state;
    if state.checkpoint.is_none() {
        return Health::grey("unknown without the processor's state");
    }
    if offsets == 0 {
        return Health::green("all committed offsets were received");
    }
    Health::amber(if state.is_fresh(status.at) {
        let limit = length(state.hole_limit.0.unsigned_abs());
        format!("{}; they will count as lost after {limit}", missing(offsets, holes))
    } else {
        format!("{} offsets are waiting for the processor: {}", number(offsets), names(holes))
    })
}

fn missing(offsets: u64, holes: &[&PartitionView]) -> String {
    format!("{} offsets were published and have not arrived: {}", number(offsets), names(holes))
}

fn names(holes: &[&PartitionView]) -> String {
    named(holes.iter().map(|hole| hole.partition.to_string()))
}
