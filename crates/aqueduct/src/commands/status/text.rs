//! The report of `status` as text.

use std::{collections::BTreeMap, fmt::Write as _};

use event::{EventTime, Ledger};
use processor::view::PartitionView;
use report::{
    judge, late,
    status::millis_between,
    words::{bytes, counted, length},
};

use super::document::{FlowReport, Report};
use crate::{grid::grid, sections};

pub(super) fn of(report: &Report<'_>, at: EventTime) -> String {
    let mut text = String::new();
    let mut line = |name: &str, words: &str| {
        writeln!(text, "{name:<10}{words}").expect("writing to a string does not fail");
    };
    line("state", &state(report, at));
    match &report.answers.kafka {
        Err(reason) => {
            line("Kafka", &format!("{reason}; log ends and committed offsets are from the last marks"));
        }
        Ok(brokers) => {
            for topic in &brokers.missing_topics {
                line("Kafka", &format!("topic {topic} does not exist"));
            }
        }
    }
    let unreachable = report.flows.iter().filter_map(|flow| Some((flow, flow.rows_unreachable.as_ref()?)));
    let unreachable: Vec<_> = unreachable.map(|(flow, why)| format!("{}: {why}", flow.view.name)).collect();
    match &report.answers.tables {
        Err(reason) if unreachable.is_empty() => line("tables", reason),
        _ => unreachable.iter().for_each(|reason| line("tables", reason)),
    }
    if report.writers.len() > 1 {
        for writer in report.writers {
            let waiting = counted(writer.requests as u64, "request", "requests");
            line("writer", &format!("{}: {waiting} in flight, {}", writer.name, bytes(writer.request_bytes)));
        }
    }
    line("watermark", &format!("held back by {}", report.held_by));
    line("verdict", &judge::verdict(&report.stations));
    for flow in &report.flows {
        if let Some(words) = late::words(&flow.view.name, &flow.view.ledger) {
            line("late", &words);
        }
    }
    text.push_str(&format!("\n{}", sections::components(&report.stations)));
    text.push_str(&partitions(report.partitions));
    let head = ["flow", "watermark", "watermark delay", "keys", "rows", "waiting", "offsets"];
    let rows: Vec<Vec<String>> = report.flows.iter().map(flow).collect();
    text.push_str(&format!("\n{}", grid(&head, &rows)));
    if let Some(rejected) = sections::rejected(report.refused) {
        text.push_str(&format!("\n{rejected}"));
    }
    text
}

fn state(report: &Report<'_>, at: EventTime) -> String {
    let state = &report.answers.state;
    let waiting = match report.waiting_requests {
        0 => String::new(),
        requests => format!(", {} in flight", counted(requests as u64, "request", "requests")),
    };
    match (state.checkpoint, state.written_at) {
        (Some(number), Some(written)) => {
            let age = length(millis_between(written, at));
            format!("{}: checkpoint {number}, written {age} ago{waiting}", state.place)
        }
        _ => format!("{}: no checkpoint yet; no processor has used it", state.place),
    }
}

/// The table of all partitions; empty if there are none.
pub(super) fn partitions(partitions: &[PartitionView]) -> String {
    if partitions.is_empty() {
        return String::new();
    }
    let head = ["topic", "partition", "log end", "committed", "frontier", "lag", "holes", "clock"];
    let topics = topics(partitions);
    let rows: Vec<Vec<String>> =
        partitions.iter().zip(topics).map(|(one, topic)| partition(one, topic)).collect();
    format!("\n{}", grid(&head, &rows))
}

/// The sum of a ledger with its parts.
pub(super) fn offsets(total: u64, ledger: &Ledger) -> String {
    let outcomes = ledger.iter().filter(|(_, count)| *count > 0);
    let outcomes: Vec<String> =
        outcomes.map(|(outcome, count)| format!("{count} {}", outcome.as_str())).collect();
    if outcomes.is_empty() { "-".to_owned() } else { format!("{total} = {}", outcomes.join(" + ")) }
}

/// The topic of each partition, with its incarnation where there are several: a topic that was deleted and recreated,
/// or cut by an election.
fn topics(partitions: &[PartitionView]) -> Vec<String> {
    let mut counts: BTreeMap<(&str, i32), usize> = BTreeMap::new();
    let partitions = || partitions.iter().map(|one| &one.partition);
    for one in partitions() {
        *counts.entry((&one.topic, one.partition)).or_default() += 1;
    }
    let name = |one: &event::Partition| match counts[&(&*one.topic, one.partition)] {
        1 => one.topic.to_string(),
        _ => format!("{} ({})", one.topic, one.incarnation),
    };
    partitions().map(name).collect()
}

fn partition(view: &PartitionView, topic: String) -> Vec<String> {
    let mut holes: Vec<String> = view.holes.iter().map(|(from, to)| format!("{from}..{to}")).collect();
    if view.hole_count > holes.len() {
        holes.push(format!("{} more", view.hole_count - holes.len()));
    }
    vec![
        topic,
        view.partition.partition.to_string(),
        known(view.log_end),
        known(view.committed),
        view.frontier.to_string(),
        known(view.lag),
        if holes.is_empty() { "-".to_owned() } else { holes.join(", ") },
        known(view.clock),
    ]
}

fn flow(report: &FlowReport<'_>) -> Vec<String> {
    let view = report.view;
    let offsets = match report.is_new {
        true => "new: starts when the processor is restarted".to_owned(),
        false => offsets(report.total, &view.ledger),
    };
    vec![
        view.name.to_string(),
        known(view.watermark),
        known(view.delay_ms.map(length)),
        view.keys.to_string(),
        known(report.rows),
        report.waiting_rows.to_string(),
        offsets,
    ]
}

fn known(value: Option<impl ToString>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use event::{Incarnation, Millis, Partition};
    use processor::frontier::{Limits, Track};

    use super::*;

    #[test]
    fn incarnations_of_a_partition_are_distinguished() {
        let view = |topic: &str, partition, incarnation: &str| {
            let incarnation = Incarnation::from(incarnation);
            let partition = Partition { topic: topic.into(), incarnation, partition };
            let limits = Limits { idle_after: Millis(1), hole_limit: Millis(1), cold_start: Millis(1) };
            PartitionView::of(&partition, &Track::new(), &limits, None)
        };
        let partitions = [view("a", 0, "x"), view("a", 0, "y"), view("a", 1, "y"), view("b", 0, "x")];
        assert_eq!(topics(&partitions), ["a (x)", "a (y)", "a", "b"]);
    }
}
