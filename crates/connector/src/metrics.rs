//! The connector's metrics. See [`kafka::metrics`] for those of librdkafka.

use kafka::KafkaMetrics;
use service::{
    Metrics,
    metrics::{Counter, Described, Family, FloatGauge, Gauge},
};

use crate::keyring::Key;

/// Records by outcome.
pub const RECORDS: Described = Described::counter(
    "aqueduct_connector_records_total",
    "records",
    &["outcome"],
    "Records read from Kafka by outcome: `published`, `filtered`, or `rejected:` and the reason",
);
/// Data messages that Pub/Sub acknowledged, in bytes.
pub const BYTES: Described = Described::counter(
    "aqueduct_connector_published_bytes_total",
    "bytes",
    &[],
    "Encoded size of the data messages that Pub/Sub acknowledged",
);
/// Offsets without a record, by reason.
pub const OFFSETS: Described = Described::counter(
    "aqueduct_connector_offsets_without_event_total",
    "offsets",
    &["reason"],
    "Offsets without a record: `empty` (control records, compaction), `before` (before the group's start), `lost` (deleted by retention)",
);
/// Publish requests that Pub/Sub acknowledged.
pub const REQUESTS: Described = Described::counter(
    "aqueduct_connector_publish_requests_total",
    "requests",
    &[],
    "Batches of data messages that Pub/Sub acknowledged",
);
/// Publish requests that were retried.
pub const RETRIES: Described = Described::counter(
    "aqueduct_connector_publish_retries_total",
    "attempts",
    &[],
    "Publish requests for data and marks that failed and are retried",
);
/// The rate of the fastest ordering key.
pub const KEY_RATE: Described = Described::gauge(
    "aqueduct_connector_ordering_key_bytes_per_second",
    "bytes per second",
    &[],
    "Messages of the fastest ordering key in the last second; Pub/Sub accepts 1 MB/s for each key",
);
/// Bytes that were read and are not yet acknowledged.
pub const IN_FLIGHT: Described = Described::gauge(
    "aqueduct_connector_in_flight_bytes",
    "bytes",
    &[],
    "Bytes in flight: read from Kafka and not yet acknowledged by Pub/Sub",
);
/// Maximum number of bytes in flight.
pub const PERMITS: Described = Described::gauge(
    "aqueduct_connector_permits_bytes",
    "bytes",
    &[],
    "Limit for the bytes in flight, `[pubsub] in_flight`; reading pauses when it is reached",
);
/// Maximum number of bytes that may be read at once.
pub const FREE_PERMITS: Described = Described::gauge(
    "aqueduct_connector_free_permits_bytes",
    "bytes",
    &[],
    "Bytes that are available below the limit for the bytes in flight",
);
/// Age of the oldest batch.
pub const OLDEST: Described = Described::gauge(
    "aqueduct_connector_oldest_in_flight_seconds",
    "seconds",
    &[],
    "Age of the oldest batch that Pub/Sub has not acknowledged; 0 if there is none",
);
/// Length of the current outage of Pub/Sub.
pub const OUTAGE: Described = Described::gauge(
    "aqueduct_connector_pubsub_outage_seconds",
    "seconds",
    &[],
    "Time since every publish request has failed; 0 if the last one succeeded",
);
/// Marks that Pub/Sub acknowledged.
pub const MARKS: Described =
    Described::counter("aqueduct_connector_marks_total", "marks", &[], "Marks that Pub/Sub acknowledged");
/// Fields that pass because a new schema has them.
pub const NEW_FIELDS: Described = Described::counter(
    "aqueduct_connector_new_fields_total",
    "fields",
    &["topic"],
    "Fields that a later schema of the topic adds, and that pass because `forward` is \"all\"",
);
/// Commits that the coordinator confirmed.
pub const COMMITS: Described = Described::counter(
    "aqueduct_connector_commits_total",
    "commits",
    &[],
    "Commits of partitions that Kafka confirmed; a commit of three partitions counts as three",
);
/// Partitions that this replica holds.
pub const PARTITIONS: Described = Described::gauge(
    "aqueduct_connector_partitions",
    "partitions",
    &[],
    "Partitions assigned to this replica",
);
/// Offsets between the commit point and the end of the log.
pub const LAG: Described = Described::gauge(
    "aqueduct_connector_lag_offsets",
    "offsets",
    &["topic", "partition"],
    "Offsets between the log end and the last offset that is accounted for in Pub/Sub",
);
/// The keys of the keyring.
pub const KEYS: Described = Described::gauge(
    "aqueduct_connector_key_from_timestamp_seconds",
    "seconds since 1970",
    &["key"],
    "Time from which a key of the keyring is used, by key ID; 0 for the first key. Must be equal in all replicas",
);

/// All metrics of this module.
pub const ALL: [Described; 17] = [
    RECORDS,
    BYTES,
    OFFSETS,
    REQUESTS,
    RETRIES,
    IN_FLIGHT,
    PERMITS,
    FREE_PERMITS,
    OLDEST,
    OUTAGE,
    KEY_RATE,
    MARKS,
    NEW_FIELDS,
    COMMITS,
    PARTITIONS,
    LAG,
    KEYS,
];

/// One label.
pub type Label = [(&'static str, String); 1];
/// A partition's labels.
pub type PartitionLabels = [(&'static str, String); 2];

/// The handles; cheap to clone.
#[derive(Clone, Debug)]
pub struct ConnectorMetrics {
    pub(crate) records: Family<Label, Counter>,
    pub(crate) bytes: Counter,
    pub(crate) offsets: Family<Label, Counter>,
    pub(crate) requests: Counter,
    pub(crate) publish_retries: Counter,
    pub(crate) key_rate: Gauge,
    pub(crate) in_flight: Gauge,
    pub(crate) permits: Gauge,
    pub(crate) free_permits: Gauge,
    pub(crate) oldest: FloatGauge,
    pub(crate) outage: FloatGauge,
    pub(crate) marks: Counter,
    pub(crate) new_fields: Family<Label, Counter>,
    pub(crate) commits: Counter,
    pub(crate) partitions: Gauge,
    pub(crate) lag: Family<PartitionLabels, Gauge>,
    pub(crate) keys: Family<Label, FloatGauge>,
    pub(crate) kafka: KafkaMetrics,
}

impl ConnectorMetrics {
    /// Registers all of them; once for each registry.
    pub fn new(metrics: &Metrics) -> Self {
        let records: Family<Label, Counter> = metrics.counters(&RECORDS);
        // Initialised to 0, so that the first event is an increase.
        drop(records.get_or_create(&published()));
        let offsets: Family<Label, Counter> = metrics.counters(&OFFSETS);
        drop(offsets.get_or_create(&[("reason", "lost".to_owned())]));
        Self {
            records,
            bytes: metrics.counter(&BYTES),
            offsets,
            requests: metrics.counter(&REQUESTS),
            publish_retries: metrics.counter(&RETRIES),
            key_rate: metrics.gauge(&KEY_RATE),
            in_flight: metrics.gauge(&IN_FLIGHT),
            permits: metrics.gauge(&PERMITS),
            free_permits: metrics.gauge(&FREE_PERMITS),
            oldest: metrics.float_gauge(&OLDEST),
            outage: metrics.float_gauge(&OUTAGE),
            marks: metrics.counter(&MARKS),
            new_fields: metrics.counters(&NEW_FIELDS),
            commits: metrics.counter(&COMMITS),
            partitions: metrics.gauge(&PARTITIONS),
            lag: metrics.gauges(&LAG),
            keys: metrics.float_gauges(&KEYS),
            kafka: KafkaMetrics::new(metrics),
        }
    }

    /// Exports the keys of a keyring: their IDs, and when each becomes valid.
    pub(crate) fn show_keys(&self, keys: &[Key]) {
        for key in keys {
            let from = key.from().map_or(0.0, |from| from.0 as f64 / 1000.0);
            self.keys.get_or_create(&[("key", key.id().to_string())]).set(from);
        }
    }

    /// Exports the counter of new fields for topics with a schema, so that the first of them is an increase.
    pub(crate) fn show_topics<'a>(&self, topics: impl IntoIterator<Item = &'a str>) {
        for topic in topics {
            drop(self.new_fields.get_or_create(&[("topic", topic.to_owned())]));
        }
    }
}

/// The label for records that Pub/Sub has.
pub(crate) fn published() -> Label {
    [("outcome", "published".to_owned())]
}

/// The label for records that the filter excludes.
pub(crate) fn filtered() -> Label {
    [("outcome", "filtered".to_owned())]
}

/// A partition's labels.
pub(crate) fn of_partition(topic: &str, partition: i32) -> PartitionLabels {
    [("topic", topic.to_owned()), ("partition", partition.to_string())]
}
