//! The processor's metrics, updated from its status ([`crate::view`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use event::{EventTime, Ledger, ledger::Outcome};
use service::metrics::{Buckets, Counter, Described, Family, FloatGauge, Gauge, Histogram, Metrics};

use super as names;
use crate::{
    stages::Delivery,
    view::{Detail, PartitionView},
};

type Label = [(&'static str, String); 1];
type OutcomeLabels = [(&'static str, String); 2];
type PartitionLabels = [(&'static str, String); 2];

const TIMES: Buckets = Buckets(&[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
const SIZES: Buckets = Buckets(&[1e3, 1e4, 1e5, 1e6, 4e6, 16e6, 64e6, 256e6, 1e9]);

/// Handles to the metrics of a processor.
#[derive(Debug)]
pub struct ProcessorMetrics {
    messages: Counter,
    redelivered: Counter,
    redriven: Counter,
    marks: Counter,
    unreadable_marks: Counter,
    events: Family<OutcomeLabels, Counter>,
    ledger: Family<OutcomeLabels, Gauge>,
    /// The ledgers at the last update. What a recovered state contains is not counted again.
    seen: BTreeMap<Arc<str>, Ledger>,
    watermark: Family<Label, FloatGauge>,
    delay: Family<Label, FloatGauge>,
    keys: Family<Label, Gauge>,
    over_limit: Family<Label, Counter>,
    imbalances: Family<Label, Counter>,
    partitions: OfPartitions,
    last_mark: Moment,
    clock_ahead: Family<Label, FloatGauge>,
    last_checkpoint: Moment,
    unacknowledged: Gauge,
    oldest_unacknowledged: FloatGauge,
    caught_up: Gauge,
    state: Gauge,
    requests: Family<Label, Gauge>,
    request_bytes: Family<Label, Gauge>,
    oldest_request: Family<Label, FloatGauge>,
    retries: Family<Label, Counter>,
    /// 1 once this processor holds the state.
    pub holds_state: Gauge,
    /// Checkpoints that became durable.
    pub checkpoints: Counter,
    /// The duration of checkpoints in seconds.
    pub checkpoint_time: Histogram,
    /// The bytes of checkpoints.
    pub checkpoint_size: Histogram,
    rows: Family<Label, Counter>,
    refused_rows: Family<Label, Counter>,
}

/// The metrics of partitions.
#[derive(Debug)]
struct OfPartitions {
    lag: Family<PartitionLabels, Gauge>,
    holes: Family<PartitionLabels, Gauge>,
    hole_offsets: Family<PartitionLabels, Gauge>,
    oldest_hole: Family<PartitionLabels, FloatGauge>,
    /// The partitions that the last update contained.
    labelled: BTreeSet<(Arc<str>, i32)>,
}

/// The sums over all incarnations of one partition.
#[derive(Clone, Copy, Debug, Default)]
struct Together {
    missing: u64,
    holes: usize,
    hole_offsets: u64,
    hole_since: Option<EventTime>,
}

/// A time that is not exposed until it is known.
#[derive(Clone, Debug)]
struct Moment(Arc<AtomicI64>);

impl ProcessorMetrics {
    /// Registers all metrics; call it once for each registry. `memory` is the limit of the state in bytes, `writers` are the
    /// names of the writers.
    pub fn new<'a>(metrics: &Metrics, memory: u64, writers: impl Iterator<Item = &'a str>) -> Self {
        metrics.gauge(&names::MEMORY).set(whole(memory));
        let retries: Family<Label, Counter> = metrics.counters(&names::RETRIES);
        for what in ["recovery", "checkpoint", "stream", "append"] {
            // A counter that starts at 0 shows its first event as an increase.
            drop(retries.get_or_create(&[("what", what.to_owned())]));
        }
        let (rows, refused_rows) = (metrics.counters(&names::ROWS), metrics.counters(&names::REFUSED_ROWS));
        let requests: Family<Label, Gauge> = metrics.gauges(&names::REQUESTS);
        for writer in writers {
            let label = writer_label(writer);
            drop((
                rows.get_or_create(&label),
                refused_rows.get_or_create(&label),
                requests.get_or_create(&label),
            ));
        }
        Self {
            messages: metrics.counter(&names::MESSAGES),
            redelivered: metrics.counter(&names::REDELIVERED),
            redriven: metrics.counter(&names::REDRIVEN),
            marks: metrics.counter(&names::MARKS),
            unreadable_marks: metrics.counter(&names::UNREADABLE_MARKS),
            events: metrics.counters(&names::EVENTS),
            ledger: metrics.gauges(&names::LEDGER),
            seen: BTreeMap::new(),
            watermark: metrics.float_gauges(&names::WATERMARK),
            delay: metrics.float_gauges(&names::DELAY),
            keys: metrics.gauges(&names::KEYS),
            over_limit: metrics.counters(&names::JOIN_OVER_LIMIT),
            imbalances: metrics.counters(&names::IMBALANCES),
            partitions: OfPartitions {
                lag: metrics.gauges(&names::LAG),
                holes: metrics.gauges(&names::HOLES),
                hole_offsets: metrics.gauges(&names::HOLE_OFFSETS),
                oldest_hole: metrics.float_gauges(&names::OLDEST_HOLE),
                labelled: BTreeSet::new(),
            },
            last_mark: Moment::shown_in(metrics, &names::LAST_MARK),
            clock_ahead: metrics.float_gauges(&names::CLOCK_AHEAD),
            last_checkpoint: Moment::shown_in(metrics, &names::LAST_CHECKPOINT),
            unacknowledged: metrics.gauge(&names::UNACKNOWLEDGED),
            oldest_unacknowledged: metrics.float_gauge(&names::OLDEST_UNACKNOWLEDGED),
            caught_up: metrics.gauge(&names::CAUGHT_UP),
            state: metrics.gauge(&names::STATE),
            requests,
            request_bytes: metrics.gauges(&names::REQUEST_BYTES),
            oldest_request: metrics.float_gauges(&names::OLDEST_REQUEST),
            retries,
            holds_state: metrics.gauge(&names::HOLDS_STATE),
            checkpoints: metrics.counter(&names::CHECKPOINTS),
            checkpoint_time: metrics.histogram(&names::CHECKPOINT_TIME, TIMES),
            checkpoint_size: metrics.histogram(&names::CHECKPOINT_SIZE, SIZES),
            rows,
            refused_rows,
        }
    }

    /// Sets the number of requests that wait. Called whenever a request is added or done, not only at the next tick.
    pub fn pending(&self, deliveries: &[Delivery]) {
        for delivery in deliveries {
            let requests = delivery.outbox().len() as i64;
            self.requests.get_or_create(&writer_label(delivery.name())).set(requests);
        }
    }

    /// Counts rows that are in the tables of a writer.
    pub fn written(&self, writer: &str, rows: u64) {
        self.rows.get_or_create(&writer_label(writer)).inc_by(rows);
    }

    /// Counts rows that a writer's table refused.
    pub fn refused(&self, writer: &str, rows: u64) {
        self.refused_rows.get_or_create(&writer_label(writer)).inc_by(rows);
    }

    /// Sets the ledgers of a recovered state, so that only later offsets are counted.
    pub fn begin(&mut self, ledgers: impl Iterator<Item = (Arc<str>, Ledger)>) {
        self.seen = ledgers.collect();
    }

    /// The counter of repeated attempts at an action.
    pub fn retries(&self, what: &str) -> Counter {
        self.retries.get_or_create(&[("what", what.to_owned())]).clone()
    }

    /// Updates all metrics from the status.
    pub fn observe(&mut self, detail: &Detail, is_caught_up: bool, now: EventTime) {
        raise(&self.messages, detail.counters.events);
        raise(&self.redelivered, detail.counters.redelivered);
        raise(&self.redriven, detail.counters.redriven);
        raise(&self.marks, detail.counters.marks);
        raise(&self.unreadable_marks, detail.counters.unreadable_marks);
        let own = detail.own;
        self.unacknowledged.set(own.unacknowledged as i64);
        self.oldest_unacknowledged.set(age(own.oldest_unacknowledged(), now));
        self.caught_up.set(i64::from(is_caught_up));
        self.state.set(whole(detail.state_bytes));
        for writer in &detail.writers {
            let label = writer_label(&writer.name);
            self.requests.get_or_create(&label).set(writer.requests as i64);
            self.request_bytes.get_or_create(&label).set(whole(writer.request_bytes));
            self.oldest_request.get_or_create(&label).set(age(writer.oldest_request, now));
        }
        self.last_mark.set(own.last_mark);
        if let Some(ahead) = own.ahead {
            for (clock, millis) in [("connector", ahead.connector), ("pubsub", Some(ahead.pubsub))] {
                let Some(millis) = millis else { continue };
                self.clock_ahead.get_or_create(&[("clock", clock.to_owned())]).set(seconds(millis));
            }
        }
        self.last_checkpoint.set(own.last_checkpoint);
        self.partitions.observe(&detail.partitions, now);
        for flow in &detail.flows {
            let labels = [("flow", flow.name.to_string())];
            if let Some(watermark) = flow.watermark {
                self.watermark.get_or_create(&labels).set(seconds(watermark.0));
                self.delay.get_or_create(&labels).set(seconds(now.0.saturating_sub(watermark.0)));
            }
            self.keys.get_or_create(&labels).set(flow.keys as i64);
            raise(&self.imbalances.get_or_create(&labels), flow.imbalances);
            raise(&self.over_limit.get_or_create(&labels), flow.over_limit);
            self.count(&flow.name, flow.ledger);
        }
    }

    /// Adds the growth of a ledger since the last update. A counter never decreases: an offset that leaves an outcome
    /// (an abandoned hole whose data arrives, a click whose view arrives) stays counted there. The ledger itself is
    /// exposed as a gauge.
    fn count(&mut self, flow: &Arc<str>, ledger: Ledger) {
        let before = self.seen.insert(flow.clone(), ledger).unwrap_or_default();
        for outcome in Outcome::ALL {
            let labels = [("flow", flow.to_string()), ("outcome", outcome.as_str().to_owned())];
            let offsets = ledger.get(outcome);
            self.ledger.get_or_create(&labels).set(whole(offsets));
            // Pending is not a final outcome.
            if outcome != Outcome::Pending {
                self.events.get_or_create(&labels).inc_by(offsets.saturating_sub(before.get(outcome)));
            }
        }
    }
}

impl OfPartitions {
    fn observe(&mut self, partitions: &[PartitionView], now: EventTime) {
        let mut together: BTreeMap<(Arc<str>, i32), Together> = BTreeMap::new();
        for life in partitions {
            let partition = (life.partition.topic.clone(), life.partition.partition);
            let sum = together.entry(partition).or_default();
            sum.missing += life.lag.unwrap_or(0);
            sum.holes += life.hole_count;
            sum.hole_offsets += life.hole_offsets;
            sum.hole_since = [sum.hole_since, life.hole_since].into_iter().flatten().min();
        }
        for ((topic, partition), sum) in &together {
            let labels = labels(topic, *partition);
            self.lag.get_or_create(&labels).set(whole(sum.missing));
            self.holes.get_or_create(&labels).set(sum.holes as i64);
            self.hole_offsets.get_or_create(&labels).set(whole(sum.hole_offsets));
            self.oldest_hole.get_or_create(&labels).set(age(sum.hole_since, now));
        }
        let known: BTreeSet<_> = together.into_keys().collect();
        for (topic, partition) in self.labelled.difference(&known) {
            let labels = labels(topic, *partition);
            self.lag.remove(&labels);
            self.holes.remove(&labels);
            self.hole_offsets.remove(&labels);
            self.oldest_hole.remove(&labels);
        }
        self.labelled = known;
    }
}

impl Moment {
    fn shown_in(metrics: &Metrics, what: &'static Described) -> Self {
        let moment = Self(Arc::new(AtomicI64::new(i64::MIN)));
        let shown = moment.clone();
        metrics.measured(what, move || match shown.0.load(Ordering::Relaxed) {
            i64::MIN => Vec::new(),
            millis => vec![(Vec::new(), seconds(millis))],
        });
        moment
    }

    fn set(&self, at: Option<EventTime>) {
        self.0.store(at.map_or(i64::MIN, |at| at.0), Ordering::Relaxed);
    }
}

fn labels(topic: &str, partition: i32) -> PartitionLabels {
    [("topic", topic.to_owned()), ("partition", partition.to_string())]
}

fn writer_label(writer: &str) -> Label {
    [("writer", writer.to_owned())]
}

fn raise(counter: &Counter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

fn age(since: Option<EventTime>, now: EventTime) -> f64 {
    since.map_or(0.0, |since| seconds(now.0.saturating_sub(since.0).max(0)))
}

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use event::{Incarnation, Mark, Partition, mark::TopicMark};

    use super::*;
    use crate::view::{Ahead, FlowView, Own};

    const NOW: EventTime = EventTime(1_000_000);

    fn ledger(counted: u64, pending: u64, lost: u64) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.add(Outcome::Counted, counted);
        ledger.add(Outcome::Pending, pending);
        ledger.add(Outcome::Lost, lost);
        ledger
    }

    fn flow(ledger: Ledger, watermark: Option<EventTime>) -> FlowView {
        FlowView {
            name: "ctr".into(),
            columns: Vec::new(),
            measures: [].into(),
            windows: flow::window::WindowKind::Sessions { gap: event::Millis(60_000) },
            out_of_orderness: event::Millis(0),
            allowed_lateness: event::Millis(0),
            watermark,
            delay_ms: None,
            ledger,
            before: 0,
            keys: 3,
            over_limit: 0,
            imbalances: 0,
        }
    }

    fn partition(incarnation: &str, missing: u64, hole_since: Option<EventTime>) -> PartitionView {
        let incarnation = Incarnation::from(incarnation);
        PartitionView {
            partition: Partition { topic: "t".into(), incarnation, partition: 4 },
            frontier: 0,
            committed: None,
            log_end: None,
            asked_at: None,
            lag: Some(missing),
            holes: Vec::new(),
            hole_count: usize::from(hole_since.is_some()),
            hole_offsets: 2,
            hole_since,
            clock: None,
            is_idle: false,
        }
    }

    #[track_caller]
    fn check(metrics: &Metrics, lines: &[&str]) {
        let page = metrics.encode().expect("text");
        for line in lines {
            assert!(page.lines().any(|other| other == *line), "{line} in\n{page}");
        }
    }

    #[test]
    fn offsets_are_counted_once_and_never_back() {
        let metrics = Metrics::default();
        let mut shown = ProcessorMetrics::new(&metrics, 9, ["sqlite"].into_iter());
        shown.begin([("ctr".into(), ledger(1_000, 5, 7))].into_iter());
        let mut detail = Detail { flows: vec![flow(ledger(1_000, 5, 7), None)], ..Detail::default() };
        shown.observe(&detail, true, NOW);
        let counted = "aqueduct_processor_events_total{flow=\"ctr\",outcome=\"counted\"}";
        let lost = "aqueduct_processor_events_total{flow=\"ctr\",outcome=\"lost\"}";
        let pending = "aqueduct_processor_ledger_offsets{flow=\"ctr\",outcome=\"pending\"}";
        check(&metrics, &[&format!("{counted} 0"), &format!("{lost} 0"), &format!("{pending} 5")]);
        // Pending and lost offsets are counted.
        detail.flows = vec![flow(ledger(1_009, 2, 3), Some(EventTime(998_500)))];
        shown.observe(&detail, true, NOW);
        check(&metrics, &[&format!("{counted} 9"), &format!("{lost} 0"), &format!("{pending} 2")]);
        check(&metrics, &["aqueduct_processor_watermark_delay_seconds{flow=\"ctr\"} 1.5"]);
        detail.flows = vec![flow(ledger(1_009, 2, 4), Some(EventTime(998_500)))];
        shown.observe(&detail, true, NOW);
        check(&metrics, &[&format!("{lost} 1"), "aqueduct_processor_caught_up 1"]);
        let page = metrics.encode().expect("text");
        assert!(!page.contains("events_total{flow=\"ctr\",outcome=\"pending\"}"), "{page}");
    }

    #[test]
    fn a_clock_that_is_ahead_is_told() {
        let metrics = Metrics::default();
        let mut shown = ProcessorMetrics::new(&metrics, 9, ["sqlite"].into_iter());
        // The connector asked at 1,007 by its clock. Pub/Sub published the mark at 999 by its own, and the mark arrived
        // at 1,000.
        let topic = TopicMark {
            topic: "t".into(),
            incarnation: Incarnation::from("a"),
            partitions: 1,
            asked_at: EventTime(1_007_000),
        };
        let mark = Mark {
            version: Mark::VERSION,
            replica: "r".into(),
            sequence: 1,
            partitions: Vec::new(),
            topics: vec![topic],
            outputs: Vec::new(),
        };
        let ahead = Ahead::of(&mark, EventTime(999_000), NOW);
        let own = Own { ahead: Some(ahead), ..Own::default() };
        shown.observe(&Detail { own, ..Detail::default() }, true, NOW);
        check(
            &metrics,
            &[
                "aqueduct_processor_clock_ahead_seconds{clock=\"connector\"} 8.0",
                "aqueduct_processor_clock_ahead_seconds{clock=\"pubsub\"} -1.0",
            ],
        );
        let without = Mark { topics: Vec::new(), ..mark };
        assert_eq!(Ahead::of(&without, NOW, NOW), Ahead { connector: None, pubsub: 0 });
    }

    #[test]
    fn the_lives_of_a_partition_stand_together_until_they_go() {
        let metrics = Metrics::default();
        let mut shown = ProcessorMetrics::new(&metrics, 9, ["sqlite"].into_iter());
        let lives =
            vec![partition("a", 3, Some(EventTime(990_000))), partition("b", 4, Some(EventTime(970_000)))];
        shown.observe(&Detail { partitions: lives, ..Detail::default() }, false, NOW);
        check(
            &metrics,
            &[
                "aqueduct_processor_lag_offsets{topic=\"t\",partition=\"4\"} 7",
                "aqueduct_processor_holes{topic=\"t\",partition=\"4\"} 2",
                "aqueduct_processor_oldest_hole_seconds{topic=\"t\",partition=\"4\"} 30.0",
            ],
        );
        shown.observe(&Detail::default(), false, NOW);
        let page = metrics.encode().expect("text");
        assert!(!page.contains("partition=\"4\""), "{page}");
        assert!(!page.contains("last_mark_timestamp_seconds"), "what is not known is left out:\n{page}");
    }
}
