//! A range of one topic, read by a consumer that joins no group and commits nothing.
//!
//! Records of the requested partition are returned as they arrive. Those of other partitions are buffered up to a
//! number of bytes for each partition, after which the partition is paused.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use event::EventTime;
use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::KafkaError,
    message::{BorrowedMessage, Message as _},
    types::RDKafkaErrorCode,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Brokers, KafkaConfig,
    client::{faults, plain_config},
    error::{Error, KafkaText},
    record::OwnedRecord,
};

/// A range of a topic, with the records that were read ahead.
pub struct Log {
    consumer: BaseConsumer<Quiet>,
    topic: String,
    servers: String,
    partitions: Vec<Partition>,
    /// Bytes that may be buffered for one partition.
    room: usize,
    last_error: Option<KafkaError>,
}

/// Which records of a topic.
#[derive(Clone, Copy, Debug)]
pub enum LogRange {
    /// From the first record of a time on, or from the log's start, to the first one of another time, or to its end.
    Times {
        /// `None` is the log's start.
        from: Option<EventTime>,
        /// `None` is the log's end, as it is when the range is opened.
        to: Option<EventTime>,
    },
    /// This many of the newest records, spread over the partitions.
    Newest(u64),
}

/// The result of requesting a record.
pub enum Polled {
    /// The next record.
    Record(OwnedRecord),
    /// The partition has no further record in the range.
    End,
    /// The token was cancelled.
    Stopped,
}

#[derive(Default)]
struct Partition {
    start: u64,
    /// The next offset that was not received.
    next: u64,
    /// The first offset that is not wanted.
    end: u64,
    is_received: bool,
    waiting: VecDeque<OwnedRecord>,
    bytes: usize,
    is_paused: bool,
}

/// Logs errors, except the end of a partition, which rdkafka reports as one.
struct Quiet;

const ANSWER: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);
/// Kafka counts as unavailable if nothing arrives for this long.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes that may be buffered in all partitions of a topic together, and in one at least.
const ROOM: usize = 64 << 20;
const LEAST_ROOM: usize = 256 << 10;
/// "Timestamps" for which Kafka returns the two ends of a log.
const FIRST: Offset = Offset::Beginning;
const LAST: Offset = Offset::End;

impl Log {
    /// Finds the range in every partition and begins to read. Blocks.
    ///
    /// # Errors
    /// As [`Brokers::partitions`]; [`Error::RangeConsumer`] if librdkafka rejects the configuration;
    /// [`Error::TopicUnanswered`] if a leader does not answer.
    pub fn open(config: &KafkaConfig, topic: &str, range: LogRange) -> Result<Self, Error> {
        let count = Brokers::open(config)?.partitions(topic, ANSWER)?;
        let mut properties = plain_config(config.consumer());
        properties.remove("group.instance.id");
        properties.set("enable.partition.eof", "true");
        let consumer = properties
            .create_with_context(Quiet)
            .map_err(|error| Error::RangeConsumer { source: error.into() })?;
        let mut log = Self {
            consumer,
            topic: topic.to_owned(),
            servers: config.bootstrap_servers.clone(),
            partitions: Vec::new(),
            room: (ROOM / count).max(LEAST_ROOM),
            last_error: None,
        };
        log.find(range, count)?;
        log.assign().map_err(|error| log.unanswered(Some(error.into())))?;
        Ok(log)
    }

    /// The range of every partition.
    fn find(&mut self, range: LogRange, count: usize) -> Result<(), Error> {
        let low = self.offsets(count, FIRST)?;
        let high = self.offsets(count, LAST)?;
        // No offset: every record is older.
        let ends = |number: usize| (low[number].unwrap_or_default(), high[number].unwrap_or_default());
        let bounds: Vec<(u64, u64)> = match range {
            LogRange::Newest(records) => {
                let each = records.div_ceil(count.max(1) as u64);
                (0..count).map(ends).map(|(low, high)| (high.saturating_sub(each).max(low), high)).collect()
            }
            LogRange::Times { from, to } => {
                let at = |time: Option<EventTime>, end| time.map_or(end, |time| Offset::Offset(time.0));
                let from = self.offsets(count, at(from, FIRST))?;
                let to = self.offsets(count, at(to, LAST))?;
                let bounds = |number: usize| {
                    let (low, high) = ends(number);
                    (from[number].unwrap_or(high).max(low), to[number].unwrap_or(high).min(high))
                };
                (0..count).map(bounds).collect()
            }
        };
        for (start, end) in bounds {
            let end = end.max(start);
            let is_received = start == end;
            self.partitions.push(Partition { start, next: start, end, is_received, ..Partition::default() });
        }
        Ok(())
    }

    fn offsets(&self, count: usize, question: Offset) -> Result<Vec<Option<u64>>, Error> {
        let ask = || -> Result<Vec<Option<u64>>, KafkaError> {
            let mut list = TopicPartitionList::with_capacity(count);
            for number in self.numbers(count) {
                list.add_partition_offset(&self.topic, number, question)?;
            }
            let answer = self.consumer.offsets_for_times(list, ANSWER)?;
            let mut offsets = vec![None; count];
            for element in answer.elements() {
                element.error()?;
                let place = usize::try_from(element.partition()).ok().and_then(|n| offsets.get_mut(n));
                if let (Some(place), Offset::Offset(offset)) = (place, element.offset()) {
                    *place = Some(offset.unsigned_abs());
                }
            }
            Ok(offsets)
        };
        ask().map_err(|error| self.unanswered(Some(error.into())))
    }

    fn assign(&self) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        for (number, partition) in self.numbers(self.partitions.len()).zip(&self.partitions) {
            if !partition.is_received {
                let start = i64::try_from(partition.start).unwrap_or(i64::MAX);
                list.add_partition_offset(&self.topic, number, Offset::Offset(start))?;
            }
        }
        self.consumer.assign(&list)
    }

    fn numbers(&self, count: usize) -> impl Iterator<Item = i32> + use<> {
        0..i32::try_from(count).unwrap_or(i32::MAX)
    }

    /// How many partitions the topic has.
    pub fn partitions(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }

    /// How many offsets the range has.
    pub fn offsets_wanted(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.end - partition.start).sum()
    }

    /// How many of them were received.
    pub fn offsets_received(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.next.min(partition.end) - partition.start).sum()
    }

    /// The next record of a partition. Blocks until it arrives.
    ///
    /// # Errors
    /// [`Error::ReadDenied`] if Kafka answers with an error that does not pass, [`Error::TopicUnanswered`] if nothing
    /// arrives for a minute.
    pub fn take(&mut self, partition: i32, shutdown: &CancellationToken) -> Result<Polled, Error> {
        let index = usize::try_from(partition).unwrap_or_default();
        let mut heard = Instant::now();
        loop {
            if let Some(record) = self.partitions[index].pop() {
                if self.partitions[index].bytes <= self.room / 2 {
                    self.resume(index);
                }
                return Ok(Polled::Record(record));
            }
            if self.partitions[index].is_received {
                return Ok(Polled::End);
            }
            if shutdown.is_cancelled() {
                return Ok(Polled::Stopped);
            }
            if self.receive()? {
                heard = Instant::now();
            } else if heard.elapsed() > SILENCE {
                let last = self.last_error.take().map(KafkaText::from);
                return Err(self.unanswered(last));
            }
        }
    }

    /// Waits a moment for a record or for the end of a partition.
    fn receive(&mut self) -> Result<bool, Error> {
        let (number, message) = match self.consumer.poll(POLL) {
            None => return Ok(false),
            Some(Ok(message)) => (message.partition(), Some(message)),
            Some(Err(KafkaError::PartitionEOF(number))) => (number, None),
            Some(Err(error)) if faults::may_pass(&error) => {
                self.last_error = Some(error);
                return Ok(false);
            }
            Some(Err(error)) => {
                return Err(Error::ReadDenied { topic: self.topic.clone(), source: error.into() });
            }
        };
        let index = usize::try_from(number).unwrap_or_default();
        let partition =
            self.partitions.get_mut(index).expect("librdkafka returns records of assigned partitions only");
        match message {
            Some(message) => partition.push(&message),
            None => partition.is_received = true,
        }
        let is_full = partition.bytes >= self.room || partition.is_received;
        if is_full && !partition.is_paused {
            partition.is_paused = true;
            self.consumer.pause(&self.one(index)).expect("an assigned partition can be paused");
        }
        Ok(true)
    }

    fn resume(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        if partition.is_paused && !partition.is_received {
            partition.is_paused = false;
            self.consumer.resume(&self.one(index)).expect("an assigned partition can be resumed");
        }
    }

    fn one(&self, index: usize) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&self.topic, i32::try_from(index).unwrap_or(i32::MAX));
        list
    }

    fn unanswered(&self, source: Option<KafkaText>) -> Error {
        Error::TopicUnanswered { topic: self.topic.clone(), brokers: self.servers.clone(), source }
    }
}

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            tracing::warn!(
                %error,
                reason,
                action = "none if records keep arriving; otherwise check that the brokers are reachable",
                "Kafka client error"
            );
        }
    }
}

impl ConsumerContext for Quiet {}

impl Partition {
    fn push(&mut self, message: &BorrowedMessage<'_>) {
        let offset = message.offset().unsigned_abs();
        // A record that was in flight while the partition was paused arrives twice.
        if offset < self.next || self.is_received {
            return;
        }
        self.next = offset + 1;
        self.is_received = self.next >= self.end;
        if offset < self.end {
            let record = OwnedRecord::new(message.detach());
            self.bytes += record.size();
            self.waiting.push_back(record);
        }
    }

    fn pop(&mut self) -> Option<OwnedRecord> {
        let record = self.waiting.pop_front()?;
        self.bytes -= record.size();
        Some(record)
    }
}
