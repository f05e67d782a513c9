//! Putting the connector together: two threads, the driver, and their end.

use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use event::ByteSize;
use service::Readiness;
use tokio::{
    runtime::Handle,
    sync::{
        Semaphore,
        mpsc::{Sender, channel},
        watch,
    },
};
use tokio_util::sync::CancellationToken;

use crate::{
    anonymise::Anonymiser,
    core::Core,
    driver::{Driver, Setup},
    error::ConnectorError,
    fencing::Fencing,
    io::{
        brokers::{self, Brokers},
        context::Context,
        facts::Facts,
        intake::Intake,
        orders::Orders,
        reader::{Permits, Reader},
    },
    message::Publish,
    metrics::ConnectorMetrics,
    settings::KafkaConfig,
    stimulus::Stimulus,
    summary::Summary,
    view::View,
};

/// What a connector is told.
#[derive(Clone)]
pub struct Config {
    /// `[kafka]`.
    pub kafka: KafkaConfig,
    /// `[pubsub] in_flight`: bytes published and not yet acknowledged.
    pub in_flight: ByteSize,
    /// How many rejects within 10,000 records are allowed.
    pub max_rejects: u32,
    /// The name of this process in its marks; for people.
    pub replica: String,
}

/// Where a connector shows how it goes.
#[derive(Clone)]
pub struct Shown {
    /// Its metrics.
    pub metrics: ConnectorMetrics,
    /// Its conditions, `kafka` and `pubsub`.
    pub readiness: Readiness,
    /// Sees how it stands, once a second.
    pub watch: watch::Sender<View>,
}

/// Stimuli that wait for the driver.
const CHANNEL: usize = 64;
/// The longest drain, and the shortest time that the group must be left for it.
const LONGEST_DRAIN: Duration = Duration::from_secs(15);

/// Carries records from Kafka to Pub/Sub until `shutdown` is cancelled, or until it cannot go on. Returns once what was
/// read is published and committed, or its time to drain is over, and both threads have ended. Joins the group again when
/// its name was taken by accident.
///
/// # Errors
/// See [`ConnectorError`]. In no case is an offset committed that Pub/Sub does not have everything below of.
pub async fn run<P: Publish>(
    config: Config,
    anonymiser: Anonymiser,
    publisher: P,
    shown: Shown,
    shutdown: CancellationToken,
) -> Result<Summary, ConnectorError> {
    shown.metrics.show_keys(anonymiser.keys());
    let mut summary = Summary::default();
    let mut fencing = Fencing::default();
    loop {
        let clients = (anonymiser.clone(), publisher.clone());
        match membership(config.clone(), clients, shown.clone(), &shutdown, &mut summary).await {
            Ok(()) => return Ok(summary),
            Err(ConnectorError::Fenced { group, instance })
                if !shutdown.is_cancelled() && fencing.may_rejoin(Instant::now()) =>
            {
                tracing::warn!(
                    %group,
                    %instance,
                    action = "give each replica its own kafka.group_instance_id if two run; nothing after a restart of a broker",
                    "our name in the group was taken, by a broker that restarted or by another replica; joining again, and ending if that happens again soon"
                );
            }
            Err(error) => return Err(error),
        }
    }
}

/// One membership of the group, from joining to leaving.
async fn membership<P: Publish>(
    config: Config,
    (anonymiser, publisher): (Anonymiser, P),
    shown: Shown,
    shutdown: &CancellationToken,
    summary: &mut Summary,
) -> Result<(), ConnectorError> {
    let kafka = Arc::new(config.kafka);
    let orders = Arc::new(Orders::default());
    let (driver, stimuli) = channel(CHANNEL);
    let context = Context::showing(shown.metrics.figures.clone());
    let consumer = brokers::create(&brokers::client_config(kafka.consumer()), context)?;
    let total = usize::try_from(config.in_flight.0).unwrap_or(usize::MAX).clamp(1, u32::MAX as usize);
    let permits = Permits { runtime: Handle::current(), bytes: Arc::new(Semaphore::new(total)), total };
    // A quarter: so that reading, encoding and sending overlap.
    let intake = Intake::new(anonymiser, total / 4);
    let clients = (consumer, Brokers::new(&kafka)?);
    let facts = Facts::new(Brokers::new(&kafka)?, kafka.group_id.clone(), orders.clone(), driver.clone());
    let drain_limit = LONGEST_DRAIN.min(kafka.session_timeout / 3);
    let bytes = permits.bytes.clone();
    shown.metrics.permits.set(i64::try_from(total).unwrap_or(i64::MAX));
    let reader = Reader::new(clients, kafka, intake, (orders.clone(), driver.clone()), permits);
    let (keep_asking, stop_asking) = mpsc::channel();
    let threads = [
        spawn("kafka", driver.clone(), move || reader.run())?,
        spawn("kafka-facts", driver, move || facts.run(&stop_asking))?,
    ];
    let setup = Setup {
        core: Core::new(config.replica, config.max_rejects),
        publisher,
        orders: orders.clone(),
        drain_limit,
        permits: bytes,
        metrics: shown.metrics,
        readiness: shown.readiness,
        watch: shown.watch,
    };
    let result = Driver::new(setup, summary).run(stimuli, shutdown).await;
    orders.stop();
    drop(keep_asking);
    join(threads).await.and(result)
}

fn spawn(
    name: &'static str,
    driver: Sender<Stimulus>,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, ConnectorError> {
    let alarm = Alarm { name, driver };
    let body = move || {
        let _alarm = alarm;
        body();
    };
    thread::Builder::new().name(name.to_owned()).spawn(body).map_err(|_| ConnectorError::Defect(name))
}

/// Ends the driver when a thread panics: the other one would keep it waiting.
struct Alarm {
    name: &'static str,
    driver: Sender<Stimulus>,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            let end = Stimulus::Closed(Err(ConnectorError::Defect(self.name)));
            self.driver.blocking_send(end).unwrap_or_else(|_| tracing::debug!("the driver has ended"));
        }
    }
}

async fn join(threads: [JoinHandle<()>; 2]) -> Result<(), ConnectorError> {
    let joined = tokio::task::spawn_blocking(move || threads.map(JoinHandle::join)).await;
    match joined {
        Ok([Ok(()), Ok(())]) => Ok(()),
        Ok([Err(_), _]) => Err(ConnectorError::Defect("kafka")),
        _ => Err(ConnectorError::Defect("kafka-facts")),
    }
}
