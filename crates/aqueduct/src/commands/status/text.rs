//! The report of `status` as text.

use std::{collections::BTreeMap, fmt::Write as _};

use super::report::{FlowReport, PartitionReport, Report};
use crate::{grid::grid, late, parts, refused};

/// Number of holes shown for each partition.
const HOLES: usize = 3;

pub(super) fn of(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |name: &str, words: &str| {
        writeln!(text, "{name:<10}{words}").expect("a text in memory takes everything");
    };
    line("state", &state(report));
    if let Some(reason) = &report.kafka_unreachable {
        line("Kafka", &format!("{reason}; ends and commits are those of the last marks"));
    }
    for topic in &report.missing_topics {
        line("Kafka", &format!("there is no topic {topic}"));
    }
    if let Some(reason) = &report.tables_unreachable {
        line("tables", reason);
    }
    for flow in &report.flows {
        if let Some(reason) = &flow.rows_unreachable {
            line("tables", &format!("{}: {reason}", flow.flow));
        }
    }
    line("watermark", &format!("held by {}", report.held_by));
    line("verdict", &parts::verdict(&report.parts));
    for flow in &report.flows {
        if let Some(words) = late::words(&flow.flow, &flow.ledger) {
            line("late", &words);
        }
    }
    text.push_str(&format!("\n{}", parts::text(&report.parts)));
    if !report.partitions.is_empty() {
        let head = ["topic", "partition", "log end", "committed", "frontier", "lag", "holes", "clock"];
        let topics = topics(&report.partitions);
        let rows: Vec<Vec<String>> =
            report.partitions.iter().zip(topics).map(|(one, topic)| partition(one, topic)).collect();
        text.push_str(&format!("\n{}", grid(&head, &rows)));
    }
    let head = ["flow", "watermark", "behind", "keys", "rows", "waiting", "offsets"];
    let rows: Vec<Vec<String>> = report.flows.iter().map(flow).collect();
    text.push_str(&format!("\n{}", grid(&head, &rows)));
    if let Some(refused) = refused::text(&report.refused) {
        text.push_str(&format!("\n{refused}"));
    }
    text
}

fn state(report: &Report) -> String {
    let state = &report.state;
    let waiting = match state.waiting_requests {
        0 => String::new(),
        1 => ", 1 request waits for its table".to_owned(),
        requests => format!(", {requests} requests wait for their tables"),
    };
    match (state.checkpoint, state.age_ms) {
        (Some(number), Some(age)) => {
            format!("{}: checkpoint {number}, written {} ago{waiting}", state.place, length(age))
        }
        _ => format!("{}: no checkpoint yet; no processor has used it", state.place),
    }
}

/// The topic of each partition, with its incarnation where there are several: a topic that was deleted and recreated, or cut by
/// an election.
fn topics(partitions: &[PartitionReport]) -> Vec<String> {
    let mut counts: BTreeMap<(&str, i32), usize> = BTreeMap::new();
    for one in partitions {
        *counts.entry((&one.topic, one.partition)).or_default() += 1;
    }
    let name = |one: &PartitionReport| match counts[&(&*one.topic, one.partition)] {
        1 => one.topic.clone(),
        _ => format!("{} ({})", one.topic, one.incarnation),
    };
    partitions.iter().map(name).collect()
}

fn partition(report: &PartitionReport, topic: String) -> Vec<String> {
    let mut holes: Vec<String> =
        report.holes.iter().take(HOLES).map(|(from, to)| format!("{from}..{to}")).collect();
    if report.holes.len() > HOLES {
        holes.push(format!("{} more", report.holes.len() - HOLES));
    }
    vec![
        topic,
        report.partition.to_string(),
        number(report.log_end),
        number(report.committed),
        report.frontier.to_string(),
        number(report.lag),
        if holes.is_empty() { "-".to_owned() } else { holes.join(", ") },
        report.clock.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

fn flow(report: &FlowReport) -> Vec<String> {
    let outcomes: Vec<String> = report
        .ledger
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(outcome, count)| format!("{count} {outcome}"))
        .collect();
    let offsets = match (report.is_new, outcomes.is_empty()) {
        (true, _) => "new: begins with the next start of the processor".to_owned(),
        (false, true) => "-".to_owned(),
        (false, false) => format!("{} = {}", report.total, outcomes.join(" + ")),
    };
    vec![
        report.flow.clone(),
        report.watermark.clone().unwrap_or_else(|| "-".to_owned()),
        report.delay_ms.map_or("-".to_owned(), length),
        report.keys.to_string(),
        number(report.rows),
        report.waiting_rows.to_string(),
        offsets,
    ]
}

fn number(number: Option<u64>) -> String {
    number.map_or("-".to_owned(), |number| number.to_string())
}

/// A length of time, to the second from ten seconds on.
fn length(millis: i64) -> String {
    if millis < 10_000 {
        format!("{:.1}s", millis as f64 / 1e3)
    } else {
        event::Millis(millis / 1000 * 1000).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incarnations_of_one_partition_are_told_apart() {
        let report = |topic: &str, partition, incarnation: &str| PartitionReport {
            topic: topic.to_owned(),
            partition,
            incarnation: incarnation.to_owned(),
            log_end: None,
            committed: None,
            frontier: 0,
            lag: None,
            holes: Vec::new(),
            clock: None,
        };
        let partitions = [report("a", 0, "x"), report("a", 0, "y"), report("a", 1, "y"), report("b", 0, "x")];
        assert_eq!(topics(&partitions), ["a (x)", "a (y)", "a", "b"]);
    }
}
