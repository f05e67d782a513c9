//! The status of a pipeline of `engines/beam`, as far as it is in what the pipeline has written. Pure.

use event::{EventTime, Ledger, Millis, time::as_text};
use processor::{
    frontier::Limits,
    view::{PartitionView, outcomes},
};
use report::{status::millis_between, words::length};
use serde::Serialize;

use super::text;
use crate::{grid::grid, survey::beam::Survey};

/// The whole report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Services that could not be queried, with the reason.
    unreachable: Vec<String>,
    /// What Kafka has, and what the newest row of progress accounts for.
    partitions: Vec<PartitionView>,
    flows: Vec<FlowReport>,
}

/// The newest row of progress of a flow.
#[derive(Debug, Serialize)]
struct FlowReport {
    flow: String,
    /// The writer, or the folder.
    output: String,
    /// When it was written.
    #[serde(serialize_with = "as_text")]
    at: EventTime,
    #[serde(serialize_with = "as_text")]
    watermark: EventTime,
    delay_ms: u64,
    #[serde(serialize_with = "outcomes")]
    ledger: Ledger,
    total: u64,
}

pub(super) fn report(survey: &Survey) -> Report {
    let mut unreachable: Vec<String> = survey.logs.as_ref().err().cloned().into_iter().collect();
    for (name, output) in &survey.outputs {
        unreachable.extend(output.as_ref().err().map(|reason| format!("{name}: {reason}")));
    }
    let mut flows = Vec::new();
    for (name, written) in survey.written() {
        for flow in &survey.flows {
            let Some(progress) = written.progress.get(flow) else {
                unreachable.push(format!("{name}: flow {flow} has no row of progress"));
                continue;
            };
            let row = &progress.row;
            flows.push(FlowReport {
                flow: flow.clone(),
                output: name.to_owned(),
                at: row.at,
                watermark: row.watermark,
                delay_ms: millis_between(row.watermark, survey.at),
                ledger: row.ledger,
                total: row.ledger.total(),
            });
        }
    }
    if survey.outputs.is_empty() {
        unreachable.push("no writer has tables, so no row of progress can be read".to_owned());
    }
    // What they decide follows from clocks, which are not known.
    let limits = Limits { idle_after: Millis(0), hole_limit: Millis(0), cold_start: Millis(0) };
    let tracks = survey.tracks().into_iter();
    let partitions = tracks.map(|(partition, (track, log))| {
        let mut view = PartitionView::of(partition, &track, &limits, None);
        if let Some(log) = log {
            view.asked(log.low, log.high, log.committed, &track);
        }
        view
    });
    Report { unreachable, partitions: partitions.collect(), flows }
}

pub(super) fn of(report: &Report, at: EventTime) -> String {
    let mut text: String =
        report.unreachable.iter().map(|reason| format!("not available: {reason}\n")).collect();
    text.push_str(&text::partitions(&report.partitions));
    let flow = |of: &FlowReport| {
        let age = format!("{} ago", length(millis_between(of.at, at)));
        let offsets = text::offsets(of.total, &of.ledger);
        vec![of.flow.clone(), of.output.clone(), age, of.watermark.to_string(), length(of.delay_ms), offsets]
    };
    let head = ["flow", "output", "progress", "watermark", "watermark delay", "offsets"];
    text.push_str(&format!("\n{}", grid(&head, &report.flows.iter().map(flow).collect::<Vec<_>>())));
    text
}
