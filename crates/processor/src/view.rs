//! What a spectator sees of a running processor: the demo's table, and the page.
//!
//! Pure. Not here: how it is shown, and what is good or bad about it.

use std::{ops::Range, sync::Arc};

use event::{EventTime, Ledger, Mark, Millis, Partition, mark::LogEnd};
use flow::{row::FlowTable, window::WindowKind};

use crate::{
    board::Board,
    core::{Core, Counters},
    engine::FlowState,
    frontier::{Clocks, Holder, Limits, Track},
    joins::Joins,
    outbox::Outbox,
};

/// What a spectator sees, at each tick.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Data messages that were new since the start.
    pub events: u64,
    /// Rows that stand in their tables, since the start.
    pub rows: u64,
    /// Rows of the flows, which is what most people mean.
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
#[derive(Clone, Debug, Default)]
pub struct Detail {
    /// When it was looked at; nothing before the processor holds its state.
    pub at: Option<EventTime>,
    /// Every partition that was heard of.
    pub partitions: Vec<PartitionView>,
    /// Which of them holds the watermark.
    pub holder: Option<Holder>,
    /// Whether messages came that have no positions.
    pub has_unpositioned: bool,
    /// Offsets that are accounted for.
    pub accounted: u64,
    /// The flows.
    pub flows: Vec<FlowView>,
    /// Counts since the start.
    pub counters: Counters,
    /// Requests on their way to their tables.
    pub requests: usize,
    /// Their bytes.
    pub request_bytes: u64,
    /// Approximate bytes of the live state.
    pub state_bytes: u64,
    /// What the driver adds.
    pub own: Own,
}

/// What the driver knows beside the core.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own {
    /// When this run began.
    pub started: Option<EventTime>,
    /// Bytes that may be used.
    pub memory: u64,
    /// Messages that wait for a durable checkpoint.
    pub unacknowledged: usize,
    /// Since when the oldest message waits that no checkpoint holds yet.
    pub unacknowledged_since: Option<EventTime>,
    /// Since when the oldest one waits that the checkpoint on its way holds.
    pub covered_since: Option<EventTime>,
    /// Since when the oldest request waits for its table.
    pub oldest_request: Option<EventTime>,
    /// When the last mark came.
    pub last_mark: Option<EventTime>,
    /// What it told about the clocks.
    pub ahead: Option<Ahead>,
    /// Durable checkpoints of this run.
    pub checkpoints: u64,
    /// When the last one became durable.
    pub last_checkpoint: Option<EventTime>,
    /// How long it took.
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

/// One partition.
#[derive(Clone, Debug)]
pub struct PartitionView {
    /// Which.
    pub partition: Partition,
    /// Everything below is accounted for.
    pub frontier: u64,
    /// What the connector committed.
    pub committed: Option<u64>,
    /// Where the log ended when its leader was last asked.
    pub end: Option<LogEnd>,
    /// Offsets below the log's end that are not accounted for.
    pub missing: u64,
    /// Committed offsets that did not come; the first few.
    pub holes: Vec<Range<u64>>,
    /// How many of those ranges there are.
    pub hole_count: usize,
    /// How many offsets are in them.
    pub hole_offsets: u64,
    /// Since when the oldest of them is watched.
    pub hole_since: Option<EventTime>,
    /// How far its events are.
    pub clocks: Clocks,
    /// Whether it moves with the clock, having no new events.
    pub is_idle: bool,
}

/// One flow.
#[derive(Clone, Debug)]
pub struct FlowView {
    /// Its name.
    pub name: Arc<str>,
    /// Its table, with the columns of key and measures.
    pub table: FlowTable,
    /// Whether clicks find their views.
    pub has_join: bool,
    /// How its windows cover time.
    pub windows: WindowKind,
    /// See the configuration.
    pub out_of_orderness: Millis,
    /// See the configuration.
    pub allowed_lateness: Millis,
    /// Nothing older comes, as far as is known; `EventTime::MIN` before anything is.
    pub watermark: EventTime,
    /// What became of every offset.
    pub ledger: Ledger,
    /// Offsets that were accounted for before the flow was added.
    pub before: u64,
    /// Keys with live counts.
    pub keys: usize,
    /// Approximate bytes of its windows.
    pub bytes: u64,
    /// Views and clicks that were counted without the join, since the process began.
    pub over_limit: u64,
    /// Moves in the ledger that did not balance, since the process began: a defect of this program.
    pub imbalances: u64,
}

/// So many holes of a partition are shown.
const HOLES: usize = 3;

impl Detail {
    /// What there is to see now.
    pub(crate) fn of(core: &Core, outbox: &Outbox, own: Own, now: EventTime) -> Self {
        let (frontier, limits) = (core.frontier(), core.limits());
        Self {
            at: Some(now),
            partitions: frontier
                .tracks()
                .map(|(partition, track)| {
                    PartitionView::of(partition, track, limits, frontier.watched_since(partition))
                })
                .collect(),
            holder: Some(frontier.holder(limits)),
            has_unpositioned: core.has_unpositioned(),
            accounted: frontier.accounted(),
            flows: core.engine().flows().iter().map(FlowView::of).collect(),
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
    fn of(partition: &Partition, track: &Track, limits: &Limits, hole_since: Option<EventTime>) -> Self {
        let length = |ranges: &[Range<u64>]| ranges.iter().map(|range| range.end - range.start).sum();
        let mut holes = track.holes();
        let (hole_count, hole_offsets) = (holes.len(), length(&holes));
        holes.truncate(HOLES);
        Self {
            partition: partition.clone(),
            frontier: track.prefix(),
            committed: track.committed(),
            end: track.end(),
            missing: track.end().map_or(0, |end| length(&track.gaps(0..end.offset))),
            holes,
            hole_count,
            hole_offsets,
            hole_since,
            clocks: track.clocks(limits.idle_after),
            is_idle: track.idle_at(limits.idle_after).is_some(),
        }
    }
}

impl FlowView {
    fn of(state: &FlowState) -> Self {
        let flow = &state.flow;
        Self {
            name: flow.name.clone(),
            table: flow.table(),
            has_join: flow.join.is_some(),
            windows: flow.windows.clone(),
            out_of_orderness: flow.out_of_orderness,
            allowed_lateness: flow.allowed_lateness,
            watermark: state.windows.watermark(),
            ledger: state.ledger,
            before: state.before,
            keys: state.windows.key_count(),
            bytes: state.windows.bytes(),
            over_limit: state.joins.as_ref().map_or(0, Joins::over_limit),
            imbalances: state.imbalances,
        }
    }
}
