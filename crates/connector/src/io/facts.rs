//! The thread that asks the brokers how far the logs are, and what the topics are.

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

use crate::{
    asked::asked,
    fit::{Fit, Look},
    io::{
        brokers::{Brokers, End, Places},
        orders::Orders,
    },
    stimulus::Stimulus,
};

/// No watermark is above the time of the last question, and a mark takes the answer along once a second: asking more
/// often than that lets rows stand in their tables sooner.
const PERIOD: Duration = Duration::from_millis(250);
/// How often the group is asked for its assignments, where this replica does not read everything itself: while it is
/// doubtful whether they fit, otherwise, and after a question that was not answered.
const SOON: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(10);
/// How long that question may hold the others up.
const GROUP_TIMEOUT: Duration = Duration::from_secs(1);

/// The thread's state.
pub(crate) struct Facts {
    pub(crate) brokers: Brokers,
    pub(crate) orders: Arc<Orders>,
    pub(crate) driver: Sender<Stimulus>,
    /// Topics that were there, and those of them that went.
    known: BTreeSet<String>,
    missing: BTreeSet<String>,
    is_down: bool,
    group_id: String,
    /// The topics that exist, with their numbers of partitions, as last described.
    topics: BTreeMap<Arc<str>, i32>,
    /// Made once the reader has joined the group, for the client with this number.
    fit: Option<(u64, Fit)>,
    ask_group_at: Instant,
}

impl Facts {
    pub(crate) fn new(
        brokers: Brokers,
        group_id: String,
        orders: Arc<Orders>,
        driver: Sender<Stimulus>,
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

    /// Asks until the reader is to stop, or the other end of `stop` is dropped.
    pub(crate) fn run(mut self, stop: &Receiver<()>) {
        loop {
            for question in [Self::ask_topics, Self::ask_ends, Self::look_at_group] {
                // Brokers that are silent keep each question waiting, and the process with it.
                if self.orders.is_stopping() {
                    return;
                }
                question(&mut self);
            }
            if let Some((code, reason)) = self.brokers.take_failure() {
                tracing::debug!(%code, reason, "the client that asks for facts");
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
        let places: Places = slots.iter().map(|slot| (slot.topic.clone(), slot.partition)).collect();
        let (asked_at, answer) = asked(now, || self.brokers.ends(&places, End::High));
        match answer {
            Ok(found) => {
                let of_slot = |slot: &crate::slot::Slot| {
                    found.get(&(slot.topic.clone(), slot.partition)).map(|end| (slot.clone(), *end))
                };
                let ends: Vec<_> = slots.iter().filter_map(of_slot).collect();
                if !ends.is_empty() {
                    self.answered();
                }
                self.tell(Stimulus::Ends { asked_at, ends });
            }
            Err(error) => self.unanswered(&error.to_string()),
        }
    }

    /// Whether the group's assignment fits the topics; orders the reader to join again when it does not.
    fn look_at_group(&mut self) {
        let membership = self.orders.membership();
        if membership.assignments == 0 || self.topics.is_empty() {
            return;
        }
        let now = Instant::now();
        self.fit.take_if(|(client, _)| *client != membership.client);
        let new = || (membership.client, Fit::new(membership.is_returning));
        let (_, fit) = self.fit.get_or_insert_with(new);
        let slots = self.orders.slots();
        let mut look = Look {
            topics: &self.topics,
            held: &slots.iter().map(|slot| (slot.topic.clone(), slot.partition)).collect(),
            strays: &membership.strays,
            group: None,
            assignments: membership.assignments,
        };
        let group;
        if membership.strays.is_empty() && !look.is_complete() {
            if now < self.ask_group_at {
                return;
            }
            let answer = self.brokers.group(&self.group_id, GROUP_TIMEOUT);
            let is_urgent = answer.is_ok() && fit.is_doubtful(now);
            self.ask_group_at = now + if is_urgent { SOON } else { SELDOM };
            group = answer.inspect_err(|code| tracing::debug!(%code, "the group is not described")).ok();
            look.group = group.as_ref();
        }
        if let Some(misfit) = fit.judge(&look, now) {
            self.orders.rejoin(misfit);
        }
    }

    fn ask_topics(&mut self) {
        let (asked_at, answer) = asked(now, || self.brokers.describe());
        match answer {
            Ok(topics) => {
                self.answered();
                self.described(topics, asked_at);
            }
            Err(code) => self.unanswered(&code.to_string()),
        }
    }

    fn described(
        &mut self,
        topics: Vec<Result<crate::io::unwrapped::Topic, RDKafkaErrorCode>>,
        asked_at: EventTime,
    ) {
        let (mut ids, mut marks) = (BTreeMap::new(), Vec::new());
        for topic in topics.into_iter().flatten() {
            let incarnation = Incarnation::from(topic.id.as_str());
            let partitions = topic.partitions;
            marks.push(TopicMark { topic: topic.name.as_str().into(), incarnation, partitions, asked_at });
            ids.insert(topic.name, topic.id);
        }
        self.topics = marks.iter().map(|mark| (mark.topic.clone(), mark.partitions)).collect();
        self.tell_missing(&ids);
        self.orders.set_topic_ids(ids);
        self.tell(Stimulus::Topics(marks));
    }

    fn tell_missing(&mut self, ids: &BTreeMap<String, String>) {
        for topic in self.brokers.topics() {
            if ids.contains_key(&**topic) {
                self.known.insert(topic.to_string());
                if self.missing.remove(&**topic) {
                    tracing::info!(%topic, "the topic is there again");
                }
            } else if self.known.contains(&**topic) && self.missing.insert(topic.to_string()) {
                tracing::warn!(
                    %topic, brokers = %self.brokers.servers(),
                    action = "make the topic anew, or take it out of kafka.topics and restart",
                    "the topic has gone; waiting until it is made anew"
                );
            }
        }
    }

    fn answered(&mut self) {
        if std::mem::take(&mut self.is_down) {
            tracing::info!(brokers = %self.brokers.servers(), "Kafka answers again");
        }
        self.tell(Stimulus::Brokers(Ok(())));
    }

    /// `error` says little; why the last connection failed says what to do about it.
    fn unanswered(&mut self, error: &str) {
        let failure = self.brokers.take_failure();
        let reason = failure.as_ref().map_or(error, |(_, said)| said);
        if !std::mem::replace(&mut self.is_down, true) {
            tracing::warn!(
                brokers = %self.brokers.servers(), reason,
                action = "see whether the brokers run and can be reached from here",
                "Kafka does not answer; trying until it does"
            );
        }
        self.tell(Stimulus::Brokers(Err(format!("{} does not answer", self.brokers.servers()))));
    }

    fn tell(&self, stimulus: Stimulus) {
        // A driver that is gone drops the stop signal next.
        if self.driver.blocking_send(stimulus).is_err() {
            tracing::debug!("the driver has ended");
        }
    }
}

/// The present, by this machine's clock.
pub(crate) fn now() -> EventTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
