//! The event loop of the processor: messages, marks, ticks, checkpoints and rows.
//!
//! An event is applied, then in a durable checkpoint, then acknowledged and its rows sent; no step may overtake
//! another. [`crate::core`] computes, [`crate::stages`] enforces the order, and this module only waits. See [`begin`]
//! for the start, [`reports`] for status and logs, and [`rows`] for rows.

mod begin;

mod rows;

mod reports;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use event::EventTime;
use pubsub::{AckHandle, Inbound, Message, Subscription, link::Link};
use service::readiness::Readiness;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::{
    board::Board,
    error::ProcessorError,
    io::{
        readers::{Portion, Readers},
        tasks::{self, Ended},
    },
    metrics::ProcessorMetrics,
    oddities::Oddities,
    outbox::Outbox,
    pace::Pace,
    readiness::CHECKPOINTS,
    records::Unread,
    saved::Budget,
    sink::Sink,
    stages::{Size, Stages},
    store::{Appender, Hold, StateSettings, Store},
    view::{Ahead, Detail, Own, View},
};

pub use begin::{Config, Services, Summary, Writer, run};
use reports::{report_defects, report_hole};

const TICK: Duration = Duration::from_millis(100);
/// Records that are applied before anything else is done.
const BATCH: usize = 2_000;
/// A pane that fires, or many unacknowledged messages, bring the next checkpoint forward, but no closer than this to the
/// last one.
const SOONEST: Duration = Duration::from_millis(250);
/// Ticks between two updates of the details for page, metrics and status.
const DETAIL_TICKS: u32 = 5;
/// Ticks between two checks that the files of tables and state still exist: writes to a deleted file succeed, and are
/// lost.
const PLACE_TICKS: u32 = 10;
/// How long the last checkpoint may take at shutdown.
const LAST_CHECKPOINT: Duration = Duration::from_secs(15);
/// How long the last rows may take at shutdown. The state keeps the remaining ones.
const LAST_ROWS: Duration = Duration::from_secs(10);

/// The current time of this machine.
pub fn now() -> EventTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

struct Driver<S> {
    stages: Stages<AckHandle>,
    /// The writers, in the order of the deliveries.
    sinks: Vec<Arc<S>>,
    state: StateSettings,
    metrics: ProcessorMetrics,
    /// What Pub/Sub delivers before it is acknowledged.
    outstanding: Size,
    /// Whether Pub/Sub answers for the data and marks subscriptions.
    links: Vec<watch::Receiver<Link>>,
    readiness: Readiness,
    watch: watch::Sender<View>,
    /// Checked while no checkpoint is being written.
    store: Store,
    /// `None` while a checkpoint is being written.
    appender: Option<Box<Appender>>,
    tasks: JoinSet<Ended>,
    /// The writers whose streams have been asked for.
    streams_asked: Vec<bool>,
    last_checkpoint: Option<Instant>,
    last_report: Instant,
    oddities: Oddities,
    pace: Pace,
    rows: u64,
    flow_rows: u64,
    checkpoints: u64,
    board: Board,
    /// The part of the status that only the driver knows.
    own: Own,
    detail: Arc<Detail>,
    ticks: u32,
}

impl<S: Sink> Driver<S> {
    async fn run(
        mut self,
        mut data: Readers,
        mut marks: Subscription,
        hold: Hold,
        shutdown: &CancellationToken,
    ) -> Result<Summary, ProcessorError> {
        let ended = self.until_stopped(&mut data, &mut marks, shutdown).await;
        if matches!(ended, Err(ProcessorError::Memory { .. })) {
            // Everything applied so far is saved, so the next run starts where this one stops.
            self.finish().await?;
        }
        if ended.is_err() {
            // Only durable messages are acknowledged. Dropping the handles returns the others to Pub/Sub.
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
            pending_requests: self.stages.pending(),
        })
    }

    async fn until_stopped(
        &mut self,
        data: &mut Readers,
        marks: &mut Subscription,
        shutdown: &CancellationToken,
    ) -> Result<(), ProcessorError> {
        let mut ticker = tokio::time::interval(TICK);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut mark_batch = Vec::new();
        loop {
            let room = self.stages.has_room();
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                received = marks.receive(&mut mark_batch, BATCH), if room => {
                    received?;
                    self.marks(&mut mark_batch)?;
                }
                portion = data.next(), if room => self.data(portion?, data)?,
                _ = ticker.tick() => self.tick()?,
                Some(ended) = self.tasks.join_next() => {
                    let ended = ended.map_err(|e| ProcessorError::Task(service::telemetry::task_failure(&e)))?;
                    self.ended(ended)?;
                }
            }
        }
    }

    /// Applies this portion and those that are already there, up to [`BATCH`] records.
    fn data(&mut self, first: Portion, data: &mut Readers) -> Result<(), ProcessorError> {
        let now = now();
        self.own.unacknowledged_since.get_or_insert(now);
        let (mut next, mut applied) = (Some(first), 0);
        while let Some(Portion { records, ack }) = next {
            applied += records.len();
            self.stages.records(&records, now);
            data.reuse(records);
            if let Some((ack, size)) = ack {
                self.stages.applied(ack, size);
            }
            next = if applied < BATCH { data.try_next()? } else { None };
        }
        Ok(())
    }

    fn marks(&mut self, batch: &mut Vec<Inbound>) -> Result<(), ProcessorError> {
        let now = now();
        for Inbound { messages, ack } in batch.drain(..) {
            for encoded in messages.encoded() {
                let message = Message::read(encoded, |_, _| {}).map_err(Unread::Malformed)?;
                if let Some(mark) = self.stages.mark(message.data, message.publish_time, now)? {
                    self.own.last_mark = Some(now);
                    self.own.ahead = Some(Ahead::of(&mark, message.publish_time, now));
                } else {
                    warn!(
                        message_id = message.message_id,
                        action = "allow only connectors to publish to the marks topic",
                        "ignored a message on the marks subscription that is not a mark"
                    );
                }
            }
            self.stages.applied(ack, Size { messages: messages.len(), bytes: messages.bytes() });
        }
        Ok(())
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
        if self.ticks.is_multiple_of(PLACE_TICKS) {
            self.sinks.iter().try_for_each(|sink| sink.check_place())?;
            self.store.check_present()?;
        }
        if self.ticks % DETAIL_TICKS == 1 {
            let detail = Arc::new(self.look(unacknowledged, now));
            report_defects(&self.detail, &detail);
            self.detail = detail;
            self.metrics.observe(&self.detail, self.stages.core().is_caught_up(now), now);
            self.judge(now);
            let missing = self.stages.core().frontier().missing(now);
            if let Some(news) = self.pace.look(self.behind(now), missing, now) {
                news.log();
            }
        }
        self.watch.send_replace(self.view());
        if self.last_report.elapsed() >= Duration::from_secs(60) {
            self.report();
        }
        self.check_memory(unacknowledged)
    }

    fn checkpoint_is_due(&self) -> bool {
        let Some(since) = self.last_checkpoint.map(|at| at.elapsed()) else { return true };
        // Pub/Sub delivers no more before the next checkpoint: with one a period, that would be the rate.
        let is_full = || self.stages.waiting().is_most_of(self.outstanding);
        let is_wanted = || self.stages.core().has_rows() || is_full();
        self.appender.is_some() && (since >= self.state.period.std() || (since >= SOONEST && is_wanted()))
    }

    fn start_checkpoint(&mut self, now: EventTime) -> Result<(), ProcessorError> {
        let Some(appender) = &self.appender else { return Ok(()) };
        let began = Instant::now();
        let live = self.stages.core().bytes() + self.stages.outboxes().map(Outbox::bytes).sum::<u64>();
        let budget = Budget::of(live, appender.chain());
        let Some(saved) = self.stages.checkpoint(budget, now, &self.sinks)? else { return Ok(()) };
        self.metrics.pending(self.stages.deliveries());
        for (writer, table, rows) in self.stages.take_left_out() {
            let table = table.name();
            error!(
                writer = &*writer,
                table,
                rows,
                action = "find the overlong key value in dead_letters (stage writer)",
                "rows exceed the maximum size of a request; they were skipped and are in dead_letters"
            );
        }
        self.own.covered_since = self.own.unacknowledged_since.take();
        self.last_checkpoint = Some(began);
        if let Some(appender) = self.appender.take() {
            let retries = self.metrics.retries("checkpoint");
            self.tasks.spawn(tasks::checkpoint(appender, saved, retries));
        }
        Ok(())
    }

    fn ended(&mut self, ended: Ended) -> Result<(), ProcessorError> {
        match ended {
            Ended::Checkpoint(appender, result) => {
                self.own.checkpoint_bytes = result?;
                self.metrics.checkpoint_size.observe(self.own.checkpoint_bytes as f64);
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
            Ended::Streams(writer, streams) => {
                for (table, name) in streams? {
                    self.stages.opened(writer, &table, name);
                }
                Ok(())
            }
            Ended::Sent(writer, sent) => self.rows_sent(writer, sent),
            Ended::Queried(writer, contains) => {
                let delivered = self.stages.answered(writer, contains?);
                if delivered.rows > 0 {
                    info!(
                        rows = delivered.rows,
                        "these rows are in the table although the response was lost; not sending them again"
                    );
                }
                self.count(writer, &delivered);
                self.reopen(writer);
                Ok(())
            }
        }
    }

    /// Writes the last checkpoint and sends the last rows.
    async fn finish(&mut self) -> Result<(), ProcessorError> {
        self.last_durable().await?;
        let now = now();
        self.stages.tick(now);
        self.stages.progress(now);
        self.start_checkpoint(now)?;
        self.last_durable().await?;
        self.last_rows().await?;
        // One more checkpoint records which rows are in their tables, so the next run does not send them again.
        if self.appender.is_some() {
            self.start_checkpoint(now)?;
            self.last_durable().await?;
            // That checkpoint may have added rows of its own.
            self.last_rows().await?;
        }
        self.report();
        Ok(())
    }

    /// Waits for the rows in flight, but no longer than [`LAST_ROWS`] for a table that does not answer.
    async fn last_rows(&mut self) -> Result<(), ProcessorError> {
        let rows = self.settle(|driver| !driver.stages.is_sending());
        match tokio::time::timeout(LAST_ROWS, rows).await {
            Ok(result) => result,
            Err(_) => {
                warn!(
                    requests = self.stages.pending(),
                    action = "restart the processor within four days, while the table's stream exists",
                    "shutting down before all rows were written; the others are in the state, and the next start writes them"
                );
                Ok(())
            }
        }
    }

    /// Waits for the checkpoint in flight, but no longer than [`LAST_CHECKPOINT`] for a disk that stays full.
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
