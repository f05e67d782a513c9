//! The one thread that owns the consumer: polls, hands batches over, commits.
//!
//! Back-pressure: every batch needs a permit for its bytes. If there is none, nothing is polled; after a second the
//! partitions are paused and the consumer is polled again, so that its membership of the group outlives an outage of
//! Pub/Sub.
//!
//! A record that the intake cannot take yet ([`Admission::Waits`](super::Admission)) pauses its partition alone, until the
//! intake takes it. Both pauses are one flag of librdkafka, so a partition is resumed only when it has neither.
//! See [`super::rebalance`] for rebalances and [`super::positions`] for positions.

use std::{
    sync::{Arc, mpsc::sync_channel},
    time::{Duration, Instant},
};

use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc::Sender};

use super::{
    Intake,
    assignment::{Assignment, Held},
    batches::Batches,
    lookup,
    orders::Orders,
    permits::Permits,
    recreated::TopicIds,
    slot::{Commit, Slot},
    stimulus::Stimulus,
};
use crate::{
    Brokers, Error, KafkaConfig, OwnedRecord, Record, TopicPartition,
    client::{
        self,
        context::Context,
        faults::{self, Fault},
        taken::RecordQueue,
    },
};

/// How long a poll waits for a record.
const IDLE: Duration = Duration::from_millis(100);
/// Polls before anything else is done.
const POLLS: usize = 1_000;
/// How often positions are checked.
const POSITIONS: Duration = Duration::from_millis(250);
/// How often records that wait are given to the intake again.
const WAITING: Duration = Duration::from_millis(50);
/// How often topics are compared with what the asking thread found.
const TOPICS: Duration = Duration::from_secs(1);
/// How long the queue of the client that asks questions is served. Records wait during that time.
const SERVE: Duration = Duration::from_millis(1);
/// How long to wait for a permit before the partitions are paused.
const PATIENCE: Duration = Duration::from_secs(1);

/// The thread's state.
pub(super) struct Reader<I: Intake> {
    /// The records of `consumer`, before which it is dropped. `None` while records are taken from it.
    pub(super) records: Option<RecordQueue>,
    pub(super) consumer: BaseConsumer<Context>,
    /// Answers questions while the consumer is busy with records.
    pub(super) brokers: Brokers,
    pub(super) config: Arc<KafkaConfig>,
    /// The partitions that are read. It changes at rebalances only.
    pub(super) assignment: Assignment<I::Origin>,
    pub(super) batches: Batches<I>,
    pub(super) orders: Arc<Orders>,
    /// Whether a batch waits for a permit, so that librdkafka fetches nothing.
    pub(super) is_paused: bool,
    /// Whether a partition may be waiting for the intake.
    is_any_waiting: bool,
    /// When waiting records were last given to the intake.
    waiting_tried_at: Instant,
    /// Finds recreated topics, upon which the client is replaced.
    pub(super) topic_ids: TopicIds,
    driver: Sender<Stimulus<I::Batch>>,
    permits: Permits,
    positions_checked_at: Instant,
    topics_checked_at: Instant,
    /// Whether the last commit failed and a warning was logged.
    is_commit_failing: bool,
}

/// The driver has ended, so the thread ends without an error.
#[derive(Debug)]
pub(super) struct Orphaned;

/// Why the thread ends early.
pub(super) enum End {
    Orphaned,
    Failed(Error),
}

impl From<Orphaned> for End {
    fn from(_: Orphaned) -> Self {
        Self::Orphaned
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl<I: Intake> Reader<I> {
    pub(super) fn new(
        (consumer, brokers): (BaseConsumer<Context>, Brokers),
        config: Arc<KafkaConfig>,
        batches: Batches<I>,
        (orders, driver): (Arc<Orders>, Sender<Stimulus<I::Batch>>),
        permits: Permits,
    ) -> Self {
        let now = Instant::now();
        Self {
            records: Some(RecordQueue::new(&consumer)),
            consumer,
            brokers,
            assignment: Assignment::new(config.topics.clone()),
            config,
            batches,
            orders,
            is_paused: false,
            is_any_waiting: false,
            waiting_tried_at: now,
            topic_ids: TopicIds::default(),
            driver,
            permits,
            positions_checked_at: now,
            topics_checked_at: now,
            is_commit_failing: false,
        }
    }

    /// Reads until it is stopped; then drains, commits and leaves the group.
    pub(super) fn run(mut self) {
        let result = match self.read_until_stopped() {
            Err(End::Failed(error)) => Err(error),
            Err(End::Orphaned) | Ok(()) => Ok(()),
        };
        let uncommitted = self.leave().unwrap_or_else(|Orphaned| {
            tracing::debug!("not draining: the driver has ended");
            None
        });
        let Self { records, consumer, driver, .. } = self;
        drop(records);
        let has_left = client::close(consumer);
        warn_incomplete_shutdown(uncommitted.as_ref(), has_left);
        if driver.blocking_send(Stimulus::Closed(result)).is_err() {
            tracing::debug!("the driver has ended");
        }
    }

    fn read_until_stopped(&mut self) -> Result<(), End> {
        if !self.wait_for_topics()? {
            return Ok(());
        }
        self.join()?;
        while !self.orders.is_stopping() {
            let idle = if self.is_any_waiting { WAITING } else { IDLE };
            self.poll(self.batches.patience().unwrap_or(idle))?;
            self.serve()?;
            self.take_waiting()?;
            if self.batches.patience().is_some_and(|patience| patience.is_zero()) {
                self.batches.close();
            }
            while let Some(batch) = self.batches.pop() {
                self.hand_over(batch)?;
            }
            self.maintain()?;
        }
        Ok(())
    }

    /// Takes what has been fetched; waits for the first record only.
    fn poll(&mut self, wait: Duration) -> Result<(), End> {
        // There are only events, or a batch waits for a permit.
        let is_idle = self.assignment.is_empty() || self.batches.has_full();
        self.poll_events(if is_idle { wait } else { Duration::ZERO })?;
        // A partition whose records are in both queues has the older ones in the other.
        if !is_idle && self.records.as_ref().is_some_and(RecordQueue::is_first) {
            self.poll_records(wait)?;
        }
        note_renewed(self.consumer.context(), &mut self.topic_ids);
        if self.topic_ids.any_renewed() {
            self.replace_client()?;
        }
        self.check_client()
    }

    /// Serves the queue of events. It has records, too, of partitions that were not forwarded in time.
    fn poll_events(&mut self, wait: Duration) -> Result<(), End> {
        let mut wait = wait;
        for _ in 0..POLLS {
            match self.consumer.poll(wait) {
                Some(Ok(message)) => {
                    let record = OwnedRecord::new(message.detach());
                    self.take(&record.record())?;
                }
                Some(Err(error)) => {
                    if self.is_out_of_range(&error)? {
                        return self.reset_positions();
                    }
                }
                None => break,
            }
            if self.batches.has_full() {
                break;
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    fn poll_records(&mut self, wait: Duration) -> Result<(), End> {
        let Some(mut records) = self.records.take() else { return Ok(()) };
        let is_out_of_range = self.take_from(&mut records, wait);
        self.records = Some(records);
        if is_out_of_range? { self.reset_positions() } else { Ok(()) }
    }

    /// Takes all records of a batch before anything else is done: librdkafka's positions are behind them. Returns whether
    /// one of the partitions is outside its log.
    fn take_from(&mut self, records: &mut RecordQueue, wait: Duration) -> Result<bool, End> {
        let (mut wait, mut polls, mut is_out_of_range) = (wait, 0, false);
        while polls < POLLS && !is_out_of_range && !self.batches.has_full() {
            let before = polls;
            for message in records.take(wait) {
                polls += 1;
                match message.error() {
                    None => self.take(&Record::taken(&message))?,
                    Some(error) => is_out_of_range |= self.is_out_of_range(&error)?,
                }
            }
            if polls == before {
                break;
            }
            wait = Duration::ZERO;
        }
        Ok(is_out_of_range)
    }

    fn take(&mut self, record: &Record<'_>) -> Result<(), End> {
        note_renewed(self.consumer.context(), &mut self.topic_ids);
        // Records of a recreated topic are fetched again by the new client.
        if self.topic_ids.is_renewed(record.topic()) || !self.batches.take(record, &mut self.assignment) {
            return Ok(());
        }
        self.is_any_waiting = true;
        if self.is_paused {
            return Ok(());
        }
        let partition = [(record.topic().into(), record.partition())];
        Ok(self.consumer.pause(&list(&partition)).map_err(|error| consumer_error(&error))?)
    }

    /// Whether the position of a partition is outside its log.
    fn is_out_of_range(&self, error: &KafkaError) -> Result<bool, Error> {
        match faults::judge(error, &self.config) {
            Fault::Passing(code) => {
                tracing::debug!(%code, "transient Kafka error");
                Ok(false)
            }
            Fault::OutOfRange => Ok(true),
            Fault::Final(error) => Err(error),
        }
    }

    /// Errors of the whole client, such as a refused login, arrive without a record.
    fn check_client(&mut self) -> Result<(), End> {
        client::find_again(&self.consumer, &self.config.bootstrap_servers, "group");
        match self.consumer.context().take_failure() {
            Some((code, reason)) if code != RDKafkaErrorCode::Fatal => {
                faults::judge_code(code, &reason, &self.config)
                    // An error about records arrives in their place. Of the other errors only a refusal is final.
                    .filter(|error| !matches!(error, Error::Unreadable { .. } | Error::Unknown { .. }))
                    .map_or(Ok(()), |error| Err(error.into()))
            }
            _ => Ok(()),
        }
    }

    /// Hands a batch to the driver once there is a permit for its bytes.
    pub(super) fn hand_over(&mut self, batch: I::Batch) -> Result<(), End> {
        match self.permit(&batch) {
            Some(permit) => Ok(self.send(Stimulus::Read(Box::new(batch), Some(permit)))?),
            None => self.wait_for_room(batch),
        }
    }

    /// A permit, if one is or becomes available within a second.
    fn permit(&self, batch: &I::Batch) -> Option<OwnedSemaphorePermit> {
        if self.orders.is_held() {
            return None;
        }
        let bytes = I::bytes(batch);
        self.permits.try_acquire(bytes).or_else(|| self.permits.acquire(bytes, PATIENCE))
    }

    /// Pub/Sub is slow or unavailable: stays a member of the group and reads nothing.
    fn wait_for_room(&mut self, batch: I::Batch) -> Result<(), End> {
        let bytes = I::bytes(&batch);
        self.batches.push_back(batch);
        self.pause(true)?;
        tracing::debug!("paused: Pub/Sub is slower than Kafka");
        while !self.orders.is_stopping() {
            self.poll(IDLE)?;
            self.serve()?;
            self.maintain()?;
            if self.orders.is_held() {
                continue;
            }
            let Some(permit) = self.permits.try_acquire(bytes) else { continue };
            // A rebalance may have taken the batch along.
            match self.batches.pop() {
                Some(batch) => self.send(Stimulus::Read(Box::new(batch), Some(permit)))?,
                None => drop(permit),
            }
            break;
        }
        self.pause(false)?;
        tracing::debug!("resumed");
        Ok(())
    }

    /// Gives records that wait to the intake again, and resumes the partitions of which it has taken them.
    fn take_waiting(&mut self) -> Result<(), End> {
        if !self.is_any_waiting || self.waiting_tried_at.elapsed() < WAITING {
            return Ok(());
        }
        let resumed = self.batches.take_waiting(&mut self.assignment);
        self.is_any_waiting = self.assignment.iter().any(Held::is_waiting);
        self.waiting_tried_at = Instant::now();
        Ok(self.resume(&resumed)?)
    }

    /// At a pause librdkafka drops what it has fetched, and continues after the last record that it returned.
    pub(super) fn pause(&mut self, pause: bool) -> Result<(), End> {
        self.is_paused = pause;
        let is_concerned = |held: &&Held<_>| pause || !held.is_waiting();
        let partitions: Vec<_> =
            self.assignment.iter().filter(is_concerned).map(Held::topic_partition).collect();
        if !pause {
            return Ok(self.resume(&partitions)?);
        }
        Ok(self.consumer.pause(&list(&partitions)).map_err(|error| consumer_error(&error))?)
    }

    /// Makes librdkafka fetch paused partitions again.
    pub(super) fn resume(&self, partitions: &[TopicPartition]) -> Result<(), Error> {
        if partitions.is_empty() {
            return Ok(());
        }
        self.consumer.resume(&list(partitions)).map_err(|error| consumer_error(&error))
    }

    /// Has the records of all partitions in their own queue.
    pub(super) fn forward_records(&self) {
        let partitions: Vec<_> = self.assignment.iter().map(Held::topic_partition).collect();
        if let Some(records) = &self.records {
            records.forward(&self.consumer, &partitions);
        }
    }

    /// Commits the offsets that the driver requested, and checks positions and topics at their intervals.
    fn maintain(&mut self) -> Result<(), End> {
        if let Some(mismatch) = self.orders.take_rejoin() {
            self.rejoin(&mismatch)?;
        }
        let commits = self.orders.take_commits();
        let is_held = |commit: &Commit, reader: &mut Self| {
            let held = reader.assignment.get(&commit.slot.topic, commit.slot.partition);
            held.is_some_and(|held| held.slot == commit.slot)
        };
        let commits: Vec<_> = commits.into_iter().filter(|(commit, _)| is_held(commit, self)).collect();
        if !commits.is_empty()
            && let Err(error) = lookup::commit_later(&self.consumer, &commits)
        {
            tracing::debug!(%error, "commit failed; retrying in a second");
        }
        if self.positions_checked_at.elapsed() >= POSITIONS {
            self.positions_checked_at = Instant::now();
            self.forward_records();
            self.check_positions()?;
        }
        if self.topics_checked_at.elapsed() >= TOPICS {
            self.topics_checked_at = Instant::now();
            self.brokers.serve(SERVE);
            self.check_topics();
        }
        Ok(())
    }

    pub(super) fn committed(
        &mut self,
        answers: Vec<(String, i32, Result<u64, RDKafkaErrorCode>)>,
    ) -> Result<(), End> {
        let mut commits = Vec::new();
        for (topic, partition, answer) in answers {
            match answer {
                Err(code) if !self.is_commit_failing => {
                    self.is_commit_failing = true;
                    tracing::warn!(
                        %topic, partition, %code,
                        action = "check that the group coordinator is running and that this user has Read on the group",
                        "cannot commit offsets; retrying"
                    );
                }
                Err(_) => {}
                Ok(offset) => {
                    if let Some(held) = self.assignment.get(&topic, partition) {
                        commits.push(Commit { slot: held.slot.clone(), offset });
                    }
                }
            }
        }
        if !commits.is_empty() && std::mem::take(&mut self.is_commit_failing) {
            tracing::info!("committing offsets again");
        }
        if commits.is_empty() { Ok(()) } else { Ok(self.send(Stimulus::Committed(commits))?) }
    }

    pub(super) fn send(&self, stimulus: Stimulus<I::Batch>) -> Result<(), Orphaned> {
        self.driver.blocking_send(stimulus).map_err(|_| Orphaned)
    }

    /// Makes the driver finish these partitions; it answers before its deadline.
    pub(super) fn drain(&mut self, slots: &[Slot]) -> Result<Vec<(Commit, event::Partition)>, Orphaned> {
        self.hand_over_everything()?;
        let (reply, answer) = sync_channel(1);
        self.send(Stimulus::Drain(slots.iter().cloned().collect(), reply))?;
        answer.recv().map_err(|_| Orphaned)
    }

    /// Without permits: a drain puts at most two batches more than allowed in flight.
    pub(super) fn hand_over_everything(&mut self) -> Result<(), Orphaned> {
        self.batches.close();
        while let Some(batch) = self.batches.pop() {
            self.send(Stimulus::Read(Box::new(batch), None))?;
        }
        Ok(())
    }
}

fn list(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition(topic, *partition);
    }
    list
}

/// Takes over what librdkafka logged about recreated topics.
fn note_renewed(context: &Context, topic_ids: &mut TopicIds) {
    for (topic, id) in context.take_renewed() {
        topic_ids.renew(&topic.into(), &id);
    }
}

/// Logs what could not be finished, because Kafka did not answer in time or refused it.
fn warn_incomplete_shutdown(uncommitted: Option<&KafkaError>, has_left: bool) {
    let offsets = uncommitted.map(|error| format!("the last offsets were not committed ({error})"));
    let group = (!has_left).then(|| "the member did not leave the group".to_owned());
    let incomplete: Vec<String> = offsets.into_iter().chain(group).collect();
    if !incomplete.is_empty() {
        tracing::warn!(
            incomplete = incomplete.join(", "),
            action = "none; the next start publishes the last records again, and the processor drops the duplicates",
            "shut down before Kafka confirmed all requests"
        );
    }
}

pub(super) fn consumer_error(error: &KafkaError) -> Error {
    Error::Consumer { source: error.into() }
}
