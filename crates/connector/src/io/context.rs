//! What librdkafka calls back, kept for the thread that polls.
//!
//! Rebalances are only noted: with events, the assignment may be taken up after the callback has returned, so that the
//! reader handles it with its own state at hand and no lock held.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, KafkaResult},
    statistics::Statistics,
    types::{RDKafkaErrorCode, RDKafkaRespErr},
};

use crate::{
    figures::{Figures, OfBroker, OfPartition, Snapshot},
    io::faults,
    start::NO_TOPIC_ID,
};

/// The context of the consumer and of the client that asks for facts.
#[derive(Default)]
pub(crate) struct Context {
    happenings: Mutex<Vec<Happening>>,
    failure: Mutex<Option<(RDKafkaErrorCode, String)>>,
    is_closing: AtomicBool,
    is_alone: AtomicBool,
    has_renewed: AtomicBool,
    renewed: Mutex<BTreeMap<String, String>>,
    figures: Figures,
}

/// What librdkafka told while it was polled.
pub(crate) enum Happening {
    /// These partitions are ours.
    Assign(TopicPartitionList),
    /// These partitions are to be given away.
    Revoke(TopicPartitionList),
    /// A commit was answered: topic, partition, offset, each with success or not.
    Committed(Vec<(String, i32, Result<u64, RDKafkaErrorCode>)>),
}

impl Context {
    /// One that shows what librdkafka counts.
    pub(crate) fn showing(figures: Figures) -> Self {
        Self { figures, ..Self::default() }
    }

    /// One for the client that replaces this one's.
    pub(crate) fn successor(&self) -> Self {
        Self::showing(self.figures.clone())
    }

    /// What was told since the last call.
    pub(crate) fn take(&self) -> Vec<Happening> {
        std::mem::take(&mut self.happenings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The last error of the whole client, with librdkafka's words.
    pub(crate) fn take_failure(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Topics that librdkafka has found to be made anew, with their new ids. It goes on fetching at the old offsets, and
    /// says so in a log line only; that line stands in the queue before every record of the new topic.
    pub(crate) fn take_renewed(&self) -> BTreeMap<String, String> {
        if !self.has_renewed.load(Ordering::Acquire) {
            return BTreeMap::new();
        }
        let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        self.has_renewed.store(false, Ordering::Release);
        std::mem::take(&mut renewed)
    }

    /// Whether librdkafka has since said that it knows no broker any more.
    ///
    /// A broker that starts under KRaft may answer with its topics and no broker, not even itself. librdkafka 2.12
    /// (its issue 5301) then lets all go, the configured ones too, and never asks again.
    pub(crate) fn take_alone(&self) -> bool {
        self.is_alone.load(Ordering::Relaxed) && self.is_alone.swap(false, Ordering::Relaxed)
    }

    /// From now on rebalances are answered at once: nobody reads any more.
    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
    }

    fn note(&self, happening: Happening) {
        self.happenings.lock().unwrap_or_else(PoisonError::into_inner).push(happening);
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if let Some((topic, id)) = renewed(message) {
            let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
            renewed.insert(topic.to_owned(), id.to_owned());
            self.has_renewed.store(true, Ordering::Release);
        }
        faults::log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.is_alone.store(is_alone(&statistics), Ordering::Relaxed);
        self.figures.replace(snapshot(statistics));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            tracing::debug!(target: "librdkafka", %code, reason);
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            // That all brokers are down follows on why the last one went, which says more.
            if failure.is_none() || code != RDKafkaErrorCode::AllBrokersDown {
                *failure = Some((code, reason.to_owned()));
            }
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let is_assignment = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.is_closing.load(Ordering::Acquire) {
            // What is assigned while the consumer closes is taken back at once, too.
            let answer = if is_assignment {
                consumer.incremental_assign(&TopicPartitionList::new())
            } else {
                consumer.incremental_unassign(partitions)
            };
            if let Err(error) = answer {
                tracing::debug!(%error, "a rebalance while closing");
            }
        } else if is_assignment {
            self.note(Happening::Assign(partitions.clone()));
        } else {
            self.note(Happening::Revoke(partitions.clone()));
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let whole = result.err().and_then(|error| error.rdkafka_error_code());
        let answer = offsets.elements().into_iter().map(|element| {
            let own = element.error().err().and_then(|error| error.rdkafka_error_code());
            let offset = match (own.or(whole), element.offset()) {
                (None, Offset::Offset(offset)) => Ok(offset.unsigned_abs()),
                (code, _) => Err(code.unwrap_or(RDKafkaErrorCode::NoOffset)),
            };
            (element.topic().to_owned(), element.partition(), offset)
        });
        self.note(Happening::Committed(answer.collect()));
    }
}

/// Whether there is no broker to be asked: those besides are librdkafka's own, such as one for "the coordinator".
fn is_alone(statistics: &Statistics) -> bool {
    !statistics.brokers.values().any(|broker| matches!(&*broker.source, "learned" | "configured"))
}

/// What is shown of librdkafka's statistics.
fn snapshot(statistics: Statistics) -> Snapshot {
    // Brokers that were only bootstrapped from, and the client's own bookkeeping, have no node.
    let brokers = statistics.brokers.into_values().filter(|broker| broker.nodeid >= 0);
    let brokers = brokers.map(|broker| OfBroker {
        name: broker.nodename,
        round_trip_micros: broker.rtt.filter(|rtt| rtt.cnt > 0).map(|rtt| (rtt.avg, rtt.p99)),
        requests: broker.tx,
        request_bytes: broker.txbytes,
        response_bytes: broker.rxbytes,
        failures: broker.txerrs + broker.rxerrs + broker.req_timeouts,
        disconnects: broker.disconnects.unwrap_or(0).unsigned_abs(),
    });
    let partitions = statistics.topics.into_values().flat_map(|topic| {
        let name = topic.topic;
        // Partitions that are not read have no offset that they are read from.
        let read = topic.partitions.into_values().filter(|p| p.partition >= 0 && p.fetch_state == "active");
        read.map(move |partition| OfPartition {
            topic: name.clone(),
            partition: partition.partition,
            lag: u64::try_from(partition.consumer_lag).ok(),
            fetched: partition.fetchq_cnt.unsigned_abs(),
            fetched_bytes: partition.fetchq_size,
        })
    });
    Snapshot {
        messages: statistics.rxmsgs.unsigned_abs(),
        message_bytes: statistics.rxmsg_bytes.unsigned_abs(),
        rebalances: statistics.cgrp.map_or(0, |group| group.rebalance_cnt.unsigned_abs()),
        brokers: brokers.collect(),
        partitions: partitions.collect(),
    }
}

/// The topic and the new id of `[thrd:..]: Topic NAME changed id from OLD to NEW`, unless the old one was not known yet.
fn renewed(message: &str) -> Option<(&str, &str)> {
    let (before, ids) = message.split_once(" changed id from ")?;
    let (old, new) = ids.split_once(" to ")?;
    let topic = before.rsplit(' ').next()?;
    let new = new.trim_end_matches('=');
    (old.trim_end_matches('=') != NO_TOPIC_ID).then_some((topic, new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_about_a_topic_made_anew_is_understood() {
        let line =
            "[thrd:main]: Topic events changed id from aaaaaaaaaaaaaaaaaaaaaa to bbbbbbbbbbbbbbbbbbbbbb";
        assert_eq!(renewed(line), Some(("events", "bbbbbbbbbbbbbbbbbbbbbb")));
        let first = format!("Topic events changed id from {NO_TOPIC_ID} to bbbbbbbbbbbbbbbbbbbbbb");
        assert_eq!(renewed(&first), None);
        assert_eq!(renewed("Topic events [0]: fetch"), None);
    }
}
