//! A claim that one process holds at a time, with progress that survives it.
//!
//! The claim is the membership of a consumer group of its own, and the progress is the committed offset of one partition
//! with its metadata. Kafka gives that partition to one member only, and refuses a commit of a member that it has given up,
//! so a process that was frozen cannot overwrite the progress of the next one. When the holder is killed, its session ends
//! within ten seconds.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance},
    error::KafkaError,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Brokers, KafkaConfig,
    client::{ANSWER_TIMEOUT, plain_config, unwrapped},
    error::{Error, KafkaText},
};

/// A claim that is held. It ends when it is dropped.
pub struct Claim {
    consumer: BaseConsumer<Holder>,
    group: String,
    topic: String,
}

/// Records whether the partition is held.
#[derive(Default)]
struct Holder {
    is_held: AtomicBool,
    /// Whether the group has distributed its partitions since this member joined.
    is_answered: AtomicBool,
}

/// After this long without a sign of life, the group gives the claim to another process.
const SESSION: Duration = Duration::from_secs(10);
/// A process may do other work for this long between two polls, for example wait for Pub/Sub.
const MAX_POLL: &str = "86400000";
/// How long to wait until a killed process's session has ended.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a group may take to form. Brokers wait for three seconds for further members by default.
const FORMING: Duration = Duration::from_secs(30);
const NAP: Duration = Duration::from_millis(200);
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

impl Claim {
    /// Takes the claim that is named by a group. Waits until the session of a process that was killed has ended. Blocks.
    /// Returns `None` if it was stopped before.
    ///
    /// # Errors
    /// [`Error::Claimed`] if another process holds it; as [`Brokers::partitions`] for the first configured topic;
    /// [`Error::Client`] if librdkafka rejects the configuration.
    pub fn take(config: &KafkaConfig, group: &str, stop: &CancellationToken) -> Result<Option<Self>, Error> {
        let topic = config.topics[0].to_string();
        let brokers = Brokers::open(config)?;
        brokers.partitions(&topic, ANSWER_TIMEOUT)?;
        let claimed = || Error::Claimed { group: group.to_owned() };
        let since = Instant::now();
        while brokers.members(group).is_some_and(|members| members > 0) {
            if since.elapsed() > PATIENCE {
                return Err(claimed());
            }
            if stop.is_cancelled() {
                return Ok(None);
            }
            thread::sleep(NAP);
        }
        let mut properties = plain_config(config.consumer());
        properties.remove("group.instance.id");
        let session = SESSION.as_millis().to_string();
        properties
            .set("group.id", group)
            .set("session.timeout.ms", &session)
            .set("heartbeat.interval.ms", (SESSION.as_millis() / 4).to_string())
            .set("max.poll.interval.ms", MAX_POLL)
            .set("auto.offset.reset", "latest");
        let client = |error: KafkaError| Error::Client { source: error.into() };
        let consumer: BaseConsumer<Holder> =
            properties.create_with_context(Holder::default()).map_err(client)?;
        consumer.subscribe(&[&topic]).map_err(client)?;
        let claim = Self { consumer, group: group.to_owned(), topic };
        let since = Instant::now();
        while !claim.consumer.context().is_held.load(Ordering::Acquire) {
            claim.poll(NAP);
            // Two processes that join at the same moment share the partitions, and one of them holds the first.
            if claim.consumer.context().is_answered.load(Ordering::Acquire) && !claim.is_held() {
                return Err(claimed());
            }
            if since.elapsed() > FORMING {
                let is_shared = brokers.members(group).is_some_and(|members| members > 1);
                return Err(if is_shared { claimed() } else { claim.lost(None) });
            }
            if stop.is_cancelled() {
                return Ok(None);
            }
        }
        Ok(Some(claim))
    }

    /// The number and text that were saved last, by any holder of the claim. Blocks.
    ///
    /// # Errors
    /// [`Error::ClaimLost`] if the coordinator does not answer.
    pub fn progress(&self) -> Result<Option<(u64, String)>, Error> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&self.topic, 0);
        let answer = self
            .consumer
            .committed_offsets(list, ANSWER_TIMEOUT)
            .map_err(|error| self.lost(Some(error.into())))?;
        let elements = answer.elements();
        let Some(Offset::Offset(number)) = elements.first().map(|element| element.offset()) else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&unwrapped::metadata(&answer, 0)).into_owned();
        Ok(Some((number.unsigned_abs(), text)))
    }

    /// Saves a number and a text of at most a few hundred bytes. Blocks until the coordinator has them.
    ///
    /// # Errors
    /// [`Error::ClaimLost`] if another process holds the claim by now, or the coordinator does not answer.
    pub fn save(&self, number: u64, text: &str) -> Result<(), Error> {
        self.poll(Duration::ZERO);
        if !self.is_held() {
            return Err(self.lost(None));
        }
        let list = || -> Result<TopicPartitionList, KafkaError> {
            let mut list = TopicPartitionList::with_capacity(1);
            let mut element = list.add_partition(&self.topic, 0);
            element.set_offset(Offset::Offset(i64::try_from(number).unwrap_or(i64::MAX)))?;
            element.set_metadata(text);
            Ok(list)
        };
        let list = list().map_err(|error| self.lost(Some(error.into())))?;
        unwrapped::commit(&self.consumer, &list, COMMIT_TIMEOUT)
            .map_err(|code| self.lost(Some(KafkaError::ConsumerCommit(code).into())))
    }

    fn is_held(&self) -> bool {
        self.consumer.context().is_held.load(Ordering::Acquire)
    }

    /// Serves the group. What was fetched before the partition was paused is dropped.
    fn poll(&self, wait: Duration) {
        drop(self.consumer.poll(wait));
    }

    fn lost(&self, source: Option<KafkaText>) -> Error {
        Error::ClaimLost { group: self.group.clone(), source }
    }
}

impl ClientContext for Holder {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka client error");
    }
}

impl ConsumerContext for Holder {
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let has_first =
            |list: &TopicPartitionList| list.elements().iter().any(|element| element.partition() == 0);
        match rebalance {
            Rebalance::Assign(list) => {
                // Nothing is read.
                if let Err(error) = consumer.pause(list) {
                    tracing::debug!(%error, "cannot pause the partitions of the claim");
                }
                if has_first(list) {
                    self.is_held.store(true, Ordering::Release);
                }
                self.is_answered.store(true, Ordering::Release);
            }
            Rebalance::Revoke(list) => {
                if has_first(list) {
                    self.is_held.store(false, Ordering::Release);
                }
            }
            Rebalance::Error(_) => self.is_held.store(false, Ordering::Release),
        }
    }
}
