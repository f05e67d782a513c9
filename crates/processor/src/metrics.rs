//! Names and descriptions of the processor's metrics. See `handles` for how they are updated.

mod handles;

use service::metrics::Described;

pub use handles::ProcessorMetrics;

/// Data messages that arrived for the first time.
pub const MESSAGES: Described = Described::counter(
    "aqueduct_processor_messages_total",
    "messages",
    &[],
    "Data messages that were not duplicates",
);
/// Data messages that arrived again.
pub const REDELIVERED: Described = Described::counter(
    "aqueduct_processor_redelivered_total",
    "messages",
    &[],
    "Duplicate data messages, redelivered by Pub/Sub or published again by a connector",
);
/// Rejected records that arrived again from a redrive.
pub const REDRIVEN: Described = Described::counter(
    "aqueduct_processor_redriven_total",
    "messages",
    &[],
    "Rejected records that `dead-letters redrive` published again, without duplicates",
);
/// Marks that were applied.
pub const MARKS: Described =
    Described::counter("aqueduct_processor_marks_total", "marks", &[], "Marks received");
/// Messages on the marks subscription that are not marks.
pub const UNREADABLE_MARKS: Described = Described::counter(
    "aqueduct_processor_unreadable_marks_total",
    "messages",
    &[],
    "Messages on the marks subscription that are not valid marks",
);
/// Offsets by outcome, counted.
pub const EVENTS: Described = Described::counter(
    "aqueduct_processor_events_total",
    "offsets",
    &["flow", "outcome"],
    "Offsets by their outcome in a flow since the process started: `counted`, `duplicate`, `late`, `rejected`, `ignored`, `unmatched`, `lost`, `absent`, `filtered`. After a crash, events since the last checkpoint are counted again",
);
/// Offsets by outcome, as the ledger holds them.
pub const LEDGER: Described = Described::gauge(
    "aqueduct_processor_ledger_offsets",
    "offsets",
    &["flow", "outcome"],
    "The flow's ledger, exact and across restarts, including `pending`; offsets that arrive after all leave `lost` and `absent`, and those that are redriven leave `rejected`",
);
/// The watermark of a flow.
pub const WATERMARK: Described = Described::gauge(
    "aqueduct_processor_watermark_timestamp_seconds",
    "seconds since 1970",
    &["flow"],
    "The flow's watermark; absent while it is undefined",
);
/// How far a flow's watermark is behind the clock.
pub const DELAY: Described = Described::gauge(
    "aqueduct_processor_watermark_delay_seconds",
    "seconds",
    &["flow"],
    "Delay of the flow's watermark behind the processor's clock",
);
/// Keys in the live state.
pub const KEYS: Described =
    Described::gauge("aqueduct_processor_keys", "keys", &["flow"], "Keys in the live state");
/// Views and clicks that were counted without the join, because their value had reached its limit.
pub const JOIN_OVER_LIMIT: Described = Described::counter(
    "aqueduct_processor_join_over_limit_total",
    "events",
    &["flow"],
    "Views and clicks counted without the join, because their value of `on` has more live events than `join.limit`",
);
/// Moves in a ledger that did not balance.
pub const IMBALANCES: Described = Described::counter(
    "aqueduct_processor_ledger_imbalances_total",
    "moves",
    &["flow"],
    "Ledger moves that did not balance; any is a bug, and the ledger is wrong from then on",
);
/// Offsets below the log ends that are not accounted for.
pub const LAG: Described = Described::gauge(
    "aqueduct_processor_lag_offsets",
    "offsets",
    &["topic", "partition"],
    "Offsets below the log end in Kafka that are not accounted for yet",
);
/// Ranges of committed offsets that have not arrived.
pub const HOLES: Described = Described::gauge(
    "aqueduct_processor_holes",
    "ranges",
    &["topic", "partition"],
    "Ranges of offsets that were published and have not arrived",
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
    "Age of the oldest of those ranges; after `[state] hole_limit` it counts as lost; 0 without a hole",
);
/// When the last mark arrived.
pub const LAST_MARK: Described = Described::gauge(
    "aqueduct_processor_last_mark_timestamp_seconds",
    "seconds since 1970",
    &[],
    "Time of the last mark; connectors send four a second. Absent before the first",
);
/// How far clocks are ahead of others.
pub const CLOCK_AHEAD: Described = Described::gauge(
    "aqueduct_processor_clock_ahead_seconds",
    "seconds",
    &["clock"],
    "Clock skew at the last mark: `connector` relative to Pub/Sub, `pubsub` relative to the processor; negative by the transit time of the mark. Absent before the first mark",
);
/// Messages that are not acknowledged yet because they wait for a durable checkpoint.
pub const UNACKNOWLEDGED: Described = Described::gauge(
    "aqueduct_processor_unacknowledged_messages",
    "messages",
    &[],
    "Messages that are not acknowledged yet because they wait for a durable checkpoint",
);
/// Since when the oldest of these messages has waited.
pub const OLDEST_UNACKNOWLEDGED: Described = Described::gauge(
    "aqueduct_processor_oldest_unacknowledged_seconds",
    "seconds",
    &[],
    "Age of the oldest of them; 0 if there is none",
);
/// Whether the processor is caught up with its subscriptions.
pub const CAUGHT_UP: Described = Described::gauge(
    "aqueduct_processor_caught_up",
    "0 or 1",
    &[],
    "1 if the processor is caught up, 0 while it processes a backlog",
);
/// Whether this processor holds the state.
pub const HOLDS_STATE: Described = Described::gauge(
    "aqueduct_processor_holds_state",
    "0 or 1",
    &[],
    "1 if this processor owns the state, 0 while it is starting or a standby",
);
/// Bytes of the live state.
pub const STATE: Described =
    Described::gauge("aqueduct_processor_state_bytes", "bytes", &[], "Approximate memory of the live state");
/// The limit of the live state.
pub const MEMORY: Described = Described::gauge(
    "aqueduct_processor_memory_limit_bytes",
    "bytes",
    &[],
    "Limit for the live state, `[state] memory`; the processor stops when it is exceeded",
);
/// Requests that wait for their tables.
pub const REQUESTS: Described = Described::gauge(
    "aqueduct_processor_pending_requests",
    "requests",
    &["writer"],
    "Append requests whose rows are not in their tables yet",
);
/// The bytes of these requests.
pub const REQUEST_BYTES: Described =
    Described::gauge("aqueduct_processor_in_flight_bytes", "bytes", &["writer"], "Bytes of those requests");
/// Since when the oldest of these requests has waited.
pub const OLDEST_REQUEST: Described = Described::gauge(
    "aqueduct_processor_oldest_request_seconds",
    "seconds",
    &["writer"],
    "Age of the oldest of those requests; 0 if there is none",
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
    "Time from the start of a checkpoint until it is durable",
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
    "Time at which the last checkpoint became durable; absent before the first",
);
/// Repeated attempts.
pub const RETRIES: Described = Described::counter(
    "aqueduct_processor_retries_total",
    "attempts",
    &["what"],
    "Failed attempts that are retried: writing a `checkpoint`, opening a `stream`, an `append` of rows",
);
/// Rows that were added to their tables.
pub const ROWS: Described = Described::counter(
    "aqueduct_processor_rows_total",
    "rows",
    &["writer"],
    "Rows added to their tables: panes, progress and dead letters",
);
/// Rows that their tables refused.
pub const REFUSED_ROWS: Described = Described::counter(
    "aqueduct_processor_refused_rows_total",
    "rows",
    &["writer"],
    "Rows that a table rejected; they are in `dead_letters` with the stage `writer`",
);

/// All metrics of the processor.
pub const ALL: [Described; 34] = [
    MESSAGES,
    REDELIVERED,
    REDRIVEN,
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
