//! Why a connector ends by itself.

use crate::message::PublishError;

/// Why a connector ended. Nothing is lost by any of these: what was not committed is read again at the next start.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// librdkafka does not take the configuration.
    #[error("no Kafka client can be made from this configuration; correct [kafka] or [kafka.properties]")]
    Client {
        /// What librdkafka says.
        source: KafkaText,
    },
    /// A configured topic does not exist.
    #[error("topic {topic:?} does not exist on {brokers}; create it or correct kafka.topics")]
    NoTopic {
        /// The topic.
        topic: String,
        /// The configured brokers.
        brokers: String,
    },
    /// The brokers do not answer.
    #[error(
        "Kafka at {brokers} does not answer; start it, or correct [kafka] bootstrap_servers and [kafka.properties]"
    )]
    Unanswered {
        /// The configured brokers.
        brokers: String,
        /// What librdkafka says.
        source: KafkaText,
    },
    /// The brokers do not let us in.
    #[error("{brokers} refused this client; correct the security settings in [kafka.properties]")]
    Authentication {
        /// The configured brokers.
        brokers: String,
        /// What librdkafka says.
        source: KafkaText,
    },
    /// The brokers let us in, but not to this.
    #[error(
        "no permission on {brokers}; allow this user to read and describe the topics, and to read the group {group:?}"
    )]
    Authorization {
        /// The configured brokers.
        brokers: String,
        /// The consumer group.
        group: String,
        /// What librdkafka says.
        source: KafkaText,
    },
    /// Somebody else has our name in the group: it was taken twice within minutes.
    #[error(
        "the name {instance:?} in group {group:?} is another connector's now; nothing is lost: give each replica its own kafka.group_instance_id, and start this one again"
    )]
    Fenced {
        /// The consumer group.
        group: String,
        /// The name of this replica.
        instance: String,
    },
    /// A record in Kafka is damaged: a wrong checksum, a batch that does not decompress. The one error after which
    /// skipping records is the way out.
    #[error(
        "records in Kafka are damaged; nothing was committed past them; repair the topic, or move the group's offset past them with Kafka's own tools"
    )]
    Unreadable {
        /// What librdkafka says.
        source: KafkaText,
    },
    /// Kafka reported an error that the connector has no rule for. It ends rather than guess: librdkafka may have
    /// dropped records with it.
    #[error(
        "Kafka reported {name}, for which the connector has no rule; nothing was committed past it; see Kafka's list of error codes, remove the cause, and start the connector again"
    )]
    Kafka {
        /// The error's name and number, as in `PolicyViolation (44)`.
        name: String,
        /// What librdkafka says.
        source: KafkaText,
    },
    /// The consumer cannot go on.
    #[error("the Kafka consumer cannot go on; start the connector again")]
    Consumer {
        /// What librdkafka says.
        source: KafkaText,
    },
    /// More rejects than `max_rejects` allows.
    #[error(
        "{rejects} of the last 10,000 records were refused, which is more than anonymise.max_rejects allows; nothing was committed past them; correct the producer or [anonymise]; most frequent: {reasons}"
    )]
    TooManyRejects {
        /// Within the last 10,000 records.
        rejects: u64,
        /// The most frequent codes with their counts.
        reasons: String,
    },
    /// Nothing can be published.
    #[error("cannot publish to Pub/Sub")]
    Publish {
        /// What Pub/Sub says.
        source: PublishError,
    },
    /// A thread of the connector ended without a word.
    #[error("the thread {0:?} ended unexpectedly; this is a defect, please report it")]
    Defect(&'static str),
}

/// What librdkafka says, as text: its types stay in `io`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KafkaText(pub String);

/// The texts of an error and its sources, outermost first, each once; for log lines.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let part = source.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        next = source.source();
    }
    text
}
