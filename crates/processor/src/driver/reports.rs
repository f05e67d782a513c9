//! What the driver reports: the status, readiness, log lines, and a state that has outgrown `memory`.

use event::{EventTime, Millis};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{Driver, now};

use crate::{
    engine::FlowState,
    error::ProcessorError,
    frontier::Abandoned,
    readiness::{self, PUBSUB, TABLES},
    sink::Sink,
    stages::Delivery,
    view::{Detail, Own, View, WriterView},
};

impl<S: Sink> Driver<S> {
    /// Updates the conditions of the readiness probe.
    pub(super) fn judge(&self, now: EventTime) {
        self.readiness.beat();
        let links: Vec<_> = self.links.iter().map(|link| *link.borrow()).collect();
        self.readiness.set(PUBSUB, readiness::pubsub(&links));
        self.readiness.set(TABLES, readiness::tables(&self.detail.writers, now));
    }

    pub(super) fn view(&self) -> View {
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

    pub(super) fn look(&self, unacknowledged: usize, now: EventTime) -> Detail {
        let writer = |delivery: &Delivery| WriterView {
            oldest_request: delivery.oldest(self.own.started),
            ..WriterView::of(delivery.name(), delivery.outbox())
        };
        let parked = self.stages.parked().iter().map(|(name, outbox)| WriterView::of(name, outbox));
        let writers: Vec<WriterView> = self.stages.deliveries().iter().map(writer).chain(parked).collect();
        let oldest_request = writers.iter().filter_map(|writer| writer.oldest_request).min();
        let own = Own { unacknowledged, oldest_request, checkpoints: self.checkpoints, ..self.own };
        Detail::of(self.stages.core(), writers, own, now)
    }

    pub(super) fn report(&mut self) {
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
            "totals since start"
        );
        for oddity in self.oddities.look(core.engine().flows()) {
            oddity.log();
        }
    }

    /// How far the slowest watermark lags behind the one it would have without a backlog; `None` if no watermark is
    /// unknown.
    pub(super) fn behind(&self, now: EventTime) -> Option<Millis> {
        let flows = self.stages.core().engine().flows().iter();
        let known = flows.filter(|state| state.windows.watermark() > EventTime::MIN);
        let due = |state: &FlowState| state.windows.watermark() + state.flow.out_of_orderness;
        known.map(|state| Millis(now.0.saturating_sub(due(state).0))).max()
    }

    pub(super) fn check_memory(&self, unacknowledged: usize) -> Result<(), ProcessorError> {
        // An ack ID takes about 200 bytes on Google Cloud.
        let waiting = self.stages.waiting_bytes() + 200 * unacknowledged as u64;
        let bytes = self.stages.core().bytes() + self.board.bytes() + waiting;
        if bytes <= self.state.memory.0 {
            return Ok(());
        }
        let largest = self.stages.core().engine().flows().iter().max_by_key(|flow| flow.windows.bytes());
        let (flow, keys) =
            largest.map_or_else(Default::default, |f| (f.name().to_string(), f.windows.key_count()));
        Err(ProcessorError::Memory { bytes, flow, keys })
    }
}

pub(super) fn report_hole(hole: &Abandoned) {
    let offsets = hole.offsets.end - hole.offsets.start;
    if hole.before_start {
        warn!(
            partition = %hole.partition, from = hole.offsets.start, to = hole.offsets.end,
            action = "none at the first start; otherwise restore [state] checkpoints, or set it to an empty location and seek both subscriptions back",
            "starting without a state: earlier offsets were already acknowledged and are not counted"
        );
    } else {
        error!(
            partition = %hole.partition, from = hole.offsets.start, to = hole.offsets.end, offsets,
            action = "check for another consumer of this subscription; `aqueduct reconcile` lists the missing offsets",
            "published messages did not arrive within hole_limit; they count as lost unless they arrive later"
        );
    }
}

/// Logs defects of the ledger, and joins that reached their limit, if there are more than before.
pub(super) fn report_defects(before: &Detail, after: &Detail) {
    for (flow, before) in after.flows.iter().zip(&before.flows) {
        if flow.imbalances > before.imbalances {
            error!(
                flow = &*flow.name,
                imbalances = flow.imbalances,
                action =
                    "this is a bug: report it with the log, and recompute the flow with `aqueduct replay`",
                "the ledger of the flow does not balance"
            );
        }
        // Logs the first one and then each power of two, because a hot value has thousands of events.
        if flow.over_limit.next_power_of_two() > before.over_limit.next_power_of_two() {
            warn!(
                flow = &*flow.name,
                events = flow.over_limit,
                action = "check for a placeholder value in join.on, such as an empty string; otherwise increase join.limit",
                "a value of join.on has more live events than join.limit; further events with it are counted without the join"
            );
        }
    }
}
