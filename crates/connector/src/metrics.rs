//! The connector's metrics.

use service::{
    Metrics,
    metrics::{Counter, Family, Gauge},
};

/// Records by what became of them: `published` or the code of a reject.
pub const RECORDS: &str = "aqueduct_connector_records_total";
/// Data messages that Pub/Sub acknowledged, in bytes.
pub const BYTES: &str = "aqueduct_connector_published_bytes_total";
/// Offsets without a record, by reason.
pub const OFFSETS: &str = "aqueduct_connector_offsets_without_event_total";
/// Publish requests that Pub/Sub acknowledged.
pub const REQUESTS: &str = "aqueduct_connector_publish_requests_total";
/// Publish requests that were tried again.
pub const RETRIES: &str = "aqueduct_connector_publish_retries_total";
/// Bytes read and not yet acknowledged.
pub const IN_FLIGHT: &str = "aqueduct_connector_in_flight_bytes";
/// Marks that Pub/Sub acknowledged.
pub const MARKS: &str = "aqueduct_connector_marks_total";
/// Commits that the coordinator confirmed, one a partition.
pub const COMMITS: &str = "aqueduct_connector_commits_total";
/// Partitions that this replica holds.
pub const PARTITIONS: &str = "aqueduct_connector_partitions";
/// Offsets between the commit point and the log's end.
pub const LAG: &str = "aqueduct_connector_lag_offsets";

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
    pub(crate) in_flight: Gauge,
    pub(crate) marks: Counter,
    pub(crate) commits: Counter,
    pub(crate) partitions: Gauge,
    pub(crate) lag: Family<PartitionLabels, Gauge>,
}

impl ConnectorMetrics {
    /// Registers all of them; once a registry.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            records: metrics.counters(RECORDS, "Records by outcome: published, or the code of a reject"),
            bytes: metrics.counter(BYTES, "Encoded bytes of data messages acknowledged by Pub/Sub"),
            offsets: metrics.counters(OFFSETS, "Offsets that carry no event, by the reason in their mark"),
            requests: metrics.counter(REQUESTS, "Publish requests of data acknowledged by Pub/Sub"),
            publish_retries: metrics.counter(RETRIES, "Publish requests that were tried again"),
            in_flight: metrics.gauge(IN_FLIGHT, "Bytes read from Kafka and not yet acknowledged by Pub/Sub"),
            marks: metrics.counter(MARKS, "Marks acknowledged by Pub/Sub"),
            commits: metrics.counter(COMMITS, "Offsets committed, one a partition"),
            partitions: metrics.gauge(PARTITIONS, "Partitions that this replica reads"),
            lag: metrics
                .gauges(LAG, "Offsets between what is accounted for in Pub/Sub and the end of the log"),
        }
    }
}
