//! Metrics from librdkafka's statistics, which it reports every five seconds. See librdkafka's STATISTICS.md for their
//! exact meaning.
//!
//! Each client counts from zero, so the values are shown as they are reported and never added up.

use std::sync::{Arc, Mutex, PoisonError};

use service::{
    Metrics,
    metrics::{Described, Samples},
};

/// Round-trip time to a broker.
const ROUND_TRIP: Described = Described::gauge(
    "aqueduct_connector_kafka_round_trip_seconds",
    "seconds",
    &["broker", "of"],
    "Round-trip time of requests to a broker in the last five seconds: `of` is `mean` or `p99`; includes the 0.1 s that an empty fetch waits",
);
/// Requests to brokers.
const REQUESTS: Described = Described::counter(
    "aqueduct_connector_kafka_requests_total",
    "requests",
    &["broker"],
    "Requests sent to a broker",
);
/// Bytes sent to brokers.
const SENT: Described = Described::counter(
    "aqueduct_connector_kafka_sent_bytes_total",
    "bytes",
    &["broker"],
    "Bytes sent to a broker",
);
/// Bytes received from brokers.
const RECEIVED: Described = Described::counter(
    "aqueduct_connector_kafka_received_bytes_total",
    "bytes",
    &["broker"],
    "Bytes received from a broker, before decompression",
);
/// Requests that failed.
const FAILURES: Described = Described::counter(
    "aqueduct_connector_kafka_failures_total",
    "requests",
    &["broker"],
    "Requests to a broker that failed: not sent, response invalid, or timed out",
);
/// Lost connections.
const DISCONNECTS: Described = Described::counter(
    "aqueduct_connector_kafka_disconnects_total",
    "connections",
    &["broker"],
    "Connections to a broker that were closed or lost",
);
/// Messages received from Kafka.
const MESSAGES: Described = Described::counter(
    "aqueduct_connector_kafka_messages_total",
    "records",
    &[],
    "Records that librdkafka fetched, including those fetched more than once",
);
/// Bytes of these messages.
const MESSAGE_BYTES: Described = Described::counter(
    "aqueduct_connector_kafka_message_bytes_total",
    "bytes",
    &[],
    "Bytes of the fetched records, after decompression",
);
/// Rebalances.
const REBALANCES: Described = Described::counter(
    "aqueduct_connector_kafka_rebalances_total",
    "rebalances",
    &[],
    "Assignments and revocations of this member of the group",
);
/// The lag according to librdkafka.
const LAG: Described = Described::gauge(
    "aqueduct_connector_kafka_lag_offsets",
    "offsets",
    &["topic", "partition"],
    "Consumer lag as librdkafka reports it: offsets between the connector's position and the last stable offset",
);
/// Records that are fetched and not read yet.
const QUEUE: Described = Described::gauge(
    "aqueduct_connector_kafka_fetch_queue_records",
    "records",
    &["topic", "partition"],
    "Records fetched and not yet passed to the connector",
);
/// Bytes of these records.
const QUEUE_BYTES: Described = Described::gauge(
    "aqueduct_connector_kafka_fetch_queue_bytes",
    "bytes",
    &["topic", "partition"],
    "Bytes of the records fetched and not yet passed to the connector, bounded by `[kafka] buffer`",
);

/// All metrics of this module.
pub const ALL: [Described; 12] = [
    ROUND_TRIP,
    REQUESTS,
    SENT,
    RECEIVED,
    FAILURES,
    DISCONNECTS,
    MESSAGES,
    MESSAGE_BYTES,
    REBALANCES,
    LAG,
    QUEUE,
    QUEUE_BYTES,
];

/// The latest statistics of a group's consumer. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct KafkaMetrics {
    last: Arc<Mutex<Option<Snapshot>>>,
}

/// The statistics at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) messages: u64,
    pub(crate) message_bytes: u64,
    pub(crate) rebalances: u64,
    pub(crate) brokers: Vec<BrokerStats>,
    pub(crate) partitions: Vec<PartitionStats>,
}

/// The statistics of one broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BrokerStats {
    /// `host:port`.
    pub(crate) name: String,
    /// Mean and 99th percentile; `None` without an answer in the last interval.
    pub(crate) round_trip_micros: Option<(i64, i64)>,
    pub(crate) requests: u64,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) failures: u64,
    pub(crate) disconnects: u64,
}

/// The statistics of one partition that is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartitionStats {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// `None` if it is not known yet.
    pub(crate) lag: Option<u64>,
    pub(crate) fetched: u64,
    pub(crate) fetched_bytes: u64,
}

impl KafkaMetrics {
    /// Registers the metrics; call it once for each registry. They have no samples before librdkafka has reported its
    /// first statistics.
    pub fn new(metrics: &Metrics) -> Self {
        let statistics = Self::default();
        let show = |what: &'static Described, samples: fn(&Snapshot) -> Samples| {
            let statistics = statistics.clone();
            metrics.measured(what, move || statistics.last().as_ref().map(samples).unwrap_or_default());
        };
        show(&ROUND_TRIP, |snapshot| {
            let of = |broker: &BrokerStats, of: &str, micros: i64| {
                let labels = vec![("broker", broker.name.clone()), ("of", of.to_owned())];
                (labels, micros as f64 / 1e6)
            };
            let both = |broker: &BrokerStats| {
                broker.round_trip_micros.map(|(mean, p99)| [of(broker, "mean", mean), of(broker, "p99", p99)])
            };
            snapshot.brokers.iter().filter_map(both).flatten().collect()
        });
        show(&REQUESTS, |snapshot| snapshot.of_brokers(|broker| broker.requests));
        show(&SENT, |snapshot| snapshot.of_brokers(|broker| broker.request_bytes));
        show(&RECEIVED, |snapshot| snapshot.of_brokers(|broker| broker.response_bytes));
        show(&FAILURES, |snapshot| snapshot.of_brokers(|broker| broker.failures));
        show(&DISCONNECTS, |snapshot| snapshot.of_brokers(|broker| broker.disconnects));
        show(&MESSAGES, |snapshot| whole(snapshot.messages));
        show(&MESSAGE_BYTES, |snapshot| whole(snapshot.message_bytes));
        show(&REBALANCES, |snapshot| whole(snapshot.rebalances));
        show(&LAG, |snapshot| snapshot.of_partitions(|partition| partition.lag));
        show(&QUEUE, |snapshot| snapshot.of_partitions(|partition| Some(partition.fetched)));
        show(&QUEUE_BYTES, |snapshot| snapshot.of_partitions(|partition| Some(partition.fetched_bytes)));
        statistics
    }

    /// Takes over new statistics from librdkafka.
    pub(crate) fn replace(&self, snapshot: Snapshot) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
    }

    fn last(&self) -> Option<Snapshot> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Snapshot {
    fn of_brokers(&self, value: fn(&BrokerStats) -> u64) -> Samples {
        let sample = |broker: &BrokerStats| (vec![("broker", broker.name.clone())], value(broker) as f64);
        self.brokers.iter().map(sample).collect()
    }

    fn of_partitions(&self, value: fn(&PartitionStats) -> Option<u64>) -> Samples {
        let sample = |p: &PartitionStats| {
            let labels = vec![("topic", p.topic.clone()), ("partition", p.partition.to_string())];
            Some((labels, value(p)? as f64))
        };
        self.partitions.iter().filter_map(sample).collect()
    }
}

fn whole(value: u64) -> Samples {
    vec![(Vec::new(), value as f64)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_statistics_are_shown() {
        let metrics = Metrics::default();
        let statistics = KafkaMetrics::new(&metrics);
        assert_eq!(metrics.encode().expect("text"), "# EOF\n");
        let broker = BrokerStats {
            name: "b:9092".into(),
            round_trip_micros: Some((1_500, 9_000)),
            ..BrokerStats::default()
        };
        let partition =
            PartitionStats { topic: "t".into(), partition: 3, lag: None, ..PartitionStats::default() };
        let first = Snapshot {
            messages: 9,
            brokers: vec![broker],
            partitions: vec![partition],
            ..Snapshot::default()
        };
        statistics.replace(first);
        let page = metrics.encode().expect("text");
        for line in [
            "aqueduct_connector_kafka_round_trip_seconds{broker=\"b:9092\",of=\"mean\"} 0.0015",
            "aqueduct_connector_kafka_messages_total 9.0",
            "aqueduct_connector_kafka_fetch_queue_records{topic=\"t\",partition=\"3\"} 0.0",
        ] {
            assert!(page.lines().any(|other| other == line), "{line} in\n{page}");
        }
        assert!(!page.contains("kafka_lag_offsets{"), "an unknown lag is not 0:\n{page}");
        statistics.replace(Snapshot { messages: 2, ..Snapshot::default() });
        let page = metrics.encode().expect("text");
        assert!(page.contains("kafka_messages_total 2.0") && !page.contains("broker="), "{page}");
    }
}
