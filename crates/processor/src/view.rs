//! The status of a processor: one set of values from which its metrics, the live page, `/api/v1/` and `aqueduct status`
//! are made. Pure. See the crate `report` for what is good or bad about it.
//!
//! In JSON, times are RFC 3339, and numbers of milliseconds and bytes have `_ms` and `_bytes` in their names.

use std::{ops::Range, sync::Arc};

use event::{EventTime, Ledger, Mark, Millis, Partition, time::known_as_text};
use flow::{Flow, Windows, calendar::Unit, row::MeasureColumns, window::WindowKind};
use serde::{Serialize, Serializer};

use crate::{
    board::Board,
    core::{Core, Counters},
    engine::FlowState,
    frontier::{Holder, Limits, Track},
    joins::Joins,
    outbox::Outbox,
};

/// The status of a processor at one tick.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Data messages that arrived for the first time, since the start.
    pub events: u64,
    /// Rows that were added to their tables, since the start.
    pub rows: u64,
    /// Those of them that went to the tables of flows.
    pub flow_rows: u64,
    /// The watermark and ledger of each flow.
    pub flows: Vec<(Arc<str>, EventTime, Ledger)>,
    /// Whether the processor is caught up.
    pub caught_up: bool,
    /// The detailed status, updated twice a second.
    pub detail: Arc<Detail>,
    /// The rows of the last hour.
    pub board: Board,
}

/// The detailed status; empty before the first update.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Detail {
    /// The time of this status; `None` before the processor holds its state.
    #[serde(serialize_with = "known_as_text")]
    pub at: Option<EventTime>,
    /// What holds the watermark back, and why.
    pub held_by: String,
    /// Whether another producer publishes to the topic, so that offsets do not match Kafka's.
    pub has_unpositioned: bool,
    /// The number of offsets that are accounted for.
    pub accounted: u64,
    /// Counts since the start.
    #[serde(flatten)]
    pub counters: Counters,
    /// Requests that wait for their tables.
    pub requests: usize,
    /// The bytes of these requests.
    pub request_bytes: u64,
    /// The writers, in the order of the configuration, and then those for which only the state has rows.
    pub writers: Vec<WriterView>,
    /// Approximate bytes of the live state.
    pub state_bytes: u64,
    /// The part that only the driver knows.
    #[serde(flatten)]
    pub own: Own,
    /// The flows, in the order of the configuration.
    pub flows: Vec<FlowView>,
    /// All known partitions.
    pub partitions: Vec<PartitionView>,
}

/// The part of the status that only the driver knows.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Own {
    /// When this run started.
    #[serde(skip)]
    pub started: Option<EventTime>,
    /// The limit of the live state in bytes.
    #[serde(rename = "memory_bytes")]
    pub memory: u64,
    /// Messages that wait for a durable checkpoint.
    pub unacknowledged: usize,
    /// Since when the oldest message has waited that no checkpoint contains yet.
    #[serde(serialize_with = "known_as_text")]
    pub unacknowledged_since: Option<EventTime>,
    /// Since when the oldest message has waited that the checkpoint in flight contains.
    #[serde(serialize_with = "known_as_text")]
    pub covered_since: Option<EventTime>,
    /// Since when the oldest request has waited for its table.
    #[serde(serialize_with = "known_as_text")]
    pub oldest_request: Option<EventTime>,
    /// When the last mark arrived.
    #[serde(serialize_with = "known_as_text")]
    pub last_mark: Option<EventTime>,
    /// The clock differences that the last mark showed.
    #[serde(skip)]
    pub ahead: Option<Ahead>,
    /// Durable checkpoints of this run.
    pub checkpoints: u64,
    /// When the last checkpoint became durable.
    #[serde(serialize_with = "known_as_text")]
    pub last_checkpoint: Option<EventTime>,
    /// The duration of the last checkpoint.
    #[serde(rename = "checkpoint_ms")]
    pub checkpoint_millis: Option<u64>,
    /// The bytes of the last checkpoint that was started.
    pub checkpoint_bytes: u64,
}

/// How far clocks are ahead, in milliseconds. Idle partitions move with the connector's clock, so later events may be
/// late by this much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// The connector's clock when it asked, relative to Pub/Sub's clock when it published the mark afterwards; `None`
    /// if the mark contains no answer.
    pub connector: Option<i64>,
    /// Pub/Sub's clock relative to this machine's.
    pub pubsub: i64,
}

impl Ahead {
    /// The differences that a mark shows when it arrives at `now`.
    pub fn of(mark: &Mark, published: EventTime, now: EventTime) -> Self {
        let of_logs = mark.partitions.iter().filter_map(|partition| partition.end).map(|end| end.asked_at);
        let asked = mark.topics.iter().map(|topic| topic.asked_at).chain(of_logs).max();
        Self {
            connector: asked.map(|asked| asked.0.saturating_sub(published.0)),
            pubsub: published.0.saturating_sub(now.0),
        }
    }
}

/// One partition of one incarnation.
#[derive(Clone, Debug, Serialize)]
pub struct PartitionView {
    /// The partition.
    #[serde(flatten)]
    pub partition: Partition,
    /// Every offset below this one is accounted for.
    pub frontier: u64,
    /// The committed offset.
    pub committed: Option<u64>,
    /// The end of the log when its leader was last asked.
    pub log_end: Option<u64>,
    /// When the connector asked; `None` before the first mark.
    #[serde(serialize_with = "known_as_text")]
    pub asked_at: Option<EventTime>,
    /// The number of offsets below the end of the log that are not accounted for.
    pub lag: Option<u64>,
    /// The first few ranges of committed offsets that have not arrived: the first offset, and one past the last.
    pub holes: Vec<(u64, u64)>,
    /// The number of such ranges.
    pub hole_count: usize,
    /// The number of offsets in them.
    pub hole_offsets: u64,
    /// Since when the oldest of them has been watched while the processor was caught up.
    #[serde(serialize_with = "known_as_text")]
    pub hole_since: Option<EventTime>,
    /// The time of the partition's newest event.
    #[serde(serialize_with = "known_as_text")]
    pub clock: Option<EventTime>,
    /// Whether the partition has no new events and moves with the clock.
    pub is_idle: bool,
}

/// What waits for one writer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WriterView {
    /// Its name; empty in a state of a version that had a single writer.
    pub name: Arc<str>,
    /// Requests that wait for its tables.
    pub requests: usize,
    /// The bytes of these requests.
    pub request_bytes: u64,
    /// Since when the oldest of them has waited.
    #[serde(serialize_with = "known_as_text")]
    pub oldest_request: Option<EventTime>,
}

impl WriterView {
    /// What waits in an outbox. Since when is not known here.
    pub fn of(name: &Arc<str>, outbox: &Outbox) -> Self {
        let (requests, request_bytes) = (outbox.len(), outbox.bytes());
        Self { name: name.clone(), requests, request_bytes, oldest_request: None }
    }
}

/// The status of one flow.
#[derive(Clone, Debug, Serialize)]
pub struct FlowView {
    /// The name of the flow and of its table.
    pub name: Arc<str>,
    /// The names of its key's columns.
    pub columns: Vec<String>,
    /// Its measures in the order of their columns; in JSON, the names of these columns.
    #[serde(serialize_with = "shown")]
    pub measures: Arc<[MeasureColumns]>,
    /// How its windows cover time.
    #[serde(flatten, serialize_with = "windowing")]
    pub windows: WindowKind,
    /// The configured `out_of_orderness`.
    #[serde(rename = "out_of_orderness_ms", serialize_with = "millis")]
    pub out_of_orderness: Millis,
    /// The configured `allowed_lateness`.
    #[serde(rename = "allowed_lateness_ms", serialize_with = "millis")]
    pub allowed_lateness: Millis,
    /// The watermark; `None` before it is known.
    #[serde(serialize_with = "known_as_text")]
    pub watermark: Option<EventTime>,
    /// How far the watermark is behind the clock, in milliseconds.
    pub delay_ms: Option<u64>,
    /// The number of offsets for each outcome.
    #[serde(serialize_with = "outcomes")]
    pub ledger: Ledger,
    /// Offsets that were accounted for before the flow was added.
    pub before: u64,
    /// Keys with live counts.
    pub keys: usize,
    /// Views and clicks that were counted without the join, since the start.
    pub over_limit: u64,
    /// Moves in the ledger that did not balance, since the start. Any is a defect of this program.
    pub imbalances: u64,
}

/// The number of holes that are listed for each partition.
const HOLES: usize = 3;

impl Detail {
    /// Collects the status at this time.
    pub fn of(core: &Core, writers: Vec<WriterView>, own: Own, now: EventTime) -> Self {
        let (frontier, limits) = (core.frontier(), core.limits());
        let partition = |(partition, track)| {
            PartitionView::of(partition, track, limits, frontier.watched_since(partition))
        };
        Self {
            at: Some(now),
            partitions: frontier.tracks().map(partition).collect(),
            held_by: held_by(&frontier.holder(limits), core.has_unpositioned()),
            has_unpositioned: core.has_unpositioned(),
            accounted: frontier.accounted(),
            flows: core.engine().flows().iter().map(|flow| FlowView::of(flow, now)).collect(),
            counters: core.counters(),
            requests: writers.iter().map(|writer| writer.requests).sum(),
            request_bytes: writers.iter().map(|writer| writer.request_bytes).sum(),
            writers,
            state_bytes: core.bytes(),
            own,
        }
    }
}

impl Own {
    /// Since when the oldest message has waited for a durable checkpoint; `None` if none waits.
    pub fn oldest_unacknowledged(&self) -> Option<EventTime> {
        self.covered_since.or(self.unacknowledged_since)
    }
}

impl PartitionView {
    /// The status of a partition. `hole_since` is the time since which its oldest hole has been watched.
    pub fn of(partition: &Partition, track: &Track, limits: &Limits, hole_since: Option<EventTime>) -> Self {
        let mut view = Self {
            partition: partition.clone(),
            frontier: track.prefix(),
            committed: track.committed(),
            log_end: None,
            asked_at: track.end().map(|end| end.asked_at),
            lag: None,
            holes: Vec::new(),
            hole_count: 0,
            hole_offsets: 0,
            hole_since,
            clock: EventTime::from_millis(track.clocks(limits.idle_after).event.0),
            is_idle: track.idle_at(limits.idle_after).is_some(),
        };
        view.measure(track.end().map(|end| end.offset), &track.holes(), track);
        view
    }

    /// Updates the status with Kafka's own answer, which is newer than the last mark.
    pub fn asked(&mut self, low: u64, high: u64, committed: Option<u64>, track: &Track) {
        self.committed = committed;
        let below = committed.unwrap_or(0);
        self.measure(Some(high), &track.gaps(low.min(below)..below), track);
    }

    fn measure(&mut self, log_end: Option<u64>, holes: &[Range<u64>], track: &Track) {
        self.log_end = log_end;
        self.lag = log_end.map(|end| length(&track.gaps(0..end)));
        self.holes = holes.iter().take(HOLES).map(|hole| (hole.start, hole.end)).collect();
        (self.hole_count, self.hole_offsets) = (holes.len(), length(holes));
    }
}

impl FlowView {
    /// The status of a flow of which only the configuration is known.
    pub fn new(flow: &Flow) -> Self {
        let table = flow.table();
        Self {
            name: table.flow,
            columns: table.columns,
            measures: table.measures,
            windows: flow.windows.clone(),
            out_of_orderness: flow.out_of_orderness,
            allowed_lateness: flow.allowed_lateness,
            watermark: None,
            delay_ms: None,
            ledger: Ledger::default(),
            before: 0,
            keys: 0,
            over_limit: 0,
            imbalances: 0,
        }
    }

    fn of(state: &FlowState, now: EventTime) -> Self {
        let watermark = EventTime::from_millis(state.windows.watermark().0);
        Self {
            watermark,
            delay_ms: watermark.map(|watermark| now.0.saturating_sub(watermark.0).max(0).unsigned_abs()),
            ledger: state.ledger,
            before: state.before,
            keys: state.windows.key_count(),
            over_limit: state.joins.as_ref().map_or(0, Joins::over_limit),
            imbalances: state.imbalances,
            ..Self::new(&state.flow)
        }
    }
}

/// Describes what holds the watermark back, and why.
fn held_by(holder: &Holder, has_unpositioned: bool) -> String {
    match holder {
        Holder::NoMark if has_unpositioned => {
            "the newest event, because messages have no positions".to_owned()
        }
        Holder::NoMark => "the connector, which has not sent a mark yet".to_owned(),
        Holder::Unheard(topic, partition) => {
            format!("{topic}[{partition}], from which nothing has arrived yet")
        }
        Holder::Topic(topic, asked_at) => {
            format!("topic {topic}, whose partitions were last listed at {asked_at}")
        }
        Holder::Partition(partition, clock, hole) => match (EventTime::from_millis(clock.0), hole) {
            (Some(clock), None) => format!("{partition} at {clock}, the lowest clock"),
            (Some(clock), Some(end)) => {
                format!("{partition} at {clock}: offsets below {end} were published and have not arrived")
            }
            (None, Some(end)) => {
                format!("{partition}: offsets below {end} were published and have not arrived")
            }
            (None, None) => format!("{partition}, which has no event yet"),
        },
    }
}

fn length(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

fn millis<S: Serializer>(length: &Millis, s: S) -> Result<S::Ok, S::Error> {
    length.0.serialize(s)
}

fn shown<S: Serializer>(measures: &[MeasureColumns], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(measures.iter().flat_map(MeasureColumns::shown))
}

/// Serialises the number of offsets for each outcome by its name.
///
/// # Errors
/// Returns the serialiser's errors.
pub fn outcomes<S: Serializer>(ledger: &Ledger, s: S) -> Result<S::Ok, S::Error> {
    s.collect_map(ledger.iter().map(|(outcome, offsets)| (outcome.as_str(), offsets)))
}

fn windowing<S: Serializer>(windows: &WindowKind, s: S) -> Result<S::Ok, S::Error> {
    match windows {
        WindowKind::Sessions { gap } => s.collect_map([("gap_ms", gap.0)]),
        WindowKind::Aligned(Windows::Sliding(sliding)) => {
            s.collect_map([("size_ms", sliding.size().0), ("period_ms", sliding.period().0)])
        }
        WindowKind::Aligned(Windows::Calendar(calendar)) => {
            let unit = match calendar.unit() {
                Unit::Day => "day",
                Unit::Week => "week",
                Unit::Month => "month",
            };
            s.collect_map([("unit", unit), ("timezone", calendar.zone())])
        }
    }
}
