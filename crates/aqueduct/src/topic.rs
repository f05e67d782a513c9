//! A range of one Kafka topic: a consumer that joins no group and commits nothing.
//!
//! Records of the current partition are returned as they arrive. Those of other partitions are buffered up to
//! a number of bytes per partition, after which the partition is paused.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use connector::KafkaConfig;
use event::EventTime;
use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::KafkaError,
    message::{BorrowedMessage, Message as _, OwnedMessage},
    types::RDKafkaErrorCode,
};
use tokio_util::sync::CancellationToken;

use crate::kafka::{self, Asker};

/// A topic with what was read ahead.
pub(crate) struct Log {
    consumer: BaseConsumer<Quiet>,
    topic: String,
    servers: String,
    partitions: Vec<Partition>,
    /// For one partition.
    room: usize,
    last_error: Option<KafkaError>,
}

/// Logs errors, of which the end of a partition is none, though rdkafka reports it as one.
struct Quiet;

#[derive(Debug)]
struct Partition {
    start: u64,
    /// The next offset that was not received.
    next: u64,
    /// The first offset that is not wanted.
    end: u64,
    is_received: bool,
    waiting: VecDeque<OwnedMessage>,
    bytes: usize,
    is_paused: bool,
}

/// Which records.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stretch {
    /// From the first record of a time on, or from the log's start, to the first one of another time, or to its end.
    Times { from: Option<EventTime>, to: Option<EventTime> },
    /// This many of the newest records, spread over the partitions.
    Newest(u64),
}

/// The result of requesting a record.
pub(crate) enum Taken {
    Record(OwnedMessage),
    End,
    Stopped,
}

const ANSWER: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);
/// Kafka counts as unavailable if nothing arrives for this long.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes that wait in all partitions of a topic together, and in one at least.
const ROOM: usize = 64 << 20;
const LEAST_ROOM: usize = 256 << 10;
/// What a record takes beside its key and value.
const OVERHEAD: usize = 200;
/// "Timestamps" with which Kafka returns the two ends of a log.
const FIRST: Offset = Offset::Beginning;
const LAST: Offset = Offset::End;

impl Log {
    /// Finds the stretch and begins to read.
    pub(crate) fn open(config: &KafkaConfig, topic: &str, stretch: Stretch) -> anyhow::Result<Self> {
        let count = Asker::new(config)?.partitions(topic)?;
        let mut client = kafka::client(config);
        config.consumer().for_each(|(name, value)| {
            client.set(name, value);
        });
        client.remove("group.instance.id");
        client.set("enable.partition.eof", "true");
        let consumer: BaseConsumer<Quiet> = client
            .create_with_context(Quiet)
            .context("cannot create a Kafka consumer; correct [kafka.properties]")?;
        let mut log = Self {
            consumer,
            topic: topic.to_owned(),
            servers: config.bootstrap_servers.clone(),
            partitions: Vec::new(),
            room: (ROOM / count).max(LEAST_ROOM),
            last_error: None,
        };
        log.find(stretch, count)?;
        log.assign().with_context(|| log.unanswered())?;
        Ok(log)
    }

    /// The stretch of every partition.
    fn find(&mut self, stretch: Stretch, count: usize) -> anyhow::Result<()> {
        let low = self.offsets(count, FIRST)?;
        let high = self.offsets(count, LAST)?;
        // No offset: every record is older.
        let ends = |number: usize| (low[number].unwrap_or_default(), high[number].unwrap_or_default());
        let bounds: Vec<(u64, u64)> = match stretch {
            Stretch::Newest(records) => {
                let each = records.div_ceil(count.max(1) as u64);
                (0..count).map(ends).map(|(low, high)| (high.saturating_sub(each).max(low), high)).collect()
            }
            Stretch::Times { from, to } => {
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
            self.partitions.push(Partition {
                start,
                next: start,
                end,
                is_received: start == end,
                waiting: VecDeque::new(),
                bytes: 0,
                is_paused: false,
            });
        }
        Ok(())
    }

    fn offsets(&self, count: usize, question: Offset) -> anyhow::Result<Vec<Option<u64>>> {
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
        ask().with_context(|| self.unanswered())
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
    pub(crate) fn partitions(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }

    /// How many offsets the stretch has.
    pub(crate) fn offsets_wanted(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.end - partition.start).sum()
    }

    /// How many of them were received.
    pub(crate) fn offsets_received(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.next.min(partition.end) - partition.start).sum()
    }

    /// The next record of a partition.
    ///
    /// # Errors
    /// Kafka refuses, or is silent for a minute; records were taken by retention before they were read.
    pub(crate) fn take(&mut self, number: i32, shutdown: &CancellationToken) -> anyhow::Result<Taken> {
        let index = usize::try_from(number).unwrap_or_default();
        let mut heard = Instant::now();
        loop {
            if let Some(message) = self.partitions[index].pop() {
                if self.partitions[index].bytes <= self.room / 2 {
                    self.resume(index);
                }
                return Ok(Taken::Record(message));
            }
            if self.partitions[index].is_received {
                return Ok(Taken::End);
            }
            if shutdown.is_cancelled() {
                return Ok(Taken::Stopped);
            }
            if self.receive()? {
                heard = Instant::now();
            } else if heard.elapsed() > SILENCE {
                let silence = self.unanswered();
                return Err(match self.last_error.take() {
                    Some(error) => anyhow::Error::new(error).context(silence),
                    None => anyhow::Error::msg(silence),
                });
            }
        }
    }

    /// Waits a moment for a record or for the end of a partition.
    fn receive(&mut self) -> anyhow::Result<bool> {
        let (number, message) = match self.consumer.poll(POLL) {
            None => return Ok(false),
            Some(Ok(message)) => (message.partition(), Some(message)),
            Some(Err(KafkaError::PartitionEOF(number))) => (number, None),
            Some(Err(error)) if may_pass(&error) => {
                self.last_error = Some(error);
                return Ok(false);
            }
            Some(Err(error)) => {
                return Err(error).with_context(|| {
                    format!("Kafka denies reading topic {}; allow this user to read it", self.topic)
                });
            }
        };
        let index = usize::try_from(number).unwrap_or_default();
        let partition =
            self.partitions.get_mut(index).expect("Kafka gives records of what was assigned only");
        match message {
            Some(message) => partition.push(&message),
            None => partition.is_received = true,
        }
        let is_full = partition.bytes >= self.room || partition.is_received;
        if is_full && !partition.is_paused {
            partition.is_paused = true;
            self.consumer.pause(&self.one(index)).expect("a partition that is assigned can be paused");
        }
        Ok(true)
    }

    fn resume(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        if partition.is_paused && !partition.is_received {
            partition.is_paused = false;
            self.consumer.resume(&self.one(index)).expect("a partition that is assigned can be resumed");
        }
    }

    fn one(&self, index: usize) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&self.topic, i32::try_from(index).unwrap_or(i32::MAX));
        list
    }

    fn unanswered(&self) -> String {
        format!(
            "Kafka at {} does not answer for topic {}; start it, or correct [kafka]",
            self.servers, self.topic
        )
    }
}

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            tracing::warn!(
                %error,
                reason,
                action = "none if records keep arriving; otherwise check that the brokers are reachable",
                "Kafka's client reports"
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
            let message = message.detach();
            self.bytes += size(&message);
            self.waiting.push_back(message);
        }
    }

    fn pop(&mut self) -> Option<OwnedMessage> {
        let message = self.waiting.pop_front()?;
        self.bytes -= size(&message);
        Some(message)
    }
}

fn size(message: &OwnedMessage) -> usize {
    OVERHEAD + message.payload().map_or(0, <[u8]>::len) + message.key().map_or(0, <[u8]>::len)
}

/// Whether librdkafka recovers on its own.
fn may_pass(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let passing = [
        Code::BrokerTransportFailure,
        Code::AllBrokersDown,
        Code::Resolve,
        Code::OperationTimedOut,
        Code::RequestTimedOut,
        Code::LeaderNotAvailable,
        Code::NotLeaderForPartition,
        Code::NetworkException,
        Code::BrokerNotAvailable,
    ];
    matches!(error, KafkaError::MessageConsumption(code) if passing.contains(code))
}
