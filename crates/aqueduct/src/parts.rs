//! Which component of the pipeline is stalled: one line for each, from a survey. Pure.
//!
//! See `reconcile` for missing offsets, and `status` for the progress of each partition.

use event::{Millis, Partition};
use processor::frontier::Track;
use serde::Serialize;

use crate::{
    grid::grid,
    survey::{Survey, Tables},
};

/// One part of the pipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Part {
    pub(crate) part: &'static str,
    pub(crate) is: Stand,
    /// What is seen of it, and what to do.
    pub(crate) seen: String,
}

/// The state of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stand {
    /// Nothing waits there.
    Well,
    /// Work is in flight; a second look shows whether it progresses.
    Working,
    /// It does not run, or lacks something.
    Still,
    /// It could not be queried.
    Unknown,
}

/// Marks are sent every second; a partition without one for this long is stalled.
const STALE: Millis = Millis(30_000);
/// Number of partitions named in a line.
const NAMED: usize = 3;

/// Every part, in the order in which an event passes them.
pub(crate) fn parts(survey: &Survey) -> Vec<Part> {
    vec![kafka(survey), connector(survey), pubsub(survey), processor(survey), tables(survey)]
}

/// The components as text.
pub(crate) fn text(parts: &[Part]) -> String {
    let row = |part: &Part| {
        let is = match part.is {
            Stand::Well => "ok",
            Stand::Working => "working",
            Stand::Still => "STALLED",
            Stand::Unknown => "unknown",
        };
        vec![part.part.to_owned(), is.to_owned(), part.seen.clone()]
    };
    grid(&["component", "state", "details"], &parts.iter().map(row).collect::<Vec<_>>())
}

/// The stalled components, in one line.
pub(crate) fn verdict(parts: &[Part]) -> String {
    let still: Vec<&str> =
        parts.iter().filter(|part| part.is == Stand::Still).map(|part| part.part).collect();
    if still.is_empty() { "nothing is stalled".to_owned() } else { format!("STALLED: {}", still.join(", ")) }
}

fn kafka(survey: &Survey) -> Part {
    let (is, seen) = match &survey.logs {
        Err(reason) => (Stand::Unknown, reason.clone()),
        Ok(logs) if !logs.missing.is_empty() => (
            Stand::Still,
            format!("there is no topic {}; create it, or correct [kafka] topics", logs.missing.join(", ")),
        ),
        Ok(logs) => {
            let offsets: u64 = logs.logs.iter().map(|log| log.high - log.low.min(log.high)).sum();
            (Stand::Well, format!("{} partitions with {offsets} offsets", logs.logs.len()))
        }
    };
    Part { part: "Kafka", is, seen }
}

fn connector(survey: &Survey) -> Part {
    let part = |is, seen| Part { part: "connector", is, seen };
    let Ok(logs) = &survey.logs else {
        return part(Stand::Unknown, "unknown without Kafka".to_owned());
    };
    let waiting: Vec<(&Partition, u64)> = logs
        .logs
        .iter()
        .map(|log| (&log.partition, log.high.saturating_sub(log.committed.unwrap_or(log.low).max(log.low))))
        .filter(|(_, offsets)| *offsets > 0)
        .collect();
    let offsets: u64 = waiting.iter().map(|(_, offsets)| offsets).sum();
    let uncommitted = match offsets {
        0 => "everything is committed".to_owned(),
        _ => format!("{offsets} offsets are not committed: {}", named(waiting.iter().map(|(p, _)| *p))),
    };
    if logs.members == Some(0) {
        return part(
            Stand::Still,
            format!("the consumer group has no members: start `aqueduct connector`; {uncommitted}"),
        );
    }
    let stale = stale(survey);
    if !stale.is_empty() {
        let seen = format!("no mark for {STALE} about {}; {uncommitted}", named(stale.into_iter()));
        return part(Stand::Still, seen);
    }
    let members = match logs.members {
        Some(1) => "one member; ".to_owned(),
        Some(members) => format!("{members} members; "),
        None => String::new(),
    };
    part(if offsets > 0 { Stand::Working } else { Stand::Well }, members + &uncommitted)
}

/// The partitions without a recent mark of the connector when a running processor wrote its last checkpoint.
fn stale(survey: &Survey) -> Vec<&Partition> {
    let (Some(written), Ok(logs)) = (survey.state.written_at, &survey.logs) else { return Vec::new() };
    if !is_fresh(survey) {
        return Vec::new();
    }
    let frontier = survey.state.core.frontier();
    let is_stale = |track: &Track| track.end().is_some_and(|end| end.asked_at + STALE < written);
    let present = |partition: &Partition| logs.logs.iter().any(|log| log.partition == *partition);
    frontier
        .tracks()
        .filter(|(partition, track)| present(partition) && is_stale(track))
        .map(|(p, _)| p)
        .collect()
}

fn pubsub(survey: &Survey) -> Part {
    let part = |is, seen| Part { part: "Pub/Sub", is, seen };
    let frontier = survey.state.core.frontier();
    let mut waiting: Vec<(&Partition, u64)> = Vec::new();
    for (partition, track) in frontier.tracks() {
        let log = survey.logs.iter().flat_map(|logs| &logs.logs).find(|log| log.partition == *partition);
        let committed = log.and_then(|log| log.committed).or(track.committed()).unwrap_or_default();
        let low = log.map_or(0, |log| log.low).min(committed);
        let offsets: u64 = track.gaps(low..committed).iter().map(|gap| gap.end - gap.start).sum();
        if offsets > 0 {
            waiting.push((partition, offsets));
        }
    }
    if survey.state.checkpoint.is_none() {
        return part(Stand::Unknown, "unknown without the processor's state".to_owned());
    }
    if waiting.is_empty() {
        return part(Stand::Well, "everything that was committed has been received".to_owned());
    }
    let offsets: u64 = waiting.iter().map(|(_, offsets)| offsets).sum();
    let names = named(waiting.iter().map(|(partition, _)| *partition));
    let seen = match is_fresh(survey) {
        true => format!(
            "{offsets} offsets were published and have not arrived: {names}; they count as lost after {}",
            survey.state.core.limits().hole_limit
        ),
        false => format!("{offsets} offsets wait for the processor: {names}"),
    };
    part(Stand::Working, seen)
}

fn processor(survey: &Survey) -> Part {
    let state = &survey.state;
    let part = |is, seen| Part { part: "processor", is, seen };
    let (Some(number), Some(written)) = (state.checkpoint, state.written_at) else {
        let seen = format!("no checkpoint in {}: start `aqueduct processor`", state.place);
        return part(Stand::Still, seen);
    };
    let age = Millis(survey.at.0.saturating_sub(written.0).max(0) / 1_000 * 1_000);
    if is_fresh(survey) {
        return part(Stand::Well, format!("checkpoint {number}, {age} ago"));
    }
    part(Stand::Still, format!("no checkpoint for {age}: start `aqueduct processor`, or check its log"))
}

/// A processor that runs writes a checkpoint every period, also when nothing happens.
fn is_fresh(survey: &Survey) -> bool {
    let state = &survey.state;
    state.written_at.is_some_and(|written| survey.at <= written + state.takeover_after)
}

fn tables(survey: &Survey) -> Part {
    let part = |is, seen| Part { part: "tables", is, seen };
    let tables = match &survey.tables {
        Err(reason) => return part(Stand::Unknown, reason.clone()),
        Ok(tables) => tables,
    };
    if let Some(reason) = tables.rows.values().find_map(|rows| rows.as_ref().err()) {
        return part(Stand::Unknown, reason.clone());
    }
    let outbox = &survey.state.outbox;
    let waiting: u64 = outbox.pending_from(0).map(|(_, append)| u64::from(append.rows)).sum();
    let lacking = lacking(survey, tables);
    if lacking > 0 {
        let seen = format!("{lacking} rows were sent and are missing: run `aqueduct reconcile`");
        return part(Stand::Still, seen);
    }
    match (waiting, is_fresh(survey)) {
        (0, _) => {
            let rows: u64 = tables.rows.values().flatten().sum();
            part(Stand::Well, format!("{rows} rows; none waiting"))
        }
        (_, true) => part(Stand::Working, format!("{waiting} rows in flight")),
        (_, false) => part(Stand::Working, format!("{waiting} rows wait in the state for the processor")),
    }
}

/// Rows that are known to have been taken by their tables, and are not there.
fn lacking(survey: &Survey, tables: &Tables) -> u64 {
    let outbox = &survey.state.outbox;
    let lacking = outbox.given().map(|(table, sent)| {
        let waiting = outbox.pending_from(0).filter(|(_, append)| append.table == *table);
        let waiting: u64 = waiting.map(|(_, append)| u64::from(append.rows)).sum();
        let there = tables.rows.get(table).and_then(|rows| rows.as_ref().ok()).copied();
        there.map_or(0, |there| sent.saturating_sub(waiting).saturating_sub(there))
    });
    lacking.sum()
}

fn named<'a>(partitions: impl ExactSizeIterator<Item = &'a Partition>) -> String {
    let more = partitions.len().saturating_sub(NAMED);
    let mut names: Vec<String> = partitions.take(NAMED).map(ToString::to_string).collect();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests;
