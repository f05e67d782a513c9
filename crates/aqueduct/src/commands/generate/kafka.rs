//! Sends events to a Kafka topic at their time: past ones immediately, then live.
//!
//! Records are acknowledged by all replicas and are not duplicated by the producer. The key is the user's ID,
//! and the partition follows from the key as with Java's producer.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use connector::KafkaConfig;
use event::EventTime;
use rdkafka::{
    ClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer},
};
use tokio_util::sync::CancellationToken;

use super::{Order, Tally};
use crate::{
    kafka::{self as brokers, Asker},
    progress,
};

/// A topic that can be reached.
pub(super) struct Target {
    producer: ThreadedProducer<Deliveries>,
    deliveries: Arc<Delivered>,
    topic: String,
}

/// Receives the delivery reports from the producer's thread.
#[derive(Clone)]
struct Deliveries(Arc<Delivered>);

#[derive(Default)]
struct Delivered {
    failed: AtomicU64,
    first_failure: Mutex<Option<KafkaError>>,
}

/// Nothing is looked at less often than that.
const LONGEST_NAP: Duration = Duration::from_millis(100);
/// How long a full queue is given before the next try.
const QUEUE_NAP: Duration = Duration::from_millis(2);
/// How long Kafka may take to acknowledge the rest.
const FLUSH: Duration = Duration::from_secs(60);

impl Target {
    pub(super) fn connect(kafka: &KafkaConfig, topic: String) -> anyhow::Result<Self> {
        Asker::new(kafka)?.partitions(&topic)?;
        let mut client = brokers::client(kafka);
        client
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "20")
            .set("queue.buffering.max.kbytes", "65536");
        let deliveries = Arc::new(Delivered::default());
        let producer: ThreadedProducer<Deliveries> = client
            .create_with_context(Deliveries(Arc::clone(&deliveries)))
            .context("cannot create a Kafka producer; correct [kafka.properties]")?;
        Ok(Self { producer, deliveries, topic })
    }

    /// Hands a record over; waits while the queue is full.
    fn send(&self, key: &[u8], payload: Option<&[u8]>) -> anyhow::Result<()> {
        loop {
            let record = BaseRecord::to(&self.topic).key(key);
            let record = payload.into_iter().fold(record, BaseRecord::payload);
            match self.producer.send::<[u8], [u8]>(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.deliveries.check(&self.topic)?;
                    std::thread::sleep(QUEUE_NAP);
                }
                Err((error, _)) => return Err(error).with_context(|| failure(&self.topic)),
            }
        }
    }

    fn finish(&self) -> anyhow::Result<()> {
        self.producer.flush(FLUSH).with_context(|| failure(&self.topic))?;
        self.deliveries.check(&self.topic)
    }
}

/// Sends the ordered events, or as many as were generated before it is stopped.
pub(super) fn send(order: Order, target: &Target, shutdown: &CancellationToken) -> anyhow::Result<Tally> {
    let Order { mut traffic, limit, seed } = order;
    let mut tally = Tally::new(&format!("Kafka topic {}", target.topic), seed);
    let bar = limit.map(|limit| progress::counting(limit, "events"));
    let limit = limit.unwrap_or(u64::MAX);
    let (mut payload, mut key) = (Vec::new(), Vec::new());
    while tally.records() < limit && !shutdown.is_cancelled() {
        let now = EventTime(jiff::Timestamp::now().as_millisecond());
        while tally.records() < limit && traffic.next_written() <= now && !shutdown.is_cancelled() {
            payload.clear();
            key.clear();
            let meta = traffic.next(&mut payload);
            meta.write_key(&mut key);
            target.send(&key, (!payload.is_empty()).then_some(&payload[..]))?;
            tally.count(&meta);
        }
        target.deliveries.check(&target.topic)?;
        bar.iter().for_each(|bar| bar.set_position(tally.records()));
        let ahead = traffic.next_written().0.saturating_sub(now.0).clamp(0, 1000);
        std::thread::sleep(Duration::from_millis(ahead.unsigned_abs()).min(LONGEST_NAP));
    }
    target.finish()?;
    drop(bar);
    Ok(tally)
}

impl Delivered {
    /// # Errors
    /// A record was given up.
    fn check(&self, topic: &str) -> anyhow::Result<()> {
        let failed = self.failed.load(Ordering::Acquire);
        if failed == 0 {
            return Ok(());
        }
        match self.first_failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error).with_context(|| failure(topic)),
            None => bail!(failure(topic)),
        }
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut first = self.0.first_failure.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| error.clone());
            self.0.failed.fetch_add(1, Ordering::Release);
        }
    }
}

fn failure(topic: &str) -> String {
    format!("Kafka rejected an event for topic {topic}; check the broker's log and [kafka.properties]")
}
