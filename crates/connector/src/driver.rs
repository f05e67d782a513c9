//! The driver: the one `select!` between the Kafka threads, the publishing tasks and the clock.
//!
//! It owns the core and carries out its effects. See [`crate::core`] for the decisions, and the crate `kafka` for the
//! threads.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    future::pending,
    sync::{Arc, mpsc::SyncSender},
    time::Duration,
};

use event::{Mark, Partition};
use kafka::{Commit, Orders, Permits, Slot};
use service::Readiness;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc::Receiver, watch},
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    batch::Batch,
    core::{BatchId, Core, Effect, Input, StopReason},
    deliver::{Delivery, PUBSUB},
    error::ConnectorError,
    marks::MarkId,
    message::{Publish, PublishError},
    metrics::{ConnectorMetrics, filtered, of_partition, published},
    pace::{PROGRESS, Pace},
    rates::KeyRates,
    summary::Summary,
    view::View,
};

/// The readiness condition of Kafka.
pub(crate) const KAFKA: &str = "kafka";
/// Maximum number of concurrent publish requests for batches. Each is one task; the other batches wait without one.
const CONCURRENCY: usize = 12;
/// Interval of marks. The watermark moves with them, and rows wait for it.
const PERIOD: Duration = Duration::from_millis(250);
/// Commits and reports come with every fourth mark.
const MARKS_A_TICK: u32 = 4;
/// The code of a record that Pub/Sub refuses although it is within the limits.
const REFUSED: &str = "refused-by-pubsub";

/// A stimulus of the connector.
pub(crate) type Stimulus = kafka::Stimulus<Batch>;

/// The driver's state.
pub(crate) struct Driver<'a, P> {
    core: Core,
    delivery: Delivery<P>,
    /// Running requests: at most [`CONCURRENCY`] for batches, and those for marks, which the core bounds.
    tasks: JoinSet<Done>,
    /// How many of `tasks` publish a batch.
    requests: usize,
    /// Of ordering keys; `None` if messages have none. With them, batches are published one after the other.
    rates: Option<KeyRates>,
    orders: Arc<Orders>,
    /// Batches that were read, until the core has decided whether to publish them.
    read: HashMap<BatchId, Admitted>,
    /// Batches to be published as soon as a request is free, oldest first. Their permits bound them.
    waiting: VecDeque<(BatchId, Admitted)>,
    drain: Option<Drain>,
    drain_limit: Duration,
    summary: &'a mut Summary,
    failure: Option<ConnectorError>,
    labelled: BTreeSet<Slot>,
    /// When each batch was read that Pub/Sub does not have yet, oldest first.
    read_at: BTreeMap<BatchId, Instant>,
    watch: watch::Sender<View>,
    /// Of bytes in flight.
    permits: Permits,
    pace: Pace,
}

/// The parts from which a driver is made.
pub(crate) struct Setup<P> {
    pub(crate) core: Core,
    pub(crate) publisher: P,
    pub(crate) orders: Arc<Orders>,
    pub(crate) drain_limit: Duration,
    /// Whether messages have ordering keys.
    pub(crate) is_ordered: bool,
    pub(crate) permits: Permits,
    pub(crate) metrics: ConnectorMetrics,
    pub(crate) readiness: Readiness,
    pub(crate) watch: watch::Sender<View>,
}

/// Partitions that are being drained before they are given up.
struct Drain {
    slots: BTreeSet<Slot>,
    reply: SyncSender<Vec<(Commit, Partition)>>,
    deadline: Instant,
}

/// A finished delivery. Dropping it releases its permit.
struct Done {
    what: Delivered,
    result: Result<Vec<usize>, PublishError>,
}

/// A batch with the permit for its memory; none during a drain.
type Admitted = (Box<Batch>, Option<OwnedSemaphorePermit>);

enum Delivered {
    Batch(Box<Batch>, Option<OwnedSemaphorePermit>),
    Mark(MarkId, BTreeMap<&'static str, u64>),
}

impl<'a, P: Publish> Driver<'a, P> {
    /// Counts into `summary`, which outlives a membership of the group.
    pub(crate) fn new(setup: Setup<P>, summary: &'a mut Summary) -> Self {
        let Setup { core, publisher, orders, drain_limit, is_ordered, permits, metrics, readiness, watch } =
            setup;
        readiness.expect(&[KAFKA, PUBSUB, PROGRESS]);
        let delivery = Delivery::new(publisher, metrics, readiness);
        Self {
            core,
            delivery,
            tasks: JoinSet::new(),
            requests: 0,
            rates: is_ordered.then(|| KeyRates::new(Instant::now().into_std())),
            orders,
            read: HashMap::new(),
            waiting: VecDeque::new(),
            drain: None,
            drain_limit,
            summary,
            failure: None,
            labelled: BTreeSet::new(),
            read_at: BTreeMap::new(),
            watch,
            permits,
            pace: Pace::default(),
        }
    }

    /// Runs until the consumer has left its group: after a shutdown, or after a failure.
    pub(crate) async fn run(
        mut self,
        mut stimuli: Receiver<Stimulus>,
        shutdown: &CancellationToken,
    ) -> Result<(), ConnectorError> {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut marks: u32 = 0;
        loop {
            tokio::select! {
                stimulus = stimuli.recv() => match stimulus {
                    Some(Stimulus::Closed(result)) => return self.closed(result.map_err(Into::into)).await,
                    Some(stimulus) => self.on_stimulus(stimulus),
                    None => return Err(self.failure.unwrap_or(kafka::Error::Defect("kafka").into())),
                },
                Some(done) = self.tasks.join_next() => self.on_done(done),
                _ = ticks.tick() => {
                    if marks.is_multiple_of(MARKS_A_TICK) {
                        self.on_tick();
                    } else {
                        self.step(Input::Mark);
                    }
                    marks = marks.wrapping_add(1);
                }
                () = deadline(self.drain.as_ref().map(|drain| drain.deadline)) => self.on_deadline(),
                () = shutdown.cancelled(), if !self.orders.is_stopping() => self.orders.stop(),
            }
        }
    }

    fn on_stimulus(&mut self, stimulus: Stimulus) {
        match stimulus {
            Stimulus::Read(batch, permit) => self.on_read(batch, permit),
            Stimulus::Drain(slots, reply) => self.on_drain(slots, reply),
            Stimulus::Committed(commits) => {
                self.summary.commits += commits.len() as u64;
                self.delivery.metrics.commits.inc_by(commits.len() as u64);
                self.step(Input::Committed(commits));
            }
            Stimulus::Assigned(slots) => self.step(Input::Assigned(slots)),
            Stimulus::Passed(slot, position) => self.step(Input::Passed(slot, position)),
            Stimulus::Overtaken(slot, position) => self.step(Input::Overtaken(slot, position)),
            Stimulus::Gone(slots) => self.step(Input::Gone(slots)),
            Stimulus::Ends { asked_at, ends } => self.step(Input::Ends { asked_at, ends }),
            Stimulus::Topics(topics) => self.step(Input::Topics(topics)),
            Stimulus::Brokers(state) => self.delivery.readiness.set(KAFKA, state),
            Stimulus::Closed(_) => unreachable!("the loop has received it"),
        }
    }

    fn on_read(&mut self, mut batch: Box<Batch>, permit: Option<OwnedSemaphorePermit>) {
        let read = std::mem::take(&mut batch.read);
        batch.read.parts = read.parts.iter().map(crate::core::ReadPart::place).collect();
        for (code, count) in crate::batch::rejects(&read) {
            self.rejected(code, count);
        }
        let excluded = crate::batch::filtered(&read);
        if excluded > 0 {
            self.summary.filtered += excluded;
            self.delivery.metrics.records.get_or_create(&filtered()).inc_by(excluded);
        }
        self.summary.records += read.records;
        self.delivery.metrics.in_flight.inc_by(batch.bytes as i64);
        match read.batch {
            Some(id) => {
                self.read_at.insert(id, Instant::now());
                drop(self.read.insert(id, (batch, permit)));
            }
            None => drop(permit),
        }
        self.step(Input::Read(read));
        // The core did not ask for these batches to be published.
        for (id, (batch, _)) in self.read.drain() {
            self.read_at.remove(&id);
            self.delivery.metrics.in_flight.dec_by(batch.bytes as i64);
        }
    }

    fn on_drain(&mut self, slots: BTreeSet<Slot>, reply: SyncSender<Vec<(Commit, Partition)>>) {
        let deadline = Instant::now() + self.drain_limit;
        self.drain = Some(Drain { slots: slots.clone(), reply, deadline });
        self.step(Input::Drain(slots));
    }

    fn on_deadline(&mut self) {
        if let Some(drain) = &self.drain {
            tracing::warn!(
                seconds = self.drain_limit.as_secs(),
                action = "none; the processor drops the duplicates",
                "the drain timed out before all records were published; the others will be read and published again"
            );
            let commits = self.core.commits(&drain.slots);
            self.drained(commits);
        }
    }

    fn drained(&mut self, commits: Vec<(Commit, Partition)>) {
        if let Some(drain) = self.drain.take() {
            self.summary.commits += commits.len() as u64;
            // The reader waits for nothing else. If it is gone, its end is the next stimulus.
            drain
                .reply
                .try_send(commits)
                .unwrap_or_else(|_| tracing::debug!("the reader no longer waits for the drain"));
        }
    }

    fn on_tick(&mut self) {
        self.step(Input::Tick);
        self.orders.hold(self.core.is_full());
        let metrics = &self.delivery.metrics;
        let held: BTreeSet<Slot> = self.core.positions().map(|(slot, _)| slot.clone()).collect();
        metrics.partitions.set(held.len() as i64);
        for slot in self.labelled.difference(&held) {
            metrics.lag.remove(&labels(slot));
        }
        for (slot, lag) in self.core.lag() {
            metrics.lag.get_or_create(&labels(slot)).set(i64::try_from(lag).unwrap_or(i64::MAX));
        }
        self.labelled = held;
        self.summary.in_outage = self.delivery.outage.is_on();
        let view = self.view();
        metrics.free_permits.set(i64::try_from(self.permits.available()).unwrap_or(i64::MAX));
        metrics.oldest.set(view.oldest_in_flight.unwrap_or_default().as_secs_f64());
        metrics.outage.set(view.outage.unwrap_or_default().as_secs_f64());
        let now = Instant::now().into_std();
        self.measure_keys(now);
        let pace = self.pace.judge(&view, now);
        self.delivery.readiness.set(PROGRESS, pace);
        self.delivery.readiness.beat();
        self.watch.send_replace(view);
    }

    fn measure_keys(&mut self, now: std::time::Instant) {
        let Some(rates) = &mut self.rates else { return };
        let fastest = rates.look(now);
        self.delivery.metrics.key_rate.set(i64::try_from(fastest.rate).unwrap_or(i64::MAX));
        if fastest.is_news {
            tracing::warn!(
                bytes_per_second = fastest.rate,
                limit = pubsub::limits::MAX_KEY_RATE,
                action = "choose a field with more values for pubsub.ordering_key; beyond the limit Pub/Sub delays the messages, and the connector falls behind",
                "the messages of one ordering key are near or above the rate that Pub/Sub accepts"
            );
        }
    }

    fn view(&self) -> View {
        View {
            summary: self.summary.clone(),
            partitions: self.core.partitions().collect(),
            in_flight_bytes: self.delivery.metrics.in_flight.get().unsigned_abs(),
            oldest_in_flight: self.read_at.values().next().map(Instant::elapsed),
            outage: self.delivery.outage.length(),
        }
    }

    fn step(&mut self, input: Input) {
        for effect in self.core.step(input) {
            match effect {
                Effect::Publish(id) => self.publish(id),
                Effect::PublishMark(id, mark) => self.publish_mark(id, mark),
                Effect::Commit(commits) => self.orders.commit(commits),
                Effect::Drained(commits) => self.drained(commits),
                Effect::Stop(StopReason::TooManyRejects { rejects }) => {
                    let reasons = self.summary.reasons();
                    self.fail(ConnectorError::TooManyRejects { rejects, reasons });
                }
            }
        }
    }

    fn publish(&mut self, id: BatchId) {
        let Some(admitted) = self.read.remove(&id) else { return };
        self.waiting.push_back((id, admitted));
        self.fill_requests();
    }

    /// Starts requests for waiting batches until all requests are in use.
    fn fill_requests(&mut self) {
        // A key of one batch may be in the next one, which must not overtake it.
        let concurrency = if self.rates.is_some() { 1 } else { CONCURRENCY };
        while self.requests < concurrency
            && let Some((id, (mut batch, permit))) = self.waiting.pop_front()
        {
            self.requests += 1;
            if let Some(rates) = &mut self.rates {
                let keyed = batch.messages.iter().filter(|message| !message.lane().key().is_empty());
                keyed.for_each(|message| rates.add(message.lane().key(), message.wire_len()));
            }
            let delivery = self.delivery.clone();
            self.tasks.spawn(async move {
                let result = delivery.batch(&batch.messages).await;
                batch.read.batch = Some(id);
                Done { what: Delivered::Batch(batch, permit), result }
            });
        }
    }

    fn publish_mark(&mut self, id: MarkId, mark: Mark) {
        let delivery = self.delivery.clone();
        self.tasks.spawn(async move {
            let result = delivery.mark(&mark).await.map(|()| Vec::new());
            Done { what: Delivered::Mark(id, absent(&mark)), result }
        });
    }

    fn on_done(&mut self, done: Result<Done, JoinError>) {
        let Done { what, result } = match done {
            Ok(done) => done,
            Err(_) => return self.fail(ConnectorError::Defect("publish")),
        };
        match (what, result) {
            (Delivered::Batch(batch, permit), Ok(refused)) => {
                drop(permit);
                self.requests -= 1;
                self.batch_done(&batch, &refused);
                self.fill_requests();
            }
            (Delivered::Mark(id, absent), Ok(_)) => {
                self.delivery.metrics.marks.inc();
                self.summary.marks += 1;
                for (reason, offsets) in absent {
                    *self.summary.absent.entry(reason).or_default() += offsets;
                    self.delivery
                        .metrics
                        .offsets
                        .get_or_create(&[("reason", reason.to_owned())])
                        .inc_by(offsets);
                }
                self.step(Input::MarkPublished(id));
            }
            (_, Err(source)) => self.fail(ConnectorError::Publish { source }),
        }
    }

    fn batch_done(&mut self, batch: &Batch, refused: &[usize]) {
        let metrics = &self.delivery.metrics;
        let mut refused: Vec<_> = refused.iter().flat_map(|&message| batch.records(message)).collect();
        let taken = (batch.places.len() - refused.len()) as u64;
        metrics.in_flight.dec_by(batch.bytes as i64);
        metrics.requests.inc();
        metrics.bytes.inc_by(batch.bytes as u64);
        metrics.records.get_or_create(&published()).inc_by(taken);
        self.summary.published += taken;
        self.summary.bytes += batch.bytes as u64;
        refused.sort_unstable();
        if !refused.is_empty() {
            self.rejected(REFUSED, refused.len() as u64);
        }
        let refused = refused.into_iter().map(|(slot, offset)| (slot, offset, REFUSED)).collect();
        if let Some(id) = batch.read.batch {
            self.read_at.remove(&id);
            self.step(Input::Published { batch: id, refused });
        }
    }

    fn rejected(&mut self, code: &'static str, count: u64) {
        *self.summary.rejected.entry(code).or_default() += count;
        self.delivery.metrics.records.get_or_create(&[("outcome", format!("rejected:{code}"))]).inc_by(count);
    }

    /// The first failure decides; the reader is ordered to leave the group.
    fn fail(&mut self, error: ConnectorError) {
        if self.failure.is_none() {
            self.failure = Some(error);
            self.orders.stop();
            // A drain would wait for batches that cannot be published.
            if let Some(drain) = &mut self.drain {
                drain.deadline = Instant::now();
            }
            self.drain_limit = Duration::from_secs(1);
        }
    }

    async fn closed(mut self, result: Result<(), ConnectorError>) -> Result<(), ConnectorError> {
        self.tasks.shutdown().await;
        let metrics = &self.delivery.metrics;
        metrics.in_flight.set(0);
        metrics.partitions.set(0);
        for slot in &self.labelled {
            metrics.lag.remove(&labels(slot));
        }
        self.failure.take().map_or(result, Err)
    }
}

async fn deadline(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

fn labels(slot: &Slot) -> [(&'static str, String); 2] {
    of_partition(&slot.topic, slot.partition)
}

/// Number of offsets in a mark that were never records, by reason.
fn absent(mark: &Mark) -> BTreeMap<&'static str, u64> {
    use event::mark::Reason;
    let name = |reason: Reason| match reason {
        Reason::Rejected(_) | Reason::Filtered => None,
        Reason::Empty => Some("empty"),
        Reason::Lost => Some("lost"),
        Reason::Before => Some("before"),
    };
    mark.counts().into_iter().filter_map(|(reason, offsets)| Some((name(reason)?, offsets))).collect()
}

#[cfg(test)]
mod tests;
