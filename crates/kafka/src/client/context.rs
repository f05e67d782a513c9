//! librdkafka's callbacks, recorded for the thread that polls.
//!
//! A rebalance is only recorded: with events, the assignment may be taken up after the callback has returned, so that
//! the reader handles it with its state at hand and without a lock.

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

use super::faults;
use crate::{
    group::start::NO_TOPIC_ID,
    metrics::{BrokerStats, KafkaMetrics, PartitionStats, Snapshot},
};

/// The context of a group's consumer, and of a client that asks questions.
#[derive(Default)]
pub(crate) struct Context {
    /// Callbacks since the last [`Self::take`], in order.
    callbacks: Mutex<Vec<Callback>>,
    /// The last error of the client.
    failure: Mutex<Option<(RDKafkaErrorCode, String)>>,
    /// Whether rebalances are answered in the callback.
    is_closing: AtomicBool,
    /// Whether the last statistics named no broker.
    is_alone: AtomicBool,
    /// Whether `renewed` has entries. It is read for every record, so it needs no lock.
    has_renewed: AtomicBool,
    /// Recreated topics with their new IDs.
    renewed: Mutex<BTreeMap<String, String>>,
    /// Shows each statistics snapshot.
    metrics: KafkaMetrics,
}

/// A callback of librdkafka while it was polled.
pub(crate) enum Callback {
    /// These partitions were assigned to this member.
    Assign(TopicPartitionList),
    /// These partitions are revoked.
    Revoke(TopicPartitionList),
    /// A commit was answered: topic, partition, and the offset or the error.
    Committed(Vec<(String, i32, Result<u64, RDKafkaErrorCode>)>),
}

impl Context {
    /// A context that shows librdkafka's statistics in these metrics.
    pub(crate) fn showing(metrics: KafkaMetrics) -> Self {
        Self { metrics, ..Self::default() }
    }

    /// The context of the client that replaces this one's.
    pub(crate) fn successor(&self) -> Self {
        Self::showing(self.metrics.clone())
    }

    /// The callbacks since the last call.
    pub(crate) fn take(&self) -> Vec<Callback> {
        std::mem::take(&mut self.callbacks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The last error of the whole client, with librdkafka's message.
    pub(crate) fn take_failure(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Topics that librdkafka has found to be recreated, with their new IDs. It continues to fetch at the old offsets
    /// and reports the change only in a log line, which is in the queue before every record of the new topic.
    pub(crate) fn take_renewed(&self) -> BTreeMap<String, String> {
        if !self.has_renewed.load(Ordering::Acquire) {
            return BTreeMap::new();
        }
        let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        self.has_renewed.store(false, Ordering::Release);
        std::mem::take(&mut renewed)
    }

    /// Whether librdkafka has reported since the last call that it knows no broker any more.
    ///
    /// A broker that starts under KRaft may answer with its topics and no broker, not even itself. librdkafka 2.12
    /// (its issue 5301) then forgets all brokers, the configured ones too, and never asks again.
    pub(crate) fn take_alone(&self) -> bool {
        self.is_alone.load(Ordering::Relaxed) && self.is_alone.swap(false, Ordering::Relaxed)
    }

    /// From now on rebalances are answered at once, because nothing is read any more.
    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
    }

    fn record(&self, callback: Callback) {
        self.callbacks.lock().unwrap_or_else(PoisonError::into_inner).push(callback);
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
        self.metrics.replace(snapshot(statistics));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            tracing::debug!(target: "librdkafka", %code, reason);
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            // "All brokers are down" and "transport failure" follow an error that is more specific, and librdkafka
            // reports that one only once: a rejected certificate must not look like a broker that does not answer.
            let is_vague =
                matches!(code, RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure);
            if failure.is_none() || !is_vague {
                // librdkafka's own text, such as "1/1 brokers are down", counts brokers that it has learned of.
                let is_all = code == RDKafkaErrorCode::AllBrokersDown;
                let reason = if is_all { "none of the brokers is reachable" } else { reason };
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
            // What is assigned while the consumer closes is given back at once, too.
            let answer = if is_assignment {
                consumer.incremental_assign(&TopicPartitionList::new())
            } else {
                consumer.incremental_unassign(partitions)
            };
            if let Err(error) = answer {
                tracing::debug!(%error, "ignored a rebalance while closing");
            }
        } else if is_assignment {
            self.record(Callback::Assign(partitions.clone()));
        } else {
            self.record(Callback::Revoke(partitions.clone()));
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let whole = result.err().and_then(|error| error.rdkafka_error_code());
        let answer = offsets.elements().into_iter().map(|element| {
            let code = element.error().err().and_then(|error| error.rdkafka_error_code());
            let offset = match (code.or(whole), element.offset()) {
                (None, Offset::Offset(offset)) => Ok(offset.unsigned_abs()),
                (code, _) => Err(code.unwrap_or(RDKafkaErrorCode::NoOffset)),
            };
            (element.topic().to_owned(), element.partition(), offset)
        });
        self.record(Callback::Committed(answer.collect()));
    }
}

/// Whether there is no broker to ask. All other sources are librdkafka's internal ones, such as one for "the
/// coordinator".
fn is_alone(statistics: &Statistics) -> bool {
    !statistics.brokers.values().any(|broker| matches!(&*broker.source, "learned" | "configured"))
}

/// The part of librdkafka's statistics that is shown.
fn snapshot(statistics: Statistics) -> Snapshot {
    // Bootstrap addresses and librdkafka's internal brokers have no node ID.
    let brokers = statistics.brokers.into_values().filter(|broker| broker.nodeid >= 0);
    let brokers = brokers.map(|broker| BrokerStats {
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
        // A partition that is not read has no position.
        let read = topic.partitions.into_values().filter(|p| p.partition >= 0 && p.fetch_state == "active");
        read.map(move |partition| PartitionStats {
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

/// The topic and the new ID of `[thrd:..]: Topic NAME changed id from OLD to NEW`, unless the old ID was not known yet.
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
    fn the_line_about_a_recreated_topic_is_parsed() {
        let line =
            "[thrd:main]: Topic events changed id from aaaaaaaaaaaaaaaaaaaaaa to bbbbbbbbbbbbbbbbbbbbbb";
        assert_eq!(renewed(line), Some(("events", "bbbbbbbbbbbbbbbbbbbbbb")));
        let first = format!("Topic events changed id from {NO_TOPIC_ID} to bbbbbbbbbbbbbbbbbbbbbb");
        assert_eq!(renewed(&first), None);
        assert_eq!(renewed("Topic events [0]: fetch"), None);
    }
}
