//! The one thread that owns the consumer: polls, anonymises, hands batches over, commits.
//!
//! Back-pressure: every batch needs a permit for its bytes. Without one nothing is drained; after a second the
//! partitions are paused and the consumer is polled on, so that its membership of the group outlives an outage of
//! Pub/Sub. Not here: rebalances ([`super::rebalance`]) and positions
//! ([`super::positions`]).

use std::{
    sync::{Arc, mpsc::sync_channel},
    time::{Duration, Instant},
};

use rdkafka::{
    Message as _, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc::Sender},
    time::timeout,
};

use crate::{
    batch::Batch,
    error::ConnectorError,
    io::{
        assignment::Assignment,
        brokers::{self, Brokers},
        context::Context,
        faults::{self, Fault},
        intake::Intake,
        lookup,
        orders::Orders,
    },
    recreated::TopicIds,
    settings::KafkaConfig,
    slot::{Commit, Slot},
    stimulus::Stimulus,
};

/// How long a poll waits for a record.
const IDLE: Duration = Duration::from_millis(100);
/// Polls without a look at anything else.
const POLLS: usize = 1_000;
/// How often positions are looked at.
const POSITIONS: Duration = Duration::from_millis(250);
/// How often topics are compared with what the facts say.
const TOPICS: Duration = Duration::from_secs(1);
/// How long the queue of the client that asks questions is served: records wait meanwhile.
const SERVE: Duration = Duration::from_millis(1);
/// How long to wait for a permit before the partitions are paused.
const PATIENCE: Duration = Duration::from_secs(1);

/// The thread's state.
pub(crate) struct Reader {
    pub(super) consumer: BaseConsumer<Context>,
    pub(super) brokers: Brokers,
    pub(super) config: Arc<KafkaConfig>,
    pub(super) assignment: Assignment,
    pub(super) intake: Intake,
    pub(super) orders: Arc<Orders>,
    pub(super) is_paused: bool,
    pub(super) topic_ids: TopicIds,
    driver: Sender<Stimulus>,
    permits: Permits,
    positions_looked_at: Instant,
    topics_looked_at: Instant,
    is_commit_failing: bool,
}

/// Permits for bytes in flight.
pub(crate) struct Permits {
    pub(crate) runtime: Handle,
    pub(crate) bytes: Arc<Semaphore>,
    /// How many there are in all.
    pub(crate) total: usize,
}

/// The least that a batch takes of the permits, however few bytes its messages have, so that permits bound the number
/// of batches too: 1,024 of them at the default of 32 MiB.
///
/// A batch that is not full is closed after some milliseconds, so that records which trickle in during an outage of
/// Pub/Sub make one batch each. Counted by their bytes alone, 314,631 of them fitted (measured with 106 bytes each).
const LEAST_PERMIT: usize = 32 << 10;
/// Of so few bytes in flight a small batch takes a share, not all.
const SMALL_BATCHES: usize = 16;

/// The driver is no more: end without a word.
#[derive(Debug)]
pub(super) struct Orphaned;

/// Why the thread ends early.
pub(super) enum End {
    Orphaned,
    Failed(ConnectorError),
}

impl From<Orphaned> for End {
    fn from(_: Orphaned) -> Self {
        Self::Orphaned
    }
}

impl From<ConnectorError> for End {
    fn from(error: ConnectorError) -> Self {
        Self::Failed(error)
    }
}

impl Reader {
    pub(crate) fn new(
        (consumer, brokers): (BaseConsumer<Context>, Brokers),
        config: Arc<KafkaConfig>,
        intake: Intake,
        (orders, driver): (Arc<Orders>, Sender<Stimulus>),
        permits: Permits,
    ) -> Self {
        let now = Instant::now();
        Self {
            consumer,
            brokers,
            assignment: Assignment::new(config.topics.clone()),
            config,
            intake,
            orders,
            is_paused: false,
            topic_ids: TopicIds::default(),
            driver,
            permits,
            positions_looked_at: now,
            topics_looked_at: now,
            is_commit_failing: false,
        }
    }

    /// Reads until told to stop; drains, commits and leaves the group.
    pub(crate) fn run(mut self) {
        let result = match self.read_until_stopped() {
            Err(End::Failed(error)) => Err(error),
            Err(End::Orphaned) | Ok(()) => Ok(()),
        };
        let uncommitted = self.leave().unwrap_or_else(|Orphaned| {
            tracing::debug!("nobody is left to drain for");
            None
        });
        let Self { consumer, driver, .. } = self;
        let has_left = brokers::close(consumer);
        tell_undone(uncommitted.as_ref(), has_left);
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
            self.poll(self.intake.patience().unwrap_or(IDLE))?;
            self.serve()?;
            if self.intake.patience().is_some_and(|patience| patience.is_zero()) {
                self.intake.close();
            }
            while let Some(batch) = self.intake.pop() {
                self.hand_over(batch)?;
            }
            self.keep_house()?;
        }
        Ok(())
    }

    /// Takes what has been fetched; waits for the first record only.
    fn poll(&mut self, wait: Duration) -> Result<(), End> {
        let mut wait = wait;
        for _ in 0..POLLS {
            match self.consumer.poll(wait) {
                Some(Ok(record)) => {
                    note_renewed(self.consumer.context(), &mut self.topic_ids);
                    // Records of a recreated topic are fetched again by the new client.
                    if !self.topic_ids.is_renewed(record.topic()) {
                        self.intake.take(&record, &mut self.assignment);
                    }
                }
                Some(Err(error)) => match faults::judge(&error, &self.config) {
                    Fault::Passing(code) => tracing::debug!(%code, "Kafka reports"),
                    Fault::OutOfRange => return self.mend_positions(),
                    Fault::Final(error) => return Err(error.into()),
                },
                None => break,
            }
            if self.intake.has_full() {
                break;
            }
            wait = Duration::ZERO;
        }
        note_renewed(self.consumer.context(), &mut self.topic_ids);
        if self.topic_ids.any_renewed() {
            self.replace_client()?;
        }
        self.check_client()
    }

    /// Errors of the whole client, such as a refused login, come without a record.
    fn check_client(&mut self) -> Result<(), End> {
        brokers::find_again(&self.consumer, &self.config.bootstrap_servers, "group");
        match self.consumer.context().take_failure() {
            Some((code, reason)) if code != RDKafkaErrorCode::Fatal => {
                faults::judge_code(code, &reason, &self.config)
                    // An error about records comes in their place; beside them only a refusal is final.
                    .filter(|error| {
                        !matches!(error, ConnectorError::Unreadable { .. } | ConnectorError::Kafka { .. })
                    })
                    .map_or(Ok(()), |error| Err(error.into()))
            }
            _ => Ok(()),
        }
    }

    /// Hands a batch to the driver once there is a permit for its bytes.
    pub(super) fn hand_over(&mut self, batch: Batch) -> Result<(), End> {
        match self.permit(&batch) {
            Some(permit) => Ok(self.tell(Stimulus::Read(Box::new(batch), Some(permit)))?),
            None => self.wait_for_room(batch),
        }
    }

    /// A permit if there is one, or comes within a second.
    fn permit(&self, batch: &Batch) -> Option<OwnedSemaphorePermit> {
        if self.orders.is_held() {
            return None;
        }
        let wanted = self.permits.wanted(batch);
        if let Ok(permit) = self.permits.bytes.clone().try_acquire_many_owned(wanted) {
            return Some(permit);
        }
        let bytes = self.permits.bytes.clone();
        let waiting = async { timeout(PATIENCE, bytes.acquire_many_owned(wanted)).await };
        self.permits.runtime.block_on(waiting).ok()?.ok()
    }

    /// Pub/Sub is slow or away: stays a member of the group, reads nothing.
    fn wait_for_room(&mut self, batch: Batch) -> Result<(), End> {
        let wanted = self.permits.wanted(&batch);
        self.intake.push_back(batch);
        self.pause(true)?;
        tracing::debug!("paused: Pub/Sub is slower than Kafka");
        while !self.orders.is_stopping() {
            self.poll(IDLE)?;
            self.serve()?;
            self.keep_house()?;
            if self.orders.is_held() {
                continue;
            }
            let Ok(permit) = self.permits.bytes.clone().try_acquire_many_owned(wanted) else { continue };
            // A rebalance may have taken the batch along.
            match self.intake.pop() {
                Some(batch) => self.tell(Stimulus::Read(Box::new(batch), Some(permit)))?,
                None => drop(permit),
            }
            break;
        }
        self.pause(false)?;
        tracing::debug!("reading again");
        Ok(())
    }

    /// librdkafka drops what it has fetched at a pause, and goes on behind the last record that it gave out.
    pub(super) fn pause(&mut self, pause: bool) -> Result<(), End> {
        self.is_paused = pause;
        let mut list = TopicPartitionList::new();
        for held in self.assignment.iter() {
            list.add_partition(&held.slot.topic, held.slot.partition);
        }
        let done = if pause { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
        Ok(done.map_err(|error| stuck(&error))?)
    }

    /// Commits what the driver asks for, and looks at positions and topics now and then.
    fn keep_house(&mut self) -> Result<(), End> {
        if let Some(misfit) = self.orders.take_rejoin() {
            self.rejoin(&misfit)?;
        }
        let commits = self.orders.take_commits();
        let is_ours = |commit: &Commit, reader: &mut Self| {
            let held = reader.assignment.get(&commit.slot.topic, commit.slot.partition);
            held.is_some_and(|held| held.slot == commit.slot)
        };
        let commits: Vec<_> = commits.into_iter().filter(|(commit, _)| is_ours(commit, self)).collect();
        if !commits.is_empty()
            && let Err(error) = lookup::commit_later(&self.consumer, &commits)
        {
            tracing::debug!(%error, "offsets are committed again in a second");
        }
        if self.positions_looked_at.elapsed() >= POSITIONS {
            self.positions_looked_at = Instant::now();
            self.look_at_positions()?;
        }
        if self.topics_looked_at.elapsed() >= TOPICS {
            self.topics_looked_at = Instant::now();
            self.brokers.serve(SERVE);
            self.look_at_topics();
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
                        action = "see whether the group's coordinator runs, and whether the user may commit for this group",
                        "offsets cannot be committed; trying until they can"
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
            tracing::info!("offsets are committed again");
        }
        if commits.is_empty() { Ok(()) } else { Ok(self.tell(Stimulus::Committed(commits))?) }
    }

    pub(super) fn tell(&self, stimulus: Stimulus) -> Result<(), Orphaned> {
        self.driver.blocking_send(stimulus).map_err(|_| Orphaned)
    }

    /// Asks the driver to bring these partitions to an end; it answers before its deadline.
    pub(super) fn drain(&mut self, slots: &[Slot]) -> Result<Vec<(Commit, event::Partition)>, Orphaned> {
        self.hand_over_everything()?;
        let (reply, answer) = sync_channel(1);
        self.tell(Stimulus::Drain(slots.iter().cloned().collect(), reply))?;
        answer.recv().map_err(|_| Orphaned)
    }

    /// Without permits: at most two batches more than allowed are in flight at a drain.
    pub(super) fn hand_over_everything(&mut self) -> Result<(), Orphaned> {
        self.intake.close();
        while let Some(batch) = self.intake.pop() {
            self.tell(Stimulus::Read(Box::new(batch), None))?;
        }
        Ok(())
    }
}

/// What librdkafka's log says of recreated topics.
fn note_renewed(context: &Context, topic_ids: &mut TopicIds) {
    for (topic, id) in context.take_renewed() {
        topic_ids.renew(&topic.into(), &id);
    }
}

/// Reports what was left undone at the end, because Kafka did not answer in time or refused it.
fn tell_undone(uncommitted: Option<&KafkaError>, has_left: bool) {
    let offsets = uncommitted.map(|error| format!("the last offsets are not committed ({error})"));
    let group = (!has_left).then(|| "the group was not left".to_owned());
    let undone: Vec<String> = offsets.into_iter().chain(group).collect();
    if !undone.is_empty() {
        tracing::warn!(
            undone = undone.join(", "),
            action = "nothing; the next start reads and publishes the last records again, and the processor recognises the copies",
            "stopped before Kafka confirmed everything"
        );
    }
}

pub(super) fn stuck(error: &KafkaError) -> ConnectorError {
    ConnectorError::Consumer { source: faults::text(error) }
}

impl Permits {
    /// A batch larger than all permits takes all of them.
    pub(crate) fn wanted(&self, batch: &Batch) -> u32 {
        let least = LEAST_PERMIT.min(self.total / SMALL_BATCHES);
        u32::try_from(batch.bytes.max(least).min(self.total)).unwrap_or(u32::MAX)
    }
}
