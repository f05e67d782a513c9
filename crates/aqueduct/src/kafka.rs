//! Kafka as the commands ask it questions: which partitions a topic has.
//!
//! Not here: consuming (crate `connector`).

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use connector::KafkaConfig;
use rdkafka::{ClientConfig, ClientContext, client::Client, types::RDKafkaRespErr};

/// How long a broker may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a topic may take that is just being made.
const TOPIC: Duration = Duration::from_secs(5);
const NAP: Duration = Duration::from_millis(100);

/// What every client of the configured brokers needs.
pub(crate) fn client(kafka: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    for (name, value) in kafka.client() {
        client.set(name, value);
    }
    client
}

/// How many partitions the topic has.
///
/// # Errors
/// No broker answers, or there is no such topic; the text says what to do. Blocks for ten seconds at most.
pub(crate) fn partitions<C: ClientContext>(
    client: &Client<C>,
    kafka: &KafkaConfig,
    topic: &str,
) -> anyhow::Result<usize> {
    let asked = Instant::now();
    loop {
        let metadata = client.fetch_metadata(Some(topic), ANSWER).with_context(|| unreachable(kafka))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let error = found.and_then(rdkafka::metadata::MetadataTopic::error);
        match (found, error) {
            (Some(found), None) if !found.partitions().is_empty() => return Ok(found.partitions().len()),
            (_, Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)) => {
                bail!(
                    "Kafka at {} refuses topic {topic}; allow this user to use it",
                    kafka.bootstrap_servers
                );
            }
            // Also what a broker answers about a topic that it is just making.
            _ if asked.elapsed() < TOPIC => std::thread::sleep(NAP),
            _ => bail!(
                "Kafka at {} has no topic {topic}; create it, or correct [kafka] topics",
                kafka.bootstrap_servers
            ),
        }
    }
}

fn unreachable(kafka: &KafkaConfig) -> String {
    format!(
        "Kafka at {} does not answer; start it, or correct [kafka] bootstrap_servers and [kafka.properties]",
        kafka.bootstrap_servers
    )
}
