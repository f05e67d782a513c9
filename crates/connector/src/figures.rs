//! What librdkafka counts: a useful part of its statistics, every five seconds, as metrics.
//!
//! It counts anew with each client, so that its figures are shown as they are told, never added up. Not here: how they come
//! (`io::context`), and what they mean beyond librdkafka's STATISTICS.md.

use std::sync::{Arc, Mutex, PoisonError};

use service::{
    Metrics,
    metrics::{Described, Samples},
};

/// How long a broker takes.
pub const ROUND_TRIP: Described = Described::gauge(
    "aqueduct_connector_kafka_round_trip_seconds",
    "seconds",
    &["broker", "of"],
    "How long a broker took to answer within the last seconds: `of` is `mean` or `p99`; a fetch that finds nothing waits 0.1 s",
);
/// Requests to brokers.
pub const REQUESTS: Described = Described::counter(
    "aqueduct_connector_kafka_requests_total",
    "requests",
    &["broker"],
    "Requests sent to a broker",
);
/// Bytes to brokers.
pub const SENT: Described = Described::counter(
    "aqueduct_connector_kafka_sent_bytes_total",
    "bytes",
    &["broker"],
    "Bytes sent to a broker",
);
/// Bytes from brokers.
pub const RECEIVED: Described = Described::counter(
    "aqueduct_connector_kafka_received_bytes_total",
    "bytes",
    &["broker"],
    "Bytes received from a broker, compressed as they come",
);
/// Requests that failed.
pub const FAILURES: Described = Described::counter(
    "aqueduct_connector_kafka_failures_total",
    "requests",
    &["broker"],
    "Requests to a broker that could not be sent, were not understood, or had no answer in time",
);
/// Connections that ended.
pub const DISCONNECTS: Described = Described::counter(
    "aqueduct_connector_kafka_disconnects_total",
    "connections",
    &["broker"],
    "Connections to a broker that ended",
);
/// Messages from Kafka.
pub const MESSAGES: Described = Described::counter(
    "aqueduct_connector_kafka_messages_total",
    "records",
    &[],
    "Records that librdkafka fetched, those of them too that are fetched again",
);
/// Their bytes.
pub const MESSAGE_BYTES: Described = Described::counter(
    "aqueduct_connector_kafka_message_bytes_total",
    "bytes",
    &[],
    "Bytes of the records that librdkafka fetched, after decompression",
);
/// Rebalances.
pub const REBALANCES: Described = Described::counter(
    "aqueduct_connector_kafka_rebalances_total",
    "rebalances",
    &[],
    "Assignments and revocations of this member of the group",
);
/// What librdkafka takes for the lag.
pub const LAG: Described = Described::gauge(
    "aqueduct_connector_kafka_lag_offsets",
    "offsets",
    &["topic", "partition"],
    "Offsets between what was handed to the connector and the end of what may be read, as librdkafka knows it",
);
/// Records that wait in this process.
pub const QUEUE: Described = Described::gauge(
    "aqueduct_connector_kafka_fetch_queue_records",
    "records",
    &["topic", "partition"],
    "Records fetched and not yet handed to the connector",
);
/// Their bytes.
pub const QUEUE_BYTES: Described = Described::gauge(
    "aqueduct_connector_kafka_fetch_queue_bytes",
    "bytes",
    &["topic", "partition"],
    "Bytes of the records fetched and not yet handed to the connector; `[kafka] buffer` bounds them",
);

/// All of them.
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

/// What librdkafka told last; shared by cloning.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    last: Arc<Mutex<Option<Snapshot>>>,
}

/// What librdkafka tells at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) messages: u64,
    pub(crate) message_bytes: u64,
    pub(crate) rebalances: u64,
    pub(crate) brokers: Vec<OfBroker>,
    pub(crate) partitions: Vec<OfPartition>,
}

/// Of one broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OfBroker {
    /// `host:port`.
    pub(crate) name: String,
    /// Mean and 99th percentile, where there was an answer.
    pub(crate) round_trip_micros: Option<(i64, i64)>,
    pub(crate) requests: u64,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) failures: u64,
    pub(crate) disconnects: u64,
}

/// Of one partition that is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OfPartition {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// Where it is known.
    pub(crate) lag: Option<u64>,
    pub(crate) fetched: u64,
    pub(crate) fetched_bytes: u64,
}

impl Figures {
    /// Figures that are metrics; nothing is shown before librdkafka has told any.
    pub(crate) fn shown_in(metrics: &Metrics) -> Self {
        let figures = Self::default();
        let show = |what: &'static Described, samples: fn(&Snapshot) -> Samples| {
            let figures = figures.clone();
            metrics.measured(what, move || figures.last().as_ref().map(samples).unwrap_or_default());
        };
        show(&ROUND_TRIP, |snapshot| {
            let of = |broker: &OfBroker, of: &str, micros: i64| {
                let labels = vec![("broker", broker.name.clone()), ("of", of.to_owned())];
                (labels, micros as f64 / 1e6)
            };
            let both = |broker: &OfBroker| {
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
        figures
    }

    /// librdkafka has told new ones.
    pub(crate) fn replace(&self, snapshot: Snapshot) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
    }

    fn last(&self) -> Option<Snapshot> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Snapshot {
    fn of_brokers(&self, figure: fn(&OfBroker) -> u64) -> Samples {
        let sample = |broker: &OfBroker| (vec![("broker", broker.name.clone())], figure(broker) as f64);
        self.brokers.iter().map(sample).collect()
    }

    fn of_partitions(&self, figure: fn(&OfPartition) -> Option<u64>) -> Samples {
        let sample = |p: &OfPartition| {
            let labels = vec![("topic", p.topic.clone()), ("partition", p.partition.to_string())];
            Some((labels, figure(p)? as f64))
        };
        self.partitions.iter().filter_map(sample).collect()
    }
}

fn whole(figure: u64) -> Samples {
    vec![(Vec::new(), figure as f64)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_figures_are_shown() {
        let metrics = Metrics::default();
        let figures = Figures::shown_in(&metrics);
        assert_eq!(metrics.encode().expect("text"), "# EOF\n");
        let broker = OfBroker {
            name: "b:9092".into(),
            round_trip_micros: Some((1_500, 9_000)),
            ..OfBroker::default()
        };
        let partition = OfPartition { topic: "t".into(), partition: 3, lag: None, ..OfPartition::default() };
        let first = Snapshot {
            messages: 9,
            brokers: vec![broker],
            partitions: vec![partition],
            ..Snapshot::default()
        };
        figures.replace(first);
        let page = metrics.encode().expect("text");
        for line in [
            "aqueduct_connector_kafka_round_trip_seconds{broker=\"b:9092\",of=\"mean\"} 0.0015",
            "aqueduct_connector_kafka_messages_total 9.0",
            "aqueduct_connector_kafka_fetch_queue_records{topic=\"t\",partition=\"3\"} 0.0",
        ] {
            assert!(page.lines().any(|other| other == line), "{line} in\n{page}");
        }
        assert!(!page.contains("kafka_lag_offsets{"), "an unknown lag is not 0:\n{page}");
        figures.replace(Snapshot { messages: 2, ..Snapshot::default() });
        let page = metrics.encode().expect("text");
        assert!(page.contains("kafka_messages_total 2.0") && !page.contains("broker="), "{page}");
    }
}
