//! The findings of `reconcile` as text.

use report::{judge, late, words::counted};

use super::findings::{Findings, FlowFinding, Missing, PartitionFinding, Stage, TableFinding};
use crate::{grid::grid, sections};

/// Number of ranges shown for each partition.
const RANGES: usize = 5;

pub(super) fn of(findings: &Findings) -> String {
    let mut text = String::new();
    for reason in &findings.unreachable {
        text.push_str(&format!("not available: {reason}\n"));
    }
    for reason in &findings.not_compared {
        text.push_str(&format!("not compared: {reason}\n"));
    }
    let mut names: Vec<&str> = findings.tables.iter().map(|table| table.writer.as_str()).collect();
    names.dedup();
    let several = names.len() > 1;
    let mut section = |title: &str, head: &[&str], rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            let gap = if text.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{gap}{title}\n{}", grid(head, &rows)));
        }
    };
    section(
        "Kafka offsets",
        &[
            "topic",
            "partition",
            "log start",
            "log end",
            "committed",
            "accounted",
            "rejected",
            "lost",
            "missing",
        ],
        findings.partitions.iter().map(partition).collect(),
    );
    section(
        "Ledgers",
        &["flow", "ledger", "accounted", "balance", "offsets"],
        findings.flows.iter().map(flow).collect(),
    );
    let late: Vec<String> =
        findings.flows.iter().filter_map(|flow| late::words(&flow.flow, &flow.ledger)).collect();
    section(
        "Tables",
        &["table", "sent", "rows", "waiting", "missing"],
        findings.tables.iter().map(|finding| table(finding, several)).collect(),
    );
    section(
        "Newest complete window",
        &["flow", "window end", "keys", "differing"],
        findings
            .windows
            .iter()
            .map(|w| {
                vec![
                    named(&w.writer, &w.flow, several),
                    w.window_end.clone(),
                    w.expected.to_string(),
                    w.differing.to_string(),
                ]
            })
            .collect(),
    );
    if !late.is_empty() {
        text.push_str(&format!("\nLate events\n{}\n", late.join("\n")));
    }
    if let Some(rejected) = sections::rejected(&findings.refused) {
        text.push_str(&format!("\nRejected records\n{rejected}"));
    }
    if !findings.stations.is_empty() {
        text.push_str(&format!("\nComponents\n{}", sections::components(&findings.stations)));
        text.push_str(&format!("{}\n", judge::verdict(&findings.stations)));
    }
    text.push_str(&format!("\n{}\n", verdict(findings)));
    text
}

fn verdict(findings: &Findings) -> String {
    if findings.nothing_missing {
        return "nothing is missing".to_owned();
    }
    let offsets = |stage: Stage| -> u64 {
        let missing = findings.partitions.iter().flat_map(|partition| &partition.missing);
        missing.filter(|missing| missing.stage == stage).map(|missing| missing.to - missing.from).sum()
    };
    let mut parts = Vec::new();
    let mut note = |count: u64, (one, many): (&str, &str), rest: &str| {
        if count > 0 {
            parts.push(format!("{}{rest}", counted(count, one, many)));
        }
    };
    let offset = ("offset", "offsets");
    note(offsets(Stage::NotCommitted), offset, " not committed by the connector");
    let counter = if findings.stations.is_empty() { "pipeline" } else { "processor" };
    note(offsets(Stage::NotReceived), offset, &format!(" committed and not received by the {counter}"));
    note(offsets(Stage::Lost), offset, " lost");
    let unbalanced = findings.flows.iter().filter(|flow| !flow.balanced).count();
    note(unbalanced as u64, ("flow", "flows"), " out of balance");
    note(findings.tables.iter().map(|table| table.missing).sum(), ("row", "rows"), "");
    let differing = findings.windows.iter().map(|window| window.differing as u64).sum();
    note(differing, ("key", "keys"), " of complete windows");
    let failed = match findings.unreachable.len() {
        0 => None,
        1 => Some("incomplete: 1 source could not be read".to_owned()),
        more => Some(format!("incomplete: {more} sources could not be read")),
    };
    let missing = (!parts.is_empty()).then(|| format!("missing: {}", parts.join(", ")));
    missing.into_iter().chain(failed).collect::<Vec<_>>().join("; ")
}

fn partition(finding: &PartitionFinding) -> Vec<String> {
    let mut ranges: Vec<String> = finding.missing.iter().take(RANGES).map(range).collect();
    if finding.missing.len() > RANGES {
        ranges.push(format!("{} more ranges", finding.missing.len() - RANGES));
    }
    vec![
        finding.topic.clone(),
        finding.partition.to_string(),
        number(finding.log_start),
        number(finding.log_end),
        number(finding.committed),
        finding.accounted.to_string(),
        finding.refused.to_string(),
        finding.lost.to_string(),
        if ranges.is_empty() { "-".to_owned() } else { ranges.join(", ") },
    ]
}

fn range(missing: &Missing) -> String {
    let stage = match missing.stage {
        Stage::NotCommitted => "not committed",
        Stage::NotReceived => "not received",
        Stage::Lost => "lost",
    };
    format!("{}..{} {stage}", missing.from, missing.to)
}

fn flow(finding: &FlowFinding) -> Vec<String> {
    let outcomes = finding.ledger.iter().filter(|(_, count)| *count > 0);
    let outcomes: Vec<String> =
        outcomes.map(|(outcome, count)| format!("{count} {}", outcome.as_str())).collect();
    let balance = match (finding.is_new, finding.balanced) {
        (true, _) => "new",
        (false, true) => "balances",
        (false, false) => "OUT OF BALANCE",
    };
    vec![
        finding.flow.clone(),
        finding.total.to_string(),
        finding.accounted.to_string(),
        balance.to_owned(),
        if outcomes.is_empty() { "-".to_owned() } else { outcomes.join(" + ") },
    ]
}

/// A table or flow, with its writer if there are several.
fn named(writer: &str, name: &str, several: bool) -> String {
    if several { format!("{writer}: {name}") } else { name.to_owned() }
}

fn table(finding: &TableFinding, several: bool) -> Vec<String> {
    vec![
        named(&finding.writer, &finding.table, several),
        finding.sent.to_string(),
        number(finding.rows),
        finding.waiting.to_string(),
        finding.missing.to_string(),
    ]
}

fn number(number: Option<u64>) -> String {
    number.map_or("-".to_owned(), |number| number.to_string())
}
