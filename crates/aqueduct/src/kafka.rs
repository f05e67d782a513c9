//! Queries to Kafka, such as the number of partitions of a topic. The crate `connector` consumes.
//!
//! A client with wrong credentials gets no answers; the reason is only in an error event. Without reading
//! these events, a wrong password would look like a broker that does not respond.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use connector::{ConnectorError, KafkaConfig, error::KafkaText};
use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::KafkaError,
    metadata::{Metadata, MetadataTopic},
    types::{RDKafkaErrorCode, RDKafkaRespErr},
};

/// How long a broker may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// The first time to wait before a look at what the client heard; each further one is twice as long, so that a broker
/// that is far away is understood as well.
const FIRST_LOOK: Duration = Duration::from_millis(500);
/// How long a topic may take that is just being made.
const TOPIC: Duration = Duration::from_secs(5);
const NAP: Duration = Duration::from_millis(100);

/// A client that asks, and hears why it is kept out.
pub(crate) struct Asker<'a> {
    kafka: &'a KafkaConfig,
    client: BaseConsumer<Heard>,
    /// How long a broker may take to answer.
    patience: Duration,
}

/// Records the last error of a client with librdkafka's message, instead of logging it.
#[derive(Default)]
struct Heard(Mutex<Option<(RDKafkaErrorCode, String)>>);

/// What every client of the configured brokers needs.
pub(crate) fn client(kafka: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    for (name, value) in kafka.client() {
        client.set(name, value);
    }
    client
}

/// Checks that librdkafka accepts the properties of the connector's consumer together: contradictions show
/// only when a client is created. It connects to nothing, because no broker is configured.
///
/// # Errors
/// The message of librdkafka.
pub(crate) fn try_consumer(kafka: &KafkaConfig) -> Result<(), KafkaError> {
    let mut client = ClientConfig::new();
    kafka.consumer().for_each(|(name, value)| {
        client.set(name, value);
    });
    client.remove("bootstrap.servers");
    client.create_with_context::<_, BaseConsumer<Heard>>(Heard::default()).map(drop)
}

impl<'a> Asker<'a> {
    /// # Errors
    /// librdkafka does not take the configuration.
    pub(crate) fn new(kafka: &'a KafkaConfig) -> anyhow::Result<Self> {
        Self::patient(kafka, ANSWER)
    }

    /// As [`Self::new`], for brokers that answer within `patience`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(crate) fn patient(kafka: &'a KafkaConfig, patience: Duration) -> anyhow::Result<Self> {
        let mut settings = client(kafka);
        // A question must not make what it asks about.
        settings.set("allow.auto.create.topics", "false");
        let client = settings
            .create_with_context(Heard::default())
            .context("cannot create a Kafka client; correct [kafka] or [kafka.properties]")?;
        Ok(Self { kafka, client, patience })
    }

    /// The number of partitions of the topic.
    ///
    /// # Errors
    /// [`ConnectorError`] if no broker responds or all of them refuse this client, another error if the topic
    /// does not exist; the text has the next step. Blocks for at most ten seconds.
    pub(crate) fn partitions(&self, topic: &str) -> anyhow::Result<usize> {
        let servers = &self.kafka.bootstrap_servers;
        let asked = Instant::now();
        loop {
            let metadata = self.metadata(topic)?;
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            let error = found.and_then(MetadataTopic::error);
            match (found, error) {
                (Some(found), None) if !found.partitions().is_empty() => return Ok(found.partitions().len()),
                (_, Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)) => {
                    bail!("Kafka at {servers} denies access to topic {topic}; allow this user to use it");
                }
                // Also what a broker answers about a topic that it is just making.
                _ if asked.elapsed() < TOPIC.min(self.patience) => std::thread::sleep(NAP),
                _ => bail!("Kafka at {servers} has no topic {topic}; create it, or correct [kafka] topics"),
            }
        }
    }

    fn metadata(&self, topic: &str) -> Result<Metadata, ConnectorError> {
        let asked = Instant::now();
        let mut wait = FIRST_LOOK;
        loop {
            let error = match self.client.client().fetch_metadata(Some(topic), wait) {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            let heard = self.heard();
            if let Some((code, said)) = &heard
                && let Some(refusal) = connector::refusal(*code, said, self.kafka)
            {
                return Err(refusal);
            }
            if asked.elapsed() >= self.patience {
                let source = KafkaText(heard.map_or_else(|| error.to_string(), |(_, said)| said));
                return Err(ConnectorError::Unanswered {
                    brokers: self.kafka.bootstrap_servers.clone(),
                    source,
                });
            }
            wait = (wait * 2).min(self.patience);
        }
    }

    fn heard(&self) -> Option<(RDKafkaErrorCode, String)> {
        // Errors arrive on the queue of the log lines, of which a poll without a timeout returns a single
        // one.
        while self.client.poll(NAP).is_some() {}
        self.client.context().0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Heard {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        // "All brokers are down" is less specific than the error of the last one.
        if let Some(code) =
            error.rdkafka_error_code().filter(|code| *code != RDKafkaErrorCode::AllBrokersDown)
        {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Heard {}
