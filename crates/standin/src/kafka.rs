//! Kafka: librdkafka's mock cluster, and a producer for it.
//!
//! The cluster speaks the Kafka protocol, supports consumer groups, and keeps about 5 MB a partition; older records
//! are deleted. It is therefore suitable for a demo that follows the log and for tests, but not for a backlog or a
//! benchmark. Unknown topics are created on first use.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    error::KafkaError,
    message::ToBytes,
    mocking::MockCluster,
    producer::{FutureProducer, FutureRecord, Producer, ProducerContext},
    types::{RDKafkaApiKey, RDKafkaRespErr},
    util::Timeout,
};

/// A mock cluster with one broker. Dropping it stops it.
pub struct Kafka {
    /// The producer owns the cluster.
    producer: FutureProducer,
    bootstrap_servers: String,
}

/// The mock cluster or its producer failed.
#[derive(Debug, thiserror::Error)]
#[error("the Kafka stand-in failed to {action}")]
pub struct MockError {
    action: &'static str,
    source: KafkaError,
}

/// A record to write.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    /// The key, if any.
    pub key: Option<&'a [u8]>,
    /// The value; `None` for a tombstone.
    pub payload: Option<&'a [u8]>,
    /// Milliseconds since the epoch; `None` for the current time.
    pub timestamp: Option<i64>,
}

/// Maximum number of records in flight; librdkafka's queue holds 100,000.
const CHUNK: usize = 10_000;
const SEND_DEADLINE: Duration = Duration::from_secs(30);

impl Kafka {
    /// Starts a cluster with these topics and numbers of partitions.
    ///
    /// # Errors
    /// If librdkafka cannot create the cluster or a topic.
    pub fn start(topics: &[(&str, i32)]) -> Result<Self, MockError> {
        let failed = |action| move |source| MockError { action, source };
        let producer: FutureProducer = ClientConfig::new()
            .set("test.mock.num.brokers", "1")
            .set("linger.ms", "5")
            .create()
            .map_err(failed("start a cluster"))?;
        let bootstrap_servers = make_topics(&producer, topics).map_err(failed("create the topics"))?;
        Ok(Self { producer, bootstrap_servers })
    }

    /// `host:port` of the broker.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Answers the next requests of this kind with these errors, one for each request.
    pub fn answer(&self, requests: RDKafkaApiKey, errors: &[RDKafkaRespErr]) {
        self.cluster().request_errors(requests, errors);
    }

    /// Answers all requests about a topic with this error from now on.
    ///
    /// # Errors
    /// If the topic does not exist.
    pub fn refuse(&self, topic: &str, error: RDKafkaRespErr) -> Result<(), MockError> {
        let failed = |source| MockError { action: "reject a topic", source };
        self.cluster().topic_error(topic, error).map_err(failed)
    }

    fn cluster(&self) -> MockCluster<'_, impl ProducerContext> {
        self.producer.client().mock_cluster().expect("it was started with the producer")
    }

    /// Writes a record and returns its offset. Concurrent calls are batched.
    ///
    /// # Errors
    /// If the cluster refuses the record.
    pub async fn send(&self, topic: &str, partition: i32, record: Record<'_>) -> Result<i64, MockError> {
        let mut wanted: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(topic).partition(partition);
        wanted.key = record.key.map(ToBytes::to_bytes);
        wanted.payload = record.payload;
        wanted.timestamp = record.timestamp;
        let sent = self.producer.send(wanted, Timeout::After(SEND_DEADLINE)).await;
        sent.map(|delivery| delivery.offset)
            .map_err(|(source, _)| MockError { action: "produce a record", source })
    }

    /// Writes values into one partition and waits until all have offsets.
    ///
    /// # Errors
    /// If the cluster refuses one of them.
    pub async fn send_all(&self, topic: &str, partition: i32, values: &[String]) -> Result<(), MockError> {
        let failed = |source| MockError { action: "produce a record", source };
        for chunk in values.chunks(CHUNK) {
            let mut pending = Vec::with_capacity(chunk.len());
            for value in chunk {
                let record: FutureRecord<'_, [u8], str> =
                    FutureRecord::to(topic).partition(partition).payload(value);
                pending.push(self.producer.send_result(record).map_err(|(source, _)| failed(source))?);
            }
            for delivery in pending {
                let answer = delivery.await.map_err(|_| failed(KafkaError::Canceled))?;
                answer.map_err(|(source, _)| failed(source))?;
            }
        }
        Ok(())
    }
}

/// Creates the topics, and returns the address of the producer's cluster.
fn make_topics(producer: &FutureProducer, topics: &[(&str, i32)]) -> Result<String, KafkaError> {
    let cluster = producer.client().mock_cluster().ok_or(KafkaError::Canceled)?;
    for &(topic, partitions) in topics {
        cluster.create_topic(topic, partitions, 1)?;
    }
    Ok(cluster.bootstrap_servers())
}

impl std::fmt::Debug for Kafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kafka").field("bootstrap_servers", &self.bootstrap_servers).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rdkafka::{
        Message,
        consumer::{BaseConsumer, Consumer},
    };

    use super::*;

    #[tokio::test]
    async fn sent_records_are_consumed() {
        let kafka = Kafka::start(&[("events", 2)]).expect("a mock cluster starts");
        let record = Record { key: Some(b"k"), payload: Some(b"one"), timestamp: Some(1_700_000_000_000) };
        assert_eq!(kafka.send("events", 1, record).await.expect("taken"), 0);
        kafka.send_all("events", 1, &["two".to_owned(), "three".to_owned()]).await.expect("taken");
        assert_eq!(kafka.send("events", 1, Record::default()).await.expect("taken"), 3);

        let servers = kafka.bootstrap_servers().to_owned();
        let read = tokio::task::spawn_blocking(move || consume(&servers, 4)).await.expect("no panic");
        assert_eq!(read, [Some("one".to_owned()), Some("two".to_owned()), Some("three".to_owned()), None]);
    }

    fn consume(servers: &str, count: usize) -> Vec<Option<String>> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("group.id", "test")
            .set("auto.offset.reset", "earliest")
            .create()
            .expect("a consumer");
        consumer.subscribe(&["events"]).expect("subscribed");
        let text = |payload: &[u8]| String::from_utf8(payload.to_vec()).expect("UTF-8");
        let deadline = Instant::now() + SEND_DEADLINE;
        let mut read = Vec::new();
        while read.len() < count {
            assert!(Instant::now() < deadline, "the records come in time");
            // A poll also returns for a rebalance.
            if let Some(record) = consumer.poll(Duration::from_millis(100)) {
                read.push(record.expect("no error").payload().map(text));
            }
        }
        read
    }
}
