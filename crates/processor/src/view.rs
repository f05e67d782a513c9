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

/// What a spectator sees, at each tick.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Data messages that were new since the start.
    pub events: u64,
    /// Rows added to their tables since the start.
    pub rows: u64,
    /// Those of them in the tables of the flows.
    pub flow_rows: u64,
    /// Each flow's watermark and ledger.
    pub flows: Vec<(Arc<str>, EventTime, Ledger)>,
    /// Whether no backlog is being read.
    pub caught_up: bool,
    /// More, twice a second.
    pub detail: Arc<Detail>,
    /// The rows of the last hour.
    pub board: Board,
}

/// The state in detail; nothing before the first look.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Detail {
    /// When it was looked at; `None` before the processor holds its state.
    #[serde(serialize_with = "known_as_text")]
    pub at: Option<EventTime>,
    /// Which partition holds the watermark, and why.
    pub held_by: String,
    /// Whether another producer fills the topic, so that offsets cannot be balanced with Kafka's.
    pub has_unpositioned: bool,
    /// Offsets that are accounted for.
    pub accounted: u64,
    /// Counts since the start.
    #[serde(flatten)]
    pub counters: Counters,
    /// Requests in flight to their tables.
    pub requests: usize,
    /// Their bytes.
    pub request_bytes: u64,
    /// Approximate bytes of the live state.
    pub state_bytes: u64,
    /// What the driver adds.
    #[serde(flatten)]
    pub own: Own,
    /// The flows, in the order of the configuration.
    pub flows: Vec<FlowView>,
    /// The known partitions.
    pub partitions: Vec<PartitionView>,
}

/// What only the driver knows.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Own {
    /// When this run began.
    #[serde(skip)]
    pub started: Option<EventTime>,
    /// How large the live state may be.
    #[serde(rename = "memory_bytes")]
    pub memory: u64,
    /// Messages that wait for a durable checkpoint.
    pub unacknowledged: usize,
    /// Since when the oldest message waits that no checkpoint contains yet.
    #[serde(serialize_with = "known_as_text")]
    pub unacknowledged_since: Option<EventTime>,
    /// Since when the oldest message waits that the checkpoint in flight contains.
    #[serde(serialize_with = "known_as_text")]
    pub covered_since: Option<EventTime>,
    /// Since when the oldest request waits for its table.
    #[serde(serialize_with = "known_as_text")]
    pub oldest_request: Option<EventTime>,
    /// When the last mark arrived.
    #[serde(serialize_with = "known_as_text")]
    pub last_mark: Option<EventTime>,
    /// What it showed of the clocks.
    #[serde(skip)]
    pub ahead: Option<Ahead>,
    /// Durable checkpoints of this run.
    pub checkpoints: u64,
    /// When the last one became durable.
    #[serde(serialize_with = "known_as_text")]
    pub last_checkpoint: Option<EventTime>,
    /// How long it took.
    #[serde(rename = "checkpoint_ms")]
    pub checkpoint_millis: Option<u64>,
    /// Bytes of the last one that was begun.
    pub checkpoint_bytes: u64,
}

/// How far clocks are ahead, in milliseconds: idle partitions move by the connector's, so that what comes may be late by
/// as much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// The connector's, by which it asked, of Pub/Sub's, by which the mark was published after that. Nothing where the mark
    /// holds no answer.
    pub connector: Option<i64>,
    /// Pub/Sub's of ours.
    pub pubsub: i64,
}

impl Ahead {
    /// What a mark tells that comes now.
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
    /// Which.
    #[serde(flatten)]
    pub partition: Partition,
    /// Everything below is accounted for.
    pub frontier: u64,
    /// What the connector committed.
    pub committed: Option<u64>,
    /// Where the log ended when its leader was last asked.
    pub log_end: Option<u64>,
    /// When a connector asked; `None` before its first mark.
    #[serde(serialize_with = "known_as_text")]
    pub asked_at: Option<EventTime>,
    /// Offsets below the log's end that are not accounted for.
    pub lag: Option<u64>,
    /// Committed offsets that did not arrive, the first few ranges: first and one past the last.
    pub holes: Vec<(u64, u64)>,
    /// How many such ranges there are.
    pub hole_count: usize,
    /// How many offsets are in them.
    pub hole_offsets: u64,
    /// Since when the oldest of them is watched, while the processor is caught up.
    #[serde(serialize_with = "known_as_text")]
    pub hole_since: Option<EventTime>,
    /// The time of its newest event.
    #[serde(serialize_with = "known_as_text")]
    pub clock: Option<EventTime>,
    /// Whether it moves with the clock, having no new events.
    pub is_idle: bool,
}

/// One flow.
#[derive(Clone, Debug, Serialize)]
pub struct FlowView {
    /// Its name; also the table's.
    pub name: Arc<str>,
    /// Names of its key's columns.
    pub columns: Vec<String>,
    /// Its measures in the order of their columns; in JSON the names of these columns.
    #[serde(serialize_with = "shown")]
    pub measures: Arc<[MeasureColumns]>,
    /// How its windows cover time.
    #[serde(flatten, serialize_with = "windowing")]
    pub windows: WindowKind,
    /// See the configuration.
    #[serde(rename = "out_of_orderness_ms", serialize_with = "millis")]
    pub out_of_orderness: Millis,
    /// See the configuration.
    #[serde(rename = "allowed_lateness_ms", serialize_with = "millis")]
    pub allowed_lateness: Millis,
    /// No older events are expected on time; `None` before that is known.
    #[serde(serialize_with = "known_as_text")]
    pub watermark: Option<EventTime>,
    /// How far that is behind the clock, in milliseconds.
    pub delay_ms: Option<u64>,
    /// The outcome of every offset.
    #[serde(serialize_with = "outcomes")]
    pub ledger: Ledger,
    /// Offsets that were accounted for before the flow was added.
    pub before: u64,
    /// Keys with live counts.
    pub keys: usize,
    /// Views and clicks that were counted without the join, since the process began.
    pub over_limit: u64,
    /// Moves in the ledger that did not balance, since the process began: a defect of this program.
    pub imbalances: u64,
}

/// The number of holes shown for each partition.
const HOLES: usize = 3;

impl Detail {
    /// The status at this time.
    pub fn of(core: &Core, outbox: &Outbox, own: Own, now: EventTime) -> Self {
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
            requests: outbox.len(),
            request_bytes: outbox.bytes(),
            state_bytes: core.bytes(),
            own,
        }
    }
}

impl Own {
    /// Since when the oldest message waits for a durable checkpoint.
    pub fn oldest_unacknowledged(&self) -> Option<EventTime> {
        self.covered_since.or(self.unacknowledged_since)
    }
}

impl PartitionView {
    /// The status of a partition. `hole_since` is the time since which its oldest hole is watched.
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

    /// Takes what Kafka itself returned, which is newer than the last mark.
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
    /// A flow of which nothing is known but its configuration.
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

/// Which partition holds the watermark, and why.
fn held_by(holder: &Holder, has_unpositioned: bool) -> String {
    match holder {
        Holder::NoMark if has_unpositioned => {
            "messages without positions: the clock is that of the newest event".to_owned()
        }
        Holder::NoMark => "no mark has arrived yet: is the connector running?".to_owned(),
        Holder::Unheard(topic, partition) => {
            format!("{topic}[{partition}], of which nothing has arrived: does a connector read it?")
        }
        Holder::Topic(topic, asked_at) => {
            format!("topic {topic}, whose partitions were last counted at {asked_at}")
        }
        Holder::Partition(partition, clock, hole) => match (EventTime::from_millis(clock.0), hole) {
            (Some(clock), None) => format!("{partition} at {clock}, the lowest clock"),
            (Some(clock), Some(end)) => {
                format!("{partition} at {clock}: offsets below {end} were published and have not arrived")
            }
            (None, Some(end)) => {
                format!("{partition}: offsets below {end} were published and have not arrived")
            }
            (None, None) => format!("{partition}, without an event so far"),
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

/// Serialises the offsets of each outcome by its name.
///
/// # Errors
/// Those of the serialiser.
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
