//! The status of a pipeline: one set of values from which the live page, `/api/v1/` and `aqueduct status` are made. See
//! [`crate::judge`] for what is good or bad about it.

use std::collections::BTreeMap;

use event::{
    EventTime, Millis,
    time::{as_text, known_as_text},
};
use processor::{
    board::{Ask, Busiest, KeyWindow},
    view::Detail,
};
use serde::{Serialize, Serializer};

/// Provides what the page shows. Called for each request; it must not wait.
pub trait Source: Send + Sync + 'static {
    /// The pipeline now.
    fn status(&self) -> Status;
    /// The busiest keys of a flow; `None` if there is no flow of that name.
    fn busiest(&self, flow: &str, ask: &Ask) -> Option<Busiest>;
    /// The windows of one key of a flow, the newest first; `None` if there is no flow of that name.
    fn windows(&self, flow: &str, key: &[Option<Box<str>>]) -> Option<Vec<KeyWindow>>;
    /// The configuration in force.
    fn settings(&self) -> Vec<Setting>;
}

/// The pipeline now, or the part of it that this process observes.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The present.
    #[serde(serialize_with = "as_text")]
    pub at: EventTime,
    /// Of this program.
    pub version: &'static str,
    /// `connector`, `processor`, `demo` or `status`.
    pub command: &'static str,
    /// When it was started.
    #[serde(serialize_with = "as_text")]
    pub started_at: EventTime,
    /// The conditions of `/readyz`.
    pub conditions: Vec<Condition>,
    /// Kafka to Pub/Sub, where this process does that.
    pub connector: Option<Connector>,
    /// Pub/Sub to the tables, where this process does that, or as its last checkpoint has it.
    pub processor: Option<Processor>,
    /// What the services returned, where they were asked.
    #[serde(skip)]
    pub survey: Option<Survey>,
}

/// A condition of `/readyz`.
#[derive(Clone, Debug, Serialize)]
pub struct Condition {
    /// Its name.
    pub name: &'static str,
    /// Whether it is met.
    pub state: ConditionState,
}

/// Whether a condition is met.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "is", content = "reason", rename_all = "lowercase")]
pub enum ConditionState {
    /// It is met.
    Met,
    /// It is met by a process that does no work at present, such as a standby.
    Idle(String),
    /// It is not met, for this reason.
    Unmet(String),
    /// It was not reported yet.
    Unreported,
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
    /// Of those, not published because of the filter.
    pub filtered: u64,
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

    /// Records that were read and have an outcome.
    pub fn done(&self) -> u64 {
        self.published + self.filtered + self.refused()
    }

    /// Records that were read and have no outcome yet.
    pub fn on_the_way(&self) -> u64 {
        self.records.saturating_sub(self.done())
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
    /// Whether no backlog is being read.
    pub is_caught_up: bool,
    /// Rows of the flows that were added to their tables since the start.
    pub rows: u64,
    /// New messages.
    pub rate: Rate,
    /// Rows added.
    pub row_rate: Rate,
    /// Everything else, as of the last look.
    #[serde(flatten)]
    pub detail: Detail,
}

/// What a command beside the pipeline found.
#[derive(Clone, Debug, Serialize)]
pub struct Survey {
    /// The last checkpoint.
    pub state: Checkpoint,
    /// Kafka, or why it could not be queried; ends and commits are then those of the last marks.
    #[serde(serialize_with = "answer")]
    pub kafka: Result<Brokers, String>,
    /// The tables, or why one of them could not be queried.
    #[serde(serialize_with = "answer")]
    pub tables: Result<Tables, String>,
}

/// The last checkpoint.
#[derive(Clone, Debug, Serialize)]
pub struct Checkpoint {
    /// Where the checkpoints are.
    pub place: String,
    /// Its number; `None` if there is none yet.
    pub checkpoint: Option<u64>,
    /// When it was written.
    #[serde(serialize_with = "known_as_text")]
    pub written_at: Option<EventTime>,
    /// A processor without a checkpoint for this long is not running.
    pub takeover_after: Millis,
    /// A hole counts as lost after this time.
    pub hole_limit: Millis,
}

/// What Kafka returned.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Brokers {
    /// Topics of the configuration that do not exist.
    pub missing_topics: Vec<String>,
    /// Members of the consumer group; `None` if it could not be queried.
    pub members: Option<usize>,
    /// Offsets of each partition, by `topic[partition]`: in the log, and those of them that are not committed.
    pub offsets: BTreeMap<String, (u64, u64)>,
}

/// What the tables returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tables {
    /// Rows in them.
    pub rows: u64,
    /// Rows that wait in the state.
    pub waiting: u64,
    /// Rows that they took and that are not there.
    pub missing: u64,
}

impl Status {
    /// Milliseconds since a time; `None` if it is not known.
    pub fn age(&self, since: Option<EventTime>) -> Option<u64> {
        since.map(|since| millis_between(since, self.at))
    }
}

impl Checkpoint {
    /// Whether a processor is running: it writes a checkpoint every period, also when nothing happens.
    pub fn is_fresh(&self, at: EventTime) -> bool {
        self.written_at.is_some_and(|written| at <= written + self.takeover_after)
    }
}

fn answer<T: Serialize, S: Serializer>(answer: &Result<T, String>, s: S) -> Result<S::Ok, S::Error> {
    match answer {
        Ok(found) => found.serialize(s),
        Err(reason) => s.collect_map([("unreachable", reason)]),
    }
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
