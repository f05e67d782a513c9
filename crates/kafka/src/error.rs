//! The one error of this crate. Every text names the object and the next step, and no text contains a record.

/// Why an operation on Kafka failed. No offset is committed by any of these, so a consumer that starts again reads what
/// was not committed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// librdkafka rejects the configuration of the group's consumer.
    #[error("cannot create the consumer of the group; correct [kafka] or [kafka.properties]")]
    Client {
        /// librdkafka's message.
        source: KafkaText,
    },
    /// librdkafka rejects the configuration of the client for metadata requests.
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
    /// The requested topic does not exist.
    #[error("topic {topic} does not exist on {brokers}; create it, or correct kafka.topics")]
    TopicNotFound {
        /// The topic.
        topic: String,
        /// The configured brokers.
        brokers: String,
    },
    /// This user is not authorized for the topic.
    #[error("not authorized for topic {topic} on {brokers}; grant this user access to it")]
    TopicDenied {
        /// The topic.
        topic: String,
        /// The configured brokers.
        brokers: String,
    },
    /// No leader of the topic answers, or no record arrives.
    #[error(
        "no response from {brokers} for topic {topic}; check that the brokers are running, or correct [kafka]"
    )]
    TopicUnanswered {
        /// The topic.
        topic: String,
        /// The configured brokers.
        brokers: String,
        /// librdkafka's last message, if it had one.
        source: Option<KafkaText>,
    },
    /// The brokers reject a read with a permanent error.
    #[error("not authorized to read topic {topic}; grant this user Read on it")]
    ReadDenied {
        /// The topic.
        topic: String,
        /// librdkafka's message.
        source: KafkaText,
    },
    /// The brokers rejected a record.
    #[error("Kafka rejected a record for topic {topic}; check the broker's log and [kafka.properties]")]
    Rejected {
        /// The topic.
        topic: String,
        /// librdkafka's message.
        source: KafkaText,
    },
    /// The brokers do not answer.
    #[error(
        "no response from Kafka at {brokers}; check that the brokers are running, or correct kafka.bootstrap_servers and [kafka.properties]"
    )]
    Unanswered {
        /// The configured brokers.
        brokers: String,
        /// librdkafka's message.
        source: KafkaText,
    },
    /// The brokers reject the credentials or the certificate.
    #[error(
        "{brokers} rejected this client's credentials; correct the security settings in [kafka.properties]"
    )]
    Authentication {
        /// The configured brokers.
        brokers: String,
        /// librdkafka's message.
        source: KafkaText,
    },
    /// The user has no permission for the topics or the group.
    #[error(
        "not authorized on {brokers}; grant this user Read and Describe on the topics, and Read on the group {group:?}"
    )]
    Authorization {
        /// The configured brokers.
        brokers: String,
        /// The consumer group.
        group: String,
        /// librdkafka's message.
        source: KafkaText,
    },
    /// The brokers do not create a topic.
    #[error(
        "cannot create topic {topic}; create it yourself, or correct its replication factor and this user's permissions"
    )]
    NotCreated {
        /// The topic.
        topic: String,
        /// librdkafka's message.
        source: KafkaText,
    },
    /// A topic that several processes share lost records, or is another one.
    #[error(
        "topic {topic} was deleted, created again or cut while it was read; restart every process that uses it"
    )]
    JournalCut {
        /// The topic.
        topic: String,
    },
    /// The coordinator does not change the offsets of a group.
    #[error(
        "cannot change the offsets of group {group:?}; it must have no members, and the partitions must exist"
    )]
    OffsetsRefused {
        /// The consumer group.
        group: String,
        /// librdkafka's message.
        source: KafkaText,
    },
    /// Another member took this replica's name in the group, twice within minutes.
    #[error(
        "another connector joined group {group:?} with the instance ID {instance:?}; no record is lost: give each replica its own kafka.group_instance_id, and restart this one"
    )]
    Fenced {
        /// The consumer group.
        group: String,
        /// The name of this replica.
        instance: String,
    },
    /// A record in Kafka is damaged: a wrong checksum, or a batch that does not decompress. This is the only error
    /// after which skipping records is the way out.
    #[error(
        "Kafka returned corrupt records; no offset was committed past them; repair the topic, or move the group's offset past them with kafka-consumer-groups.sh"
    )]
    Unreadable {
        /// librdkafka's message.
        source: KafkaText,
    },
    /// Kafka reported an error for which there is no rule. The consumer ends rather than guess: librdkafka may have
    /// dropped records with it.
    #[error(
        "unexpected Kafka error {name}; no offset was committed past it; look up the code in Kafka's list of errors, remove the cause, and restart the connector"
    )]
    Unknown {
        /// The error's name and number, as in `PolicyViolation (44)`.
        name: String,
        /// librdkafka's message.
        source: KafkaText,
    },
    /// The consumer cannot continue.
    #[error("the Kafka consumer failed; restart the connector")]
    Consumer {
        /// librdkafka's message.
        source: KafkaText,
    },
    /// Another process holds the claim.
    #[error(
        "another process is a member of group {group:?}; wait until it has ended, or, if it was killed, until its session ends after ten seconds"
    )]
    Claimed {
        /// The group of the claim.
        group: String,
    },
    /// The claim was lost.
    #[error(
        "this process lost its place in group {group:?}, because it was frozen or another one joined; nothing after the last progress that was saved is lost: run the command again"
    )]
    ClaimLost {
        /// The group of the claim.
        group: String,
        /// librdkafka's message, if there is one.
        source: Option<KafkaText>,
    },
    /// One of the two threads panicked or could not be started.
    #[error("thread {0:?} ended unexpectedly; this is a bug, please report it")]
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
