//! The one loop: messages, marks, the clock, checkpoints and rows on their way.
//!
//! The order that keeps the promises: apply -> checkpoint durable -> acknowledge and send rows. The thinking is
//! in [`crate::core`], that order in [`crate::stages`]; here is only what waits.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use event::{EventTime, Mark, Millis, events::EventsSettings};
use pubsub::{AckHandle, Connection, Inbound, SubscribeOptions, Subscription, link::Link};
use service::{metrics::Metrics, readiness::Readiness};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::{
    board::Board,
    core::{Core, Data},
    engine::FlowState,
    error::ProcessorError,
    flow::Flow,
    frontier::{Abandoned, Limits},
    io::{
        messages::Partitions,
        tasks::{self, Ended},
    },
    metrics::ProcessorMetrics,
    outbox::Outbox,
    pace::Pace,
    readiness::{self, CHECKPOINTS, PUBSUB, STATE, TABLES},
    saved::{Saved, restore},
    sink::Sink,
    stages::{Delivered, Reopen, Sent, Stages},
    store::{Appender, Hold, Kind, Standing, StateSettings, Store},
    view::{Ahead, Detail, Own, View},
};

/// What a processor needs to know.
#[derive(Debug)]
pub struct Config {
    /// `[events]`.
    pub events: EventsSettings,
    /// `[[flows]]`.
    pub flows: Vec<Flow>,
    /// `[state]`.
    pub state: StateSettings,
    /// The data subscription.
    pub data: SubscribeOptions,
    /// The marks subscription.
    pub marks: SubscribeOptions,
}

/// What the rest of the process lends it.
#[derive(Debug)]
pub struct Services {
    /// Pub/Sub.
    pub connection: Connection,
    /// Where checkpoints go.
    pub store: Store,
    /// Where metrics are shown.
    pub metrics: Metrics,
    /// Who is ready.
    pub readiness: Readiness,
    /// Told to stop.
    pub shutdown: CancellationToken,
    /// Sees the state at each tick: the demo's table, and the page.
    pub watch: watch::Sender<View>,
}

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The last view.
    pub view: View,
    /// Durable checkpoints.
    pub checkpoints: u64,
    /// Requests that wait in the state for the next run.
    pub pending_requests: usize,
}

const TICK: Duration = Duration::from_millis(100);
const BATCH: usize = 2_000;
/// A firing pane brings the next checkpoint forward, but not more often than this.
const SOONEST: Duration = Duration::from_millis(500);
/// A base is written once its deltas are that many, or larger than it.
const MAX_DELTAS: u64 = 500;
const MIN_COMPACTION: u64 = 1 << 20;
/// Every so many ticks the spectators see details.
const DETAIL_TICKS: u32 = 5;
/// What the rows of the last hour may take: this part of `memory`, and no more than that.
const BOARD_SHARE: u64 = 16;
const BOARD_BYTES: u64 = 32 << 20;
/// How long a checkpoint may take at the end.
const LAST_CHECKPOINT: Duration = Duration::from_secs(15);
/// How long rows may take at the end; what is left waits in the state.
const LAST_ROWS: Duration = Duration::from_secs(10);

/// Runs until told to stop. Returns once everything that was applied is durable.
///
/// # Errors
/// When the state belongs to somebody else or to other flows, and when Pub/Sub or the tables refuse for good.
pub async fn run<S: Sink>(
    config: Config,
    services: Services,
    sink: Arc<S>,
) -> Result<Summary, ProcessorError> {
    let mut metrics = ProcessorMetrics::new(&services.metrics, config.state.memory.0);
    let takeover_after = config.state.takeover_after.std();
    let tell = |standing: Standing<'_>| tell_standing(&services.readiness, standing);
    let Some(hold) = services.store.hold(takeover_after, &services.shutdown, tell).await? else {
        return Ok(Summary::default());
    };
    services.readiness.set(STATE, Ok(()));
    services.readiness.expect(&[CHECKPOINTS, PUBSUB, TABLES]);
    metrics.holds_state.set(1);
    let started = Instant::now();
    let recovering = tasks::recover(&services.store, metrics.retries("recovery"));
    let Some(recovered) = services.shutdown.run_until_cancelled(recovering).await else {
        return Ok(Summary::default());
    };
    let recovered = recovered?;
    let limits = Limits {
        idle_after: config.state.idle_after,
        hole_limit: config.state.hole_limit,
        cold_start: config.state.cold_start,
    };
    let mut core = Core::new(&config.events, config.flows.clone(), limits, now());
    let mut outbox = Outbox::default();
    let mut checkpoints = Vec::new();
    for checkpoint in recovered.base.iter().chain(&recovered.deltas) {
        checkpoints.push(Saved::decode(checkpoint)?);
    }
    let count = checkpoints.len();
    let restored = restore(&mut core, &mut outbox, checkpoints)?;
    info!(checkpoints = count, millis = started.elapsed().as_millis() as u64, "state recovered");
    for flow in restored.added.iter().filter(|_| count > 0) {
        info!(flow, "a new flow begins at the present watermark");
    }
    for flow in &restored.removed {
        warn!(
            flow,
            action = "nothing if it was taken out on purpose; its table stays as it is",
            "the configuration names this flow no more; its state is dropped"
        );
    }
    let appender = Box::new(services.store.appender(&recovered));
    let data = services.connection.subscribe(&config.data);
    let marks = services.connection.subscribe(&config.marks);
    metrics.begin(core.engine().flows().iter().map(|flow| (flow.name().clone(), flow.ledger)));
    services.readiness.watch(CHECKPOINTS, config.state.period.std() * 6 + Duration::from_secs(30));
    let board = Board::new(&config.flows, BOARD_BYTES.min(config.state.memory.0 / BOARD_SHARE));
    let driver = Driver {
        board,
        own: Own { started: Some(now()), memory: config.state.memory.0, ..Own::default() },
        detail: Arc::default(),
        ticks: 0,
        metrics,
        links: [data.link(), marks.link()],
        stages: Stages::new(core, outbox),
        sink,
        appender: Some(appender),
        tasks: JoinSet::new(),
        streams_asked: false,
        last_checkpoint: None,
        last_report: Instant::now(),
        pace: Pace::default(),
        partitions: Partitions::default(),
        rows: 0,
        flow_rows: 0,
        checkpoints: 0,
        state: config.state,
        readiness: services.readiness,
        watch: services.watch,
    };
    driver.run(data, marks, hold, &services.shutdown).await
}

/// A stand-by is ready: to stand by. One that does not see the state could not take over.
fn tell_standing(readiness: &Readiness, standing: Standing<'_>) {
    match standing {
        Standing::By => readiness.note(STATE, readiness::STANDING_BY),
        Standing::Blind(error) => {
            readiness.set(STATE, Err(format!("the state cannot be watched: {}", tasks::chain(error))));
        }
    }
}

/// The present, by this machine's clock.
pub fn now() -> EventTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

struct Driver<S> {
    stages: Stages<AckHandle>,
    sink: Arc<S>,
    state: StateSettings,
    metrics: ProcessorMetrics,
    /// Whether Pub/Sub answers for the data and the marks.
    links: [watch::Receiver<Link>; 2],
    readiness: Readiness,
    watch: watch::Sender<View>,
    /// Here when no checkpoint is on its way.
    appender: Option<Box<Appender>>,
    tasks: JoinSet<Ended>,
    streams_asked: bool,
    last_checkpoint: Option<Instant>,
    last_report: Instant,
    pace: Pace,
    partitions: Partitions,
    rows: u64,
    flow_rows: u64,
    checkpoints: u64,
    board: Board,
    /// What a spectator sees beside the core.
    own: Own,
    detail: Arc<Detail>,
    ticks: u32,
}

impl<S: Sink> Driver<S> {
    async fn run(
        mut self,
        mut data: Subscription,
        mut marks: Subscription,
        hold: Hold,
        shutdown: &CancellationToken,
    ) -> Result<Summary, ProcessorError> {
        let ended = self.until_stopped(&mut data, &mut marks, shutdown).await;
        if matches!(ended, Err(ProcessorError::Memory { .. })) {
            // What fits is kept: the next run begins where this one stops.
            self.finish().await?;
        }
        if ended.is_err() {
            // Nothing is acknowledged that is not durable: dropped handles give their messages back.
            self.stages.give_back();
            tokio::join!(data.close(Duration::from_secs(1)), marks.close(Duration::from_secs(1)));
            return ended.map(|()| Summary::default());
        }
        self.finish().await?;
        tokio::join!(data.close(Duration::from_secs(5)), marks.close(Duration::from_secs(5)));
        hold.release(self.appender.as_ref().and_then(|appender| appender.newest())).await;
        Ok(Summary {
            view: self.view(),
            checkpoints: self.checkpoints,
            pending_requests: self.stages.outbox().len(),
        })
    }

    async fn until_stopped(
        &mut self,
        data: &mut Subscription,
        marks: &mut Subscription,
        shutdown: &CancellationToken,
    ) -> Result<(), ProcessorError> {
        let mut ticker = tokio::time::interval(TICK);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut batch, mut mark_batch) = (Vec::with_capacity(BATCH), Vec::new());
        loop {
            let room = self.stages.has_room();
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                received = marks.receive(&mut mark_batch, BATCH), if room => {
                    received?;
                    self.marks(&mut mark_batch);
                }
                received = data.receive(&mut batch, BATCH), if room => {
                    received?;
                    self.data(&mut batch);
                }
                _ = ticker.tick() => self.tick()?,
                Some(ended) = self.tasks.join_next() => {
                    let ended = ended.map_err(|e| ProcessorError::Task(service::telemetry::task_failure(&e)))?;
                    self.ended(ended)?;
                }
            }
        }
    }

    fn data(&mut self, batch: &mut Vec<Inbound>) {
        let now = now();
        self.own.unacknowledged_since.get_or_insert(now);
        for Inbound { messages, ack } in batch.drain(..) {
            for message in messages.iter() {
                let origin = self.partitions.origin(&message);
                let data = Data {
                    position: origin.position,
                    kafka_time: origin.kafka_time,
                    publish_time: message.publish_time,
                    payload: message.data,
                };
                self.stages.data(&data, now);
            }
            self.stages.applied(ack, messages.len());
        }
    }

    fn marks(&mut self, batch: &mut Vec<Inbound>) {
        let now = now();
        for Inbound { messages, ack } in batch.drain(..) {
            for message in messages.iter() {
                let mark = Mark::from_json(message.data).ok().filter(|mark| mark.version <= Mark::VERSION);
                match &mark {
                    Some(mark) => {
                        self.own.last_mark = Some(now);
                        self.own.ahead = Some(Ahead::of(mark, message.publish_time, now));
                    }
                    None => warn!(
                        message_id = message.message_id,
                        action = "update the processor to the connector's version, and see that nobody else publishes to the marks topic",
                        "a message on the marks subscription is no mark that this version knows; is the connector newer?"
                    ),
                }
                self.stages.mark(mark.as_ref(), message.publish_time, now);
            }
            self.stages.applied(ack, messages.len());
        }
    }

    fn tick(&mut self) -> Result<(), ProcessorError> {
        let now = now();
        self.open_streams();
        for hole in self.stages.tick(now) {
            report_hole(&hole);
        }
        self.send_rows();
        if self.checkpoint_is_due() {
            self.start_checkpoint(now)?;
        }
        let unacknowledged = self.stages.unacknowledged();
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks % DETAIL_TICKS == 1 {
            self.detail = Arc::new(self.look(unacknowledged, now));
            self.metrics.observe(&self.detail, self.stages.core().is_caught_up(now), now);
            self.judge(now);
        }
        self.watch.send_replace(self.view());
        if self.last_report.elapsed() >= Duration::from_secs(60) {
            self.report();
        }
        if let Some(news) = self.pace.look(self.behind(now), now) {
            news.tell();
        }
        self.check_memory(unacknowledged)
    }

    /// Whether this processor goes on, for those who ask.
    fn judge(&self, now: EventTime) {
        self.readiness.beat();
        let links = self.links.each_ref().map(|link| *link.borrow());
        self.readiness.set(PUBSUB, readiness::pubsub(links));
        self.readiness.set(TABLES, readiness::tables(self.detail.own.oldest_request, now));
    }

    fn view(&self) -> View {
        let flows = self.stages.core().engine().flows();
        View {
            events: self.stages.core().counters().events,
            rows: self.rows,
            flow_rows: self.flow_rows,
            flows: flows.iter().map(|f| (f.name().clone(), f.windows.watermark(), f.ledger)).collect(),
            caught_up: self.stages.core().is_caught_up(now()),
            detail: self.detail.clone(),
            board: self.board.clone(),
        }
    }

    fn look(&self, unacknowledged: usize, now: EventTime) -> Detail {
        // A request that an earlier run fixed waits since this one began, as far as anyone here knows.
        let first = self.stages.outbox().pending_from(0).next().map(|(number, _)| *number);
        let oldest_request = first.and_then(|first| match self.stages.fired().oldest() {
            Some((number, at)) if number <= first => Some(at),
            _ => self.own.started,
        });
        let own = Own { unacknowledged, oldest_request, checkpoints: self.checkpoints, ..self.own };
        Detail::of(self.stages.core(), self.stages.outbox(), own, now)
    }

    fn report(&mut self) {
        self.last_report = Instant::now();
        let core = self.stages.core();
        let flow = |flow: &FlowState| {
            let ends = flow.ledger.iter().filter(|(_, offsets)| *offsets > 0);
            let ends: Vec<_> = ends.map(|(o, offsets)| format!("{} {offsets}", o.as_str())).collect();
            format!("{}: watermark {}, {}", flow.name(), flow.windows.watermark(), ends.join(", "))
        };
        let flows: Vec<_> = core.engine().flows().iter().map(flow).collect();
        info!(
            messages = core.counters().events,
            rows = self.flow_rows,
            checkpoints = self.checkpoints,
            unacknowledged = self.stages.unacknowledged(),
            state_bytes = core.bytes(),
            caught_up = core.is_caught_up(now()),
            flows = flows.join("; "),
            "so far"
        );
    }

    /// How far the slowest flow's watermark is behind where it would be without a backlog.
    fn behind(&self, now: EventTime) -> Option<Millis> {
        let flows = self.stages.core().engine().flows().iter();
        let known = flows.filter(|state| state.windows.watermark() > EventTime::MIN);
        let due = |state: &FlowState| state.windows.watermark() + state.flow.out_of_orderness;
        known.map(|state| Millis(now.0.saturating_sub(due(state).0))).max()
    }

    fn check_memory(&self, unacknowledged: usize) -> Result<(), ProcessorError> {
        // An ack id is some 200 bytes on Google Cloud.
        let shown = self.board.bytes() + self.stages.fired().bytes();
        let bytes =
            self.stages.core().bytes() + self.stages.outbox().bytes() + shown + 200 * unacknowledged as u64;
        if bytes <= self.state.memory.0 {
            return Ok(());
        }
        let largest = self.stages.core().engine().flows().iter().max_by_key(|flow| flow.windows.bytes());
        let (flow, keys) =
            largest.map_or_else(Default::default, |f| (f.name().to_string(), f.windows.key_count()));
        Err(ProcessorError::Memory { bytes, flow, keys })
    }

    fn open_streams(&mut self) {
        if self.streams_asked {
            return;
        }
        let missing = self.stages.missing_streams();
        self.streams_asked = true;
        if !missing.is_empty() {
            let retries = self.metrics.retries("stream");
            self.tasks.spawn(tasks::open_streams(self.sink.clone(), missing, retries));
        }
    }

    fn checkpoint_is_due(&self) -> bool {
        let Some(since) = self.last_checkpoint.map(|at| at.elapsed()) else { return true };
        self.appender.is_some()
            && (since >= self.state.period.std() || (self.stages.core().has_rows() && since >= SOONEST))
    }

    fn start_checkpoint(&mut self, now: EventTime) -> Result<(), ProcessorError> {
        let Some(appender) = &self.appender else { return Ok(()) };
        let (base, deltas) = (appender.base_bytes(), appender.delta_bytes());
        let everything =
            appender.deltas() >= MAX_DELTAS || deltas > base.saturating_mul(2).max(MIN_COMPACTION);
        let Some(saved) = self.stages.checkpoint(everything, now, &*self.sink)? else { return Ok(()) };
        self.metrics.pending(self.stages.outbox().len());
        for (table, rows) in self.stages.take_left_out() {
            let table = table.name();
            error!(
                table,
                rows,
                action = "find the page or box with such a long name: its dead letter has the stage writer",
                "rows are larger than a request may be; they are left out and stand in dead_letters"
            );
        }
        let payload = saved.encode()?;
        self.metrics.checkpoint_size.observe(payload.len() as f64);
        self.own.checkpoint_bytes = payload.len() as u64;
        self.own.covered_since = self.own.unacknowledged_since.take();
        self.last_checkpoint = Some(Instant::now());
        let kind = if everything { Kind::Base } else { Kind::Delta };
        if let Some(appender) = self.appender.take() {
            let retries = self.metrics.retries("checkpoint");
            self.tasks.spawn(tasks::checkpoint(appender, kind, Bytes::from(payload), retries));
        }
        Ok(())
    }

    /// Sends what is durable and was not sent yet.
    fn send_rows(&mut self) {
        let requests = self.stages.requests();
        if !requests.is_empty() {
            self.tasks.spawn(tasks::send(self.sink.clone(), requests, self.metrics.retries("append")));
        }
    }

    fn ended(&mut self, ended: Ended) -> Result<(), ProcessorError> {
        match ended {
            Ended::Checkpoint(appender, result) => {
                result?;
                self.appender = Some(appender);
                self.checkpoints += 1;
                self.own.covered_since = None;
                self.own.last_checkpoint = Some(now());
                if let Some(took) = self.last_checkpoint.map(|at| at.elapsed()) {
                    self.own.checkpoint_millis = Some(took.as_millis() as u64);
                    self.metrics.checkpoint_time.observe(took.as_secs_f64());
                }
                self.metrics.checkpoints.inc();
                self.readiness.progress(CHECKPOINTS);
                let handles = self.stages.durable();
                debug!(acknowledged = handles.len(), "checkpoint durable");
                AckHandle::ack_all(handles);
                self.send_rows();
                Ok(())
            }
            Ended::Streams(streams) => {
                for (table, name) in streams? {
                    self.stages.opened(&table, name);
                }
                Ok(())
            }
            Ended::Sent(sent) => self.rows_sent(sent),
            Ended::Stands(stands) => {
                let delivered = self.stages.answered(stands?);
                if delivered.rows > 0 {
                    info!(
                        rows = delivered.rows,
                        "these rows stand, though their answer was lost: not sent again"
                    );
                }
                self.count(&delivered);
                self.reopen();
                Ok(())
            }
        }
    }

    fn rows_sent(&mut self, sent: Sent) -> Result<(), ProcessorError> {
        let delivered = self.stages.sent(sent, now(), &*self.sink)?;
        self.count(&delivered);
        if let Some((table, rows)) = delivered.refused {
            self.metrics.refused_rows.inc_by(rows as u64);
            let table = table.name();
            error!(
                table,
                rows,
                action = "read their reason in dead_letters, stage writer; `aqueduct setup --dry-run` shows how the table differs",
                "the table refuses rows; they are left out and stand in dead_letters"
            );
        }
        if let Some(table) = delivered.gone {
            warn!(
                table = table.name(),
                action = "nothing: the table is asked what stands before rows are sent again",
                "the table's stream is gone; what does not stand in it yet moves to a new one"
            );
        }
        self.reopen();
        Ok(())
    }

    fn count(&mut self, delivered: &Delivered) {
        self.rows += delivered.rows;
        self.flow_rows += delivered.flow_rows;
        self.metrics.rows.inc_by(delivered.rows);
        self.metrics.pending(self.stages.outbox().len());
        for (flow, rows) in &delivered.shown {
            self.board.add(*flow, rows);
        }
    }

    /// The next step towards another stream for a table whose stream is gone.
    fn reopen(&mut self) {
        match self.stages.reopening() {
            Some(Reopen::Ask(append)) => {
                self.tasks.spawn(tasks::stands(self.sink.clone(), append, self.metrics.retries("stream")));
            }
            Some(Reopen::Open(table)) => {
                let retries = self.metrics.retries("stream");
                self.tasks.spawn(tasks::open_streams(self.sink.clone(), vec![table], retries));
            }
            None => {}
        }
    }

    /// The last checkpoint and the last rows.
    async fn finish(&mut self) -> Result<(), ProcessorError> {
        self.last_durable().await?;
        let now = now();
        self.stages.tick(now);
        self.stages.progress(now);
        self.start_checkpoint(now)?;
        self.last_durable().await?;
        let rows = self.settle(|driver| !driver.stages.is_sending());
        match tokio::time::timeout(LAST_ROWS, rows).await {
            Ok(result) => result?,
            Err(_) => warn!(
                requests = self.stages.outbox().len(),
                action = "start a processor again within the life of the table's stream (four days)",
                "rows wait in the state; the next run sends them"
            ),
        }
        // One more, so that the next run knows which rows stand in their tables.
        if self.appender.is_some() {
            self.start_checkpoint(now)?;
            self.last_durable().await?;
        }
        self.report();
        Ok(())
    }

    /// Waits for the checkpoint that is on its way, but not for a disk that stays full.
    async fn last_durable(&mut self) -> Result<(), ProcessorError> {
        let durable = self.settle(|driver| driver.appender.is_some());
        tokio::time::timeout(LAST_CHECKPOINT, durable).await.map_err(|_| ProcessorError::LastCheckpoint)?
    }

    async fn settle(&mut self, done: impl Fn(&Self) -> bool) -> Result<(), ProcessorError> {
        self.send_rows();
        while !done(self) {
            let Some(ended) = self.tasks.join_next().await else { return Ok(()) };
            let ended = ended.map_err(|e| ProcessorError::Task(service::telemetry::task_failure(&e)))?;
            self.ended(ended)?;
        }
        Ok(())
    }
}

fn report_hole(hole: &Abandoned) {
    let offsets = hole.offsets.end - hole.offsets.start;
    if hole.before_start {
        warn!(
            partition = %hole.partition, from = hole.offsets.start, to = hole.offsets.end,
            action = "nothing at a first start; else restore [state] checkpoints, or seek the subscription back and start without state",
            "there is no state; counting begins behind these offsets, which an earlier processor had acknowledged"
        );
    } else {
        error!(
            partition = %hole.partition, from = hole.offsets.start, to = hole.offsets.end, offsets,
            action = "look for another consumer of this subscription; `aqueduct reconcile` names what is missing",
            "messages that the connector published did not come within hole_limit; they count as lost until they do"
        );
    }
}
