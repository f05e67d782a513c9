//! Questions to the brokers that need no group: topics with their ids, and the bounds of logs.
//!
//! Every call blocks, up to its timeout: for the two Kafka threads only.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};

use crate::{
    error::{ConnectorError, KafkaText},
    fit::Group,
    io::{
        context::Context,
        faults,
        unwrapped::{self, Topic},
    },
    settings::{KafkaConfig, STATISTICS},
};

/// A client without a group, that sees open transactions too.
pub(crate) struct Brokers {
    client: BaseConsumer<Context>,
    servers: String,
    topics: Vec<Arc<str>>,
}

/// Which end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The first offset.
    Low,
    /// One past the last: the high watermark, or for a consumer that reads committed records the last stable offset.
    High,
}

/// Partitions by topic and number.
pub(crate) type Places = Vec<(Arc<str>, i32)>;

/// How long to wait for an answer.
pub(crate) const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a consumer may take to leave its group.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(4);
/// How long the client's queue is served at least.
pub(crate) const SERVE: Duration = Duration::from_millis(50);
/// How long to wait for the first one before a look at why there is none; each further wait is twice as long.
pub(crate) const FIRST_LOOK: Duration = Duration::from_millis(500);

impl Brokers {
    pub(crate) fn new(config: &KafkaConfig) -> Result<Self, ConnectorError> {
        let mut properties = client_config(config.client());
        properties.set("isolation.level", "read_uncommitted");
        // By them it is noticed that no broker is left to be asked.
        properties.set(STATISTICS, config.statistics_millis());
        let client = create(&properties, Context::default())?;
        Ok(Self { client, servers: config.bootstrap_servers.clone(), topics: config.topics.clone() })
    }

    /// The configured topics in their order; a topic that does not exist has its own error.
    pub(crate) fn describe(&self) -> Result<Vec<Result<Topic, RDKafkaErrorCode>>, RDKafkaErrorCode> {
        self.describe_within(ASK_TIMEOUT)
    }

    /// As [`Self::describe`], without waiting longer: a client that is kept out gets no answer, and is told why beside it
    /// ([`Self::take_failure`]).
    pub(crate) fn describe_within(
        &self,
        patience: Duration,
    ) -> Result<Vec<Result<Topic, RDKafkaErrorCode>>, RDKafkaErrorCode> {
        let names: Vec<&str> = self.topics.iter().map(|topic| &**topic).collect();
        let answer = unwrapped::topics(self.client.client(), &names, patience)?;
        // The answer comes in no particular order; a topic that failed has no name, so each is asked on its own then.
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

    /// The configured topics.
    pub(crate) fn topics(&self) -> &[Arc<str>] {
        &self.topics
    }

    /// The configured brokers, for messages.
    pub(crate) fn servers(&self) -> &str {
        &self.servers
    }

    /// One end of these logs; what has no answer is missing.
    pub(crate) fn ends(
        &self,
        places: &Places,
        end: End,
    ) -> Result<BTreeMap<(Arc<str>, i32), u64>, KafkaError> {
        ends(&self.client, places, end)
    }

    /// How many members a consumer group has; nothing where the brokers do not tell.
    pub(crate) fn members(&self, group: &str) -> Option<usize> {
        let list = self.client.client().fetch_group_list(Some(group), ASK_TIMEOUT).ok()?;
        Some(list.groups().iter().map(|group| group.members().len()).sum())
    }

    /// A consumer group with the assignments of its members.
    pub(crate) fn group(&self, name: &str, patience: Duration) -> Result<Group, RDKafkaErrorCode> {
        unwrapped::group(self.client.client(), name, patience)
    }

    /// The last error of the client, with librdkafka's words.
    pub(crate) fn take_failure(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.serve(SERVE);
        self.client.context().take_failure()
    }

    /// Serves the client's queue for so long: without a group it carries errors, log lines and statistics only. With a wait
    /// of zero rust-rdkafka takes a single log line: lines would pile up, and errors behind them.
    pub(crate) fn serve(&self, wait: Duration) {
        while self.client.poll(wait).is_some() {}
        find_again(&self.client, &self.servers, "questions");
    }
}

/// Names the configured brokers again to a client that has let all brokers go, see [`Context::take_alone`].
pub(crate) fn find_again(consumer: &BaseConsumer<Context>, servers: &str, client: &str) {
    if consumer.context().take_alone() {
        tracing::info!(
            client,
            brokers = servers,
            "a broker named no broker, itself neither; asking from the start"
        );
        unwrapped::add_brokers(consumer.client(), servers);
    }
}

/// One end of these logs, as this consumer is allowed to see it, in one request a leader.
pub(crate) fn ends(
    consumer: &BaseConsumer<Context>,
    places: &Places,
    end: End,
) -> Result<BTreeMap<(Arc<str>, i32), u64>, KafkaError> {
    if places.is_empty() {
        return Ok(BTreeMap::new());
    }
    // The "timestamps" -2 and -1 ask for the two ends.
    let question = match end {
        End::Low => Offset::Beginning,
        End::High => Offset::End,
    };
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (topic, partition) in places {
        list.add_partition_offset(topic, *partition, question)?;
    }
    let answer = consumer.offsets_for_times(list, ASK_TIMEOUT)?;
    let mut found = BTreeMap::new();
    for element in answer.elements() {
        if let (Ok(()), Offset::Offset(offset)) = (element.error(), element.offset()) {
            found.insert((element.topic().into(), element.partition()), offset.unsigned_abs());
        }
    }
    Ok(found)
}

/// librdkafka's configuration from its properties.
pub(crate) fn client_config<'a>(properties: impl Iterator<Item = (&'a str, &'a str)>) -> ClientConfig {
    let mut config = ClientConfig::new();
    properties.for_each(|(name, value)| {
        config.set(name, value);
    });
    // `properties.debug = "cgrp,fetch"` with the log level `librdkafka=trace` shows what librdkafka does.
    let debug = config.get("debug").map(|contexts| format!("{contexts},metadata"));
    // That a topic was made anew is said among the lines about metadata, see `Context::take_renewed`.
    config.set("debug", debug.as_deref().unwrap_or("metadata"));
    config.set_log_level(RDKafkaLogLevel::Debug);
    config
}

pub(crate) fn create(
    config: &ClientConfig,
    context: Context,
) -> Result<BaseConsumer<Context>, ConnectorError> {
    config.create_with_context(context).map_err(|error| ConnectorError::Client {
        // Its text names the property, and for a value that does not fit the value: never a secret, those all fit.
        source: KafkaText(faults::text(&error).0),
    })
}

/// Leaves the group and destroys the client. Returns whether that was done in time.
///
/// librdkafka waits without a limit for answers that the coordinator owes, as to a commit. Where the brokers are silent, the
/// thread is left behind: it ends once they answer, or with the process.
pub(crate) fn close(consumer: BaseConsumer<Context>) -> bool {
    consumer.context().close();
    let (running, ended) = channel::<()>();
    let body = move || {
        drop(consumer);
        drop(running);
    };
    // Without a thread the consumer has been dropped here.
    let spawned = thread::Builder::new().name("kafka-close".to_owned()).spawn(body);
    spawned.is_err() || ended.recv_timeout(CLOSE_TIMEOUT) != Err(RecvTimeoutError::Timeout)
}
