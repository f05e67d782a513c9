//! A compacted topic in which several processes keep what they share: prepared, read from its beginning and followed, and
//! written record by record.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    time::Duration,
};

use rdkafka::{
    ClientContext, Message as _, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    producer::{FutureProducer, FutureRecord},
};

use crate::{
    Brokers, KafkaConfig,
    client::{
        self,
        admin::{NewTopicSpec, create_topic, topic_properties},
        client_config,
        context::Context,
        faults::{self, Fault},
        find_again, plain_config,
    },
    error::{Error, KafkaText},
};

/// A topic that is created compacted if it does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalTopic {
    /// Its name.
    pub name: String,
    /// How many partitions it gets; -1 for the brokers' default.
    pub partitions: i32,
    /// How many replicas it gets; -1 for the brokers' default.
    pub replicas: i32,
    /// Other properties that it gets.
    pub properties: BTreeMap<String, String>,
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// How many partitions it has.
    pub partitions: usize,
    /// Its `cleanup.policy`; `None` if this user may not describe it.
    pub policy: Option<String>,
}

/// Reads all partitions of a topic from their beginnings, and follows them.
pub struct JournalReader {
    consumer: BaseConsumer<Context>,
    config: KafkaConfig,
    topic: String,
    /// Partitions whose end was not reached yet.
    behind: BTreeSet<i32>,
}

/// What the reader finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Journaled {
    /// A record. Those of one partition arrive in order.
    Record(JournalRecord),
    /// Everything that was in the topic when it was opened has been returned. It comes once.
    CaughtUp,
}

/// A record of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRecord {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: u64,
    /// Milliseconds since 1970; 0 without a timestamp.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` deletes what was written under the key.
    pub value: Option<Vec<u8>>,
}

/// Writes records. Dropping it may block for a moment, so it must not be dropped on an async thread.
pub struct JournalWriter {
    producer: FutureProducer<Quiet>,
}

/// The membership in the group of workers reports that brokers are unavailable.
struct Quiet;

/// How long the brokers may take to answer the first question.
const FIRST: Duration = Duration::from_secs(5);
/// How long to look for the reason why they do not.
const REASON: Duration = Duration::from_secs(1);
/// How long they may take to answer any other question.
const ANSWER: Duration = Duration::from_secs(10);

/// Creates the topic if it does not exist, and returns how it is. Blocks for some seconds if no broker answers, and for at
/// most half a minute otherwise.
///
/// # Errors
/// [`Error::Unanswered`], [`Error::NotCreated`], or any other reason for which no question will be answered.
pub fn prepare(config: &KafkaConfig, topic: &JournalTopic) -> Result<Prepared, Error> {
    let brokers = Brokers::open(config)?;
    let names = match brokers.topic_names(FIRST) {
        Ok(names) => names,
        // A question about one topic finds out why there is no answer.
        Err(error) => return Err(brokers.partitions(&topic.name, REASON).err().unwrap_or(error)),
    };
    if !names.contains(&topic.name) {
        let mut properties = topic.properties.clone();
        properties.insert("cleanup.policy".to_owned(), "compact".to_owned());
        let (partitions, replicas) = (topic.partitions, topic.replicas);
        create_topic(config, &NewTopicSpec { name: &topic.name, partitions, replicas, properties })?;
    }
    let partitions = brokers.partitions(&topic.name, ANSWER)?;
    let mut described = topic_properties(config, &[&topic.name], ANSWER);
    let policy = described.remove(&topic.name).and_then(|mut found| found.remove("cleanup.policy"));
    Ok(Prepared { partitions, policy })
}

impl JournalReader {
    /// Opens a topic with this many partitions.
    ///
    /// # Errors
    /// [`Error::RangeConsumer`] if librdkafka rejects the configuration.
    pub fn open(config: &KafkaConfig, topic: &str, partitions: usize) -> Result<Self, Error> {
        let rejected = |error: KafkaError| Error::RangeConsumer { source: error.into() };
        let mut properties = client_config(config.consumer());
        properties.remove("group.instance.id");
        properties.set("enable.partition.eof", "true");
        let consumer = client::create(&properties, Context::default()).map_err(rejected)?;
        let numbers = 0..i32::try_from(partitions).unwrap_or(i32::MAX);
        let mut list = TopicPartitionList::with_capacity(partitions);
        for number in numbers.clone() {
            list.add_partition_offset(topic, number, Offset::Beginning).map_err(rejected)?;
        }
        consumer.assign(&list).map_err(rejected)?;
        Ok(Self { consumer, config: config.clone(), topic: topic.to_owned(), behind: numbers.collect() })
    }

    /// Waits for the next record this long. Blocks.
    ///
    /// # Errors
    /// [`Error::JournalCut`] if the topic lost records that were not read yet, or was deleted and created again; otherwise
    /// as a consumer that cannot continue.
    pub fn poll(&mut self, wait: Duration) -> Result<Option<Journaled>, Error> {
        let polled = self.consumer.poll(wait);
        let context = self.consumer.context();
        if context.take_renewed().contains_key(&self.topic) {
            return Err(Error::JournalCut { topic: self.topic.clone() });
        }
        find_again(&self.consumer, &self.config.bootstrap_servers, "journal");
        match polled {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(Journaled::Record(JournalRecord {
                partition: message.partition(),
                offset: message.offset().unsigned_abs(),
                timestamp: message.timestamp().to_millis().unwrap_or_default(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
            }))),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                let was_last = self.behind.remove(&partition) && self.behind.is_empty();
                Ok(was_last.then_some(Journaled::CaughtUp))
            }
            Some(Err(error)) => match faults::judge(&error, &self.config) {
                Fault::Passing(code) => {
                    tracing::debug!(%code, topic = self.topic, "transient Kafka error");
                    Ok(None)
                }
                Fault::OutOfRange => Err(Error::JournalCut { topic: self.topic.clone() }),
                Fault::Final(error) => Err(error),
            },
        }
    }
}

impl JournalWriter {
    /// Opens a producer that gives a record up if Kafka does not have it after `patience`.
    ///
    /// # Errors
    /// [`Error::Producer`] if librdkafka rejects the configuration.
    pub fn open(config: &KafkaConfig, patience: Duration) -> Result<Self, Error> {
        let mut properties = plain_config(config.client());
        properties
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("message.timeout.ms", patience.as_millis().to_string());
        let producer = properties
            .create_with_context(Quiet)
            .map_err(|error| Error::Producer { source: error.into() })?;
        Ok(Self { producer })
    }

    /// Sends a record; a value of `None` deletes what was written under the key. Records of one key arrive in the order of
    /// the calls. The future returns once Kafka has the record.
    ///
    /// # Errors
    /// [`Error::Rejected`]: Kafka refuses it, or did not take it in time. In the second case it may still have it.
    pub fn send(
        &self,
        topic: &str,
        key: &str,
        value: Option<&[u8]>,
    ) -> Result<impl Future<Output = Result<(), Error>> + Send + use<>, Error> {
        let topic = topic.to_owned();
        let rejected = |topic: &str, source: KafkaText| Error::Rejected { topic: topic.to_owned(), source };
        let mut record: FutureRecord<'_, str, [u8]> = FutureRecord::to(&topic).key(key);
        record.payload = value;
        let sent = self.producer.send_result(record);
        let delivery = sent.map_err(|(error, _)| rejected(&topic, error.into()))?;
        Ok(async move {
            match delivery.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err((error, _))) => Err(rejected(&topic, error.into())),
                Err(_) => Err(rejected(&topic, KafkaText("the producer was closed".to_owned()))),
            }
        })
    }
}

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        faults::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka client error");
    }
}
