//! What is shown, as plain values; the JSON of `/api/v1/` is made of them. See [`crate::judge`] for what is good or bad.

mod rates;

mod json;

use std::{collections::BTreeMap, sync::Arc};

use event::EventTime;
use flow::row::MeasureColumns;
use serde::Serialize;

pub use rates::{Ask, Busiest, Busy, KeyWindow, Measured, Point, ShownPane};

/// Provides what the page shows. Called for each request; it must not wait.
pub trait Source: Send + Sync + 'static {
    /// The pipeline now.
    fn facts(&self) -> Facts;
    /// The busiest keys of a flow; `None` if there is no flow of that name.
    fn busiest(&self, flow: &str, ask: &Ask) -> Option<Busiest>;
    /// The windows of one key of a flow, the newest first; `None` if there is no flow of that name.
    fn windows(&self, flow: &str, key: &[Option<Box<str>>]) -> Option<Vec<KeyWindow>>;
    /// The configuration in force.
    fn settings(&self) -> Vec<Setting>;
}

/// The pipeline now, or the part of it that runs in this process.
#[derive(Clone, Debug, Serialize)]
pub struct Facts {
    /// The present.
    #[serde(serialize_with = "json::time")]
    pub at: EventTime,
    /// Of this program.
    pub version: &'static str,
    /// `connector`, `processor` or `demo`.
    pub command: &'static str,
    /// When it was started.
    #[serde(serialize_with = "json::time")]
    pub started_at: EventTime,
    /// The conditions of `/readyz`.
    pub conditions: Vec<Condition>,
    /// Kafka to Pub/Sub, where this process does that.
    pub connector: Option<Connector>,
    /// Pub/Sub to the tables, where this process does that.
    pub processor: Option<Processor>,
}

/// A condition of `/readyz`.
#[derive(Clone, Debug, Serialize)]
pub struct Condition {
    /// Its name.
    pub name: &'static str,
    /// Why it is not met.
    pub trouble: Option<String>,
}

/// Events per second, now and over the last minutes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Rate {
    /// Over the last ten seconds.
    pub per_second: f64,
    /// The last minutes, the oldest first.
    pub course: Vec<f64>,
}

/// A connector.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Connector {
    /// The topics that it reads.
    pub topics: String,
    /// Where it publishes.
    pub to: String,
    /// Whether it has reported yet.
    pub is_known: bool,
    /// Partitions that this replica reads.
    pub partitions: usize,
    /// Records read since the start.
    pub records: u64,
    /// Of those, published.
    pub published: u64,
    /// Of those, rejected, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Offsets without a record, by reason.
    pub without_record: BTreeMap<String, u64>,
    /// Offsets that are not read yet.
    pub unread: u64,
    /// Offsets of which Pub/Sub has no data and no mark yet.
    pub lag: u64,
    /// Bytes read and not acknowledged by Pub/Sub yet.
    pub in_flight_bytes: u64,
    /// How many of them there may be.
    pub in_flight_limit: u64,
    /// How long the oldest batch has waited for Pub/Sub, in milliseconds.
    pub oldest_ms: Option<u64>,
    /// How long Pub/Sub has not answered, in milliseconds.
    pub outage_ms: Option<u64>,
    /// Records read.
    pub rate: Rate,
    /// Messages published.
    pub published_rate: Rate,
    /// The partitions that this replica reads, one by one.
    pub logs: Vec<Log>,
}

impl Connector {
    /// Rejected records.
    pub fn refused(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Records that were read and are neither published nor rejected yet.
    pub fn on_the_way(&self) -> u64 {
        self.records.saturating_sub(self.published + self.refused())
    }
}

/// A partition, as the connector reads it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Log {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// Where the log ended when its leader was last asked.
    pub log_end: Option<u64>,
    /// The next offset to be read.
    pub position: u64,
    /// Everything below is in Pub/Sub, as data or in a mark.
    pub accounted: u64,
}

impl Log {
    /// Offsets of which Pub/Sub has nothing yet; nothing while the log's end is not known.
    pub fn lag(&self) -> Option<u64> {
        self.log_end.map(|end| end.saturating_sub(self.accounted))
    }
}

/// A processor.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Processor {
    /// Where it pulls from.
    pub subscription: String,
    /// Where the rows go.
    pub to: String,
    /// Age of what follows, in milliseconds; `None` before it holds its state.
    pub told_ms: Option<u64>,
    /// Whether no backlog is being read.
    pub is_caught_up: bool,
    /// Which partition holds the watermark, and why.
    pub held_by: String,
    /// Whether another producer fills the topic, so that offsets cannot be balanced with Kafka's.
    pub has_unpositioned: bool,
    /// Offsets that are accounted for.
    pub accounted: u64,
    /// Data messages that were new since the start.
    pub messages: u64,
    /// Data messages that had been seen.
    pub redelivered: u64,
    /// Marks since the start.
    pub marks: u64,
    /// Messages on the marks subscription that are not marks.
    pub unreadable_marks: u64,
    /// Age of the last mark, in milliseconds.
    pub last_mark_ms: Option<u64>,
    /// Messages that wait for a durable checkpoint.
    pub unacknowledged: usize,
    /// How long the oldest of them has waited, in milliseconds.
    pub oldest_unacknowledged_ms: Option<u64>,
    /// Durable checkpoints since the start.
    pub checkpoints: u64,
    /// How long ago the last one became durable, in milliseconds.
    pub last_checkpoint_ms: Option<u64>,
    /// How long it took, in milliseconds.
    pub checkpoint_took_ms: Option<u64>,
    /// How large it was.
    pub checkpoint_bytes: u64,
    /// Approximate size of the live state.
    pub state_bytes: u64,
    /// How large it may be.
    pub memory_bytes: u64,
    /// Requests in flight to their tables.
    pub requests: usize,
    /// Their bytes.
    pub request_bytes: u64,
    /// How long the oldest of them has waited, in milliseconds.
    pub oldest_request_ms: Option<u64>,
    /// Rows of the flows that were added to their tables since the start.
    pub rows: u64,
    /// New messages.
    pub rate: Rate,
    /// Rows added.
    pub row_rate: Rate,
    /// The flows, in the order of the configuration.
    pub flows: Vec<Flow>,
    /// The known partitions.
    pub partitions: Vec<Partition>,
}

/// A flow.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Flow {
    /// Its name; also the table's.
    pub name: String,
    /// Names of its key's columns.
    pub columns: Vec<String>,
    /// Its measures in the order of their columns; in JSON the names of these columns.
    #[serde(serialize_with = "json::columns")]
    pub measures: Arc<[MeasureColumns]>,
    /// How its windows cover time.
    #[serde(flatten)]
    pub windows: Windowing,
    /// See the configuration, in milliseconds.
    pub out_of_orderness_ms: u64,
    /// See the configuration, in milliseconds.
    pub allowed_lateness_ms: u64,
    /// The watermark; `None` while it is not known.
    #[serde(serialize_with = "json::maybe_time")]
    pub watermark: Option<EventTime>,
    /// How far that is behind the clock, in milliseconds.
    pub delay_ms: Option<u64>,
    /// The outcome of every offset, in the order of the columns of `<flow>_progress`.
    pub ledger: Vec<Outcome>,
    /// Their sum.
    pub total: u64,
    /// Offsets that were accounted for before the flow was added.
    pub before: u64,
    /// Keys with live counts.
    pub keys: usize,
}

/// How windows cover time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Windowing {
    /// Fixed and sliding windows.
    Sliding {
        /// Length, in milliseconds.
        size_ms: u64,
        /// Distance between two starts, in milliseconds.
        period_ms: u64,
    },
    /// Days, weeks or months of a time zone.
    Calendar {
        /// `day`, `week` or `month`.
        unit: Unit,
        /// The zone's name in the IANA database.
        timezone: String,
    },
    /// Sessions.
    Sessions {
        /// The time without an event that ends one, in milliseconds.
        gap_ms: u64,
    },
}

impl Default for Windowing {
    fn default() -> Self {
        Self::Sliding { size_ms: 0, period_ms: 0 }
    }
}

/// The length of a calendar window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the first to the first.
    Month,
}

/// How many offsets ended in one way.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// `counted`, `duplicate` and so on.
    pub outcome: &'static str,
    /// How many.
    pub offsets: u64,
}

/// A partition, as the processor sees it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Partition {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The topic's incarnation.
    pub incarnation: String,
    /// Everything below is accounted for.
    pub frontier: u64,
    /// What the connector committed.
    pub committed: Option<u64>,
    /// Where the log ended when its leader was last asked.
    pub log_end: Option<u64>,
    /// How long ago that was, in milliseconds.
    pub asked_ms: Option<u64>,
    /// Offsets below the log's end that are not accounted for.
    pub missing: u64,
    /// Committed offsets that did not arrive, the first few ranges: first and one past the last.
    pub holes: Vec<(u64, u64)>,
    /// How many such ranges there are.
    pub hole_count: usize,
    /// How many offsets are in them.
    pub hole_offsets: u64,
    /// Age of the oldest, in milliseconds, while the processor is caught up.
    pub hole_ms: Option<u64>,
    /// The time of its newest event.
    #[serde(serialize_with = "json::maybe_time")]
    pub clock: Option<EventTime>,
    /// Whether it moves with the clock, having no new events.
    pub is_idle: bool,
}

/// One key of the configuration.
#[derive(Clone, Debug, Serialize)]
pub struct Setting {
    /// `kafka.group_id`, `flows[0].name`.
    pub key: String,
    /// As it is written; of a possible secret only that it is set.
    pub value: String,
    /// The file and line, or the variable.
    pub from: String,
}

/// A number of milliseconds between two times; 0 where the clock went back.
pub fn millis_between(earlier: EventTime, later: EventTime) -> u64 {
    u64::try_from(later.0.saturating_sub(earlier.0)).unwrap_or(0)
}
