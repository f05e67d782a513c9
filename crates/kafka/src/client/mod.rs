//! librdkafka's clients: how they are configured, created and closed, and what their errors mean.
//!
//! Every call that asks a broker blocks until its timeout, so none may run on an async thread.

pub(crate) mod admin;

pub(crate) mod brokers;

pub(crate) mod context;

pub(crate) mod faults;

pub(crate) mod properties;

pub(crate) mod taken;

pub(crate) mod unwrapped;

use std::{
    collections::BTreeMap,
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult},
};

use self::context::Context;
use crate::TopicPartition;

/// Which end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The first offset.
    Low,
    /// One past the last: the high watermark, or for a consumer that reads committed records the last stable offset.
    High,
}

/// How long to wait for an answer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The time limit for leaving the group.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(4);

/// librdkafka's configuration from its properties.
pub(crate) fn client_config<'a>(properties: impl Iterator<Item = (&'a str, &'a str)>) -> ClientConfig {
    let mut config = plain_config(properties);
    // `properties.debug = "cgrp,fetch"` with the log level `librdkafka=trace` shows what librdkafka does.
    let debug = config.get("debug").map(|contexts| format!("{contexts},metadata"));
    // librdkafka logs that a topic was recreated among its metadata lines, see `Context::take_renewed`.
    config.set("debug", debug.as_deref().unwrap_or("metadata"));
    config.set_log_level(RDKafkaLogLevel::Debug);
    config
}

/// As [`client_config`], for clients that need not notice a recreated topic.
pub(crate) fn plain_config<'a>(properties: impl Iterator<Item = (&'a str, &'a str)>) -> ClientConfig {
    let mut config = ClientConfig::new();
    properties.for_each(|(name, value)| {
        config.set(name, value);
    });
    config
}

pub(crate) fn create(config: &ClientConfig, context: Context) -> KafkaResult<BaseConsumer<Context>> {
    config.create_with_context(context)
}

/// Leaves the group and destroys the client. Returns whether that was done in time.
///
/// librdkafka waits without a limit for answers that the coordinator owes, such as the one to a commit. If the brokers
/// are silent, the thread is detached: it ends once they answer, or with the process.
pub(crate) fn close(consumer: BaseConsumer<Context>) -> bool {
    consumer.context().close();
    let (running, ended) = channel::<()>();
    let body = move || {
        drop(consumer);
        drop(running);
    };
    // If no thread could be started, the consumer has been dropped with the closure.
    let spawned = thread::Builder::new().name("kafka-close".to_owned()).spawn(body);
    spawned.is_err() || ended.recv_timeout(CLOSE_TIMEOUT) != Err(RecvTimeoutError::Timeout)
}

/// Names the configured brokers again to a client that has forgotten all brokers, see [`Context::take_alone`].
pub(crate) fn find_again(consumer: &BaseConsumer<Context>, servers: &str, client: &str) {
    if consumer.context().take_alone() {
        tracing::info!(
            client,
            brokers = servers,
            "a broker returned metadata without any broker; starting again from bootstrap_servers"
        );
        unwrapped::add_brokers(consumer.client(), servers);
    }
}

/// One end of these logs, as this consumer is allowed to see it, in one request for each leader. Partitions without an
/// answer are missing from the result.
pub(crate) fn ends(
    consumer: &BaseConsumer<Context>,
    partitions: &[TopicPartition],
    end: End,
) -> Result<BTreeMap<TopicPartition, u64>, KafkaError> {
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    // The "timestamps" -2 and -1 request the two ends.
    let question = match end {
        End::Low => Offset::Beginning,
        End::High => Offset::End,
    };
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition_offset(topic, *partition, question)?;
    }
    let answer = consumer.offsets_for_times(list, ANSWER_TIMEOUT)?;
    let mut found = BTreeMap::new();
    for element in answer.elements() {
        if let (Ok(()), Offset::Offset(offset)) = (element.error(), element.offset()) {
            found.insert((element.topic().into(), element.partition()), offset.unsigned_abs());
        }
    }
    Ok(found)
}
