//! Starts a processor: acquires the state, recovers it, opens the subscriptions, and hands over to the loop in
//! [`super`].

use std::{sync::Arc, time::Duration};

use event::events::EventsSettings;
use pubsub::{Connection, SubscribeOptions};
use service::{metrics::Metrics, readiness::Readiness};
use tokio::{sync::watch, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Driver, now};
use flow::Flow;

use crate::{
    board::Board,
    core::Core,
    error::ProcessorError,
    frontier::Limits,
    inputs::Inputs,
    io::{readers::Readers, tasks},
    metrics::ProcessorMetrics,
    oddities::Oddities,
    pace::Pace,
    readiness::{self, CHECKPOINTS, PUBSUB, STATE, TABLES},
    records::RecordReader,
    sink::Sink,
    stages::{Size, Stages},
    store::{Standing, StateSettings, Store},
    view::{Own, View},
};

/// The configuration of a processor.
#[derive(Debug)]
pub struct Config {
    /// The `[events]` section.
    pub events: EventsSettings,
    /// The `[[flows]]` tables.
    pub flows: Vec<Flow>,
    /// The `[state]` section.
    pub state: StateSettings,
    /// The topics that the data subscriptions are attached to.
    pub inputs: Inputs,
    /// Options of the data subscriptions.
    pub data: SubscribeOptions,
    /// Options of the marks subscription.
    pub marks: SubscribeOptions,
}

/// The services that a processor uses and does not own.
#[derive(Debug)]
pub struct Services {
    /// The connection to Pub/Sub.
    pub connection: Connection,
    /// Where checkpoints are stored.
    pub store: Store,
    /// The registry for the processor's metrics.
    pub metrics: Metrics,
    /// The conditions of the readiness probe.
    pub readiness: Readiness,
    /// Cancelled to stop the processor.
    pub shutdown: CancellationToken,
    /// Receives the status at each tick, for the demo's table and the live page.
    pub watch: watch::Sender<View>,
}

/// A destination of the rows.
#[derive(Debug)]
pub struct Writer<S> {
    /// Its name, by which the state knows which rows it has.
    pub name: Arc<str>,
    /// Its tables.
    pub sink: Arc<S>,
}

/// The result of a run.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The last status.
    pub view: View,
    /// The number of checkpoints that became durable.
    pub checkpoints: u64,
    /// Requests that the state still holds for the next run.
    pub pending_requests: usize,
}

/// The board may use this fraction of `memory`, but no more than [`BOARD_BYTES`].
const BOARD_SHARE: u64 = 16;
const BOARD_BYTES: u64 = 32 << 20;

/// Runs until `shutdown` is cancelled. Returns once everything that was applied is durable. All rows go to each of the writers,
/// of which there is at least one.
///
/// # Errors
/// Returns an error if another processor or other flows own the state, or if Pub/Sub or the tables reject a request
/// permanently.
pub async fn run<S: Sink>(
    config: Config,
    services: Services,
    writers: Vec<Writer<S>>,
) -> Result<Summary, ProcessorError> {
    let mut metrics = {
        let names = writers.iter().map(|writer| &*writer.name);
        ProcessorMetrics::new(&services.metrics, config.state.memory.0, names)
    };
    let takeover_after = config.state.takeover_after.std();
    let report = |standing: Standing<'_>| report_standing(&services.readiness, standing);
    let Some(hold) = services.store.hold(takeover_after, &services.shutdown, report).await? else {
        return Ok(Summary::default());
    };
    services.readiness.set(STATE, Ok(()));
    services.readiness.expect(&[CHECKPOINTS, PUBSUB, TABLES]);
    metrics.holds_state.set(1);
    let started = Instant::now();
    let limits = Limits {
        idle_after: config.state.idle_after,
        hole_limit: config.state.hole_limit,
        cold_start: config.state.cold_start,
    };
    let new_core = || Core::new(&config.events, config.flows.clone(), limits, now());
    let recovering = tasks::recover(&services.store, new_core, metrics.retries("recovery"));
    let Some(recovered) = services.shutdown.run_until_cancelled(recovering).await else {
        return Ok(Summary::default());
    };
    let (recovered, restoring) = recovered?;
    let (core, outboxes, restored) = restoring.finish()?;
    let millis = started.elapsed().as_millis() as u64;
    info!(checkpoints = recovered.checkpoints, millis, "state recovered");
    for flow in &restored.added {
        info!(flow, "a new flow starts at the current watermark");
    }
    for flow in &restored.removed {
        warn!(
            flow,
            action = "none if the removal was intended, its table is unchanged; otherwise restore the flow in the configuration, and recompute its past with `aqueduct replay`",
            "this flow is no longer configured; its state is dropped"
        );
    }
    let (names, sinks): (Vec<_>, Vec<_>) =
        writers.into_iter().map(|writer| (writer.name, writer.sink)).unzip();
    let stages = Stages::new(core, outboxes, &names).with_inputs(config.inputs);
    for (writer, outbox) in stages.parked() {
        warn!(
            writer = &**writer,
            requests = outbox.len(),
            action = "add the writer again under this name to send them",
            "rows wait in the state for a writer that is no longer configured"
        );
    }
    let core = stages.core();
    let appender = Box::new(services.store.appender(&recovered));
    let data = services.connection.subscribe(&config.data);
    let readers = std::thread::available_parallelism().map_or(1, usize::from);
    let readers = (0..readers).map(|_| RecordReader::new(core.engine().reader())).collect();
    let data = Readers::start(data, readers);
    let marks = services.connection.subscribe(&config.marks);
    metrics.begin(core.engine().flows().iter().map(|flow| (flow.name().clone(), flow.ledger)));
    services.readiness.watch(CHECKPOINTS, config.state.period.std() * 6 + Duration::from_secs(30));
    let oddities = Oddities::new(core.engine().flows());
    let board = Board::new(&config.flows, BOARD_BYTES.min(config.state.memory.0 / BOARD_SHARE));
    let driver = Driver {
        board,
        own: Own { started: Some(now()), memory: config.state.memory.0, ..Own::default() },
        detail: Arc::default(),
        ticks: 0,
        metrics,
        outstanding: Size {
            messages: config.data.outstanding_messages,
            bytes: config.data.outstanding_bytes,
        },
        links: data.links().iter().chain(marks.links()).cloned().collect(),
        streams_asked: vec![false; sinks.len()],
        stages,
        sinks,
        store: services.store,
        appender: Some(appender),
        tasks: JoinSet::new(),
        last_checkpoint: None,
        last_report: Instant::now(),
        oddities,
        pace: Pace::default(),
        rows: 0,
        flow_rows: 0,
        checkpoints: 0,
        state: config.state,
        readiness: services.readiness,
        watch: services.watch,
    };
    driver.run(data, marks, hold, &services.shutdown).await
}

/// Reports a standby as ready, because it can take over, unless it cannot read the state.
fn report_standing(readiness: &Readiness, standing: Standing<'_>) {
    match standing {
        Standing::By => readiness.note(STATE, readiness::STANDING_BY),
        Standing::Blind(error) => {
            readiness.set(STATE, Err(format!("cannot check the state: {}", tasks::chain(error))));
        }
    }
}
