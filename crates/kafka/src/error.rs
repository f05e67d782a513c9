//! The one error of this crate. Every text names the object and the next step, and no text contains a record.

/// Why something with Kafka failed. No offset is committed by any of these, so a consumer that starts again reads what
/// was not committed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// librdkafka rejects the configuration of the group's consumer.
    #[error("no Kafka client can be made from this configuration; correct [kafka] or [kafka.properties]")]
    Client {
        /// librdkafka's message.
        source: KafkaText,
    },
    /// librdkafka rejects the configuration of the client that asks questions.
    #[error("cannot create a Kafka client; correct [kafka] or [kafka.properties]")]
    Questions {
        /// librdkafka's message.
        source: KafkaText,
    },
    /// librdkafka rejects the configuration of the consumer that reads a range.
    #[error("cannot create a Kafka consumer; correct [kafka.properties]")]
    RangeConsumer {
        /// librdkafka's message.
        source: KafkaText,
    },
    /// librdkafka rejects the configuration of the producer.
    #[error("cannot create a Kafka producer; correct [kafka.properties]")]
    Producer {
        /// librdkafka's message.
        source: KafkaText,
    },
    /// A topic that the group is to read does not exist.
    #[error("topic {topic:?} does not exist on {brokers}; create it or correct kafka.topics")]
    NoTopic {
        /// The topic.
        topic: String,
        /// The configured brokers.
        brokers: String,
    },
    /// A topic that was asked about does not exist.
    #[error("Kafka at {brokers} has no topic {topic}; create it, or correct [kafka] topics")]
    TopicNotFound {
        /// The topic.
        topic: String,
        /// The configured brokers.
        brokers: String,
    },
    /// The brokers do not let this user see the topic.
    #[error("Kafka at {brokers} denies access to topic {topic}; allow this user to use it")]
    TopicDenied {
        /// The topic.
        topic: String,
        /// The configured brokers.
        brokers: String,
    },
    /// No leader of the topic answers, or no record arrives.
    #[error("Kafka at {brokers} does not answer for topic {topic}; start it, or correct [kafka]")]
    TopicUnanswered {
        /// The topic.
        topic: String,
        /// The configured brokers.
        brokers: String,
        /// librdkafka's last message, if it had one.
        source: Option<KafkaText>,
    },
    /// The brokers answer a read with an error that does not pass.
    #[error("Kafka denies reading topic {topic}; allow this user to read it")]
    ReadDenied {
        /// The topic.
        topic: String,
        /// librdkafka's message.
        source: KafkaText,
    },
    /// The brokers did not take a record.
    #[error("Kafka rejected an event for topic {topic}; check the broker's log and [kafka.properties]")]
    Rejected {
        /// The topic.
        topic: String,
        /// librdkafka's message.
        source: KafkaText,
    },
    /// The brokers do not answer.
    #[error(
        "Kafka at {brokers} does not answer; start it, or correct [kafka] bootstrap_servers and [kafka.properties]"
    )]
    Unanswered {
        /// The configured brokers.
        brokers: String,
        /// librdkafka's message.
        source: KafkaText,
    },
    /// The brokers reject the credentials or the certificate.
    #[error("{brokers} refused this client; correct the security settings in [kafka.properties]")]
    Authentication {
        /// The configured brokers.
        brokers: String,
        /// librdkafka's message.
        source: KafkaText,
    },
    /// The user has no permission for the topics or the group.
    #[error(
        "no permission on {brokers}; allow this user to read and describe the topics, and to read the group {group:?}"
    )]
    Authorization {
        /// The configured brokers.
        brokers: String,
        /// The consumer group.
        group: String,
        /// librdkafka's message.
        source: KafkaText,
    },
    /// Another member took this replica's name in the group, twice within minutes.
    #[error(
        "the name {instance:?} in group {group:?} is another connector's now; nothing is lost: give each replica its own kafka.group_instance_id, and start this one again"
    )]
    Fenced {
        /// The consumer group.
        group: String,
        /// The name of this replica.
        instance: String,
    },
    /// A record in Kafka is damaged: a wrong checksum, or a batch that does not decompress. This is the only error after
    /// which skipping records is the way out.
    #[error(
        "records in Kafka are damaged; nothing was committed past them; repair the topic, or move the group's offset past them with Kafka's own tools"
    )]
    Unreadable {
        /// librdkafka's message.
        source: KafkaText,
    },
    /// Kafka reported an error for which there is no rule. The consumer ends rather than guess: librdkafka may have
    /// dropped records with it.
    #[error(
        "Kafka reported {name}, for which the connector has no rule; nothing was committed past it; see Kafka's list of error codes, remove the cause, and start the connector again"
    )]
    Unknown {
        /// The error's name and number, as in `PolicyViolation (44)`.
        name: String,
        /// librdkafka's message.
        source: KafkaText,
    },
    /// The consumer cannot continue.
    #[error("the Kafka consumer cannot go on; start the connector again")]
    Consumer {
        /// librdkafka's message.
        source: KafkaText,
    },
    /// One of the two threads panicked or could not be started.
    #[error("the thread {0:?} ended unexpectedly; this is a defect, please report it")]
    Defect(&'static str),
}

/// librdkafka's message as text, so that its types stay in this crate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KafkaText(pub String);

impl From<rdkafka::error::KafkaError> for KafkaText {
    fn from(error: rdkafka::error::KafkaError) -> Self {
        Self::from(&error)
    }
}

impl From<&rdkafka::error::KafkaError> for KafkaText {
    fn from(error: &rdkafka::error::KafkaError) -> Self {
        Self(error.to_string())
    }
}

impl Error {
    /// Whether the error is about one topic, so that questions about other topics may still be answered.
    pub fn is_about_topic(&self) -> bool {
        matches!(self, Self::TopicNotFound { .. } | Self::TopicDenied { .. } | Self::NoTopic { .. })
    }
}
