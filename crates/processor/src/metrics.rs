//! Names and descriptions of the processor's metrics. See `handles` for how they are updated.

mod handles;

use service::metrics::Described;

pub use handles::ProcessorMetrics;

/// Data messages that arrived for the first time.
pub const MESSAGES: Described =
    Described::counter("aqueduct_processor_messages_total", "messages", &[], "Data messages that were new");
/// Data messages that arrived again.
pub const REDELIVERED: Described = Described::counter(
    "aqueduct_processor_redelivered_total",
    "messages",
    &[],
    "Data messages that had been seen before, from Pub/Sub or published again by a connector",
);
/// Marks that were applied.
pub const MARKS: Described =
    Described::counter("aqueduct_processor_marks_total", "marks", &[], "Marks that were read");
/// Messages on the marks subscription that are not marks.
pub const UNREADABLE_MARKS: Described = Described::counter(
    "aqueduct_processor_unreadable_marks_total",
    "messages",
    &[],
    "Messages on the marks subscription that are no marks of a version that this processor knows",
);
/// Offsets by outcome, counted.
pub const EVENTS: Described = Described::counter(
    "aqueduct_processor_events_total",
    "offsets",
    &["flow", "outcome"],
    "Offsets by what became of them in a flow, since the process began: `counted`, `duplicate`, `late`, `rejected`, \
     `ignored`, `unmatched`, `lost`, `absent`. What a crash undid is counted again",
);
/// Offsets by outcome, as the ledger holds them.
pub const LEDGER: Described = Described::gauge(
    "aqueduct_processor_ledger_offsets",
    "offsets",
    &["flow", "outcome"],
    "The flow's whole ledger, restarts included, exact; also `pending`, and what left `lost` or `absent` again because it came",
);
/// The watermark of a flow.
pub const WATERMARK: Described = Described::gauge(
    "aqueduct_processor_watermark_timestamp_seconds",
    "seconds since 1970",
    &["flow"],
    "The flow's watermark: nothing older is expected; absent while nothing is known",
);
/// How far a flow's watermark is behind the clock.
pub const DELAY: Described = Described::gauge(
    "aqueduct_processor_watermark_delay_seconds",
    "seconds",
    &["flow"],
    "How far the flow's watermark is behind the processor's clock",
);
/// Keys with live counts.
pub const KEYS: Described =
    Described::gauge("aqueduct_processor_keys", "keys", &["flow"], "Keys with live counts");
/// Views and clicks that were counted without the join, because their value had reached its limit.
pub const JOIN_OVER_LIMIT: Described = Described::counter(
    "aqueduct_processor_join_over_limit_total",
    "events",
    &["flow"],
    "Views and clicks that were counted without the join, because one value of `on` has more live events than `join.limit`",
);
/// Moves in a ledger that did not balance.
pub const IMBALANCES: Described = Described::counter(
    "aqueduct_processor_ledger_imbalances_total",
    "moves",
    &["flow"],
    "Moves between outcomes that did not balance; any is a defect of this program, and the ledger is wrong from then on",
);
/// Offsets below the log ends that are not accounted for.
pub const LAG: Described = Described::gauge(
    "aqueduct_processor_lag_offsets",
    "offsets",
    &["topic", "partition"],
    "Offsets below the end of Kafka's log that are not accounted for yet",
);
/// Ranges of committed offsets that have not arrived.
pub const HOLES: Described = Described::gauge(
    "aqueduct_processor_holes",
    "ranges",
    &["topic", "partition"],
    "Ranges of offsets that were published and did not come yet",
);
/// The offsets in these ranges.
pub const HOLE_OFFSETS: Described = Described::gauge(
    "aqueduct_processor_hole_offsets",
    "offsets",
    &["topic", "partition"],
    "Offsets in those ranges",
);
/// Since when the oldest hole has been watched.
pub const OLDEST_HOLE: Described = Described::gauge(
    "aqueduct_processor_oldest_hole_seconds",
    "seconds",
    &["topic", "partition"],
    "How long the oldest of those ranges has been watched; after `[state] hole_limit` it counts as lost; 0 without a hole",
);
/// When the last mark arrived.
pub const LAST_MARK: Described = Described::gauge(
    "aqueduct_processor_last_mark_timestamp_seconds",
    "seconds since 1970",
    &[],
    "When the last mark came; connectors send one a second. Absent before the first",
);
/// How far clocks are ahead of others.
pub const CLOCK_AHEAD: Described = Described::gauge(
    "aqueduct_processor_clock_ahead_seconds",
    "seconds",
    &["clock"],
    "How far a clock was ahead at the last mark: the `connector`'s of Pub/Sub's, `pubsub`'s of the processor's; below 0 by \
     as much as the mark was on its way. Absent before the first mark",
);
/// Messages that wait for a durable checkpoint.
pub const UNACKNOWLEDGED: Described = Described::gauge(
    "aqueduct_processor_unacknowledged_messages",
    "messages",
    &[],
    "Messages that wait for a durable checkpoint",
);
/// Since when the oldest of these messages has waited.
pub const OLDEST_UNACKNOWLEDGED: Described = Described::gauge(
    "aqueduct_processor_oldest_unacknowledged_seconds",
    "seconds",
    &[],
    "How long the oldest of them has waited; 0 when none waits",
);
/// Whether the processor is caught up with its subscriptions.
pub const CAUGHT_UP: Described =
    Described::gauge("aqueduct_processor_caught_up", "0 or 1", &[], "1 while no backlog is being read");
/// Whether this processor holds the state.
pub const HOLDS_STATE: Described = Described::gauge(
    "aqueduct_processor_holds_state",
    "0 or 1",
    &[],
    "1 when this processor holds the state and works, 0 while it starts or stands by",
);
/// Bytes of the live state.
pub const STATE: Described =
    Described::gauge("aqueduct_processor_state_bytes", "bytes", &[], "Approximate memory of the live state");
/// The limit of the live state.
pub const MEMORY: Described = Described::gauge(
    "aqueduct_processor_memory_limit_bytes",
    "bytes",
    &[],
    "What the live state may take, `[state] memory`; beyond it the processor stops",
);
/// Requests that wait for their tables.
pub const REQUESTS: Described = Described::gauge(
    "aqueduct_processor_pending_requests",
    "requests",
    &[],
    "Append requests whose rows do not stand in their tables yet",
);
/// The bytes of these requests.
pub const REQUEST_BYTES: Described =
    Described::gauge("aqueduct_processor_in_flight_bytes", "bytes", &[], "Bytes of those requests");
/// Since when the oldest of these requests has waited.
pub const OLDEST_REQUEST: Described = Described::gauge(
    "aqueduct_processor_oldest_request_seconds",
    "seconds",
    &[],
    "How long the oldest of those requests has waited; 0 when none waits",
);
/// Durable checkpoints.
pub const CHECKPOINTS: Described = Described::counter(
    "aqueduct_processor_checkpoints_total",
    "checkpoints",
    &[],
    "Checkpoints that became durable",
);
/// The duration of checkpoints.
pub const CHECKPOINT_TIME: Described = Described::histogram(
    "aqueduct_processor_checkpoint_seconds",
    "seconds",
    &[],
    "How long a checkpoint took, from taking it to its being durable",
);
/// The size of checkpoints.
pub const CHECKPOINT_SIZE: Described = Described::histogram(
    "aqueduct_processor_checkpoint_bytes",
    "bytes",
    &[],
    "Bytes of a checkpoint before compression",
);
/// When the last checkpoint became durable.
pub const LAST_CHECKPOINT: Described = Described::gauge(
    "aqueduct_processor_last_checkpoint_timestamp_seconds",
    "seconds since 1970",
    &[],
    "When the last checkpoint became durable; absent before the first",
);
/// Repeated attempts.
pub const RETRIES: Described = Described::counter(
    "aqueduct_processor_retries_total",
    "attempts",
    &["what"],
    "Attempts that failed and are made again: a `checkpoint`, a `stream` to be opened, an `append` of rows",
);
/// Rows that were added to their tables.
pub const ROWS: Described = Described::counter(
    "aqueduct_processor_rows_total",
    "rows",
    &[],
    "Rows that stand in their tables: panes, progress and dead letters",
);
/// Rows that their tables refused.
pub const REFUSED_ROWS: Described = Described::counter(
    "aqueduct_processor_refused_rows_total",
    "rows",
    &[],
    "Rows that a table refused; they stand in `dead_letters` with stage `writer`",
);

/// All metrics of the processor.
pub const ALL: [Described; 33] = [
    MESSAGES,
    REDELIVERED,
    MARKS,
    UNREADABLE_MARKS,
    EVENTS,
    LEDGER,
    WATERMARK,
    DELAY,
    KEYS,
    JOIN_OVER_LIMIT,
    IMBALANCES,
    LAG,
    HOLES,
    HOLE_OFFSETS,
    OLDEST_HOLE,
    LAST_MARK,
    CLOCK_AHEAD,
    UNACKNOWLEDGED,
    OLDEST_UNACKNOWLEDGED,
    CAUGHT_UP,
    HOLDS_STATE,
    STATE,
    MEMORY,
    REQUESTS,
    REQUEST_BYTES,
    OLDEST_REQUEST,
    CHECKPOINTS,
    CHECKPOINT_TIME,
    CHECKPOINT_SIZE,
    LAST_CHECKPOINT,
    RETRIES,
    ROWS,
    REFUSED_ROWS,
];
