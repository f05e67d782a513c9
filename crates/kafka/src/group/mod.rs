//! A member of a consumer group.
//!
//! Two threads own librdkafka. `reader` polls the consumer, hands records to an [`Intake`], and commits; `facts` asks the
//! brokers for the ends of logs and the state of topics and group. Both report to one driver through one bounded channel of
//! [`Stimulus`], and the driver leaves [`Orders`] for them.
//!
//! | module | contents |
//! |---|---|
//! | [`start`], [`plan`] | where partitions are read from, pure |
//! | [`slot`] | a partition in one assignment |
//! | [`fit`] | whether to join again because the assignment does not fit the topics, pure |
//! | `recreated` | whether topics were recreated, so that the client must be replaced, pure |
//! | `reader`, `rebalance`, `positions` | the polling thread |
//! | `assignment`, `batches`, [`permits`] | its state: partitions, unfinished batches, bytes in flight |
//! | `lookup` | its questions about starts, and its commits |
//! | `facts`, [`ask`] | the asking thread |
//! | [`stimulus`], [`orders`] | what the threads and the driver exchange |

pub mod ask;

pub mod fit;

pub(crate) mod lookup;

pub(crate) mod orders;

pub(crate) mod permits;

pub mod plan;

pub(crate) mod slot;

pub mod start;

pub(crate) mod stimulus;

mod assignment;

mod batches;

mod facts;

mod positions;

mod reader;

mod rebalance;

mod recreated;

use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use event::Partition;
use tokio::sync::mpsc::{Sender, channel};

use self::{
    batches::Batches,
    facts::Facts,
    orders::Orders,
    permits::Permits,
    reader::Reader,
    slot::Slot,
    stimulus::{Stimuli, Stimulus},
};
use crate::{
    Brokers, Error, KafkaConfig, KafkaMetrics, Record,
    client::{self, context::Context},
};

/// Turns records into batches on the polling thread, so that raw bytes never leave it.
///
/// The reader passes each record of an assigned partition in the order of its offsets, and once, unless the record has to
/// [wait](Admission::Waits). It takes a batch when [`take`](Self::take) returns it, or with [`close`](Self::close) once
/// the batch's first record has waited for [`linger`](Self::linger).
///
/// ```
/// use kafka::{Admission, Intake, Record, Slot};
///
/// /// Batches of a hundred offsets.
/// #[derive(Default)]
/// struct Offsets(Vec<u64>);
///
/// impl Intake for Offsets {
///     type Origin = ();
///     type Batch = Vec<u64>;
///
///     fn origin(&self, _: event::Partition) {}
///
///     fn take(&mut self, record: &Record<'_>, _: &Slot, (): &()) -> Admission<Vec<u64>> {
///         self.0.push(record.offset);
///         Admission::Taken(if self.0.len() < 100 { None } else { self.close() })
///     }
///
///     fn is_empty(&self) -> bool {
///         self.0.is_empty()
///     }
///
///     fn close(&mut self) -> Option<Vec<u64>> {
///         (!self.is_empty()).then(|| std::mem::take(&mut self.0))
///     }
///
///     fn bytes(batch: &Vec<u64>) -> usize {
///         8 * batch.len()
///     }
/// }
/// ```
pub trait Intake: Send + 'static {
    /// What is prepared once for each assigned partition.
    type Origin: Send;
    /// Records that are handed to the driver together.
    type Batch: Send + 'static;

    /// A partition was assigned, or assigned again.
    fn origin(&self, partition: Partition) -> Self::Origin;

    /// Adds a record to the current batch, unless it has to wait.
    fn take(&mut self, record: &Record<'_>, slot: &Slot, origin: &Self::Origin) -> Admission<Self::Batch>;

    /// Whether the current batch has no record.
    fn is_empty(&self) -> bool;

    /// Takes the current batch; `None` if it has no record.
    fn close(&mut self) -> Option<Self::Batch>;

    /// How long the first record of a batch waits for others; by default ten milliseconds.
    fn linger(&self) -> Option<Duration> {
        None
    }

    /// How many bytes of the permits a batch needs.
    fn bytes(batch: &Self::Batch) -> usize;
}

/// The answer of [`Intake::take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission<B> {
    /// The record is in a batch. Holds a batch that is full, with or without this record.
    Taken(Option<B>),
    /// The record cannot be taken yet, and no batch has changed. The reader pauses its partition and gives the record
    /// again several times a second, while it reads the other partitions.
    Waits,
}

/// One membership of a consumer group, with the threads that it runs on. A member that is dropped without
/// [`end`](Self::end) leaves once its driver drops the receiver.
pub struct Member {
    orders: Arc<Orders>,
    threads: [JoinHandle<()>; 2],
    /// Dropped to end the asking thread.
    keep_asking: mpsc::Sender<()>,
}

/// How many stimuli can wait for the driver.
const CHANNEL: usize = 64;
const READER: &str = "kafka";
const FACTS: &str = "kafka-facts";

impl Member {
    /// Joins the group. Everything that happens reaches the receiver, of which [`Stimulus::Closed`] is the last.
    ///
    /// # Errors
    /// [`Error::Client`] if librdkafka rejects the configuration, [`Error::Defect`] if a thread cannot be started. All
    /// later errors arrive with [`Stimulus::Closed`].
    pub fn join<I: Intake>(
        config: KafkaConfig,
        intake: I,
        permits: Permits,
        metrics: KafkaMetrics,
    ) -> Result<(Self, Stimuli<I::Batch>), Error> {
        let config = Arc::new(config);
        let orders = Arc::new(Orders::default());
        let (driver, stimuli) = channel(CHANNEL);
        let consumer = client::create(&client::client_config(config.consumer()), Context::showing(metrics))
            .map_err(|error| Error::Client { source: error.into() })?;
        let clients = (consumer, Brokers::new(&config)?);
        let facts =
            Facts::new(Brokers::new(&config)?, config.group_id.clone(), orders.clone(), driver.clone());
        let to_driver = (orders.clone(), driver.clone());
        let reader = Reader::new(clients, config, Batches::new(intake), to_driver, permits);
        let (keep_asking, stop_asking) = mpsc::channel();
        let threads = [
            spawn(READER, driver.clone(), move || reader.run())?,
            spawn(FACTS, driver, move || facts.run(&stop_asking))?,
        ];
        Ok((Self { orders, threads, keep_asking }, stimuli))
    }

    /// Where the driver leaves its orders.
    pub fn orders(&self) -> Arc<Orders> {
        self.orders.clone()
    }

    /// Waits until both threads have ended. The receiver must have been dropped, or have returned [`Stimulus::Closed`].
    ///
    /// # Errors
    /// [`Error::Defect`] if a thread panicked.
    pub async fn end(self) -> Result<(), Error> {
        let Self { orders, threads, keep_asking } = self;
        orders.stop();
        drop(keep_asking);
        let joined = tokio::task::spawn_blocking(move || threads.map(JoinHandle::join)).await;
        match joined {
            Ok([Ok(()), Ok(())]) => Ok(()),
            Ok([Err(_), _]) => Err(Error::Defect(READER)),
            _ => Err(Error::Defect(FACTS)),
        }
    }
}

fn spawn<B: Send + 'static>(
    name: &'static str,
    driver: Sender<Stimulus<B>>,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, Error> {
    let alarm = Alarm { name, driver };
    // A process with several groups names the one that a line is about in a span.
    let span = tracing::Span::current();
    let body = move || {
        let _alarm = alarm;
        span.in_scope(body);
    };
    thread::Builder::new().name(name.to_owned()).spawn(body).map_err(|_| Error::Defect(name))
}

/// Ends the driver if a thread panics; otherwise the other thread would keep it waiting.
struct Alarm<B> {
    name: &'static str,
    driver: Sender<Stimulus<B>>,
}

impl<B> Drop for Alarm<B> {
    fn drop(&mut self) {
        if thread::panicking() {
            let end = Stimulus::Closed(Err(Error::Defect(self.name)));
            self.driver.blocking_send(end).unwrap_or_else(|_| tracing::debug!("the driver has ended"));
        }
    }
}
