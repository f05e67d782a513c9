//! The one `select!` of a task, between Kafka's threads, the requests to Pub/Sub and the clock.

use std::{
    collections::{BTreeSet, VecDeque},
    future::pending,
    sync::{Arc, mpsc::SyncSender},
    time::Duration,
};

use codec::registry::{Fetcher, RegistryError};
use event::Partition;
use kafka::{Commit, Orders, Slot, Stimuli, Stimulus};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{
    Limits, Task, TaskError, TaskMetrics, chain,
    core::Core,
    dead_letters::DeadLetters,
    intake::{Batch, Skipped},
    publish::Publishing,
};
use crate::{converters::Compiled, data::DataError};

/// Interval of commits.
const PERIOD: Duration = Duration::from_secs(1);

/// A batch with the permit for its memory; none during a drain.
type Admitted = (Box<Batch>, Option<OwnedSemaphorePermit>);

/// A request that ended: the messages that Pub/Sub refused, or why nothing can be published.
type Done = (Box<Batch>, Result<Vec<Skipped>, String>);

pub(super) struct Driver {
    connector: Arc<str>,
    skips_errors: bool,
    logs_errors: bool,
    core: Core,
    publishing: Publishing,
    /// Where skipped records are written; `None` if they are only counted.
    dead_letters: Option<Arc<DeadLetters>>,
    limits: Limits,
    orders: Arc<Orders>,
    tasks: JoinSet<Done>,
    /// Requests of schemas. They end only if the registry can never be used.
    fetching: JoinSet<Result<(), RegistryError>>,
    /// Batches that wait for a free request, oldest first. Their permits bound them.
    waiting: VecDeque<Admitted>,
    drain: Option<Drain>,
    failure: Option<TaskError>,
    metrics: TaskMetrics,
    topics: watch::Sender<BTreeSet<Arc<str>>>,
}

/// Partitions that are being drained before they are given up.
struct Drain {
    slots: BTreeSet<Slot>,
    reply: SyncSender<Vec<(Commit, Partition)>>,
    deadline: Instant,
}

impl Driver {
    pub(super) fn new(
        task: &Task,
        orders: Arc<Orders>,
        publishing: Publishing,
        dead_letters: Option<DeadLetters>,
        limits: Limits,
    ) -> Self {
        Self {
            connector: task.connector.name.as_str().into(),
            skips_errors: task.connector.skips_errors(),
            logs_errors: task.connector.values.is_true("errors.log.enable"),
            core: Core::default(),
            publishing,
            dead_letters: dead_letters.map(Arc::new),
            limits,
            orders,
            tasks: JoinSet::new(),
            fetching: JoinSet::new(),
            waiting: VecDeque::new(),
            drain: None,
            failure: None,
            metrics: task.metrics.clone(),
            topics: task.topics.clone(),
        }
    }

    /// The same, which also requests the schemas of its converters.
    pub(super) fn fetching(mut self, fetchers: Vec<Fetcher<Compiled>>) -> Self {
        for fetcher in fetchers {
            // They are aborted with the driver.
            self.fetching.spawn(fetcher.run(CancellationToken::new()).in_current_span());
        }
        self
    }

    /// Runs until the consumer has left its group.
    pub(super) async fn run(
        mut self,
        mut stimuli: Stimuli<Batch>,
        stop: &CancellationToken,
    ) -> Result<(), TaskError> {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                stimulus = stimuli.recv() => match stimulus {
                    Some(Stimulus::Closed(result)) => return self.closed(result).await,
                    Some(stimulus) => self.on_stimulus(stimulus),
                    None => return self.closed(Err(kafka::Error::Defect("kafka"))).await,
                },
                Some(done) = self.tasks.join_next() => self.on_done(done),
                Some(ended) = self.fetching.join_next() => self.on_registry(ended),
                _ = ticks.tick() => self.orders.commit(self.core.commits(|_| true)),
                () = deadline(self.drain.as_ref().map(|drain| drain.deadline)) => self.on_deadline(),
                () = stop.cancelled(), if !self.orders.is_stopping() => self.orders.stop(),
            }
        }
    }

    fn on_stimulus(&mut self, stimulus: Stimulus<Batch>) {
        match stimulus {
            Stimulus::Read(batch, permit) => self.on_read(batch, permit),
            Stimulus::Assigned(slots) => self.core.assigned(slots),
            Stimulus::Passed(slot, position) => {
                self.core.passed(&slot, position);
                self.check_drained();
            }
            Stimulus::Overtaken(slot, position) => {
                let lost = self.core.overtaken(&slot, position);
                if lost > 0 {
                    tracing::error!(
                        partition = %slot, lost,
                        action = "give the topic a longer retention, or the connector more processor time",
                        "retention deleted records before they were read"
                    );
                }
            }
            Stimulus::Committed(commits) => self.core.committed(&commits),
            Stimulus::Drain(slots, reply) => {
                let deadline = Instant::now() + self.limits.drain;
                self.drain = Some(Drain { slots, reply, deadline });
                self.check_drained();
            }
            Stimulus::Gone(slots) => self.core.gone(&slots),
            Stimulus::Brokers(Err(reason)) => {
                tracing::warn!(
                    reason,
                    action = "check that the brokers are running, or correct bootstrap.servers",
                    "Kafka does not answer; waiting for it"
                );
            }
            Stimulus::Brokers(Ok(())) | Stimulus::Ends { .. } | Stimulus::Topics(_) => {}
            Stimulus::Closed(_) => unreachable!("the loop has received it"),
        }
    }

    fn on_read(&mut self, mut batch: Box<Batch>, permit: Option<OwnedSemaphorePermit>) {
        self.show_topics(&batch);
        if !self.core.read(&batch.runs) {
            // The partitions were revoked. Their new owner reads the records again.
            return;
        }
        let failure = batch.failure.take();
        self.log_skipped(&batch.skipped);
        let counts = batch.counts;
        for (outcome, count) in
            [("dropped", counts.dropped), ("empty", counts.empty), ("failed", counts.failed)]
        {
            self.metrics.add(&self.connector, outcome, count);
        }
        if counts.empty > 0 {
            tracing::warn!(
                records = counts.empty,
                action = "none if this is intended; otherwise drop such records with a transform, for example TombstoneHandler",
                "records without a value and without attributes are not published"
            );
        }
        let has_letters = self.dead_letters.is_some() && !batch.skipped.is_empty();
        if batch.messages.is_empty() && !has_letters {
            self.core.published(&batch.runs);
        } else {
            self.waiting.push_back((batch, permit));
            self.fill_requests();
        }
        if let Some((slot, offset, error)) = failure {
            self.core.discard();
            self.fail(record_error(&slot, offset, error));
        }
        self.check_drained();
    }

    fn show_topics(&self, batch: &Batch) {
        let is_new = |(slot, _): &&(Slot, _)| !self.topics.borrow().contains(&slot.topic);
        if batch.runs.iter().any(|run| is_new(&run)) {
            self.topics
                .send_modify(|topics| topics.extend(batch.runs.iter().map(|(slot, _)| slot.topic.clone())));
        }
    }

    fn log_skipped(&self, skipped: &[Skipped]) {
        for Skipped { slot, offset, error, .. } in skipped.iter().filter(|_| self.logs_errors) {
            tracing::error!(
                topic = &*slot.topic, partition = slot.partition, offset, %error,
                action = "correct the producer, or the converter and the transforms",
                "a record was skipped"
            );
        }
    }

    /// Starts requests for waiting batches until all requests are in use. With ordering keys there is one: a key of one
    /// batch may be in the next one, which must not overtake it.
    fn fill_requests(&mut self) {
        let requests = if self.publishing.is_ordered { 1 } else { self.limits.requests };
        while self.tasks.len() < requests
            && let Some((batch, permit)) = self.waiting.pop_front()
        {
            let (publishing, dead_letters) = (self.publishing.clone(), self.dead_letters.clone());
            let request = async move {
                let result = carry(&publishing, dead_letters.as_deref(), &batch).await;
                drop(permit);
                (batch, result)
            };
            self.tasks.spawn(request.in_current_span());
        }
    }

    fn on_done(&mut self, done: Result<Done, JoinError>) {
        let (batch, result) = match done {
            Ok(done) => done,
            Err(_) => {
                return self.fail(TaskError::Other(
                    "a request panicked; this is a bug, please report it".to_owned(),
                ));
            }
        };
        match result {
            Err(problem) => self.fail(TaskError::Other(problem)),
            Ok(refused) => {
                let count = (batch.messages.len() - refused.len()) as u64;
                self.metrics.add(&self.connector, "published", count);
                self.metrics.add(&self.connector, "failed", refused.len() as u64);
                if self.skips_errors {
                    self.log_skipped(&refused);
                }
                match refused.into_iter().next() {
                    Some(first) if !self.skips_errors => {
                        self.fail(record_error(&first.slot, first.offset, first.error));
                    }
                    _ => self.core.published(&batch.runs),
                }
            }
        }
        self.fill_requests();
        self.check_drained();
    }

    /// No schema arrives any more, so that records would wait for ever.
    fn on_registry(&mut self, ended: Result<Result<(), RegistryError>, JoinError>) {
        let problem = match ended {
            Ok(Err(error)) => chain(&error),
            Ok(Ok(())) | Err(_) => {
                "the client of the registry ended; this is a bug, please report it".to_owned()
            }
        };
        self.fail(TaskError::Other(problem));
    }

    fn check_drained(&mut self) {
        if self.drain.as_ref().is_some_and(|drain| self.core.is_settled(&drain.slots)) {
            self.answer_drain();
        }
    }

    fn on_deadline(&mut self) {
        if self.failure.is_none() {
            tracing::warn!(
                seconds = self.limits.drain.as_secs(),
                action = "none; subscribers receive the duplicates",
                "the drain timed out before all records were published; the others will be read and published again"
            );
        }
        self.answer_drain();
    }

    fn answer_drain(&mut self) {
        if let Some(drain) = self.drain.take() {
            let commits = self.core.commits(|slot| drain.slots.contains(slot));
            drain.reply.try_send(commits).unwrap_or_else(|_| tracing::debug!("the reader no longer waits"));
        }
    }

    /// The first failure decides; the reader is ordered to leave the group.
    fn fail(&mut self, error: TaskError) {
        if self.failure.is_some() {
            return;
        }
        self.failure = Some(error);
        self.orders.stop();
        // What was read before is still published, for a moment.
        self.limits.drain = self.limits.drain.min(Duration::from_secs(2));
        if let Some(drain) = &mut self.drain {
            drain.deadline = drain.deadline.min(Instant::now() + self.limits.drain);
        }
    }

    async fn closed(mut self, result: Result<(), kafka::Error>) -> Result<(), TaskError> {
        self.tasks.shutdown().await;
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => result.map_err(|error| TaskError::Other(chain(&error))),
        }
    }
}

/// Publishes a batch, and writes dead letters for the records that are skipped. Returns the messages that Pub/Sub refused.
async fn carry(
    publishing: &Publishing,
    letters: Option<&DeadLetters>,
    batch: &Batch,
) -> Result<Vec<Skipped>, String> {
    let skipped = |place: usize| {
        let (run, offset) = batch.places[place];
        let error = DataError::new("CloudPubSubSink", "Pub/Sub refuses the message");
        Skipped { slot: batch.runs[run].0.clone(), offset, error, payload: None }
    };
    let refused: Vec<Skipped> = publishing.batch(batch).await?.into_iter().map(skipped).collect();
    if let Some(letters) = letters {
        letters.write(&batch.skipped).await?;
        letters.write(&refused).await?;
    }
    Ok(refused)
}

fn record_error(slot: &Slot, offset: u64, error: DataError) -> TaskError {
    TaskError::Record { topic: slot.topic.clone(), partition: slot.partition, offset, error }
}

async fn deadline(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
