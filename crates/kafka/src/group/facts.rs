//! The thread that asks the brokers for the ends of the logs, the topics, and the group.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use event::{EventTime, Incarnation, mark::TopicMark};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::mpsc::Sender;

use super::{
    ask::ask,
    fit::{Fit, Observed},
    orders::Orders,
    slot::Slot,
    stimulus::Stimulus,
};
use crate::{
    Brokers, TopicPartition,
    client::{End, unwrapped::Topic},
};

/// No watermark passes the time of the last question, and a mark carries the answer as often. Asking less often would
/// delay rows.
const PERIOD: Duration = Duration::from_millis(250);
/// How often the group is asked for its assignments, if this replica does not read every partition: `SOON` while it is
/// doubtful whether they fit, `SELDOM` otherwise and after a question without an answer.
const SOON: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(10);
/// How long that question may delay the others.
const GROUP_TIMEOUT: Duration = Duration::from_secs(1);

/// The thread's state.
pub(super) struct Facts<B> {
    brokers: Brokers,
    orders: Arc<Orders>,
    driver: Sender<Stimulus<B>>,
    /// Topics that have existed.
    known: BTreeSet<String>,
    /// Those of them that were deleted.
    missing: BTreeSet<String>,
    /// Whether the last question had no answer and a warning was logged.
    is_down: bool,
    group_id: String,
    /// The topics that exist, with their numbers of partitions, as last described.
    topics: BTreeMap<Arc<str>, i32>,
    /// Created once the reader has joined the group, for the client with this number.
    fit: Option<(u64, Fit)>,
    ask_group_at: Instant,
}

impl<B> Facts<B> {
    pub(super) fn new(
        brokers: Brokers,
        group_id: String,
        orders: Arc<Orders>,
        driver: Sender<Stimulus<B>>,
    ) -> Self {
        Self {
            brokers,
            orders,
            driver,
            known: BTreeSet::new(),
            missing: BTreeSet::new(),
            is_down: false,
            group_id,
            topics: BTreeMap::new(),
            fit: None,
            ask_group_at: Instant::now(),
        }
    }

    /// Asks until the reader is stopped, or the other end of `stop` is dropped.
    pub(super) fn run(mut self, stop: &Receiver<()>) {
        loop {
            for question in [Self::ask_topics, Self::ask_ends, Self::check_group] {
                // Silent brokers delay each question, and the end of the process with it.
                if self.orders.is_stopping() {
                    return;
                }
                question(&mut self);
            }
            if let Some((code, reason)) = self.brokers.take_failure() {
                tracing::debug!(%code, reason, "connection failure of the metadata client");
            }
            if stop.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    fn ask_ends(&mut self) {
        let slots = self.orders.slots();
        if slots.is_empty() {
            return;
        }
        let partitions: Vec<TopicPartition> =
            slots.iter().map(|slot| (slot.topic.clone(), slot.partition)).collect();
        let (asked_at, answer) = ask(now, || self.brokers.ends(&partitions, End::High));
        match answer {
            Ok(found) => {
                let of_slot = |slot: &Slot| {
                    found.get(&(slot.topic.clone(), slot.partition)).map(|end| (slot.clone(), *end))
                };
                let ends: Vec<_> = slots.iter().filter_map(of_slot).collect();
                if !ends.is_empty() {
                    self.answered();
                }
                self.send(Stimulus::Ends { asked_at, ends });
            }
            Err(error) => self.unanswered(&error.to_string()),
        }
    }

    /// Whether the group's assignment fits the topics. Orders the reader to join again if it does not.
    fn check_group(&mut self) {
        let membership = self.orders.membership();
        if membership.assignments == 0 || self.topics.is_empty() {
            return;
        }
        let now = Instant::now();
        self.fit.take_if(|(client, _)| *client != membership.client);
        let new = || (membership.client, Fit::new(membership.is_returning));
        let (_, fit) = self.fit.get_or_insert_with(new);
        let slots = self.orders.slots();
        let mut observed = Observed {
            topics: &self.topics,
            held: &slots.iter().map(|slot| (slot.topic.clone(), slot.partition)).collect(),
            strays: &membership.strays,
            group: None,
            assignments: membership.assignments,
        };
        let group;
        if membership.strays.is_empty() && !observed.is_complete() {
            if now < self.ask_group_at {
                return;
            }
            let answer = self.brokers.group(&self.group_id, GROUP_TIMEOUT);
            let is_urgent = answer.is_ok() && fit.is_doubtful(now);
            self.ask_group_at = now + if is_urgent { SOON } else { SELDOM };
            group =
                answer.inspect_err(|code| tracing::debug!(%code, "cannot describe the consumer group")).ok();
            observed.group = group.as_ref();
        }
        if let Some(mismatch) = fit.judge(&observed, now) {
            self.orders.rejoin(mismatch);
        }
    }

    fn ask_topics(&mut self) {
        let (asked_at, answer) = ask(now, || self.brokers.describe());
        match answer {
            Ok(topics) => {
                self.answered();
                self.described(topics, asked_at);
            }
            Err(code) => self.unanswered(&code.to_string()),
        }
    }

    fn described(&mut self, topics: Vec<Result<Topic, RDKafkaErrorCode>>, asked_at: EventTime) {
        let (mut ids, mut marks) = (BTreeMap::new(), Vec::new());
        for topic in topics.into_iter().flatten() {
            let incarnation = Incarnation::from(topic.id.as_str());
            let partitions = topic.partitions;
            marks.push(TopicMark { topic: topic.name.as_str().into(), incarnation, partitions, asked_at });
            ids.insert(topic.name, topic.id);
        }
        self.topics = marks.iter().map(|mark| (mark.topic.clone(), mark.partitions)).collect();
        self.report_missing(&ids);
        self.orders.set_topic_ids(ids);
        self.send(Stimulus::Topics(marks));
    }

    fn report_missing(&mut self, ids: &BTreeMap<String, String>) {
        for topic in self.brokers.topics() {
            if ids.contains_key(&**topic) {
                self.known.insert(topic.to_string());
                if self.missing.remove(&**topic) {
                    tracing::info!(%topic, "the topic exists again");
                }
            } else if self.known.contains(&**topic) && self.missing.insert(topic.to_string()) {
                tracing::warn!(
                    %topic, brokers = %self.brokers.servers(),
                    action = "recreate the topic, or remove it from kafka.topics and restart the connector",
                    "the topic was deleted; waiting until it is recreated"
                );
            }
        }
    }

    fn answered(&mut self) {
        if std::mem::take(&mut self.is_down) {
            tracing::info!(brokers = %self.brokers.servers(), "Kafka is reachable again");
        }
        self.send(Stimulus::Brokers(Ok(())));
    }

    /// The reason why the last connection failed is more specific than `error`.
    fn unanswered(&mut self, error: &str) {
        let failure = self.brokers.take_failure();
        let reason = failure.as_ref().map_or(error, |(_, reason)| reason);
        if !std::mem::replace(&mut self.is_down, true) {
            tracing::warn!(
                brokers = %self.brokers.servers(), reason,
                action = "check that the brokers are running and reachable from this host",
                "Kafka is unreachable; retrying"
            );
        }
        self.send(Stimulus::Brokers(Err(format!("no response from {}", self.brokers.servers()))));
    }

    fn send(&self, stimulus: Stimulus<B>) {
        // A driver that has ended drops the stop signal next.
        if self.driver.blocking_send(stimulus).is_err() {
            tracing::debug!("the driver has ended");
        }
    }
}

/// The current time of this machine.
fn now() -> EventTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
