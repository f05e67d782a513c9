//! The report of `status`, as values.
//!
//! Pure.

use std::collections::BTreeMap;

use event::{EventTime, Partition};
use flow::append::Table;
use processor::{engine::FlowState, frontier::Track};
use serde::Serialize;

use crate::{
    late,
    parts::{Part, parts},
    refused::Refused,
    survey::{State, Survey, held_by, known},
};

/// The whole report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) at: String,
    pub(super) state: StateReport,
    /// Why Kafka could not be queried; the ends and commits are then those of the last marks.
    pub(super) kafka_unreachable: Option<String>,
    pub(super) missing_topics: Vec<String>,
    pub(super) tables_unreachable: Option<String>,
    pub(super) partitions: Vec<PartitionReport>,
    /// Which partition holds the watermark, and why.
    pub(super) held_by: String,
    pub(super) flows: Vec<FlowReport>,
    /// What was refused, by partition, stage and reason.
    pub(super) refused: Vec<Refused>,
    /// Every component, and whether it is stalled.
    pub(super) parts: Vec<Part>,
}

/// The last checkpoint.
#[derive(Debug, Serialize)]
pub(super) struct StateReport {
    pub(super) place: String,
    pub(super) checkpoint: Option<u64>,
    pub(super) written_at: Option<String>,
    pub(super) age_ms: Option<i64>,
    /// Requests whose rows are not known to be in their tables.
    pub(super) waiting_requests: usize,
}

/// One partition.
#[derive(Debug, Serialize)]
pub(super) struct PartitionReport {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) incarnation: String,
    pub(super) log_end: Option<u64>,
    pub(super) committed: Option<u64>,
    /// Everything below is accounted for.
    pub(super) frontier: u64,
    /// Offsets of the log that are not accounted for.
    pub(super) lag: Option<u64>,
    /// Committed offsets that did not arrive: the first, and one past the last.
    pub(super) holes: Vec<(u64, u64)>,
    pub(super) clock: Option<String>,
}

/// One flow.
#[derive(Debug, Serialize)]
pub(super) struct FlowReport {
    pub(super) flow: String,
    pub(super) is_new: bool,
    pub(super) watermark: Option<String>,
    pub(super) delay_ms: Option<i64>,
    /// Offsets by outcome.
    pub(super) ledger: BTreeMap<&'static str, u64>,
    pub(super) total: u64,
    /// The share of late events among counted and late ones; absent if there are none of either.
    pub(super) late_share: Option<f64>,
    /// Offsets that were accounted for before the flow was added.
    pub(super) before: u64,
    pub(super) keys: usize,
    pub(super) rows: Option<u64>,
    pub(super) rows_unreachable: Option<String>,
    pub(super) waiting_rows: u64,
}

impl Report {
    pub(super) fn of(survey: &Survey) -> Self {
        let state = &survey.state;
        let logs = survey.logs.as_ref().ok();
        Self {
            at: survey.at.to_string(),
            state: StateReport::of(state, survey.at),
            kafka_unreachable: survey.logs.as_ref().err().cloned(),
            missing_topics: logs.iter().flat_map(|logs| &logs.missing).map(ToString::to_string).collect(),
            tables_unreachable: survey.tables.as_ref().err().cloned(),
            partitions: partitions(survey),
            held_by: held_by(
                &state.core.frontier().holder(state.core.limits()),
                state.core.has_unpositioned(),
            ),
            flows: state.core.engine().flows().iter().map(|flow| FlowReport::of(flow, survey)).collect(),
            refused: survey.tables.iter().flat_map(|tables| &tables.refusals).map(Refused::of).collect(),
            parts: parts(survey),
        }
    }
}

impl StateReport {
    fn of(state: &State, at: EventTime) -> Self {
        Self {
            place: state.place.clone(),
            checkpoint: state.checkpoint,
            written_at: state.written_at.map(|time| time.to_string()),
            age_ms: state.written_at.map(|time| at.0.saturating_sub(time.0).max(0)),
            waiting_requests: state.outbox.len(),
        }
    }
}

fn partitions(survey: &Survey) -> Vec<PartitionReport> {
    let unheard = Track::new();
    let frontier = survey.state.core.frontier();
    let mut tracks: BTreeMap<&Partition, &Track> = frontier.tracks().collect();
    let logs: BTreeMap<_, _> =
        survey.logs.iter().flat_map(|logs| &logs.logs).map(|log| (&log.partition, log)).collect();
    for partition in logs.keys() {
        tracks.entry(partition).or_insert(&unheard);
    }
    let idle_after = survey.state.core.limits().idle_after;
    let report = |(partition, track): (&Partition, &Track)| {
        let log = logs.get(partition);
        let log_end = log.map(|log| log.high).or(track.end().map(|end| end.offset));
        PartitionReport {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            incarnation: partition.incarnation.to_string(),
            log_end,
            committed: log.map_or(track.committed(), |log| log.committed),
            frontier: track.prefix(),
            lag: log_end.map(|end| track.gaps(0..end).iter().map(|gap| gap.end - gap.start).sum()),
            holes: track.holes().into_iter().map(|hole| (hole.start, hole.end)).collect(),
            clock: known(track.clocks(idle_after).event),
        }
    };
    tracks.into_iter().map(report).collect()
}

impl FlowReport {
    fn of(flow: &FlowState, survey: &Survey) -> Self {
        let name = flow.name();
        let table = Table::Flow(name.clone());
        let counted = survey.tables.as_ref().ok().and_then(|tables| tables.rows.get(&table));
        let waiting = survey.state.outbox.pending_from(0).filter(|(_, append)| append.table == table);
        let watermark = flow.windows.watermark();
        let ledger: BTreeMap<_, _> =
            flow.ledger.iter().map(|(outcome, count)| (outcome.as_str(), count)).collect();
        Self {
            flow: name.to_string(),
            is_new: survey.state.added.iter().any(|added| **added == **name),
            watermark: known(watermark),
            delay_ms: known(watermark).map(|_| survey.at.0.saturating_sub(watermark.0)),
            late_share: late::share(&ledger),
            ledger,
            total: flow.ledger.total(),
            before: flow.before,
            keys: flow.windows.key_count(),
            rows: counted.and_then(|rows| rows.as_ref().ok().copied()),
            rows_unreachable: counted.and_then(|rows| rows.as_ref().err().cloned()),
            waiting_rows: waiting.map(|(_, append)| u64::from(append.rows)).sum(),
        }
    }
}
