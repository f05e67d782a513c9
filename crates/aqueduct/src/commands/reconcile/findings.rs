//! The findings of `reconcile`.
//!
//! Pure.

use std::{collections::BTreeMap, ops::Range};

use event::{Key, Ledger, Partition};
use flow::{
    append::Table,
    row::{Value, Values},
};
use kafka::survey::{Log, Survey as Logs};
use processor::{
    engine::FlowState,
    frontier::Track,
    view::{FlowView, outcomes},
};
use report::{
    Status,
    judge::{self, Station},
    status::Processor,
};
use serde::Serialize;
use writer::{LatestRow, Refusals};

use super::counted::counted;
use crate::survey::{Survey, Tables, WriterSurvey};

/// Everything that was compared.
#[derive(Debug, Serialize)]
pub(super) struct Findings {
    pub(super) nothing_missing: bool,
    /// Services that could not be queried, with the reason, and rows that wait for a writer which is not configured.
    pub(super) unreachable: Vec<String>,
    /// What cannot be compared, with the reason.
    pub(super) not_compared: Vec<String>,
    pub(super) partitions: Vec<PartitionFinding>,
    /// Rejected records by partition, stage and reason.
    pub(super) refused: Vec<Refusals>,
    pub(super) flows: Vec<FlowFinding>,
    pub(super) tables: Vec<TableFinding>,
    pub(super) windows: Vec<WindowFinding>,
    /// Every component, and whether it is stalled; empty for another engine.
    pub(super) stations: Vec<Station>,
}

/// One partition: Kafka's offsets compared with the frontier.
#[derive(Debug, Serialize)]
pub(super) struct PartitionFinding {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) incarnation: String,
    /// Absent for an earlier incarnation of the topic, which Kafka does not have any more.
    pub(super) log_start: Option<u64>,
    pub(super) log_end: Option<u64>,
    pub(super) committed: Option<u64>,
    /// Offsets with an outcome.
    pub(super) accounted: u64,
    /// Those of them that have a dead letter, of any incarnation of the topic.
    pub(super) refused: u64,
    /// Those of them that are lost unless they arrive later.
    pub(super) lost: u64,
    pub(super) missing: Vec<Missing>,
}

/// A range of offsets without their events.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Missing {
    pub(super) from: u64,
    /// One past the last.
    pub(super) to: u64,
    pub(super) stage: Stage,
}

/// The stage at which offsets are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stage {
    /// Not committed by the connector.
    NotCommitted,
    /// Committed, and not in the processor's state.
    NotReceived,
    /// Deleted from Kafka, or given up by the processor unless they arrive later.
    Lost,
}

/// One flow: its ledger compared with the frontier.
#[derive(Debug, Serialize)]
pub(super) struct FlowFinding {
    pub(super) flow: String,
    /// Whether it is not in the state yet, so that it cannot be compared.
    pub(super) is_new: bool,
    #[serde(serialize_with = "outcomes")]
    pub(super) ledger: Ledger,
    /// Offsets in the ledger, and those from before the flow was added.
    pub(super) total: u64,
    pub(super) accounted: u64,
    pub(super) balanced: bool,
}

/// One table: rows sent compared with rows in it. Rows in a topic cannot be counted: what Pub/Sub has acknowledged is not
/// missing.
#[derive(Debug, Serialize)]
pub(super) struct TableFinding {
    /// The name of the writer.
    pub(super) writer: String,
    pub(super) table: String,
    /// Rows that were sent to its streams.
    pub(super) sent: u64,
    /// Those of them that wait in the state for the next attempt, as far as is known.
    pub(super) waiting: u64,
    /// Absent for a topic.
    pub(super) rows: Option<u64>,
    pub(super) missing: u64,
}

/// The newest complete window of the table: its rows compared with the state.
#[derive(Debug, Serialize)]
pub(super) struct WindowFinding {
    /// The name of the writer.
    pub(super) writer: String,
    pub(super) flow: String,
    pub(super) window_end: String,
    /// Keys that the state has in it.
    pub(super) expected: usize,
    /// Keys whose newest row is missing or differs.
    pub(super) differing: usize,
}

impl Findings {
    pub(super) fn of(survey: &Survey) -> Self {
        let mut unreachable = unread(&survey.logs);
        for writer in &survey.writers {
            let mut errors: Vec<&String> = writer.tables.as_ref().err().into_iter().collect();
            if let Ok(tables) = &writer.tables {
                errors.extend(tables.rows.values().filter_map(|rows| rows.as_ref().err()));
                errors.extend(tables.newest.values().filter_map(|rows| rows.as_ref().err()));
            }
            for error in errors {
                let error = survey.of(writer, error);
                if !unreachable.contains(&error) {
                    unreachable.push(error);
                }
            }
        }
        for (name, rows) in &survey.parked {
            unreachable.push(format!(
                "{rows} rows wait in the state for writer {name:?}, which is not configured; add it again to send them"
            ));
        }
        let topics = survey.writers.iter().filter_map(|writer| writer.tables.as_ref().ok()?.topic.clone());
        let status = survey.status();
        let findings = Self {
            nothing_missing: false,
            unreachable,
            not_compared: topics.map(|topic| not_compared(&topic)).collect(),
            partitions: partitions(survey),
            flows: flows(survey, &status),
            tables: tables(survey),
            windows: windows(survey),
            refused: survey.refusals().to_vec(),
            stations: judge::stations(&status),
        };
        findings.judged()
    }

    /// The same, with the verdict that follows from it.
    pub(super) fn judged(self) -> Self {
        let nothing_missing = self.unreachable.is_empty()
            && self.partitions.iter().all(|partition| partition.missing.is_empty())
            && self.flows.iter().all(|flow| flow.balanced)
            && self.tables.iter().all(|table| table.missing == 0)
            && self.windows.iter().all(|window| window.differing == 0);
        Self { nothing_missing, ..self }
    }
}

/// Why Kafka's offsets, or some of them, are not known.
pub(super) fn unread(logs: &Result<Logs, String>) -> Vec<String> {
    match logs {
        Ok(logs) => logs.missing.iter().map(|topic| format!("topic {topic} does not exist")).collect(),
        Err(reason) => vec![reason.clone()],
    }
}

/// Why the rows in a topic are not compared.
pub(super) fn not_compared(topic: &str) -> String {
    format!(
        "{topic} contains rows, and a topic cannot be queried; rows that Pub/Sub has acknowledged are not missing"
    )
}

fn partitions(survey: &Survey) -> Vec<PartitionFinding> {
    let (refusals, is_available) = (survey.refusals(), survey.logs.is_ok());
    let finding = |(of, (track, log))| PartitionFinding::of(of, (&track, log), refusals, is_available);
    survey.tracks().into_iter().map(finding).collect()
}

impl PartitionFinding {
    /// `is_available`: whether Kafka has answered.
    pub(super) fn of(
        partition: &Partition,
        (track, log): (&Track, Option<&Log>),
        refusals: &[Refusals],
        is_available: bool,
    ) -> Self {
        Self {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            incarnation: partition.incarnation.to_string(),
            log_start: log.map(|log| log.low),
            log_end: log.map(|log| log.high),
            committed: log.map_or(track.committed(), |log| log.committed),
            accounted: track.accounted(),
            refused: refused(partition, refusals),
            lost: track.lost().iter().map(|range| range.end - range.start).sum(),
            missing: missing(track, log, is_available),
        }
    }
}

fn refused(partition: &Partition, refusals: &[Refusals]) -> u64 {
    let of_partition = refusals
        .iter()
        .filter(|r| r.topic == *partition.topic && r.partition == i64::from(partition.partition));
    of_partition.map(|refusals| refusals.rows).sum()
}

/// The offsets of a partition without an outcome, and those that are lost. If Kafka did not respond, the end
/// of the log is taken from the marks.
fn missing(track: &Track, log: Option<&Log>, is_available: bool) -> Vec<Missing> {
    let end = log.map_or(track.heard_to(), |log| log.high);
    // A log of which nothing was read starts at its current beginning.
    let start = match log {
        Some(log) if track.heard_to() == 0 && log.committed.is_none() => log.low,
        _ => 0,
    };
    // Records that Kafka has deleted will not arrive.
    let gone_below = match log {
        Some(log) => log.low,
        None if is_available => end,
        None => 0,
    };
    let committed = log.map_or(track.committed(), |log| log.committed).unwrap_or_default();
    let mut found: Vec<Missing> = track.lost().iter().map(|range| Stage::Lost.of(range)).collect();
    for gap in track.gaps(start..end.max(start)) {
        let received_below = committed.max(gone_below);
        found.extend(part(&gap, 0..gone_below, Stage::Lost));
        found.extend(part(&gap, gone_below..received_below, Stage::NotReceived));
        found.extend(part(&gap, received_below..u64::MAX, Stage::NotCommitted));
    }
    found.sort_by_key(|missing| missing.from);
    found
}

fn part(gap: &Range<u64>, within: Range<u64>, stage: Stage) -> Option<Missing> {
    let part = gap.start.max(within.start)..gap.end.min(within.end);
    (part.start < part.end).then(|| stage.of(part))
}

impl Stage {
    fn of(self, range: Range<u64>) -> Missing {
        Missing { from: range.start, to: range.end, stage: self }
    }
}

fn flows(survey: &Survey, status: &Status) -> Vec<FlowFinding> {
    let Some(Processor { detail, .. }) = &status.processor else { return Vec::new() };
    let finding = |(state, view): (&FlowState, &FlowView)| FlowFinding {
        flow: view.name.to_string(),
        is_new: survey.is_new(state),
        ledger: view.ledger,
        total: view.ledger.total() + view.before,
        accounted: detail.accounted,
        balanced: judge::is_balanced(detail, view),
    };
    survey.state.core.engine().flows().iter().zip(&detail.flows).map(finding).collect()
}

fn tables(survey: &Survey) -> Vec<TableFinding> {
    let mut found = Vec::new();
    for writer in &survey.writers {
        let Ok(tables) = &writer.tables else { continue };
        let finding = |(table, sent): (&Table, u64)| {
            let waiting = writer.waiting(table);
            let (rows, missing) = match tables.topic {
                Some(_) => (None, waiting),
                None => {
                    let rows = *tables.rows.get(table)?.as_ref().ok()?;
                    (Some(rows), sent.saturating_sub(rows))
                }
            };
            let (writer, table) = (writer.name.to_string(), table.name());
            Some(TableFinding { writer, table, sent, waiting, rows, missing })
        };
        found.extend(writer.outbox.given().filter_map(finding));
    }
    found
}

fn windows(survey: &Survey) -> Vec<WindowFinding> {
    let mut found = Vec::new();
    for writer in &survey.writers {
        let Ok(tables) = &writer.tables else { continue };
        let flows = survey.state.core.engine().flows().iter();
        found.extend(flows.filter_map(|flow| window(writer, tables, flow)));
    }
    found
}

fn window(writer: &WriterSurvey, tables: &Tables, flow: &FlowState) -> Option<WindowFinding> {
    let rows = tables.newest.get(flow.name())?.as_ref().ok()?;
    let window = rows.first()?.row.window;
    let table = Table::Flow(flow.name().clone());
    let is_waiting = writer.outbox.pending_from(0).any(|(_, append)| append.table == table);
    if is_waiting || window.end > flow.windows.watermark() {
        return None;
    }
    let counted = counted(flow, window)?;
    let found: BTreeMap<_, _> = rows.iter().map(|LatestRow { row, .. }| (&row.key, &row.values)).collect();
    let is_same = |(key, values): &(&Key, &Values)| found.get(key).is_some_and(|found| same(found, values));
    let differing = counted.iter().filter(|entry| !is_same(entry)).count();
    Some(WindowFinding {
        writer: writer.name.to_string(),
        flow: flow.name().to_string(),
        window_end: window.end.to_string(),
        expected: counted.len(),
        differing,
    })
}

/// Whether two rows have the same values, without sketches, because their estimates follow from them.
fn same(a: &[Value], b: &[Value]) -> bool {
    let same = |(a, b): (&Value, &Value)| match (a, b) {
        (Value::Distinct(a), Value::Distinct(b)) => a.number == b.number,
        (a, b) => a == b,
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}
