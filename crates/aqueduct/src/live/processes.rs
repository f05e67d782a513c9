//! The processor's facts for the live page.

use std::sync::Arc;

use event::{EventTime, Ledger, Millis};
use flow::{
    Flow as Configured, Windows, calendar,
    row::{MeasureColumns, Values},
    window::WindowKind,
};
use page::facts::{
    self, Busy, Flow, Measured, Outcome, Partition, Point, Processor, Rate, Unit, Windowing, millis_between,
};
use processor::{
    board,
    view::{FlowView, PartitionView},
};

use crate::survey::held_by;

/// The labels of a processor, from the configuration.
pub(crate) struct ProcessorLabels {
    pub(crate) subscription: String,
    pub(crate) to: String,
    pub(crate) flows: Vec<Configured>,
}

impl ProcessorLabels {
    pub(super) fn facts(&self, view: &processor::View, rates: (Rate, Rate), now: EventTime) -> Processor {
        let detail = &*view.detail;
        let own = detail.own;
        let ago = |at: Option<EventTime>| at.map(|at| millis_between(at, now));
        // The flows are known before the state is: the page has its parts from the start.
        let flow = |configured: &Configured| {
            let seen = detail.flows.iter().find(|flow| flow.name == configured.name);
            flow_facts(configured, seen, now)
        };
        Processor {
            subscription: self.subscription.clone(),
            to: self.to.clone(),
            told_ms: ago(detail.at),
            is_caught_up: view.caught_up,
            held_by: detail.holder.as_ref().map_or_else(
                || "not known yet".to_owned(),
                |holder| held_by(holder, detail.has_unpositioned),
            ),
            has_unpositioned: detail.has_unpositioned,
            accounted: detail.accounted,
            messages: detail.counters.events,
            redelivered: detail.counters.redelivered,
            marks: detail.counters.marks,
            unreadable_marks: detail.counters.unreadable_marks,
            last_mark_ms: ago(own.last_mark),
            unacknowledged: own.unacknowledged,
            oldest_unacknowledged_ms: ago(own.oldest_unacknowledged()),
            checkpoints: own.checkpoints,
            last_checkpoint_ms: ago(own.last_checkpoint),
            checkpoint_took_ms: own.checkpoint_millis,
            checkpoint_bytes: own.checkpoint_bytes,
            state_bytes: detail.state_bytes,
            memory_bytes: own.memory,
            requests: detail.requests,
            request_bytes: detail.request_bytes,
            oldest_request_ms: ago(own.oldest_request),
            rows: view.flow_rows,
            rate: rates.0,
            row_rate: rates.1,
            flows: self.flows.iter().map(flow).collect(),
            partitions: detail.partitions.iter().map(|partition| partition_facts(partition, now)).collect(),
        }
    }
}

fn flow_facts(configured: &Configured, seen: Option<&FlowView>, now: EventTime) -> Flow {
    let ledger = seen.map_or_else(Ledger::default, |flow| flow.ledger);
    let watermark = seen.and_then(|flow| EventTime::from_millis(flow.watermark.0));
    Flow {
        name: configured.name.to_string(),
        columns: configured.by.iter().map(|(column, _)| column.clone()).collect(),
        measures: configured.table().measures,
        windows: windowing(&configured.windows),
        out_of_orderness_ms: length(configured.out_of_orderness),
        allowed_lateness_ms: length(configured.allowed_lateness),
        watermark,
        delay_ms: watermark.map(|watermark| millis_between(watermark, now)),
        ledger: ledger.iter().map(|(o, offsets)| Outcome { outcome: o.as_str(), offsets }).collect(),
        total: ledger.total(),
        before: seen.map_or(0, |flow| flow.before),
        keys: seen.map_or(0, |flow| flow.keys),
    }
}

fn partition_facts(seen: &PartitionView, now: EventTime) -> Partition {
    Partition {
        topic: seen.partition.topic.to_string(),
        partition: seen.partition.partition,
        incarnation: seen.partition.incarnation.to_string(),
        frontier: seen.frontier,
        committed: seen.committed,
        log_end: seen.end.map(|end| end.offset),
        asked_ms: seen.end.map(|end| millis_between(end.asked_at, now)),
        missing: seen.missing,
        holes: seen.holes.iter().map(|hole| (hole.start, hole.end)).collect(),
        hole_count: seen.hole_count,
        hole_offsets: seen.hole_offsets,
        hole_ms: seen.hole_since.map(|since| millis_between(since, now)),
        clock: EventTime::from_millis(seen.clocks.event.0),
        is_idle: seen.is_idle,
    }
}

fn length(millis: Millis) -> u64 {
    millis.0.unsigned_abs()
}

fn windowing(windows: &WindowKind) -> Windowing {
    match windows {
        WindowKind::Sessions { gap } => Windowing::Sessions { gap_ms: length(*gap) },
        WindowKind::Aligned(Windows::Sliding(sliding)) => {
            Windowing::Sliding { size_ms: length(sliding.size()), period_ms: length(sliding.period()) }
        }
        WindowKind::Aligned(Windows::Calendar(calendar)) => Windowing::Calendar {
            unit: match calendar.unit() {
                calendar::Unit::Day => Unit::Day,
                calendar::Unit::Week => Unit::Week,
                calendar::Unit::Month => Unit::Month,
            },
            timezone: calendar.zone().to_owned(),
        },
    }
}

impl ProcessorLabels {
    /// The measures of a flow; `None` if there is no flow of that name.
    pub(super) fn measures(&self, flow: &str) -> Option<Arc<[MeasureColumns]>> {
        self.flows.iter().find(|known| &*known.name == flow).map(|flow| flow.table().measures)
    }

    /// The busiest keys of a flow, for the page.
    pub(super) fn busiest(&self, flow: &str, busiest: board::Busiest) -> Option<facts::Busiest> {
        let flow = self.flows.iter().find(|known| &*known.name == flow)?;
        let measures = flow.table().measures;
        let measured = |values: Values| Measured { measures: measures.clone(), values };
        let point = |(end, values)| Point { end, measured: measured(values) };
        let busy = |row: board::Busy| Busy {
            key: row.key,
            keys: row.keys,
            session: row.session,
            measured: measured(row.values),
            course: row.course.into_iter().map(point).collect(),
        };
        Some(facts::Busiest {
            window: busiest.window,
            is_complete: busiest.is_complete,
            found: busiest.found,
            left_out: busiest.left_out,
            rows: busiest.rows.into_iter().map(busy).collect(),
        })
    }
}
