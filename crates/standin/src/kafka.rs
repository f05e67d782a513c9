//! Kafka: librdkafka's mock cluster, and a producer for it.
//!
//! It speaks the Kafka protocol, knows consumer groups, and keeps about 5 MB a partition: older records vanish. So it
//! is for a tailing demo and for tests, not for a backlog or a benchmark. It makes unknown topics on first use.

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

/// A mock cluster of one broker. Dropping it ends it.
pub struct Kafka {
    /// Owns the cluster.
    producer: FutureProducer,
    bootstrap_servers: String,
}

/// The mock cluster or its producer failed.
#[derive(Debug, thiserror::Error)]
#[error("the stand-in for Kafka failed to {action}")]
pub struct MockError {
    action: &'static str,
    source: KafkaError,
}

/// One record to be written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    /// The key, if any.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone.
    pub payload: Option<&'a [u8]>,
    /// Milliseconds since the epoch; none is now.
    pub timestamp: Option<i64>,
}

/// Records in flight at once: librdkafka's queue holds 100,000.
const CHUNK: usize = 10_000;
const SEND_DEADLINE: Duration = Duration::from_secs(30);

impl Kafka {
    /// Starts a cluster with these topics and their numbers of partitions.
    ///
    /// # Errors
    /// When librdkafka cannot make the cluster or a topic.
    pub fn start(topics: &[(&str, i32)]) -> Result<Self, MockError> {
        let failed = |action| move |source| MockError { action, source };
        let producer: FutureProducer = ClientConfig::new()
            .set("test.mock.num.brokers", "1")
            .set("linger.ms", "5")
            .create()
            .map_err(failed("start a cluster"))?;
        let bootstrap_servers = make_topics(&producer, topics).map_err(failed("make its topics"))?;
        Ok(Self { producer, bootstrap_servers })
    }

    /// `host:port` of the broker.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// The next requests of a kind are answered so, one after the other.
    pub fn answer(&self, requests: RDKafkaApiKey, errors: &[RDKafkaRespErr]) {
        self.cluster().request_errors(requests, errors);
    }

    /// Whoever asks about a topic from now on is told this.
    ///
    /// # Errors
    /// There is no such topic.
    pub fn refuse(&self, topic: &str, error: RDKafkaRespErr) -> Result<(), MockError> {
        let failed = |source| MockError { action: "refuse a topic", source };
        self.cluster().topic_error(topic, error).map_err(failed)
    }

    fn cluster(&self) -> MockCluster<'_, impl ProducerContext> {
        self.producer.client().mock_cluster().expect("it was started with the producer")
    }

    /// Writes one record and waits until it has its offset. Calls may be made side by side; they are batched.
    ///
    /// # Errors
    /// When the cluster does not take it.
    pub async fn send(&self, topic: &str, partition: i32, record: Record<'_>) -> Result<i64, MockError> {
        let mut wanted: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(topic).partition(partition);
        wanted.key = record.key.map(ToBytes::to_bytes);
        wanted.payload = record.payload;
        wanted.timestamp = record.timestamp;
        let sent = self.producer.send(wanted, Timeout::After(SEND_DEADLINE)).await;
        sent.map(|delivery| delivery.offset)
            .map_err(|(source, _)| MockError { action: "take a record", source })
    }

    /// Writes values into one partition and waits until all have their offsets.
    ///
    /// # Errors
    /// When the cluster does not take one of them.
    pub async fn send_all(&self, topic: &str, partition: i32, values: &[String]) -> Result<(), MockError> {
        let failed = |source| MockError { action: "take a record", source };
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

/// Where the cluster of this producer listens.
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
    async fn what_is_sent_is_consumed() {
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
            // A poll also ends for a rebalance.
            if let Some(record) = consumer.poll(Duration::from_millis(100)) {
                read.push(record.expect("no error").payload().map(text));
            }
        }
        read
    }
}
