//! One task: a member of the group `connect-<name>` that publishes what it reads.
//!
//! | module | contents |
//! |---|---|
//! | `intake` | from a record to a batch of messages, on the thread that polls Kafka |
//! | `core` | which offsets are accounted for, pure |
//! | `driver` | the one `select!` |
//! | `publish` | a batch to Pub/Sub, until Pub/Sub has it |
//! | `dead_letters` | skipped records to another topic |

mod core;
mod dead_letters;
mod driver;
mod intake;
mod publish;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use kafka::{KafkaConfig, KafkaMetrics, Member, Permits};
use pubsub::Publisher;
use service::metrics::{Counter, Described, Family, Metrics};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{connector::Connector, data::DataError, pipeline::Pipeline};

/// Labels of a metric: always the connector, and perhaps an outcome.
pub(crate) type Labels = Vec<(&'static str, String)>;

/// Records by outcome.
pub const RECORDS: Described = Described::counter(
    "aqueduct_connect_records_total",
    "records",
    &["connector", "outcome"],
    "Records of a connector by outcome: `published`, `dropped` by a transform, `empty`, or `failed`",
);
/// Requests that had to be repeated.
pub const RETRIES: Described = Described::counter(
    "aqueduct_connect_publish_retries_total",
    "requests",
    &["connector"],
    "Publish requests of a connector that Pub/Sub did not answer and that were sent again",
);
/// Every metric of this crate.
pub const ALL: &[Described] = &[RECORDS, RETRIES];

/// Metrics of all connectors of a worker.
#[derive(Clone)]
pub struct TaskMetrics {
    records: Family<Labels, Counter>,
    retries: Family<Labels, Counter>,
}

impl TaskMetrics {
    /// Registers them; call it once for each registry.
    pub fn new(metrics: &Metrics) -> Self {
        Self { records: metrics.counters(&RECORDS), retries: metrics.counters(&RETRIES) }
    }

    /// A connector starts: what it counts is 0 and not absent.
    pub(crate) fn begin(&self, connector: &str) {
        for outcome in ["published", "dropped", "empty", "failed"] {
            let labels = vec![("connector", connector.to_owned()), ("outcome", outcome.to_owned())];
            drop(self.records.get_or_create(&labels));
        }
        drop(self.retries.get_or_create(&vec![("connector", connector.to_owned())]));
    }

    fn add(&self, connector: &str, outcome: &str, count: u64) {
        if count > 0 {
            let labels = vec![("connector", connector.to_owned()), ("outcome", outcome.to_owned())];
            self.records.get_or_create(&labels).inc_by(count);
        }
    }

    fn retried(&self, connector: &str) {
        self.retries.get_or_create(&vec![("connector", connector.to_owned())]).inc();
    }
}

/// Which of a connector's tasks one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number.
    pub task: u32,
    /// How many tasks the connector has.
    pub tasks: u32,
}

impl Place {
    /// The task of a connector that has one.
    pub const ONLY: Self = Self { task: 0, tasks: 1 };

    /// The `group.instance.id` of the task. Members of a group must not share one.
    pub(crate) fn instance(self, instance: &str) -> String {
        if self.tasks > 1 { format!("{instance}-{}", self.task) } else { instance.to_owned() }
    }
}

/// What a task needs to run.
pub struct Task {
    /// Which of the connector's tasks it is.
    pub place: Place,
    /// The connector's configuration.
    pub connector: Connector,
    /// The most bytes of messages that Pub/Sub has not acknowledged.
    pub in_flight: u64,
    /// The group's consumer, with the topics that exist.
    pub kafka: KafkaConfig,
    /// The client of Pub/Sub.
    pub publisher: Publisher,
    /// The metrics of the worker.
    pub metrics: TaskMetrics,
    /// Where the topics are shown from which records arrived.
    pub topics: watch::Sender<BTreeSet<Arc<str>>>,
}

/// Why a task ended by itself. It has no content of a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// A record cannot be published, and `errors.tolerance` is `none`.
    #[error(
        "{topic}-{partition} at offset {offset}: {error}; the record was not published, and no offset was committed past it. Correct the producer or the configuration, or set errors.tolerance=all to skip such records"
    )]
    Record {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: u64,
        /// What is wrong.
        error: DataError,
    },
    /// Kafka, Pub/Sub or a file that the connector needs.
    #[error("{0}")]
    Other(String),
}

/// Limits that follow from the configuration of the sink.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Bytes in flight.
    in_flight: u64,
    /// Messages in a batch.
    messages: usize,
    /// Bytes of a batch.
    bytes: usize,
    /// How long the first record of a batch waits.
    linger: Option<Duration>,
    /// Requests at a time.
    requests: usize,
    /// How long one request may take.
    request: Duration,
    /// After how long without success an error is logged.
    total: Duration,
    /// How long a drain may take.
    drain: Duration,
}

/// Requests at a time.
const REQUESTS: usize = 12;
/// The longest drain, and a third of the session timeout at most, so that the member can still leave the group.
const LONGEST_DRAIN: Duration = Duration::from_secs(15);

impl Limits {
    fn of(task: &Task) -> Self {
        let (connector, session) = (&task.connector, task.kafka.session_timeout);
        let values = &connector.values;
        let millis = |key| Duration::from_millis(values.number(key).unsigned_abs());
        let count = |key| usize::try_from(values.number(key)).unwrap_or(usize::MAX).max(1);
        let in_flight = values.number("maxOutstandingRequestBytes").max(1).unsigned_abs().min(task.in_flight);
        let messages = if connector.has("maxBufferSize") { count("maxBufferSize") } else { usize::MAX };
        let messages = messages.min(pubsub::limits::MAX_MESSAGES).min(count("maxOutstandingMessages"));
        Self {
            in_flight,
            messages,
            bytes: count("maxBufferBytes").min(in_flight as usize / 4).clamp(1, pubsub::limits::MAX_BYTES),
            linger: connector.has("delayThresholdMs").then(|| millis("delayThresholdMs")),
            requests: REQUESTS.min(count("maxOutstandingMessages") / messages).max(1),
            request: millis("maxRequestTimeoutMs"),
            total: millis("maxTotalTimeoutMs"),
            drain: LONGEST_DRAIN.min(session / 3).min(millis("maxShutdownTimeoutMs")),
        }
    }
}

/// Publishes records until `stop` is cancelled or the task fails. Returns once what was read is published and committed,
/// or its time to drain is over, and Kafka's threads have ended.
///
/// # Errors
/// Why the task failed. Every committed offset has everything below it in Pub/Sub, or skipped as configured.
pub async fn run(task: Task, stop: CancellationToken) -> Result<(), TaskError> {
    let other = |error: &dyn std::error::Error| TaskError::Other(chain(error));
    let mut pipeline = Pipeline::new(&task.connector).map_err(TaskError::Other)?;
    let fetchers = pipeline.fetchers();
    let limits = Limits::of(&task);
    let permits = Permits::new(limits.in_flight);
    let is_ordered = pipeline.is_ordered();
    let dead_letters = dead_letters::DeadLetters::open(&task).await?;
    let tolerance = match task.connector.skips_errors() {
        false => intake::Tolerance::None,
        true if dead_letters::have_payload(&task.connector) => intake::Tolerance::Keep,
        true => intake::Tolerance::Skip,
    };
    let intake = intake::Intake::new(pipeline, limits, tolerance);
    let (member, stimuli) = Member::join(task.kafka.clone(), intake, permits, KafkaMetrics::default())
        .map_err(|error| other(&error))?;
    let publishing = publish::Publishing::new(&task, limits, is_ordered);
    let driver =
        driver::Driver::new(&task, member.orders(), publishing, dead_letters, limits).fetching(fetchers);
    let result = driver.run(stimuli, &stop).await;
    let ended = member.end().await.map_err(|error| other(&error));
    result.and(ended)
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
