//! `aqueduct dead-letters list`.

use std::{num::NonZeroUsize, process::ExitCode};

use event::ledger::Outcome;
use flow::row::DeadLetterRow;
use processor::core::Core;
use report::words::counted;
use serde::Serialize;

use super::filter::Filter;
use crate::{
    global::Global,
    grid::{Format, grid},
    runtime,
    survey::Places,
};

/// The options of `dead-letters list`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Number of records that are listed
    #[arg(long, value_name = "NUMBER", default_value = "100")]
    limit: NonZeroUsize,
    /// Format of the list
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Shown by `--help`.
pub(super) const EXAMPLE: &str = "\
Example: what the processor rejected since yesterday because of the event's time
  aqueduct dead-letters list --stage processor --reason time --from 2026-11-29T00:00:00Z

Requires [events], [[flows]], [state] and [writer], and a writer whose tables can be read. The last column names the flows that reject the record at present; \"-\" means that no redrive can change anything: a redrive has already published the record, it was rejected before the processor was upgraded to this version, or the line is about a row and not a record.";

/// A list.
#[derive(Serialize)]
struct List {
    dead_letters: Vec<Line>,
    /// Whether there are more than the limit.
    has_more: bool,
    /// Records that are rejected and not known by their offset, by flow.
    unknown: Vec<Unknown>,
}

#[derive(Serialize)]
struct Line {
    topic: String,
    partition: i32,
    offset: u64,
    stage: String,
    reason: String,
    pointer: Option<String>,
    seen_at: String,
    rejected_by: Vec<String>,
}

/// Records that a flow rejected and that cannot be redriven.
#[derive(Serialize)]
struct Unknown {
    flow: String,
    records: u64,
}

/// Prints the list.
///
/// # Errors
/// The configuration is invalid, or the state or the table cannot be read.
pub(super) fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    let config = global.config()?;
    if config.settings().has("kafka") {
        args.filter.check(&config.kafka()?.topics)?;
    }
    let places = Places::read(&config)?;
    global.start_logging()?;
    let list = runtime::run(|_| async move {
        let writer = places.open_tables().await?;
        let limit = args.limit.get();
        let mut lines = writer.dead_letters(&args.filter.letters(limit.saturating_add(1))).await?;
        writer.close().await?;
        let (state, _) = places.state(processor::driver::now()).await?;
        let has_more = lines.len() > limit;
        lines.truncate(limit);
        let dead_letters = lines.into_iter().map(|line| Line::of(line, &state.core)).collect();
        Ok(List { dead_letters, has_more, unknown: unknown(&state.core) })
    })?;
    args.format.print(&list, List::text)?;
    Ok(ExitCode::SUCCESS)
}

/// What a flow's ledger has more than the set of known offsets.
fn unknown(core: &Core) -> Vec<Unknown> {
    let flows = core.engine().flows().iter().enumerate();
    let unknown = flows.map(|(number, flow)| {
        let spans = core.rejected().iter().filter(|(_, _, refused)| refused.flows.contains(number));
        let known: u64 = spans.map(|(_, offsets, _)| offsets.end - offsets.start).sum();
        let records = flow.ledger.get(Outcome::Rejected).saturating_sub(known);
        Unknown { flow: flow.name().to_string(), records }
    });
    unknown.filter(|unknown| unknown.records > 0).collect()
}

impl Line {
    fn of(line: DeadLetterRow, core: &Core) -> Self {
        let partitions = core.frontier().tracks().map(|(partition, _)| partition);
        let named = partitions.filter(|p| p.topic == line.topic && p.partition == line.partition);
        let refused = named.filter_map(|partition| core.rejected().get(partition, line.offset));
        let flows = core.engine().flows();
        let names =
            refused.flat_map(|refused| refused.flows.iter()).map(|flow| flows[flow].name().to_string());
        let mut rejected_by: Vec<String> = names.collect();
        rejected_by.sort_unstable();
        rejected_by.dedup();
        let DeadLetterRow { topic, partition, offset, stage, reason, pointer, seen_at } = line;
        Self {
            topic: topic.to_string(),
            partition,
            offset,
            stage: stage.to_string(),
            reason,
            pointer,
            seen_at: seen_at.to_string(),
            rejected_by,
        }
    }

    fn row(&self) -> Vec<String> {
        let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        vec![
            self.topic.clone(),
            self.partition.to_string(),
            self.offset.to_string(),
            self.stage.clone(),
            self.reason.clone(),
            or_none(self.pointer.as_deref().unwrap_or_default()),
            self.seen_at.clone(),
            or_none(&self.rejected_by.join(", ")),
        ]
    }
}

impl List {
    fn text(&self) -> String {
        let head =
            ["topic", "partition", "offset", "stage", "reason", "pointer", "rejected at", "rejected by"];
        let rows: Vec<Vec<String>> = self.dead_letters.iter().map(Line::row).collect();
        let mut text =
            if rows.is_empty() { "no rejected record matches\n".to_owned() } else { grid(&head, &rows) };
        if self.has_more {
            text.push_str("\nthere are more; raise --limit, or choose fewer records\n");
        }
        for Unknown { flow, records } in &self.unknown {
            let records = counted(*records, "record", "records");
            text.push_str(&format!(
                "\nflow {flow}: {records} more cannot be redriven: rejected before the upgrade to this version, without a Kafka offset, or too many to be remembered\n"
            ));
        }
        text
    }
}
