//! Single records by their offsets, read by a consumer that joins no group and commits nothing.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::KafkaError,
    message::Message as _,
};
use tokio_util::sync::CancellationToken;

use crate::{
    KafkaConfig,
    client::{faults, plain_config},
    error::{Error, KafkaText},
    record::OwnedRecord,
};

/// Reads records of any topic by their offsets.
pub struct Picker {
    consumer: BaseConsumer<Quiet>,
    servers: String,
    /// The partition that is assigned, and the next offset that it returns at the earliest.
    at: Option<(String, i32, u64)>,
    last_error: Option<KafkaError>,
}

struct Quiet;

const ANSWER: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);
/// Kafka counts as unavailable if nothing arrives for this long.
const SILENCE: Duration = Duration::from_secs(60);
/// Up to this many records that are not wanted are read and dropped; beyond it, a new request at the wanted offset is
/// faster.
const STRIDE: u64 = 5_000;
/// Kibibytes that are read ahead. Most of them would be dropped.
const AHEAD: &str = "16384";

impl Picker {
    /// Opens a client. Blocks for a moment.
    ///
    /// # Errors
    /// [`Error::RangeConsumer`] if librdkafka rejects the configuration.
    pub fn open(config: &KafkaConfig) -> Result<Self, Error> {
        let mut properties = plain_config(config.consumer());
        properties.remove("group.instance.id");
        properties.set("enable.partition.eof", "true").set("queued.max.messages.kbytes", AHEAD);
        // An offset that is out of range must not become another one.
        properties.set("auto.offset.reset", "error");
        let consumer = properties
            .create_with_context(Quiet)
            .map_err(|error| Error::RangeConsumer { source: error.into() })?;
        Ok(Self { consumer, servers: config.bootstrap_servers.clone(), at: None, last_error: None })
    }

    /// Passes the record at each of these offsets, which ascend, to `take`; `None` if Kafka no longer has it: retention or
    /// compaction removed it, or the log was cut. Returns whether all were read before it was stopped. Blocks.
    ///
    /// # Errors
    /// [`Error::TopicUnanswered`] if no leader answers for a minute, [`Error::ReadDenied`] if Kafka answers with an error
    /// that does not pass; or the error of `take`.
    pub fn pick<E: From<Error>>(
        &mut self,
        (topic, partition): (&str, i32),
        offsets: &[u64],
        stop: &CancellationToken,
        mut take: impl FnMut(u64, Option<OwnedRecord>) -> Result<(), E>,
    ) -> Result<bool, E> {
        let (low, high) = self.bounds(topic, partition)?;
        let mut wanted = VecDeque::from(offsets.to_vec());
        while let Some(offset) = wanted.pop_front_if(|offset| *offset < low) {
            take(offset, None)?;
        }
        let beyond = wanted.split_off(wanted.partition_point(|offset| *offset < high));
        let mut heard = Instant::now();
        while let Some(next) = wanted.front().copied() {
            if stop.is_cancelled() {
                return Ok(false);
            }
            self.seek(topic, partition, next)?;
            match self.receive(topic)? {
                Some(Some(record)) => {
                    let found = record.record().offset;
                    heard = Instant::now();
                    self.at = Some((topic.to_owned(), partition, found + 1));
                    while let Some(offset) = wanted.pop_front_if(|offset| *offset < found) {
                        take(offset, None)?;
                    }
                    if wanted.pop_front_if(|offset| *offset == found).is_some() {
                        take(found, Some(record))?;
                    }
                }
                // The end of what can be read.
                Some(None) => {
                    self.at = None;
                    for offset in wanted.drain(..) {
                        take(offset, None)?;
                    }
                }
                None if heard.elapsed() > SILENCE => {
                    let source = self.last_error.take().map(KafkaText::from);
                    return Err(self.unanswered(topic, source).into());
                }
                None => {}
            }
        }
        for offset in beyond {
            take(offset, None)?;
        }
        Ok(true)
    }

    fn bounds(&mut self, topic: &str, partition: i32) -> Result<(u64, u64), Error> {
        let answer = self.consumer.fetch_watermarks(topic, partition, ANSWER);
        let (low, high) = answer.map_err(|error| self.unanswered(topic, Some(error.into())))?;
        Ok((low.unsigned_abs(), high.unsigned_abs()))
    }

    /// Continues where the last record was, if the wanted one is near, or starts at the wanted one.
    fn seek(&mut self, topic: &str, partition: i32, offset: u64) -> Result<(), Error> {
        let is_near = self.at.as_ref().is_some_and(|(at, number, next)| {
            at == topic && *number == partition && (*next..=next.saturating_add(STRIDE)).contains(&offset)
        });
        if is_near {
            return Ok(());
        }
        let assign = || {
            let mut list = TopicPartitionList::with_capacity(1);
            let start = i64::try_from(offset).unwrap_or(i64::MAX);
            list.add_partition_offset(topic, partition, Offset::Offset(start))?;
            self.consumer.assign(&list)
        };
        assign().map_err(|error: KafkaError| self.unanswered(topic, Some(error.into())))?;
        self.at = Some((topic.to_owned(), partition, offset));
        Ok(())
    }

    /// Waits a moment: `Some(Some(_))` is a record, `Some(None)` the end of the log.
    fn receive(&mut self, topic: &str) -> Result<Option<Option<OwnedRecord>>, Error> {
        let Some((_, number, next)) = &self.at else { return Ok(None) };
        let (number, next) = (*number, *next);
        match self.consumer.poll(POLL) {
            None => Ok(None),
            // What was fetched for the assignment before may still arrive.
            Some(Ok(message)) => {
                let is_current = message.topic() == topic
                    && message.partition() == number
                    && message.offset().unsigned_abs() >= next;
                Ok(is_current.then(|| Some(OwnedRecord::new(message.detach()))))
            }
            Some(Err(KafkaError::PartitionEOF(of))) => Ok((of == number).then_some(None)),
            Some(Err(error)) if faults::may_pass(&error) => {
                self.last_error = Some(error);
                Ok(None)
            }
            Some(Err(error)) => Err(Error::ReadDenied { topic: topic.to_owned(), source: error.into() }),
        }
    }

    fn unanswered(&self, topic: &str, source: Option<KafkaText>) -> Error {
        Error::TopicUnanswered { topic: topic.to_owned(), brokers: self.servers.clone(), source }
    }
}

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka client error");
    }
}

impl ConsumerContext for Quiet {}
