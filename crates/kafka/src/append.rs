//! Whole records at the end of a topic, each confirmed: what a program must not lose, such as a dead letter.
//!
//! [`crate::Producer`] is for many records of which only the number of failures matters.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{DeliveryFuture, FutureProducer, FutureRecord},
    util::Timeout,
};

use crate::{
    Brokers, KafkaConfig,
    client::{
        admin::{NewTopicSpec, create_topic},
        plain_config,
    },
    error::{Error, KafkaText},
};

/// Appends records to one topic. Dropping it may block for a moment, so it must not be dropped on an async thread.
pub struct Appender {
    producer: FutureProducer,
    topic: String,
}

/// A record to append. It has no `Debug`, because it can be personal data.
#[derive(Clone, Copy)]
pub struct NewRecord<'a> {
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// Names and values of its headers.
    pub headers: &'a [(String, Option<Vec<u8>>)],
}

/// How long the brokers may take to answer before the first record.
const ANSWER: Duration = Duration::from_secs(10);
/// Bytes of records that Kafka has not confirmed yet.
const QUEUE_KILOBYTES: &str = "16384";
/// Less than the queue holds.
const LARGEST: &str = "15000000";

impl Appender {
    /// Connects, and creates the topic with one partition if it does not exist. Blocks for at most half a minute.
    ///
    /// # Errors
    /// [`Error::Unanswered`], [`Error::NotCreated`], or [`Error::Producer`] if librdkafka rejects the configuration.
    pub fn open(config: &KafkaConfig, topic: &str, replicas: i32) -> Result<Self, Error> {
        if !Brokers::open(config)?.topic_names(ANSWER)?.iter().any(|name| name == topic) {
            let new = NewTopicSpec { name: topic, partitions: 1, replicas, properties: BTreeMap::new() };
            create_topic(config, &new)?;
        }
        let mut properties = plain_config(config.client());
        properties
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "5")
            .set("queue.buffering.max.kbytes", QUEUE_KILOBYTES)
            // The broker decides what is too large.
            .set("message.max.bytes", LARGEST)
            // While Kafka is unavailable nothing is read either, so a record waits for it.
            .set("message.timeout.ms", "0");
        let producer = properties.create().map_err(|error| Error::Producer { source: error.into() })?;
        Ok(Self { producer, topic: topic.to_owned() })
    }

    /// Appends records, and returns once Kafka has all of them.
    ///
    /// # Errors
    /// [`Error::Rejected`]: Kafka refuses one of them. Others may have been appended.
    pub async fn append<'r>(&self, records: impl Iterator<Item = NewRecord<'r>>) -> Result<(), Error> {
        let mut open = Vec::new();
        for record in records {
            match self.producer.send_result(self.record(&record)) {
                Ok(delivery) => open.push(delivery),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    // Other calls may have filled it.
                    self.confirmed(&mut open).await?;
                    let sent = self.producer.send(self.record(&record), Timeout::Never).await;
                    sent.map_err(|(error, _)| self.rejected(error.into()))?;
                }
                Err((error, _)) => return Err(self.rejected(error.into())),
            }
        }
        self.confirmed(&mut open).await
    }

    fn record<'r>(&'r self, record: &NewRecord<'r>) -> FutureRecord<'r, [u8], [u8]> {
        let mut new = FutureRecord::to(&self.topic);
        (new.key, new.payload) = (record.key, record.value);
        let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key: key.as_str(), value: value.as_ref() })
        });
        new.headers(headers)
    }

    async fn confirmed(&self, open: &mut Vec<DeliveryFuture>) -> Result<(), Error> {
        for delivery in open.drain(..) {
            match delivery.await {
                Ok(Ok(_)) => {}
                Ok(Err((error, _))) => return Err(self.rejected(error.into())),
                Err(_) => return Err(self.rejected(KafkaText("the producer was closed".to_owned()))),
            }
        }
        Ok(())
    }

    fn rejected(&self, source: KafkaText) -> Error {
        Error::Rejected { topic: self.topic.clone(), source }
    }
}
