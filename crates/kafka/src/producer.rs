//! A producer for one topic. Records are acknowledged by all replicas and are not duplicated by the producer, and the
//! partition follows from the key as with Java's producer.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use rdkafka::{
    ClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer},
};

use crate::{
    Brokers, KafkaConfig,
    client::plain_config,
    error::{Error, KafkaText},
};

/// Sends records to one topic.
pub struct Producer {
    producer: ThreadedProducer<Reports>,
    deliveries: Arc<Deliveries>,
    topic: String,
}

/// Receives the delivery reports on the producer's thread.
#[derive(Clone)]
struct Reports(Arc<Deliveries>);

#[derive(Default)]
struct Deliveries {
    failed: AtomicU64,
    /// Set before `failed` is incremented, and never changed afterwards.
    first_failure: Mutex<Option<KafkaText>>,
}

/// How long a broker may take to answer before the first record.
const ANSWER: Duration = Duration::from_secs(10);
/// How long to wait while the queue is full before the next try.
const QUEUE_NAP: Duration = Duration::from_millis(2);
/// How long Kafka may take to acknowledge the rest.
const FLUSH: Duration = Duration::from_secs(60);

impl Producer {
    /// Connects to the brokers. Blocks for at most ten seconds.
    ///
    /// # Errors
    /// As [`Brokers::partitions`], or [`Error::Producer`] if librdkafka rejects the configuration.
    pub fn connect(config: &KafkaConfig, topic: String) -> Result<Self, Error> {
        Brokers::open(config)?.partitions(&topic, ANSWER)?;
        let mut properties = plain_config(config.client());
        properties
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "20")
            .set("queue.buffering.max.kbytes", "65536");
        let deliveries = Arc::new(Deliveries::default());
        let producer = properties
            .create_with_context(Reports(Arc::clone(&deliveries)))
            .map_err(|error| Error::Producer { source: error.into() })?;
        Ok(Self { producer, deliveries, topic })
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Hands a record over, and waits while the queue is full. A payload of `None` is a tombstone.
    ///
    /// # Errors
    /// [`Error::Rejected`], for this record or for an earlier one.
    pub fn send(&self, key: &[u8], payload: Option<&[u8]>) -> Result<(), Error> {
        loop {
            let record = BaseRecord::to(&self.topic).key(key);
            let record = payload.into_iter().fold(record, BaseRecord::payload);
            match self.producer.send::<[u8], [u8]>(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.check()?;
                    thread::sleep(QUEUE_NAP);
                }
                Err((error, _)) => return Err(self.rejected(error.into())),
            }
        }
    }

    /// Whether every record that was answered so far was taken.
    ///
    /// # Errors
    /// [`Error::Rejected`] with the reason of the first record that was not.
    pub fn check(&self) -> Result<(), Error> {
        if self.deliveries.failed.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let first = self.deliveries.first_failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Err(self.rejected(first.expect("the reason is set before the count")))
    }

    /// Waits until every record is acknowledged, for at most a minute.
    ///
    /// # Errors
    /// [`Error::Rejected`] if one was not.
    pub fn finish(&self) -> Result<(), Error> {
        self.producer.flush(FLUSH).map_err(|error| self.rejected(error.into()))?;
        self.check()
    }

    fn rejected(&self, source: KafkaText) -> Error {
        Error::Rejected { topic: self.topic.clone(), source }
    }
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut first = self.0.first_failure.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| error.into());
            self.0.failed.fetch_add(1, Ordering::Release);
        }
    }
}
