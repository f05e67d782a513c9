//! The processor's metrics, brought up to date at each tick.

use event::{EventTime, ledger::Outcome};
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use service::metrics::Metrics;

use crate::{core::Core, outbox::Outbox};

type FlowLabels = [(&'static str, String); 1];
type OutcomeLabels = [(&'static str, String); 2];

/// Handles to what is exposed.
#[derive(Debug)]
pub struct ProcessorMetrics {
    events: Counter,
    redelivered: Counter,
    marks: Counter,
    unreadable_marks: Counter,
    outcomes: Family<OutcomeLabels, Gauge>,
    watermark: Family<FlowLabels, Gauge>,
    delay: Family<FlowLabels, Gauge>,
    keys: Family<FlowLabels, Gauge>,
    holes: Gauge,
    unacknowledged: Gauge,
    state_bytes: Gauge,
    requests: Gauge,
    caught_up: Gauge,
    /// Checkpoints that became durable.
    pub checkpoints: Counter,
    /// Their payloads' bytes.
    pub checkpoint_bytes: Counter,
    /// Rows that stand in their tables.
    pub rows: Counter,
}

impl ProcessorMetrics {
    /// Registers all of them.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            events: metrics.counter("aqueduct_processor_messages_total", "Data messages that were new"),
            redelivered: metrics
                .counter("aqueduct_processor_redelivered_total", "Data messages that had been seen before"),
            marks: metrics.counter("aqueduct_processor_marks_total", "Marks"),
            unreadable_marks: metrics.counter(
                "aqueduct_processor_unreadable_marks_total",
                "Messages on the marks topic that are no marks",
            ),
            outcomes: metrics.gauges(
                "aqueduct_processor_events",
                "Offsets by what became of them; the flow's whole ledger, restarts included",
            ),
            watermark: metrics.gauges(
                "aqueduct_processor_watermark_milliseconds",
                "The flow's watermark, milliseconds since the epoch",
            ),
            delay: metrics.gauges(
                "aqueduct_processor_watermark_delay_milliseconds",
                "How far the flow's watermark is behind the processor's clock",
            ),
            keys: metrics.gauges("aqueduct_processor_keys", "Keys with live counts"),
            holes: metrics
                .gauge("aqueduct_processor_holes", "Ranges below committed offsets that did not come yet"),
            unacknowledged: metrics.gauge(
                "aqueduct_processor_unacknowledged_messages",
                "Messages that wait for a durable checkpoint",
            ),
            state_bytes: metrics
                .gauge("aqueduct_processor_state_bytes", "Approximate memory of the live state"),
            requests: metrics.gauge("aqueduct_processor_pending_requests", "Append requests on their way"),
            caught_up: metrics.gauge("aqueduct_processor_caught_up", "1 when no backlog is being read"),
            checkpoints: metrics.counter("aqueduct_processor_checkpoints_total", "Durable checkpoints"),
            checkpoint_bytes: metrics
                .counter("aqueduct_processor_checkpoint_bytes_total", "Bytes of the checkpoints' payloads"),
            rows: metrics.counter("aqueduct_processor_rows_total", "Rows that stand in their tables"),
        }
    }

    /// Brings the gauges up to date.
    pub fn observe(&self, core: &Core, outbox: &Outbox, unacknowledged: usize, now: EventTime) {
        let counters = core.counters();
        raise(&self.events, counters.events);
        raise(&self.redelivered, counters.redelivered);
        raise(&self.marks, counters.marks);
        raise(&self.unreadable_marks, counters.unreadable_marks);
        self.unacknowledged.set(unacknowledged as i64);
        self.state_bytes.set(core.bytes() as i64);
        self.requests.set(outbox.len() as i64);
        self.caught_up.set(i64::from(core.is_caught_up(now)));
        self.holes.set(core.frontier().tracks().map(|(_, track)| track.holes().len() as i64).sum());
        for state in core.engine().flows() {
            let flow = [("flow", state.name().to_string())];
            let watermark = state.windows.watermark();
            if watermark > EventTime::MIN {
                self.watermark.get_or_create(&flow).set(watermark.0);
                self.delay.get_or_create(&flow).set(now.0.saturating_sub(watermark.0));
            }
            self.keys.get_or_create(&flow).set(state.windows.key_count() as i64);
            for outcome in Outcome::ALL {
                let labels = [("flow", state.name().to_string()), ("outcome", outcome.as_str().to_owned())];
                self.outcomes.get_or_create(&labels).set(state.ledger.get(outcome) as i64);
            }
        }
    }
}

fn raise(counter: &Counter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}
