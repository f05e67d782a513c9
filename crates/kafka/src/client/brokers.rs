//! Questions to the brokers that need no group: topics with their IDs and partitions, the ends of logs, groups.

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    metadata::{Metadata, MetadataTopic},
    types::{RDKafkaErrorCode, RDKafkaRespErr},
};

use super::{
    ANSWER_TIMEOUT, End, client_config,
    context::Context,
    create, ends, faults, find_again,
    unwrapped::{self, Topic},
};
use crate::{
    TopicPartition,
    error::{Error, KafkaText},
    group::fit::Group,
    settings::{KafkaConfig, STATISTICS},
};

/// A client without a group. It sees records of open transactions too.
///
/// A client with wrong credentials gets no answers; the reason arrives only in an error event. Without reading these
/// events, a wrong password would look like a broker that does not respond.
pub struct Brokers {
    client: BaseConsumer<Context>,
    config: KafkaConfig,
}

/// The minimum time for which the client's queue is served.
pub(crate) const SERVE: Duration = Duration::from_millis(50);
/// How long to wait for an answer before first checking why there is none. Each further wait is twice as long, so that a
/// distant broker has time to answer.
pub(crate) const FIRST_WAIT: Duration = Duration::from_millis(500);
/// How long to wait for a topic that is being created.
const NEW_TOPIC: Duration = Duration::from_secs(5);
const NAP: Duration = Duration::from_millis(100);

impl Brokers {
    /// Opens a client for metadata requests before the pipeline starts. No request creates a topic.
    ///
    /// # Errors
    /// [`Error::Questions`]: librdkafka rejects the configuration.
    pub fn open(config: &KafkaConfig) -> Result<Self, Error> {
        Self::create(config, &[("allow.auto.create.topics", "false")])
            .map_err(|source| Error::Questions { source })
    }

    /// The client beside a group's consumer.
    pub(crate) fn new(config: &KafkaConfig) -> Result<Self, Error> {
        Self::create(config, &[]).map_err(|source| Error::Client { source })
    }

    fn create(config: &KafkaConfig, more: &[(&str, &str)]) -> Result<Self, KafkaText> {
        let mut properties = client_config(config.client());
        properties.set("isolation.level", "read_uncommitted");
        // The statistics show when the client has forgotten all brokers.
        properties.set(STATISTICS, config.statistics_millis());
        for (name, value) in more {
            properties.set(*name, *value);
        }
        let client = create(&properties, Context::default())?;
        Ok(Self { client, config: config.clone() })
    }

    /// The number of partitions of a topic. Brokers have `patience` to answer; a topic that is being created gets up to
    /// five seconds of it.
    ///
    /// # Errors
    /// [`Error::TopicNotFound`] or [`Error::TopicDenied`]; any other error means that no question will be answered.
    pub fn partitions(&self, topic: &str, patience: Duration) -> Result<usize, Error> {
        let brokers = || self.config.bootstrap_servers.clone();
        let start = Instant::now();
        loop {
            let metadata = self.metadata(topic, patience)?;
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            let error = found.and_then(MetadataTopic::error);
            match (found, error) {
                (Some(found), None) if !found.partitions().is_empty() => return Ok(found.partitions().len()),
                (_, Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)) => {
                    return Err(Error::TopicDenied { topic: topic.to_owned(), brokers: brokers() });
                }
                // Brokers also give this answer for a topic that is being created.
                _ if start.elapsed() < NEW_TOPIC.min(patience) => thread::sleep(NAP),
                _ => return Err(Error::TopicNotFound { topic: topic.to_owned(), brokers: brokers() }),
            }
        }
    }

    /// The names of all topics that this user may see. Brokers have `patience` to answer. Blocks.
    ///
    /// # Errors
    /// [`Error::Unanswered`].
    pub fn topic_names(&self, patience: Duration) -> Result<Vec<String>, Error> {
        let metadata = self.client.client().fetch_metadata(None, patience);
        let metadata = metadata.map_err(|error| Error::Unanswered {
            brokers: self.config.bootstrap_servers.clone(),
            source: KafkaText::from(error),
        })?;
        let exists = |topic: &&MetadataTopic| topic.error().is_none();
        Ok(metadata.topics().iter().filter(exists).map(|topic| topic.name().to_owned()).collect())
    }

    /// The ID of the cluster; `None` if no broker answers within `patience`. Blocks.
    pub fn cluster_id(&self, patience: Duration) -> Option<String> {
        self.client.client().fetch_cluster_id(patience)
    }

    fn metadata(&self, topic: &str, patience: Duration) -> Result<Metadata, Error> {
        let start = Instant::now();
        let mut wait = FIRST_WAIT;
        let mut last = None;
        loop {
            let error = match self.client.client().fetch_metadata(Some(topic), wait) {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            // librdkafka reports a repeated error only once, and "all brokers are down" is less specific than the error of the
            // last one.
            let is_specific =
                |(code, _): &(RDKafkaErrorCode, String)| *code != RDKafkaErrorCode::AllBrokersDown;
            last = self.take_failure().filter(is_specific).or(last);
            if let Some((code, reason)) = &last
                && let Some(refusal) = faults::refusal(*code, reason, &self.config)
            {
                return Err(refusal);
            }
            if start.elapsed() >= patience {
                let source = last.map_or_else(|| KafkaText::from(error), |(_, reason)| KafkaText(reason));
                return Err(Error::Unanswered { brokers: self.config.bootstrap_servers.clone(), source });
            }
            wait = (wait * 2).min(patience);
        }
    }

    /// The configured topics in their order. The entry of a topic that does not exist is its error.
    pub(crate) fn describe(&self) -> Result<Vec<Result<Topic, RDKafkaErrorCode>>, RDKafkaErrorCode> {
        self.describe_within(ANSWER_TIMEOUT)
    }

    /// As [`Self::describe`], without waiting longer: a client that is rejected gets no answer, and the reason arrives
    /// separately ([`Self::take_failure`]).
    pub(crate) fn describe_within(
        &self,
        patience: Duration,
    ) -> Result<Vec<Result<Topic, RDKafkaErrorCode>>, RDKafkaErrorCode> {
        let names: Vec<&str> = self.topics().iter().map(|topic| &**topic).collect();
        let answer = unwrapped::topics(self.client.client(), &names, patience)?;
        // The answer is in no particular order, and a topic that failed has no name, so each is requested alone then.
        if answer.iter().all(Result::is_ok) {
            let by_name: BTreeMap<_, _> =
                answer.into_iter().flatten().map(|topic| (topic.name.clone(), topic)).collect();
            let find =
                |name: &&str| by_name.get(*name).cloned().ok_or(RDKafkaErrorCode::UnknownTopicOrPartition);
            return Ok(names.iter().map(find).collect());
        }
        let alone = |name: &&str| {
            let mut answer = unwrapped::topics(self.client.client(), &[name], patience)?;
            Ok(answer.pop().unwrap_or(Err(RDKafkaErrorCode::UnknownTopicOrPartition)))
        };
        names.iter().map(alone).collect()
    }

    /// The IDs of the configured topics that exist.
    ///
    /// # Errors
    /// [`Error::Unanswered`] if no broker answers.
    pub fn topic_ids(&self) -> Result<BTreeMap<Arc<str>, String>, Error> {
        let described = self.describe().map_err(|code| Error::Unanswered {
            brokers: self.config.bootstrap_servers.clone(),
            source: KafkaError::MetadataFetch(code).into(),
        })?;
        let names = self.topics().iter().cloned();
        Ok(names.zip(described).filter_map(|(name, topic)| Some((name, topic.ok()?.id))).collect())
    }

    /// The configured topics.
    pub(crate) fn topics(&self) -> &[Arc<str>] {
        &self.config.topics
    }

    /// The configured brokers, for messages.
    pub(crate) fn servers(&self) -> &str {
        &self.config.bootstrap_servers
    }

    /// One end of these logs; partitions without an answer are missing.
    pub(crate) fn ends(
        &self,
        partitions: &[TopicPartition],
        end: End,
    ) -> Result<BTreeMap<TopicPartition, u64>, KafkaError> {
        ends(&self.client, partitions, end)
    }

    /// How many members a consumer group has; `None` if the brokers do not say.
    pub(crate) fn members(&self, group: &str) -> Option<usize> {
        let list = self.client.client().fetch_group_list(Some(group), ANSWER_TIMEOUT).ok()?;
        Some(list.groups().iter().map(|group| group.members().len()).sum())
    }

    /// A consumer group with the assignments of its members.
    pub(crate) fn group(&self, name: &str, patience: Duration) -> Result<Group, RDKafkaErrorCode> {
        unwrapped::group(self.client.client(), name, patience)
    }

    /// The last error of the client, with librdkafka's message.
    pub(crate) fn take_failure(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.serve(SERVE);
        self.client.context().take_failure()
    }

    /// Serves the client's queue for this long. Without a group the queue carries errors, log lines and statistics
    /// only. With a wait of zero rust-rdkafka would take a single log line: lines would pile up, with errors after
    /// them.
    pub(crate) fn serve(&self, wait: Duration) {
        while self.client.poll(wait).is_some() {}
        find_again(&self.client, self.servers(), "questions");
    }
}
